"""The life of what people share: the wish of a record, what was seen outside, and the end of its operations.

The same for every kind: `present`, `trashed` (hidden, can be restored) or `purged` (gone for good). A change of the
wish raises `generation` and opens one operation of that generation; `settle` is a compare-and-set that writes
what was made true and ends the operations that this decides.
"""

from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

import msgspec
from msgspec import Struct

from models.database.sql import exists, records, row, rows, with_total
from models.domain.errors import RecordMissing
from models.domain.ids import LAST_ID
from models.domain.kinds import KINDS, TABLES, TRASHABLE
from models.domain.values import Caller, Subject
from models.ledger import events, operations
from models.ledger.events import Change
from models.ledger.operations import ENDS_NOW, OVERTAKER


class Presence(StrEnum):
    """What is wished of a record, and, with `ABSENT`, what was seen of it."""

    ABSENT = "absent"
    PRESENT = "present"
    TRASHED = "trashed"
    PURGED = "purged"


_OWNER = {kind.word: "owner" if kind.shared else "NULL::uuid" for kind in KINDS.values()}


def told(kind: str, source: str, change: Change) -> str:
    """SQL: writes events of those records of a kind that are `id`, `owner` and `version` of a source."""
    # Nobody has a right to what is deleted, but those who had one are told.
    lost = change is Change.DELETED
    of_kind = events.of_shared if KINDS[kind].shared else events.of_group
    concerned, whom = of_kind(source, all_named=lost)
    return events.written(
        change,
        concerned,
        kind=f"'{kind}'",
        needs_right=KINDS[kind].shared and not lost,
        data="jsonb_build_object('version', version)",
        **whom,
    )


def _change(wish: Presence) -> Change:
    """What those who used a record are told of a wish."""
    return Change.CHANGED if wish is Presence.PRESENT else Change.DELETED


async def tell(subject: Subject, change: Change) -> None:
    """Tell of a change that the caller's transaction has made by other statements."""
    await row(told(subject.kind, _one(subject.kind), change), id=subject.id)


def _one(kind: str) -> str:
    return f"(SELECT id, {_OWNER[kind]} AS owner, version FROM {TABLES[kind]} WHERE id = :id)"


class ObjectPlan(Struct, frozen=True, kw_only=True):
    """What a workflow has to know of a record to make its wish true."""

    id: UUID
    kind: str
    name: str
    wish: Presence
    generation: int
    observed: Presence
    observed_generation: int
    owner: UUID | None = None
    """Whose it is, if it is one person's."""

    @property
    def settled(self) -> bool:
        """Whether there is nothing left to do."""
        return self.generation == self.observed_generation


async def read_plan(subject: Subject) -> ObjectPlan | None:
    """What is to be made true of a record; None: it is gone."""
    found = await row(
        f"""SELECT id, :kind::text AS kind, name, wish, generation, observed, observed_generation,
                   {_OWNER[subject.kind]} AS owner
              FROM {TABLES[subject.kind]} WHERE id = :id""",
        kind=subject.kind,
        id=subject.id,
    )
    return None if found is None else msgspec.convert(found, ObjectPlan)


async def begin(subject: Subject, workflow_id: str, run_id: str) -> ObjectPlan | None:
    """Read the plan, and note on the unsettled operations which workflow run works on them."""
    await operations.begin(subject, workflow_id, run_id)
    return await read_plan(subject)


async def intend(
    subject: Subject,
    wish: Presence,
    action: str,
    caller: Caller | None,
    *,
    owner: UUID | None,
    detail: dict[str, object] | None = None,
) -> UUID:
    """Wish a record to be present, trashed or purged, within the caller's transaction; the operation.

    Repeating a wish is a new generation too: what hangs on the record, such as a group's members, has changed.
    """
    found = await row(
        f"""
        WITH wished AS (
          UPDATE {TABLES[subject.kind]} SET wish = :wish, generation = generation + 1, version = version + 1,
                 observed_at = now() WHERE id = :id
          RETURNING id, {_OWNER[subject.kind]} AS owner, version, generation),
        told AS ({told(subject.kind, "wished", _change(wish))})
        SELECT generation FROM wished
        """,
        wish=str(wish),
        id=subject.id,
    )
    if found is None:
        raise RecordMissing.of(subject.kind, subject.id)
    return await operations.open_operation(
        f"{subject.kind}.{action}",
        subject,
        owner=owner,
        actor=caller,
        wish=wish,
        generation=found["generation"],
        detail=detail,
    )


