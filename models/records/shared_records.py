"""What the kinds of record that people share have in common: reading, listing, changing, trashing and restoring.

Each kind is one table with the columns of `SharedRecord` and a few of its own; who may use a record is decided by the
fragments of `models.access.permissions` in the statement that reads it.
"""

from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct
from piccolo.table import Table

from models.access.permissions import CALLER, Level, counted, level_of, listed, values_of
from models.access.sharing import require
from models.database.lists import NEWEST_FIRST, Order
from models.database.sql import Row, decoded, given, made_of, page, row, rows, with_total
from models.domain.errors import RecordMissing, StateConflict
from models.domain.kinds import TABLES
from models.domain.values import Caller, OperationStatus, Subject
from models.ledger import audit, operations
from models.ledger.events import Change
from models.records import lifecycles
from models.records.lifecycles import Presence


class SharedRecord(Struct, frozen=True, kw_only=True):
    """A record as stored, with its owner's e-mail and how far the caller may go."""

    id: UUID
    owner_id: UUID
    owner: str
    name: str
    description: str
    wish: Presence
    observed: Presence
    level: Level | None
    version: int
    updated_at: datetime

    JSON: ClassVar[tuple[str, ...]] = ()
    """Columns of the kind that hold JSON, which PostgreSQL hands over as text."""

    def writable_by(self, caller: Caller) -> bool:
        """Whether the caller may change it."""
        return caller.admin or (self.level is not None and self.level >= Level.WRITE)


R = TypeVar("R", bound=SharedRecord)


