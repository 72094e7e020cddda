"""Files of requests that were cut off and never repeated: recorded after all, or cleared."""

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest
from temporalio.testing import ActivityEnvironment

from activities.filesystem import Filesystem
from activities.messages import ObjectWish, Settled, WorkflowRun
from activities.persons import Persons
from integrations.file_threads import FileThreads
from integrations.filesystem import Maker, Volumes
from models.database import engine
from models.database.sql import row
from models.domain.errors import VolumeUnavailable
from models.domain.ids import new_id
from models.domain.kinds import Root
from models.domain.settings import Settings
from models.domain.values import Caller
from models.ledger import claims
from models.records import datasets
from models.records.volumes import CLAIM, NewEntry
from tests.people import make_person


class Place:
    """A home, and the worker that looks after it."""

    def __init__(self, settings: Settings, person: Caller) -> None:
        self.person = person
        self.home = Path(settings.notebook_location) / str(person.id)
        self.home.mkdir()
        self._settings = settings
        self._activities = self.activities()

    async def claim(self, name: str, made: Path | None, *, minutes: int = 11) -> UUID:
        """A claim of some time ago, with what was made for it."""
        entry = NewEntry(root=Root.NOTEBOOKS, record=self.person.id, below=(), name=name, type="file")
        asked = msgspec.structs.replace(self.person, request_id="ours", client_request_id="theirs")
        claim = await claims.take(new_id(), CLAIM, self.person.id, asked, entry.detail())
        if made is not None:
            await claims.note_made(claim.id, str(os.stat(made).st_ino))
        await row(
            "UPDATE write_claim SET claimed_at = now() - make_interval(mins => :minutes) WHERE id = :id",
            minutes=minutes,
            id=claim.id,
        )
        return claim.id

    def activities(self, threads: FileThreads | None = None) -> Filesystem:
        """Another worker."""
        return Filesystem(self._settings, threads or FileThreads())

    def persons(self, threads: FileThreads) -> Persons:
        """What else a worker with these threads does."""
        nothing = cast(Any, None)
        return Persons(nothing, self._settings, nothing, threads)

    async def dataset(self, owner: Caller, wish: str) -> ObjectWish:
        """What is to be made true of a new dataset."""
        identity, _ = await datasets.create(owner.id, new_id().hex, "", owner)
        found = await row("UPDATE dataset SET wish = :wish WHERE id = :id RETURNING generation", wish=wish, id=identity)
        assert found is not None
        return ObjectWish(kind="dataset", id=identity, generation=found["generation"])

    async def look(self) -> Settled:
        return await ActivityEnvironment().run(self._activities.settle_files)

    async def audited(self) -> list[str]:
        found = await row(
            """SELECT coalesce(jsonb_agg(detail ->> 'name'), '[]') AS names FROM audit
                WHERE actor = :actor AND request_id = 'ours' AND client_request_id = 'theirs'
                  AND action = 'volume.create_file'""",
            actor=self.person.id,
        )
        assert found is not None
        names: list[str] = json.loads(found["names"])
        return names

    async def claimed(self) -> int:
        found = await row("SELECT count(*) AS count FROM write_claim WHERE person = :person", person=self.person.id)
        assert found is not None
        count: int = found["count"]
        return count


@pytest.fixture
async def place(postgres: str, tmp_path: Path) -> AsyncIterator[Place]:
    settings = Settings(database_url=postgres, database_pool_size=3, notebook_location=str(tmp_path))
    async with engine.pool(settings):
        yield Place(settings, await make_person("ada"))


async def test_what_was_made_is_recorded_after_all(place: Place) -> None:
    (place.home / "made").write_text("content")
    await place.claim("made", place.home / "made")
    assert (await place.look()).made >= 1
    assert await place.audited() == ["made"]
    assert await place.claimed() == 0
    assert (place.home / "made").read_text() == "content"


async def test_what_came_to_nothing_is_cleared(place: Place) -> None:
    (place.home / "stranger").write_text("somebody else's")
    identity = await place.claim("stranger", None)
    unfinished = place.home / f".nbhub-unfinished-{identity.hex}-0123"
    unfinished.write_text("half of it")
    os.mkdir(place.home / f".nbhub-unfinished-{new_id().hex}-4567")
    await place.look()
    assert await place.audited() == []
    assert await place.claimed() == 0
    assert not unfinished.exists()
    # Not what is another's.
    assert len(list(place.home.iterdir())) == 2
    assert (place.home / "stranger").read_text() == "somebody else's"


