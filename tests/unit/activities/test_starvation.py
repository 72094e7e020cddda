"""What one person has much of, or what nothing helps with, keeps nobody else's from being looked after."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
from temporalio.testing import ActivityEnvironment

from activities import access, values, watching
from activities.access import Access
from activities.filesystem import Filesystem
from activities.messages import WorkflowRun
from activities.persons import Persons
from activities.share_links import ShareLinks
from activities.watching import Watching
from integrations.file_threads import FileThreads
from integrations.filesystem import Maker, Volumes
from integrations.hub_connection import HubConnection
from integrations.jupyterhub import HubServer, JupyterHub
from integrations.truth import Failure, Truth
from integrations.turns import Turns
from models.database import engine
from models.database.sql import row
from models.database.transactions import Transaction
from models.domain.errors import HubUnavailable, VaultUnavailable
from models.domain.ids import new_id
from models.domain.kinds import Root
from models.domain.settings import Settings
from models.domain.values import Caller, Subject, Wish
from models.ledger import claims
from models.records import datasets, persons, secrets, server_shares
from models.records.volumes import CLAIM, NewEntry
from tests.people import make_person
from tests.servers import make_server
from tests.workflows.simulated_hub import SimulatedHub


class World:
    """A database of its own with two people, and what looks after what is theirs."""

    def __init__(self, settings: Settings, mallory: Caller, carol: Caller) -> None:
        self.settings, self.mallory, self.carol = settings, mallory, carol
        self.hub = SimulatedHub()
        self.woken: list[UUID] = []
        self.deaf: set[UUID] = set()
        links = ShareLinks(cast(JupyterHub, self.hub), settings)
        self.watching = Watching(cast(Truth, self.hub), links, settings, self.wake)
        self.access = Access(settings, self.wake, links)

    async def wake(self, subject: Subject) -> bool:
        if subject.id not in self.deaf:
            self.woken.append(subject.id)
        return subject.id not in self.deaf

    async def unsettled(self, owner: Caller, *, since: int) -> UUID:
        """A dataset with work to do for so many minutes, which nobody follows."""
        identity, operation = await datasets.create(owner.id, new_id().hex, "", owner)
        await row("UPDATE operation SET status = 'cancelled' WHERE id = :id", id=operation)
        await row(
            "UPDATE dataset SET observed_at = now() - make_interval(mins => :since) WHERE id = :id",
            since=since,
            id=identity,
        )
        return identity

    async def running(self, owner: Caller, *, lost: int = 0, wish: Wish = Wish.RUNNING) -> UUID:
        """A server that runs, and holds so many directories that its owner may have no more."""
        server = await make_server(owner)
        await row(
            """UPDATE server SET wish = :wish, generation = 1, observed_generation = 1, observed = 'running',
                      process_generation = 1 WHERE id = :server""",
            wish=str(wish),
            server=server,
        )
        await row(
            """INSERT INTO server_mount (id, server, object, kind, writes, generation, lost_at)
               SELECT gen_random_uuid(), :server, gen_random_uuid(), 'dataset', false, 1, now() - interval '1 hour'
                 FROM generate_series(1, :lost::int)""",
            server=server,
            lost=lost,
        )
        return server

    async def shared(self, owner: Caller, *, guests: int = 1) -> UUID:
        """A server that runs and is shared with people who lost their right to a dataset that it holds."""
        server = await self.running(owner)
        dataset, _ = await datasets.create(owner.id, new_id().hex, "", owner)
        for _ in range(guests):
            guest = await make_person("guest")
            await row(
                """WITH held AS (
                     INSERT INTO server_guest (id, server, person, held)
                     VALUES (gen_random_uuid(), :server, :guest, ARRAY[:dataset::uuid])),
                   seen AS (UPDATE server SET shared_with = '{"users": ["guest"]}'::jsonb WHERE id = :server)
                   INSERT INTO server_mount (id, server, object, kind, writes, generation)
                   VALUES (gen_random_uuid(), :server, :dataset, 'dataset', false, 1) ON CONFLICT DO NOTHING""",
                server=server,
                guest=guest.id,
                dataset=dataset,
            )
        return server

    async def wish_of(self, server: UUID) -> str:
        found = await row("SELECT wish FROM server WHERE id = :id", id=server)
        assert found is not None
        return str(found["wish"])

    async def cut_off(self, person: Caller, name: str, *, minutes: int) -> UUID:
        """The claim of an upload that was cut off so long ago."""
        entry = NewEntry(root=Root.NOTEBOOKS, record=person.id, below=(), name=name, type="file")
        claim = await claims.take(new_id(), CLAIM, person.id, person, entry.detail())
        await self._age(claim.id, minutes)
        return claim.id

    async def cut_off_value(self, person: Caller, *, minutes: int) -> UUID:
        """What a secret was to be called whose request was cut off so long ago."""
        claim = await claims.take(new_id(), secrets.KIND, new_id(), person)
        await self._age(claim.id, minutes)
        return claim.subject

    async def _age(self, claim: UUID, minutes: int) -> None:
        await row(
            "UPDATE write_claim SET claimed_at = now() - make_interval(mins => :minutes) WHERE id = :id",
            minutes=minutes,
            id=claim,
        )


async def claimed(person: Caller) -> int:
    found = await row("SELECT count(*) AS count FROM write_claim WHERE person = :person", person=person.id)
    assert found is not None
    return int(found["count"])


@pytest.fixture
async def world(new_database: Callable[[], Awaitable[str]], tmp_path: Path) -> AsyncIterator[World]:
    settings = Settings(
        database_url=await new_database(), database_pool_size=3, notebook_location=str(tmp_path), revoke_grace=0
    )
    async with engine.pool(settings):
        mallory, carol = await make_person("mallory"), await make_person("carol")
        for person in (mallory, carol):
            (tmp_path / str(person.id)).mkdir()
        yield World(settings, mallory, carol)


@pytest.mark.parametrize("deaf", [False, True], ids=["which does not settle", "which is not even woken"])
async def test_much_of_one_person_keeps_no_others_from_being_woken(
    world: World, monkeypatch: pytest.MonkeyPatch, deaf: bool
) -> None:
    monkeypatch.setattr(watching, "_WAKE_LIMIT", 4)
    hers = [await world.unsettled(world.mallory, since=60) for _ in range(7)]
    if deaf:
        world.deaf = set(hers[:6])
    carols = await world.unsettled(world.carol, since=1)
    for _ in range(2):
        await ActivityEnvironment().run(world.watching.wake_stalled)
    assert carols in world.woken
    # Its twin: nobody's is left out for that.
    assert set(world.woken) == {*hers, carols} - world.deaf


async def test_servers_that_hold_much_and_do_not_end_keep_no_others_from_being_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_PAGE", 4)
    told = [await world.running(world.mallory, lost=3, wish=Wish.STOPPED) for _ in range(4)]
    many = await world.running(world.mallory, lost=6)
    carols, kept = await world.running(world.carol, lost=1), await world.running(world.carol)
    await ActivityEnvironment().run(world.access.sweep)
    assert [await world.wish_of(one) for one in (many, carols, kept)] == ["stopped", "stopped", "running"]
    assert set(world.woken) == {many, carols}
    assert {await world.wish_of(one) for one in told} == {"stopped"}


async def test_guests_whose_access_does_not_end_keep_no_others_from_being_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_PAGE", 4)
    stuck, carols = await world.shared(world.mallory, guests=6), await world.shared(world.carol)
    ended: list[UUID] = []

    async def take_back(_: ShareLinks, server: UUID, names: list[str] | None = None) -> None:
        if server == stuck:
            raise HubUnavailable("JupyterHub still shares the server.")
        ended.append(server)
        await row("DELETE FROM server_guest WHERE server = :server", server=server)

    monkeypatch.setattr(ShareLinks, "take_back", take_back)
    for _ in range(2):
        await ActivityEnvironment().run(world.access.sweep)
    assert ended == [carols]


async def test_a_jupyterhub_that_is_away_is_asked_for_a_few_and_next_for_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.shared(world.mallory, guests=6)
    await world.shared(world.carol, guests=2)
    asked: list[str] = []

    async def take_back(_: ShareLinks, server: UUID, names: list[str]) -> None:
        asked.extend(names)
        raise HubUnavailable("JupyterHub does not answer.", away=True)

    monkeypatch.setattr(ShareLinks, "take_back", take_back)
    for _ in range(3):
        await ActivityEnvironment().run(world.access.sweep)
    assert len(asked) == 9
    assert len(set(asked)) == 8


async def test_servers_that_cannot_be_looked_at_keep_no_others_from_it(world: World) -> None:
    """Whatever a look finds, or finds in its way, the next ones are of others."""
    many = {await world.shared(world.mallory) for _ in range(3)}
    carols = await world.shared(world.carol)
    looked = [*await server_shares.take_to_look_at(2), *await server_shares.take_to_look_at(2)]
    assert set(looked) == {*many, carols}
    # And then it is the turn of the first again.
    assert set(await server_shares.take_to_look_at(2)) == set(looked[:2])


async def test_a_server_whose_end_cannot_be_written_keeps_no_others_from_being_seen(world: World) -> None:
    broken, carols = await world.running(world.mallory), await world.running(world.carol)
    world.hub.failures[str(broken), 1] = Failure(reason="ended", log="no text of a database: \0")
    world.hub.failures[str(carols), 1] = Failure(reason="ended", log="a text")
    await ActivityEnvironment().run(world.watching.observe_servers)
    assert await world.wish_of(carols) == "stopped"


async def test_whatever_a_server_writes_into_its_log_can_be_kept(world: World) -> None:
    """By way of the truth service, as a program would: by a character that PostgreSQL has in no text."""
    told = httpx.Response(200, json={"reason": "The server ended\0", "log": "before\0after"})
    connection = HubConnection("token", transport=httpx.MockTransport(lambda _: told))
    failure = await Truth(connection, "http://hub").ending(str(new_id()), 1)
    await connection.close()
    assert failure is not None
    assert failure.log == "before\ufffdafter"
    server = await world.running(world.mallory)
    world.hub.failures[str(server), 1] = failure
    await ActivityEnvironment().run(world.watching.observe_servers)
    assert await world.wish_of(server) == "stopped"


async def test_directories_that_take_long_or_fail_keep_no_others_uploads_from_being_settled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, clear = threading.Event(), Volumes.clear_unfinished

    def hold(volumes: Volumes, root: Path, path: str, name: str, maker: Maker) -> bool:
        if name.startswith("slow"):
            assert go_on.wait(60)
        if name == "broken":
            raise OSError("nobody has thought of this")
        return clear(volumes, root, path, name, maker)

    monkeypatch.setattr(Volumes, "clear_unfinished", hold)
    await world.cut_off(world.mallory, "broken", minutes=40)
    for number in range(3):
        await world.cut_off(world.mallory, f"slow{number}", minutes=30)
    await world.cut_off(world.carol, "file", minutes=11)
    look = asyncio.create_task(
        ActivityEnvironment().run(Filesystem(world.settings, FileThreads(seconds=120)).settle_files)
    )
    async with asyncio.timeout(60):
        while await claimed(world.carol):
            await asyncio.sleep(0.05)
    assert not look.done()
    go_on.set()
    await look
    assert await claimed(world.mallory) == 1


async def test_a_value_that_cannot_be_removed_keeps_no_others_from_being_removed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Vault:
        configured = True

        def __init__(self) -> None:
            self.destroyed: list[UUID] = []

        async def destroy(self, identity: UUID) -> None:
            if identity in stuck:
                raise VaultUnavailable("Vault takes too long.")
            self.destroyed.append(identity)

        async def identities(self) -> list[UUID]:
            return []

    monkeypatch.setattr(values, "_CLAIMS", 3)
    vault = Vault()
    stuck = {await world.cut_off_value(world.mallory, minutes=60) for _ in range(3)}
    carols = await world.cut_off_value(world.carol, minutes=11)
    activity = values.Values(cast(Any, vault), Turns(4)).reap_values
    for _ in range(2):
        await ActivityEnvironment().run(activity)
    assert vault.destroyed == [carols]


def _id_of(moment: datetime) -> UUID:
    """An id as if it were made then."""
    return UUID(int=(int(moment.timestamp() * 1000) << 80) | (new_id().int % 2**80))


async def test_a_value_that_nothing_explains_and_that_stays_keeps_no_others(world: World) -> None:
    old = datetime.now(UTC) - timedelta(days=30)
    lost, known = [_id_of(old) for _ in range(4)], [_id_of(old) for _ in range(4)]
    for identity in known:
        await claims.take(new_id(), secrets.KIND, identity, world.carol)
    asked: list[UUID] = []

    class Vault:
        configured = True

        async def destroy(self, identity: UUID) -> None:
            asked.append(identity)
            if identity == asked[0]:
                raise VaultUnavailable("Vault refuses this service.")

        async def identities(self) -> list[UUID]:
            return [*lost, *known]

    with pytest.raises(VaultUnavailable):
        await ActivityEnvironment().run(values.Values(cast(Any, Vault()), Turns(4)).reap_values)
    assert sorted(asked) == sorted(lost)


async def test_a_server_that_does_not_stop_keeps_no_other_of_its_owner_who_was_released(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Transaction():
        person, _ = await persons.release(world.mallory.email, world.mallory)
    name = await persons.hub_user_of(person)
    world.hub.users.add(name)
    for server in ("stuck", "other", "third"):
        world.hub.known[name, server] = HubServer(user=name, name=server, ready=True, stopped=False)
    asked: list[str] = []

    async def stop(_user: str, server: str) -> None:
        asked.append(server)
        if server == "stuck":
            raise HubUnavailable("JupyterHub answers 500 to DELETE.")

    monkeypatch.setattr(world.hub, "stop", stop)
    activity = Persons(cast(JupyterHub, world.hub), world.settings, world.wake, FileThreads()).remove_hub_user
    with pytest.raises(HubUnavailable):
        await ActivityEnvironment().run(activity, WorkflowRun(subject=person, workflow_id="w", run_id="r"))
    assert sorted(asked) == ["other", "stuck", "third"]