class SharedRecords(Generic[R]):
    """The records of one kind."""

    def __init__(
        self,
        kind: str,
        table: type[Table],
        record: type[R],
        columns: str = "",
        *,
        filters: dict[str, str] | None = None,
    ) -> None:
        """`columns` are those of the kind's own, of the alias `d`.

        `filters` are conditions on `d` by which a list may be narrowed: by `:type` or `:name`; any may be
        by `:q`, a part of the name.
        """
        self.kind = kind
        self._table = table
        self._record = record
        self._filters = {"q": "strpos(lower(d.name), lower(:q)) > 0", **(filters or {})}
        own = f", {columns}" if columns else ""
        self._select = f"""
            SELECT d.id, d.owner AS owner_id, p.email AS owner, d.name, d.description, d.wish, d.observed, d.version,
                   d.updated_at, may.level {own}
              FROM {TABLES[kind]} d JOIN person p ON p.id = d.owner CROSS JOIN caller
             CROSS JOIN LATERAL (SELECT {level_of("d")} AS level) may
        """

    async def read(self, identity: UUID, caller: Caller, needs: Level = Level.READ, *, lock: bool = False) -> R:
        """A live record, for somebody who may go as far as `needs`; raises `RecordMissing` or `ActionForbidden`.

        `lock` holds it for the caller's transaction.
        """
        found = await row(
            f"WITH {CALLER} {self._select} WHERE d.id = :id AND d.wish = 'present'"
            " AND (caller.admin OR may.level IS NOT NULL)" + (" FOR UPDATE OF d" if lock else ""),
            **values_of(caller),
            id=identity,
        )
        if found is None:
            raise RecordMissing.of(self.kind, identity)
        record = self._converted(found)
        require(record.level, caller, needs, Subject(self.kind, identity))
        return record

    async def read_owned(self, identity: UUID, caller: Caller) -> R:
        """A live record of the caller (any, for an admin), locked; raises `RecordMissing` or `ActionForbidden`."""
        return await self.read(identity, caller, Level.OWNER, lock=True)

    async def read_restorable(self, identity: UUID, caller: Caller) -> R:
        """A record of the caller (any, for an admin) in the trash, locked.

        Raises `RecordMissing` or `StateConflict`.
        """
        found = await row(
            f"WITH {CALLER} {self._select} WHERE d.id = :id AND d.wish <> 'purged' FOR UPDATE OF d",
            **values_of(caller),
            id=identity,
        )
        record = None if found is None else self._converted(found)
        visible = record is not None and (
            caller.admin
            or (record.level is not None if record.wish is Presence.PRESENT else record.owner_id == caller.id)
        )
        if record is None or not visible:
            raise RecordMissing.of(self.kind, identity)
        require(record.level, caller, Level.OWNER, Subject(self.kind, identity))
        if record.wish is Presence.PRESENT:
            raise StateConflict(f"The {self.kind} is not in the trash.", hint="There is nothing to do.")
        return record

    async def list_visible(
        self,
        caller: Caller,
        *,
        owner: str | None = None,
        type: str | None = None,
        name: str | None = None,
        q: str | None = None,
        order: Order = NEWEST_FIRST,
        limit: int,
        count: bool = False,
    ) -> list[R]:
        """Live records that the caller may use, at most `limit`, in an order; `Counted` if they are to be.

        `owner`: instead those that a person owns, as far as the caller sees them.
        """
        narrowed, values = given(self._filters, type=type, name=name, q=q)
        if owner is None:
            found_by = listed(self.kind, TABLES[self.kind], narrowed, order)
            counting = counted(self.kind, TABLES[self.kind], narrowed) if count else ""
        else:
            owned = f"""FROM {TABLES[self.kind]} d, caller
                     WHERE d.owner = (SELECT id FROM person WHERE email = :owner AND released_at IS NULL)
                       AND d.wish = 'present' AND {narrowed} AND (caller.admin OR {level_of("d")} IS NOT NULL)"""
            found_by = page(f"SELECT d.id {owned} AND {order.beyond('d')} ORDER BY {order.by('d')}")
            counting = f"SELECT count(*) {owned}"
            values["owner"] = owner
        found = await rows(
            with_total(
                f"WITH {CALLER} {self._select} JOIN {found_by} listed ON listed.id = d.id ORDER BY {order.by('d')}",
                f"WITH {CALLER} {counting}" if count else None,
            ),
            **values_of(caller),
            **values,
            **order.values,
            limit=limit,
        )
        return made_of(found, [self._converted(one) for one in found])

    async def insert(self, made: Table, operation: str, caller: Caller, *, succeeded: bool = False) -> UUID:
        """Wish for a record, within the caller's transaction; the operation. Raises `StateConflict`.

        It has `succeeded` when nothing has to be made true outside.
        """
        values: Any = made
        try:
            await self._table.insert(made)
        except asyncpg.UniqueViolationError:
            raise self._taken() from None
        await lifecycles.tell(Subject(self.kind, values.id), Change.CREATED)
        return await operations.open_operation(
            operation,
            Subject(self.kind, values.id),
            owner=values.owner,
            actor=caller,
            status=OperationStatus.SUCCEEDED if succeeded else OperationStatus.QUEUED,
            wish=Presence.PRESENT,
            generation=1,
        )

    async def update(self, record: R, values: dict[str, Any], caller: Caller) -> None:
        """Change columns of a locked record; raises `StateConflict` when a name is taken."""
        await self.write(record, values)
        await audit.record(
            f"{self.kind}.update",
            Subject(self.kind, record.id),
            caller,
            detail={"fields": sorted(values)},
        )

    async def write(self, record: R, values: dict[str, Any]) -> None:
        """Change columns of a locked record, with no audit; raises `StateConflict` when a name is taken."""
        changes: dict[Any, Any] = {**values, "version": record.version + 1}
        table: Any = self._table
        try:
            await table.update(changes).where(table.id == record.id)
        except asyncpg.UniqueViolationError:
            raise self._taken() from None
        await lifecycles.tell(Subject(self.kind, record.id), Change.CHANGED)

    async def trash(self, record: R, caller: Caller) -> UUID:
        """Wish a locked record into the trash; the operation. Its grants are kept and hold nothing meanwhile."""
        await row(f"UPDATE {TABLES[self.kind]} SET trashed_at = now() WHERE id = :id", id=record.id)
        return await self.intend(record, Presence.TRASHED, "delete", caller)

    async def restore(self, record: R, caller: Caller) -> UUID:
        """Wish a locked record back from the trash; the operation. Raises `StateConflict` when its name is taken."""
        try:
            await row(f"UPDATE {TABLES[self.kind]} SET trashed_at = NULL WHERE id = :id", id=record.id)
            return await self.intend(record, Presence.PRESENT, "restore", caller)
        except asyncpg.UniqueViolationError:
            raise self._taken() from None

    async def intend(
        self,
        record: R,
        wish: Presence,
        action: str,
        caller: Caller | None,
        *,
        detail: dict[str, object] | None = None,
    ) -> UUID:
        """Wish something of a locked record; the operation."""
        return await lifecycles.intend(
            Subject(self.kind, record.id),
            wish,
            action,
            caller,
            owner=record.owner_id,
            detail=detail,
        )

    def _converted(self, found: Row) -> R:
        return msgspec.convert(decoded(found, *self._record.JSON), self._record)

    def _taken(self) -> StateConflict:
        return StateConflict(
            f"The owner has another {self.kind} of this name.", hint="Choose another name.", code="NAME_TAKEN"
        )