async def test_what_may_still_be_under_way_is_left_alone(place: Place) -> None:
    (place.home / "made").write_text("content")
    await place.claim("made", place.home / "made", minutes=9)
    await place.look()
    assert (await place.audited(), await place.claimed()) == ([], 1)


async def test_a_directory_that_is_gone_is_no_obstacle(place: Place) -> None:
    await place.claim("made", None)
    place.home.rmdir()
    await place.look()
    assert await place.claimed() == 0


async def test_an_upload_whose_server_died_leaves_the_old_file_alone(place: Place) -> None:
    (place.home / "file").write_text("old")
    identity = await place.claim("file", None)
    (place.home / f".nbhub-unfinished-{identity.hex}-0123").write_text("half of the new one")
    await place.look()
    assert [one.name for one in place.home.iterdir()] == ["file"]
    assert ((place.home / "file").read_text(), await place.claimed()) == ("old", 0)


async def test_a_directory_that_cannot_be_read_keeps_no_others_uploads_from_being_cleared(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one whose owner took the service's permission away, while an upload was under way."""
    closed = await place.claim("closed", None, minutes=30)
    identity = await place.claim("file", None)
    (place.home / f".nbhub-unfinished-{identity.hex}-0123").write_text("half of it")
    clear = Volumes.clear_unfinished

    def refuse(volumes: Volumes, root: Path, path: str, name: str, maker: Maker) -> bool:
        if name == "closed":
            raise VolumeUnavailable("The directory cannot be used: Permission denied.")
        return clear(volumes, root, path, name, maker)

    with monkeypatch.context() as patched:
        patched.setattr(Volumes, "clear_unfinished", refuse)
        await place.look()
    assert os.listdir(place.home) == []
    assert await place.claimed() == 1
    # It is looked at again, after all others.
    found = await row(
        "SELECT abandoned, now() - claimed_at < interval '1 minute' AS last FROM write_claim WHERE id = :id", id=closed
    )
    assert found == {"abandoned": True, "last": True}
    await row("UPDATE write_claim SET claimed_at = now() - interval '11 minutes' WHERE id = :id", id=closed)
    await place.look()
    assert await place.claimed() == 0


@pytest.fixture
def purging(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Semaphore, threading.Event]:
    """Directories that are purged for as long as nobody lets them: one is released for each that has begun."""
    begun, go_on = threading.Semaphore(0), threading.Event()

    def purge(*_: object) -> None:
        begun.release()
        assert go_on.wait(60)

    monkeypatch.setattr(Volumes, "purge_directory", purge)
    return begun, go_on


async def test_one_persons_directories_that_take_long_keep_no_others_waiting(
    place: Place, purging: tuple[threading.Semaphore, threading.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten of one person are purged, and the file system does not come to an end with them."""
    other, (begun, go_on) = await make_person("bob"), purging
    monkeypatch.setattr(Volumes, "restore_directory", lambda *_: None)
    activities = place.activities()
    wishes = [await place.dataset(place.person, "purged") for _ in range(10)]
    purges = [asyncio.create_task(ActivityEnvironment().run(activities.place_directory, one)) for one in wishes]
    assert await asyncio.to_thread(begun.acquire, timeout=60)
    assert (await ActivityEnvironment().run(activities.place_directory, await place.dataset(other, "present"))).done
    assert not any(one.done() for one in purges)
    go_on.set()
    assert all(one.done for one in await asyncio.gather(*purges))


async def test_a_person_has_one_share_of_a_workers_threads_whatever_it_does_with_files(
    place: Place, purging: tuple[threading.Semaphore, threading.Event]
) -> None:
    """Two datasets are purged, which takes long, and a home is to be made meanwhile."""
    other, (begun, go_on) = await make_person("bob"), purging
    threads = FileThreads()
    activities, persons = place.activities(threads), place.persons(threads)
    wishes = [await place.dataset(place.person, "purged") for _ in range(2)]
    purges = [asyncio.create_task(ActivityEnvironment().run(activities.place_directory, one)) for one in wishes]
    for _ in purges:
        assert await asyncio.to_thread(begun.acquire, timeout=60)
    own, others = (
        asyncio.create_task(
            ActivityEnvironment().run(
                persons.make_home, WorkflowRun(subject=person.id, workflow_id="workflow", run_id="run")
            )
        )
        for person in (place.person, other)
    )
    await others
    assert not own.done()
    go_on.set()
    await asyncio.gather(own, *purges)
