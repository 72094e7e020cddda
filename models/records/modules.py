"""Modules: software that Lmod loads. A directory of binaries, and a modulefile made of a list of calls.

A modulefile stands at a place of its own, named by owner, name and version. Which module holds a place is written down
before a file is put there, and given up when the file is gone: so a renamed module never removes the file of another
that took its old name.
"""

from typing import Any, ClassVar
from uuid import UUID

import msgspec
from msgspec import Struct

from models.database.sql import records, row, rows, to_json
from models.database.tables import Module
from models.domain.errors import DependencyUnavailable
from models.domain.ids import new_id
from models.domain.values import Caller, ModuleCall
from models.records.lifecycles import Presence
from models.records.shared_records import SharedRecord, SharedRecords

KIND = "module"
_CALLS = msgspec.json.Decoder(list[ModuleCall])


class ModuleRecord(SharedRecord, frozen=True, kw_only=True):
    """A module as stored. `module_version` is the software's, `version` the record's."""

    module_version: str
    featured: bool
    calls: list[ModuleCall]

    JSON: ClassVar[tuple[str, ...]] = ("calls",)


class ModulePlace(Struct, frozen=True, kw_only=True):
    """Where a modulefile may stand."""

    owner: UUID
    name: str
    module_version: str


class Placement(Struct, frozen=True, kw_only=True):
    """What is to be made of a module's file: which calls at which place (None: none at all), and what it left.

    `waits` while another module has not given the place up.
    """

    wanted: ModulePlace | None
    waits: bool
    calls: list[ModuleCall]
    left: list[ModulePlace]


class PlaceHeld(DependencyUnavailable):
    """Another module still holds the place; it is about to give it up."""

    code = "PLACE_HELD"


RECORDS = SharedRecords(KIND, Module, ModuleRecord, "d.module_version, d.featured, d.calls")
read = RECORDS.read
list_visible = RECORDS.list_visible
update = RECORDS.update


async def create(owner: UUID, values: dict[str, Any], calls: list[ModuleCall], caller: Caller) -> tuple[UUID, UUID]:
    """Wish for a module, within the caller's transaction; its id and the operation. Raises `StateConflict`."""
    made = Module(id=new_id(), owner=owner, calls=to_json(calls), **values)
    return made.id, await RECORDS.insert(made, "module.create", caller)


async def update_file(
    module: ModuleRecord, values: dict[str, Any], calls: list[ModuleCall] | None, caller: Caller
) -> UUID:
    """Change a locked module and what follows from it on disk; the operation. Raises `StateConflict`."""
    columns = values if calls is None else {**values, "calls": to_json(calls)}
    await RECORDS.write(module, columns)
    return await RECORDS.intend(module, Presence.PRESENT, "update", caller, detail={"fields": sorted(columns)})


async def take_place(module_id: UUID, generation: int) -> Placement | None:
    """Hold the place that a module's file is to have from now on; None when `generation` is no longer the wish."""
    found = await row(
        """
        WITH wanted AS (
          SELECT id, owner, name, module_version, calls, wish = 'present' AS present FROM module
           WHERE id = :module AND generation = :generation::bigint),
        held AS (
          INSERT INTO module_place (id, module, owner, name, module_version)
          SELECT gen_random_uuid(), id, owner, name, module_version FROM wanted WHERE present
          ON CONFLICT (owner, name, module_version) DO UPDATE SET module = module_place.module
          RETURNING module)
        SELECT wanted.*, (SELECT module FROM held) AS holder FROM wanted
        """,
        module=module_id,
        generation=generation,
    )
    if found is None:
        return None
    held = await rows("SELECT owner, name, module_version FROM module_place WHERE module = :module", module=module_id)
    places = records(held, ModulePlace)
    wanted = None
    if found["present"]:
        wanted = ModulePlace(owner=found["owner"], name=found["name"], module_version=found["module_version"])
    calls = _CALLS.decode(found["calls"])
    return Placement(
        wanted=wanted,
        waits=wanted is not None and found["holder"] != module_id,
        calls=calls,
        left=[one for one in places if one != wanted],
    )


async def give_up(module_id: UUID, places: list[ModulePlace]) -> None:
    """Give places up in which no file of the module stands any more."""
    await row(
        """DELETE FROM module_place p
            USING unnest(:owners::uuid[], :names::text[], :versions::text[]) AS left_(owner, name, version)
            WHERE p.module = :module AND p.owner = left_.owner AND p.name = left_.name
              AND p.module_version = left_.version""",
        owners=[one.owner for one in places],
        names=[one.name for one in places],
        versions=[one.module_version for one in places],
        module=module_id,
    )
