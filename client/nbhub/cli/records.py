"""`nbhub templates`, `datasets`, `modules`, `secrets` and `groups`."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from nbhub import Hub
from nbhub.cli.exits import Exit, UsageProblem
from nbhub.cli.following import follow
from nbhub.cli.grammar import Commands, Option
from nbhub.cli.options import COMMON, WAITING, Common, Limit, Waiting, Yes
from nbhub.cli.working import begun, deleted, require_yes, shared
from nbhub.synchronous.groups import Groups
from nbhub.synchronous.records import Deletable, Records, Shared, Trashed
from nbhub.synchronous.templates import Templates

templates = Commands("templates", "Templates: what servers are made of.")
datasets = Commands("datasets", "Datasets: directories of data.")
modules = Commands("modules", "Modules: software that servers load.")
secrets = Commands("secrets", "Secrets: values that servers are given.")
groups = Commands("groups", "Groups: people whom one shares with under one name.")

trash = Commands("trash", "Trash: what was deleted, and can be taken out again for a time.")

With = Annotated[str, Option(name="--with", help="e-mails, @groups and org:organisations, with commas between them")]
Write = Annotated[bool, Option("writing, not reading alone")]
Until = Annotated[datetime | None, Option("when it ends, such as 2027-01-31")]


def _reading(app: Commands, of: Callable[[Hub], Records[Any]], columns: str) -> None:
    @app.command("list")
    def list_records(*, limit: Limit = None, common: Common = COMMON) -> None:
        """List them, newest first."""
        with common.hub() as hub:
            common.list(of(hub)._all(), columns, limit)

    @app.command("show")
    def show(name: str, /, *, common: Common = COMMON) -> None:
        """Show one."""
        with common.hub() as hub:
            common.show(of(hub).find(name, prefix=True))


def _deleting(app: Commands, of: Callable[[Hub], Deletable[Any]]) -> None:
    @app.command("delete")
    def delete(name: str, /, *, yes: Yes = False, waiting: Waiting = WAITING, common: Common = COMMON) -> int:
        """Delete one, by its whole name or id."""
        with common.hub() as hub:
            found = of(hub).find(name)
            require_yes(found.name, yes=yes)
            return deleted(of(hub).delete(found), common, waiting)


def _sharing(app: Commands, of: Callable[[Hub], Shared[Any]]) -> None:
    @app.command("share")
    def share(
        name: str,
        /,
        *,
        principals: With,
        write: Write = False,
        until: Until = None,
        waiting: Waiting = WAITING,
        common: Common = COMMON,
    ) -> int:
        """Let people, groups and organisations read it, or write it."""
        named = _principals(principals)
        with common.hub() as hub:
            operation = of(hub).share(
                of(hub).find(name, prefix=True),
                **named,
                relation="write" if write else "read",
                expires_at=None if until is None else _aware(until),
            )
            return shared(operation, common, waiting)

    @app.command("unshare")
    def unshare(
        name: str,
        /,
        *,
        principals: With,
        write: Annotated[bool, Option("writing alone: they go on reading")] = False,
        waiting: Waiting = WAITING,
        common: Common = COMMON,
    ) -> int:
        """Take it back from people, groups and organisations."""
        named = _principals(principals)
        with common.hub() as hub:
            found = of(hub).find(name, prefix=True)
            operation = of(hub).revoke(found, **named, relation="write" if write else "read")
            return shared(operation, common, waiting)

    @app.command("access")
    def access(
        name: str,
        /,
        *,
        explain: Annotated[str | None, Option("why this e-mail has access")] = None,
        common: Common = COMMON,
    ) -> None:
        """Show who has access."""
        with common.hub() as hub:
            found = of(hub).find(name, prefix=True)
            if explain is not None:
                common.show(of(hub).explain(found, explain))
            else:
                common.list(of(hub).access(found), "entity type access expires_at granted_by")


def _restoring(app: Commands, of: Callable[[Hub], Trashed[Any]]) -> None:
    @app.command("restore")
    def restore(id: str, /, *, common: Common = COMMON) -> None:
        """Take one out of the trash, by its id."""
        with common.hub() as hub:
            common.show(of(hub).restore(id))


@trash.command("list")
def list_trash(*, limit: Limit = None, common: Common = COMMON) -> None:
    """List what is in one's trash, the latest first. `nbhub datasets restore ID` takes it out."""
    with common.hub() as hub:
        common.list(hub.trash(), "id kind name trashed_at purged_at", limit)


def _templates(hub: Hub) -> Templates:
    return hub.templates


def _datasets(hub: Hub) -> Trashed[Any]:
    return hub.datasets


def _modules(hub: Hub) -> Trashed[Any]:
    return hub.modules


