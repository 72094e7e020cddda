"""Datasets: directories that people share. Making, changing, finding, trashing and restoring them."""

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct

from models import audit, lifecycles, operations
from models.errors import RecordMissing, StateConflict
from models.ids import new_id
from models.lifecycles import Presence
from models.permissions import CALLER, PAGE, Level, level_of, newest_of, values_of
from models.sharing import require
from models.sql import row, rows
from models.tables import Dataset
from models.values import Caller, Subject

KIND = "dataset"


class DatasetRecord(Struct, frozen=True, kw_only=True):
    """A dataset as stored, with its owner's e-mail and how far the caller may go."""

    id: UUID
    owner_id: UUID
    owner: str
    name: str
    description: str
    wish: Presence
    observed: Presence
    level: Level | None
    trashed_at: datetime | None
    created_at: datetime
    version: int


_COLUMNS = """d.id, d.owner AS owner_id, p.email AS owner, d.name, d.description, d.wish, d.observed, d.trashed_at,
              d.created_at, d.version, may.level"""
_SELECT = f"""
    SELECT {_COLUMNS} FROM dataset d JOIN person p ON p.id = d.owner CROSS JOIN caller
     CROSS JOIN LATERAL (SELECT {level_of("d")} AS level) may
"""


async def read(identity: UUID, caller: Caller, needs: Level = Level.READ, *, lock: bool = False) -> DatasetRecord:
    """A live dataset, for somebody who may go as far as `needs`; raises `RecordMissing` or `ActionForbidden`.

    `lock` holds it for the caller's transaction.
    """
    found = await row(
        f"WITH {CALLER} {_SELECT} WHERE d.id = {{}} AND d.wish = 'present' AND (caller.admin OR may.level IS NOT NULL)"
        + (" FOR UPDATE OF d" if lock else ""),
        *values_of(caller),
        identity,
    )
    if found is None:
        raise RecordMissing.of(KIND, identity)
    record = msgspec.convert(found, DatasetRecord)
    require(record.level, caller, needs, KIND)
    return record


async def read_restorable(identity: UUID, caller: Caller) -> DatasetRecord:
    """A dataset of the caller (any, for an admin) in the trash, locked; raises `RecordMissing` or `StateConflict`."""
    found = await row(
        f"WITH {CALLER} {_SELECT} WHERE d.id = {{}} AND d.wish <> 'purged' FOR UPDATE OF d",
        *values_of(caller),
        identity,
    )
    record = None if found is None else msgspec.convert(found, DatasetRecord)
    visible = record is not None and (
        caller.admin or (record.level is not None if record.wish is Presence.PRESENT else record.owner_id == caller.id)
    )
    if record is None or not visible:
        raise RecordMissing.of(KIND, identity)
    require(record.level, caller, Level.OWNER, KIND)
    if record.wish is Presence.PRESENT:
        raise StateConflict("The dataset is not in the trash.", hint="There is nothing to do.")
    return record


async def list_visible(
    caller: Caller, *, owner: str | None = None, before: UUID | None = None, limit: int
) -> list[DatasetRecord]:
    """Live datasets that the caller may use, newest first, at most `limit`, older than `before`.

    `owner`: instead those that a person owns, as far as the caller sees them.
    """
    if owner is not None:
        condition = """d.owner = (SELECT id FROM person WHERE email = {} AND released_at IS NULL) AND d.wish = 'present'
                       AND (caller.admin OR may.level IS NOT NULL) AND (page.before IS NULL OR d.id < page.before)"""
        values: tuple[object, ...] = (owner,)
    else:
        condition, values = f"d.id IN ({newest_of(KIND, 'dataset')})", ()
    found = await rows(
        f"""WITH {CALLER}, {PAGE} {_SELECT} CROSS JOIN page WHERE {condition}
            ORDER BY d.id DESC LIMIT (SELECT size FROM page)""",
        *values_of(caller),
        before,
        limit,
        *values,
    )
    return msgspec.convert(found, list[DatasetRecord])


async def usable(identities: list[str], caller: Caller) -> set[str]:
    """Which of these datasets the caller may use, by what is granted; being an admin grants nothing."""
    if not identities:
        return set()
    found = await rows(
        f"""WITH {CALLER} SELECT d.id FROM dataset d CROSS JOIN caller
             WHERE d.id = ANY({{}}::uuid[]) AND d.wish = 'present' AND {level_of("d")} IS NOT NULL""",
        *values_of(caller),
        [UUID(one) for one in identities],
    )
    return {str(one["id"]) for one in found}


async def create(
    owner: UUID, name: str, description: str, caller: Caller, *, request_id: str | None = None
) -> tuple[UUID, UUID]:
    """Wish for a dataset, within the caller's transaction; its id and the operation. Raises `StateConflict`."""
    identity = new_id()
    try:
        await Dataset.insert(Dataset(id=identity, owner=owner, name=name, description=description))
    except asyncpg.UniqueViolationError:
        raise _name_taken(name) from None
    operation = await operations.open_operation(
        "dataset.create", Subject(KIND, identity), owner=owner, actor=caller, generation=1, request_id=request_id
    )
    return identity, operation


async def update(dataset: DatasetRecord, values: dict[str, Any], caller: Caller, request_id: str | None) -> None:
    """Change a locked dataset's name or description; raises `StateConflict` when the name is taken."""
    changes: dict[Any, Any] = {**values, "version": dataset.version + 1}
    try:
        await Dataset.update(changes).where(Dataset.id == dataset.id)
    except asyncpg.UniqueViolationError:
        raise _name_taken(values["name"]) from None
    await audit.record(
        "dataset.update", Subject(KIND, dataset.id), caller, request_id=request_id, detail={"fields": sorted(values)}
    )


async def trash(dataset: DatasetRecord, caller: Caller | None, *, request_id: str | None = None) -> UUID:
    """Wish a locked dataset into the trash; the operation. Its grants are kept and hold nothing meanwhile."""
    await row("UPDATE dataset SET trashed_at = now() WHERE id = {}", dataset.id)
    return await lifecycles.intend(
        Subject(KIND, dataset.id), Presence.TRASHED, "delete", caller, owner=dataset.owner_id, request_id=request_id
    )


async def restore(dataset: DatasetRecord, caller: Caller, *, request_id: str | None = None) -> UUID:
    """Wish a locked dataset back from the trash; the operation. Raises `StateConflict` when its name is taken."""
    try:
        await row("UPDATE dataset SET trashed_at = NULL WHERE id = {}", dataset.id)
        return await lifecycles.intend(
            Subject(KIND, dataset.id),
            Presence.PRESENT,
            "restore",
            caller,
            owner=dataset.owner_id,
            request_id=request_id,
        )
    except asyncpg.UniqueViolationError:
        raise _name_taken(dataset.name) from None


async def purge(identity: UUID) -> None:
    """Wish what is still in the trash gone for good."""
    found = await row("SELECT owner FROM dataset WHERE id = {} AND wish = 'trashed' FOR UPDATE", identity)
    if found is not None:
        await lifecycles.intend(Subject(KIND, identity), Presence.PURGED, "purge", None, owner=found["owner"])


def _name_taken(name: str) -> StateConflict:
    return StateConflict(
        f"The owner has another dataset named {name!r}.", hint="Choose another name.", code="NAME_TAKEN"
    )
