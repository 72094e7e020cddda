"""The shared file system of a bench: its roots, and records with directories in them."""

import dataclasses
from datetime import datetime
from pathlib import Path
from uuid import UUID

import msgspec

from api import file_changes
from api.uploads import UploadsController
from api.volume import VolumeController
from integrations.file_threads import FileThreads
from models.access import sharing
from models.access.permissions import Level
from models.access.principals import PersonRef, Principals
from models.domain.ids import new_id
from models.records import datasets, groups
from tests.unit.api.bench import Bench

LARGEST = 200_000
LARGEST_UPLOAD = 2_000_000
ROOTS = ("notebooks", "datasets", "groups", "modules")


class Files:
    """Four roots, their records and their people."""

    def __init__(self, bench: Bench, place: Path) -> None:
        self.bench = bench
        self.place = place
        self.callers = bench.callers
        self.api = bench.api([VolumeController, *file_changes.ROUTES, UploadsController])

    def home(self, caller: str) -> Path:
        return self.place / "notebooks" / str(self.callers[caller].id)

    async def dataset(self, owner: str = "alice", **granted: Level) -> UUID:
        """A dataset with its directory, and who may use it how."""
        identity, _ = await datasets.create(self.callers[owner].id, new_id().hex, "", self.callers[owner])
        (self.place / "datasets" / str(identity)).mkdir()
        for name, level in granted.items():
            await self.grant(identity, name, level)
        return identity

    async def grant(self, identity: UUID, name: str, level: Level, expires_at: datetime | None = None) -> None:
        person = self.callers[name]
        owned = await sharing.read("dataset", identity, self.callers["admin"], Level.READ)
        to = Principals(persons=[PersonRef(id=person.id, email=person.email)], groups=[], orgs=[])
        await sharing.grant(owned, to, level, expires_at, self.callers["admin"])

    async def group(self, manager: str = "alice") -> UUID:
        identity, _ = await groups.create(new_id().hex, self.callers[manager])
        (self.place / "groups" / str(identity)).mkdir()
        return identity


async def open_files(bench: Bench, place: Path) -> Files:
    """Roots in a place, and a home for each of four people and an admin."""
    locations = {f"{name[:-1]}_location": str(place / name) for name in ROOTS}
    for name in ROOTS:
        (place / name).mkdir()
    settings = msgspec.structs.replace(
        bench.settings, max_file_bytes=LARGEST, max_upload_bytes=LARGEST_UPLOAD, max_body_bytes=65_536, **locations
    )
    for name in ("carol", "dave"):
        await bench.join(name)
    services = dataclasses.replace(bench.services, settings=settings, file_threads=FileThreads(2, 0.5))
    made = Files(dataclasses.replace(bench, settings=settings, services=services), place)
    for name in made.callers:
        made.home(name).mkdir()
    return made