def _settling(kind: str, wish: Presence) -> str:
    """SQL: writes that the wish of a generation is true, and ends the operations up to it."""
    if wish is Presence.PURGED:
        seen = f"""
        seen AS (DELETE FROM {TABLES[kind]} WHERE id = :id AND generation = :generation RETURNING id),
        grants AS (DELETE FROM access_grant g USING seen WHERE g.object = seen.id OR g.user_group = seen.id),
        members AS (DELETE FROM group_member m USING seen WHERE m.user_group = seen.id)"""
    else:
        seen = f"""
        seen AS (
          UPDATE {TABLES[kind]} SET observed = wish, observed_generation = generation, observed_at = now(),
                 version = version + 1
           WHERE id = :id AND generation = :generation AND observed_generation < generation
          RETURNING id, {_OWNER[kind]} AS owner, version),
        told_seen AS ({told(kind, "seen", Change.CHANGED)})"""
    # To be hidden and to be gone is the same for who asked for it.
    came_true = "(o.generation = :generation OR (o.wish = 'present') = (:wish::text = 'present'))"
    return f"""
        WITH {seen},
        ended AS (
          UPDATE operation o
             SET status = CASE WHEN {came_true} THEN 'succeeded' ELSE 'cancelled' END,
                 superseded_by = CASE WHEN NOT {came_true} THEN {OVERTAKER} END, {ENDS_NOW}
            FROM seen
           WHERE o.subject = seen.id AND o.status IN ('queued', 'running') AND o.generation <= :generation
          RETURNING {operations.CHANGED}),
        told AS ({operations.told("ended")})
        SELECT id FROM seen
    """


async def settle(plan: ObjectPlan) -> bool:
    """The wish of the plan's generation is true outside. False when it was settled past that already.

    Of the operations up to this generation those that wished the same have succeeded; the others were overtaken.
    """
    return await exists(_settling(plan.kind, plan.wish), id=plan.id, generation=plan.generation, wish=str(plan.wish))


_TRASH = " UNION ALL ".join(
    f"""(SELECT '{kind}' AS kind, id, trashed_at FROM {TABLES[kind]} WHERE wish = 'trashed' AND trashed_at < :before
          ORDER BY trashed_at LIMIT :limit)"""
    for kind in TRASHABLE
)


async def expired_trash(before: datetime, limit: int) -> list[Subject]:
    """What was put into the trash before a moment."""
    found = await rows(
        f"SELECT kind, id FROM ({_TRASH}) trash ORDER BY trashed_at LIMIT :limit", before=before, limit=limit
    )
    return records(found, Subject)


class Trashed(Struct, frozen=True, kw_only=True):
    """A record in the trash."""

    kind: str
    id: UUID
    name: str
    trashed_at: datetime


_TRASH_OF_ONE = " UNION ALL ".join(
    f"""(SELECT '{kind}' AS kind, id, name, trashed_at FROM {TABLES[kind]}
          WHERE owner = :owner AND wish = 'trashed' AND (trashed_at, id) < (:before, :before_id)
          ORDER BY trashed_at DESC, id DESC LIMIT :limit)"""
    for kind in TRASHABLE
)
_SIZE_OF_TRASH = f"""SELECT sum(number)::bigint FROM ({
    " UNION ALL ".join(
        f"SELECT count(*) AS number FROM {TABLES[kind]} WHERE owner = :owner AND wish = 'trashed'" for kind in TRASHABLE
    )
}) sizes"""
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)


async def list_trashed(
    owner: UUID, *, after: tuple[datetime, UUID] | None, limit: int, count: bool = False
) -> list[Trashed]:
    """What a person owns of all kinds and is in the trash, the latest first; at most `limit`, after one of them.

    It is `Counted` if it is to be.
    """
    before, before_id = after or (_NEVER, LAST_ID)
    found = await rows(
        with_total(
            f"SELECT * FROM ({_TRASH_OF_ONE}) trash ORDER BY trashed_at DESC, id DESC LIMIT :limit",
            _SIZE_OF_TRASH if count else None,
        ),
        owner=owner,
        before=before,
        before_id=before_id,
        limit=limit,
    )
    return records(found, Trashed)


async def purge(subject: Subject) -> None:
    """Wish what is still in the trash gone for good."""
    found = await row(
        f"SELECT owner FROM {TABLES[subject.kind]} WHERE id = :id AND wish = 'trashed' FOR UPDATE", id=subject.id
    )
    if found is not None:
        await intend(subject, Presence.PURGED, "purge", None, owner=found["owner"])
