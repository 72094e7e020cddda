"""`nbhub groups`."""

from typing import Annotated, Any

from nbhub import Hub
from nbhub.cli.exits import Exit
from nbhub.cli.following import follow
from nbhub.cli.grammar import Commands, Option
from nbhub.cli.nouns import deleting, showing
from nbhub.cli.options import COMMON, NARROWED, WAITING, Common, DryRun, Narrowed, Waiting
from nbhub.cli.working import begun, deleted, previewed
from nbhub.synchronous.groups import Groups
from nbhub.synchronous.operations import Operation

groups = Commands("groups", "Groups: people whom one shares with under one name.")
Group = Annotated[str, Option(names="groups")]


def _groups(hub: Hub) -> Groups:
    return hub.groups


def _done(operation: Operation[Any], common: Common, waiting: Waiting) -> int:
    if waiting.no_wait:
        return begun(operation, common)
    follow(operation, waiting.timeout)
    return Exit.DONE


@groups.command("list")
def list_groups(*, narrowed: Narrowed = NARROWED, common: Common = COMMON) -> None:
    """List all groups, and which of them one is in."""
    with common.hub() as hub:
        common.list(hub.groups.list(**narrowed.query()), "name member manager", narrowed.limit)


showing(groups, _groups)


@groups.command("create")
def create(name: str, /, *, common: Common = COMMON) -> None:
    """Make a group, of which one is the manager."""
    with common.hub() as hub:
        common.show(hub.groups.create(name))


@groups.command("rename")
def rename(name: Group, to: str, /, *, common: Common = COMMON) -> None:
    """Give a group another name."""
    with common.hub() as hub:
        common.show(hub.groups.rename(hub.groups.find(name, prefix=True), to))


@groups.command("members")
def members(name: Group, /, *, common: Common = COMMON) -> None:
    """List the members of a group."""
    with common.hub() as hub:
        common.lines(hub.groups.members(hub.groups.find(name, prefix=True)).all())


@groups.command("add")
def add(name: Group, email: str, /, *, waiting: Waiting = WAITING, common: Common = COMMON) -> int:
    """Make somebody a member, who need not have signed in yet."""
    with common.hub() as hub:
        return _done(hub.groups.add(hub.groups.find(name, prefix=True), email), common, waiting)


@groups.command("remove")
def remove(
    name: Group,
    email: str,
    /,
    *,
    dry_run: DryRun = False,
    waiting: Waiting = WAITING,
    common: Common = COMMON,
) -> int:
    """End somebody's membership."""
    with common.hub() as hub:
        found = hub.groups.find(name, prefix=True)
        if dry_run:
            return previewed(hub.groups.preview_remove(found, email), common)
        return deleted(hub.groups.remove(found, email), common, waiting)


@groups.command("promote")
def promote(name: Group, email: str, /, *, waiting: Waiting = WAITING, common: Common = COMMON) -> int:
    """Make a member a manager, who may change the group."""
    with common.hub() as hub:
        return _done(hub.groups.set_manager(hub.groups.find(name, prefix=True), email), common, waiting)


@groups.command("demote")
def demote(name: Group, email: str, /, *, waiting: Waiting = WAITING, common: Common = COMMON) -> int:
    """Have a manager be a member alone. A group keeps one manager."""
    with common.hub() as hub:
        found = hub.groups.find(name, prefix=True)
        return _done(hub.groups.set_manager(found, email, manager=False), common, waiting)


@groups.command("mount")
def mount(name: Group, /, *, waiting: Waiting = WAITING, common: Common = COMMON) -> int:
    """Have one's servers show the group's directory, from their next start on."""
    with common.hub() as hub:
        return _done(hub.groups.set_shown(hub.groups.find(name, prefix=True), hub.whoami()), common, waiting)


@groups.command("unmount")
def unmount(name: Group, /, *, waiting: Waiting = WAITING, common: Common = COMMON) -> int:
    """Have one's servers not show the group's directory, from their next start on."""
    with common.hub() as hub:
        found = hub.groups.find(name, prefix=True)
        return _done(hub.groups.set_shown(found, hub.whoami(), shown=False), common, waiting)


deleting(groups, _groups)
