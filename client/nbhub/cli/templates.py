"""`nbhub templates`."""

from typing import Annotated, Literal

from nbhub import Hub
from nbhub.cli.contents import Changes, Contents
from nbhub.cli.exits import Exit
from nbhub.cli.grammar import Commands, Option
from nbhub.cli.nouns import showing
from nbhub.cli.options import COMMON, NARROWED, Common, DryRun, Limit, Narrowed, Yes
from nbhub.cli.working import previewed, require_yes
from nbhub.synchronous.templates import Templates

templates = Commands("templates", "Templates: what servers are made of.")
Template = Annotated[str, Option(names="templates")]
Type = Annotated[str | None, Option("of this type alone, such as featured")]
Creator = Annotated[str | None, Option("of whoever has this e-mail")]
CONTENTS, CHANGES = Contents(), Changes()


def _templates(hub: Hub) -> Templates:
    return hub.templates


@templates.command("list")
def list_templates(
    *,
    narrowed: Narrowed = NARROWED,
    type: Type = None,
    creator: Creator = None,
    tag: Annotated[str | None, Option("with this tag")] = None,
    common: Common = COMMON,
) -> None:
    """List templates: one's own, and public ones."""
    with common.hub() as hub:
        found = hub.templates.list(type=type, creator=creator, tag=tag, **narrowed.query())
        common.list(found, "name type application_type hardware creator public tags", narrowed.limit)


showing(templates, _templates)


@templates.command("tags")
def tags(*, type: Type = None, creator: Creator = None, limit: Limit = None, common: Common = COMMON) -> None:
    """List the tags of templates, the most used first."""
    with common.hub() as hub:
        common.list(hub.templates.tags(type=type, creator=creator), "name count", limit)


@templates.command("create")
def create(
    name: str,
    /,
    *,
    contents: Contents = CONTENTS,
    public: Annotated[bool, Option("everybody sees it")] = False,
    type: Annotated[str, Option("what pages sort it by: user, featured, quick-launch")] = "user",
    common: Common = COMMON,
) -> None:
    """Make a template."""
    with common.hub() as hub:
        common.show(hub.templates.create(name, type=type, public=public, **contents.fields(hub)))


@templates.command("edit")
def edit(
    name: Template,
    /,
    *,
    changes: Changes = CHANGES,
    public: Annotated[Literal["yes", "no"] | None, Option("whether everybody sees it")] = None,
    creator: Annotated[str | None, Option("who is to have it, for admins")] = None,
    common: Common = COMMON,
) -> None:
    """Change a template. Its creator's servers follow at their next start."""
    with common.hub() as hub:
        found = hub.templates.get(hub.templates.find(name, prefix=True).id)
        seen = None if public is None else public == "yes"
        common.show(changes.made(hub, found, public=seen, creator=creator))


@templates.command("delete")
def delete(name: Template, /, *, yes: Yes = False, dry_run: DryRun = False, common: Common = COMMON) -> int:
    """Delete one, by its whole name or id."""
    with common.hub() as hub:
        found = hub.templates.find(name)
        if dry_run:
            return previewed(hub.templates.preview_delete(found), common)
        require_yes(found.name, yes=yes)
        hub.templates.delete(found)
    return Exit.DONE
