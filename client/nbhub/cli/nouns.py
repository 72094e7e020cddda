"""Commands that several nouns have alike."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from nbhub import Hub
from nbhub.cli.exits import UsageProblem
from nbhub.cli.grammar import Commands, Option
from nbhub.cli.options import COMMON, WAITING, Common, DryRun, Waiting, Yes
from nbhub.cli.working import deleted, previewed, require_yes, shared
from nbhub.errors import Ambiguous, NotFound
from nbhub.synchronous.records import Deletable, Records, Shared, Trashed, is_id

With = Annotated[str, Option(name="--with", help="e-mails, @groups and org:organisations, with commas between them")]
Write = Annotated[bool, Option("writing, not reading alone")]
Until = Annotated[datetime | None, Option("when it ends, such as 2027-01-31")]
Rename = Annotated[str | None, Option("its new name")]


def changed(fields: dict[str, Any]) -> dict[str, Any]:
    """Of the fields of a change those that were given. Raises `UsageProblem` if none was."""
    given = {name: value for name, value in fields.items() if value is not None}
    if not given:
        raise UsageProblem("nothing is said to be changed: --help tells what can be")
    return given


def showing(app: Commands, of: Callable[[Hub], Records[Any]]) -> None:
    """Give a noun `show`."""

    @app.command("show")
    def show(name: Annotated[str, Option(names=app.name)], /, *, common: Common = COMMON) -> None:
        """Show one."""
        with common.hub() as hub:
            common.show(of(hub).find(name, prefix=True))


def deleting(app: Commands, of: Callable[[Hub], Deletable[Any]]) -> None:
    """Give a noun `delete`."""

    @app.command("delete")
    def delete(
        name: Annotated[str, Option(names=app.name)],
        /,
        *,
        yes: Yes = False,
        dry_run: DryRun = False,
        waiting: Waiting = WAITING,
        common: Common = COMMON,
    ) -> int:
        """Delete one, by its whole name or id."""
        with common.hub() as hub:
            found = of(hub).find(name)
            if dry_run:
                return previewed(of(hub).preview_delete(found), common)
            require_yes(found.name, yes=yes)
            return deleted(of(hub).delete(found), common, waiting)


def sharing(app: Commands, of: Callable[[Hub], Shared[Any]]) -> None:
    """Give a noun `share`, `unshare` and `access`."""

    @app.command("share")
    def share(
        name: Annotated[str, Option(names=app.name)],
        /,
        *,
        principals: With,
        write: Write = False,
        until: Until = None,
        dry_run: DryRun = False,
        waiting: Waiting = WAITING,
        common: Common = COMMON,
    ) -> int:
        """Let people, groups and organisations read it, or write it."""
        wanted = _principals(principals) | {
            "relation": "write" if write else "read",
            "expires_at": None if until is None else aware(until),
        }
        with common.hub() as hub:
            found = of(hub).find(name, prefix=True)
            if dry_run:
                return previewed(of(hub).preview_share(found, **wanted), common)
            return shared(of(hub).share(found, **wanted), common, waiting)

    @app.command("unshare")
    def unshare(
        name: Annotated[str, Option(names=app.name)],
        /,
        *,
        principals: With,
        write: Annotated[bool, Option("writing alone: they go on reading")] = False,
        dry_run: DryRun = False,
        waiting: Waiting = WAITING,
        common: Common = COMMON,
    ) -> int:
        """Take it back from people, groups and organisations."""
        unwanted = _principals(principals) | {"relation": "write" if write else "read"}
        with common.hub() as hub:
            found = of(hub).find(name, prefix=True)
            if dry_run:
                return previewed(of(hub).preview_revoke(found, **unwanted), common)
            return shared(of(hub).revoke(found, **unwanted), common, waiting)

    @app.command("access")
    def access(
        name: Annotated[str, Option(names=app.name)],
        /,
        *,
        explain: Annotated[str | None, Option("why this e-mail has access")] = None,
        common: Common = COMMON,
    ) -> None:
        """Show who has access."""
        with common.hub() as hub:
            found = of(hub).find(name, prefix=True)
            if explain is not None:
                explained = of(hub).explain(found, explain)
                common.show(explained)
                if explained.access is None:
                    print(f"nbhub: {explained.email} has no access to {name}", file=sys.stderr)
            else:
                common.list(of(hub).access(found), "entity type access expires_at granted_by")


def restoring(app: Commands, of: Callable[[Hub], Trashed[Any]]) -> None:
    """Give a noun `restore`."""

    @app.command("restore")
    def restore(name: str, /, *, common: Common = COMMON) -> None:
        """Take one out of the trash, by its name or id: nbhub trash list."""
        with common.hub() as hub:
            records = of(hub)
            common.show(records.restore(name if is_id(name) else _in_trash(hub, records.noun, name)))


def _in_trash(hub: Hub, noun: str, name: str) -> str:
    """The id of what has this name in one's trash. Raises `NotFound`, and `Ambiguous` where several have it."""
    found = [one for one in hub.trash() if one.kind == noun and one.name == name]
    if not found:
        raise NotFound(f"there is no {noun} {name} in the trash\n  What there is: nbhub trash list", status=404)
    if len(found) > 1:
        raise Ambiguous(name, found)
    return found[0].id


def _principals(text: str) -> dict[str, Any]:
    """People, groups and organisations, of one text."""
    found: dict[str, list[str]] = {"users": [], "groups": [], "orgs": []}
    for one in filter(None, (word.strip() for word in text.split(","))):
        if one.startswith("@"):
            found["groups"].append(one[1:])
        elif one.startswith("org:"):
            found["orgs"].append(one[4:])
        else:
            found["users"].append(one)
    if not any(found.values()):
        raise UsageProblem("--with names nobody")
    return found


def aware(moment: datetime) -> datetime:
    """A time that was typed, in the zone of this machine where it has none."""
    return moment if moment.tzinfo is not None else moment.astimezone(UTC)