def _secrets(hub: Hub) -> Shared[Any]:
    return hub.secrets


def _groups(hub: Hub) -> Groups:
    return hub.groups


_reading(templates, _templates, "name type application_type hardware creator public tags")


@templates.command("create")
def create_template(
    name: str,
    /,
    *,
    description: str = "",
    application: str = "jupyterlab",
    hardware: Annotated[str | None, Option("by default what is marked so")] = None,
    public: Annotated[bool, Option("everybody sees it")] = False,
    dataset: Annotated[list[str] | None, Option("a dataset of it; may come several times")] = None,
    module: Annotated[list[str] | None, Option("a module of it; may come several times")] = None,
    secret: Annotated[list[str] | None, Option("a secret of it; may come several times")] = None,
    tag: Annotated[list[str] | None, Option("a tag; may come several times")] = None,
    common: Common = COMMON,
) -> None:
    """Make a template."""
    with common.hub() as hub:
        common.show(
            hub.templates.create(
                name,
                description=description,
                application_type=application,
                hardware=hardware or next((one.id for one in hub.hardware() if one.default), ""),
                public=public,
                datasets=[hub.datasets.find(one).id for one in dataset or []],
                modules=[hub.modules.find(one).id for one in module or []],
                secrets=[hub.secrets.find(one).id for one in secret or []],
                tags=tag or [],
            )
        )


@templates.command("delete")
def delete_template(name: str, /, *, yes: Yes = False, common: Common = COMMON) -> None:
    """Delete one, by its whole name or id."""
    with common.hub() as hub:
        found = hub.templates.find(name)
        require_yes(found.name, yes=yes)
        hub.templates.delete(found)


_reading(datasets, _datasets, "name owner write_access description")


@datasets.command("create")
def create_dataset(name: str, /, *, description: str | None = None, common: Common = COMMON) -> None:
    """Make a dataset."""
    with common.hub() as hub:
        common.show(hub.datasets.create(name, description=description))


_deleting(datasets, _datasets)
_restoring(datasets, _datasets)
_sharing(datasets, _datasets)

_reading(modules, _modules, "name version owner featured write_access")


@modules.command("create")
def create_module(name: str, version: str, /, *, description: str | None = None, common: Common = COMMON) -> None:
    """Make a module, with an empty directory for its binaries."""
    with common.hub() as hub:
        common.show(hub.modules.create(name, version, description=description))


_deleting(modules, _modules)
_restoring(modules, _modules)
_sharing(modules, _modules)

_reading(secrets, _secrets, "name type owner version mount_path")


@secrets.command("create")
def create_secret(
    name: str,
    /,
    *,
    type: Annotated[str, Option("env_var, or raw: one file")] = "env_var",
    description: str | None = None,
    common: Common = COMMON,
) -> None:
    """Make a secret, whose value is read from stdin."""
    with common.hub() as hub:
        common.show(hub.secrets.create(name, type=type, value=_value(), description=description))


@secrets.command("replace")
def replace_secret(name: str, /, *, common: Common = COMMON) -> None:
    """Give a secret another value, which is read from stdin; servers get it at their next start."""
    with common.hub() as hub:
        common.show(hub.secrets.update(hub.secrets.find(name), value=_value()))


_deleting(secrets, _secrets)
_sharing(secrets, _secrets)

_reading(groups, _groups, "name member manager")


@groups.command("create")
def create_group(name: str, /, *, common: Common = COMMON) -> None:
    """Make a group, of which one is the manager."""
    with common.hub() as hub:
        common.show(hub.groups.create(name))


@groups.command("members")
def members(name: str, /, *, common: Common = COMMON) -> None:
    """List the members of a group."""
    with common.hub() as hub:
        found = hub.groups.members(hub.groups.find(name, prefix=True)).all()
        if common.json:
            common.list(found, "")
        else:
            print(*found, sep="\n")


@groups.command("add")
def add(name: str, email: str, /, *, waiting: Waiting = WAITING, common: Common = COMMON) -> int:
    """Make somebody a member."""
    with common.hub() as hub:
        operation = hub.groups.add(hub.groups.find(name, prefix=True), email)
        if waiting.no_wait:
            return begun(operation, common)
        follow(operation, waiting.timeout)
        return Exit.DONE


@groups.command("remove")
def remove(name: str, email: str, /, *, waiting: Waiting = WAITING, common: Common = COMMON) -> int:
    """End somebody's membership."""
    with common.hub() as hub:
        return deleted(hub.groups.remove(hub.groups.find(name, prefix=True), email), common, waiting)


_deleting(groups, _groups)


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


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.astimezone(UTC)


def _value() -> str:
    """The value of a secret: never an argument, which every process of the machine may read."""
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass("value: ")
    return sys.stdin.read().removesuffix("\n")
