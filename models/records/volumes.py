"""Who may use which directory, and which there are: the permissions of the records that the directories belong to."""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import msgspec
from msgspec import Struct

from models.access import sharing
from models.access.permissions import Level
from models.database.lists import NEWEST_FIRST, Order
from models.domain.errors import ActionForbidden, RecordMissing
from models.domain.kinds import KINDS, ROOTS, Root
from models.domain.values import Caller, Subject
from models.ledger import audit
from models.ledger.claims import Claim
from models.records import datasets, groups, modules
from models.records.groups import GroupRecord
from models.records.modules import ModuleRecord
from models.records.shared_records import SharedRecord


class TopEntry(Struct, frozen=True, kw_only=True):
    """An entry of a root: the directory of a record, by the record's id and name."""

    id: UUID
    name: str


CLAIM = "file"
"""The kind of the claims of files and directories that requests make."""


UPLOAD = "upload"
"""The kind of the claims of files that come in parts: they last as long as people take."""


class NewEntry(Struct, frozen=True, kw_only=True):
    """A file or directory that is to be made, or to go: `below` a record's directory."""

    root: Root
    record: UUID
    below: tuple[str, ...]
    name: str
    type: str
    written: bool = False
    """Its content is written, also in place of an earlier one."""
    moved_from: str = ""
    """Where in the record's directory it was before."""
    removed: bool = False
    """It goes, for good."""

    @property
    def path(self) -> str:
        """Where it is made, relative to the root."""
        return "/".join((str(self.record), *self.below))

    def detail(self) -> dict[str, object]:
        """What a claim keeps of it."""
        detail: dict[str, object] = {
            "root": str(self.root),
            "below": list(self.below),
            "name": self.name,
            "type": self.type,
        }
        also = {"written": self.written, "moved_from": self.moved_from, "removed": self.removed}
        return detail | {name: value for name, value in also.items() if value}

    @classmethod
    def of(cls, claim: Claim) -> "NewEntry":
        """What was claimed."""
        return msgspec.convert({"record": claim.subject, **claim.detail}, cls)


async def record_made(made: NewEntry, actor: Caller) -> None:
    """Write down that somebody has made, written, moved or removed something, within the caller's transaction."""
    action = "create_file"
    if made.written:
        action = "write_file"
    elif made.removed:
        action = "delete_file"
    elif made.moved_from:
        action = "move_file"
    detail: dict[str, object] = {"path": "/".join(made.below), "name": made.name, "type": made.type}
    if made.moved_from:
        detail["from"] = made.moved_from
    await audit.record(f"volume.{action}", Subject(ROOTS[made.root], made.record), actor, detail=detail)


def leftovers_of(entry: NewEntry) -> NewEntry:
    """The claim of what is left of an entry that is out of sight: nothing to be recorded, all to be cleared."""
    return NewEntry(root=entry.root, record=entry.record, below=entry.below, name="", type="")


async def require(root: Root, identity: UUID, caller: Caller, needs: Level) -> None:
    """Refuse (`RecordMissing`, `ActionForbidden`) a caller who may not go as far as `needs` in a directory."""
    if KINDS[ROOTS[root]].shared:
        await sharing.read(ROOTS[root], identity, caller, needs)
    elif root is Root.GROUPS:
        group = await groups.read(identity, caller)
        # Names of groups are known to all, so this is no secret. Members may write.
        if not (group.member or caller.admin):
            raise ActionForbidden(
                "Only members of the group may do this.",
                hint="Ask one of its managers.",
                about=Subject(ROOTS[root], identity),
            )
    elif identity != caller.id and not caller.admin:
        raise RecordMissing.of(ROOTS[root], identity)


async def _visible_groups(caller: Caller, *, order: Order, limit: int) -> list[GroupRecord]:
    listed = groups.list_visible if caller.admin else groups.list_of_member
    return await listed(caller, order=order, limit=limit)


LISTED: dict[Root, Callable[..., Awaitable[Sequence[SharedRecord | GroupRecord]]]] = {
    Root.DATASETS: datasets.list_visible,
    Root.MODULES: modules.list_visible,
    Root.GROUPS: _visible_groups,
}
"""What lists the records whose directories are below a root; a home is not listed."""


async def list_top(root: Root, caller: Caller, *, order: Order = NEWEST_FIRST, limit: int) -> list[TopEntry]:
    """The records below a root that the caller may use, at most `limit`, in an order."""
    found = await LISTED[root](caller, order=order, limit=limit)
    return [TopEntry(id=one.id, name=_title(one)) for one in found]


def _title(record: SharedRecord | GroupRecord) -> str:
    return f"{record.name}/{record.module_version}" if isinstance(record, ModuleRecord) else record.name
