"""Whatever PostgreSQL does, a request is answered in time, says so, and the next one after it works."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import msgspec
import pytest
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency

from api.health import HealthController
from api.http.policy import Policy, needs
from api.http.rates import Rates
from api.http.write import Write
from models.database import engine
from models.database.engine import lent_connection, pool
from models.database.sql import row
from tests.slow_link import SlowLink
from tests.unit.api.bench import Bench, Client

# A patience that a test can wait for, and in which all is done that can be done, also where the machine is busy.
PATIENCE = 6
# What takes this long did not end in time: it waited for several things, one after another.
TOO_LONG = 2.5 * PATIENCE


class FaultsController(Controller):
    """Reads and writes."""

    @get("/read", opt=needs(Policy.SIGNED_IN))
    async def read(self) -> str:
        """One statement."""
        await row("SELECT count(*) FROM template")
        return "read"

    @post("/write", opt=needs(Policy.SIGNED_IN), status_code=200)
    async def write(self, write: NamedDependency[Write]) -> Response[Any]:
        """A transaction."""
        async with write:
            await row("SELECT id FROM person WHERE id = :id FOR UPDATE", id=write.caller.id)
            await row("UPDATE person SET seen_at = now() WHERE id = :id", id=write.caller.id)
            write.done({"ok": True})
        return write.answer


@pytest.fixture
async def own_database(new_database: Callable[[], Awaitable[str]]) -> str:
    """A database that a test may break."""
    return await new_database()


@pytest.fixture
async def link(own_database: str) -> AsyncIterator[SlowLink]:
    """The way to that database."""
    async with SlowLink(parse_qs(urlsplit(own_database).query)["host"][0], 5432) as link:
        yield link


@pytest.fixture
async def own(own_database: str, bench: Bench, link: SlowLink, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The bench, on the database behind the link; the pool is the test's."""
    path = urlsplit(own_database).path
    # Nothing is counted here: what happens to a write is to happen to it alone.
    settings = msgspec.structs.replace(
        bench.settings,
        database_url=f"postgresql://nbhub@127.0.0.1:{link.port}{path}?sslmode=disable",
        writes_per_minute=0,
    )
    connection = await asyncpg.connect(own_database)
    alice = bench.callers["alice"]
    await connection.execute(
        "INSERT INTO person (id, issuer, subject, email) VALUES ($1, 'test', $2, $3)",
        *(alice.id, alice.email, alice.email),
    )
    await connection.close()
    monkeypatch.setattr(engine.DB, "pool", None)
    return dataclasses.replace(
        bench, settings=settings, services=dataclasses.replace(bench.services, settings=settings, rates=Rates(settings))
    )


@pytest.fixture
async def alice(own: Bench) -> AsyncIterator[Client]:
    async with pool(own.settings):
        yield own.api([FaultsController]).alice


async def as_operator(address: str, *statements: str) -> None:
    """What an operator does, in a session of its own."""
    connection = await asyncpg.connect(address, server_settings={"default_transaction_read_only": "off"})
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


END_BACKENDS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()"""


async def statuses(alice: Client, count: int = 6) -> set[int]:
    """How reads and writes are answered that are made at once."""
    answers = await asyncio.gather(
        *(alice.get("/read") for _ in range(count)), *(alice.post("/write") for _ in range(count))
    )
    return {answer.status_code for answer in answers}


async def test_writes_work_again_after_a_failover(alice: Client, own_database: str) -> None:
    """A standby takes connections, and refuses writes; when the primary is back nothing leads to it any more."""
    name = urlsplit(own_database).path.lstrip("/")
    assert await statuses(alice) == {200}
    await as_operator(own_database, f"ALTER DATABASE {name} SET default_transaction_read_only = on", END_BACKENDS)
    assert await statuses(alice) == {503}
    await as_operator(own_database, f"ALTER DATABASE {name} RESET default_transaction_read_only")
    assert await statuses(alice) == {200}


async def test_connections_that_became_read_only_are_all_retired(alice: Client, own_database: str) -> None:
    """A proxy in between may keep connections open while the server behind them becomes a standby."""
    assert await statuses(alice) == {200}
    async with contextlib.AsyncExitStack() as held:
        for _ in range(4):
            connection = await held.enter_async_context(lent_connection())
            await connection.execute("SET default_transaction_read_only = on")
    assert (await alice.post("/write")).status_code == 503
    assert await statuses(alice) == {200}


def messages(answers: bytes) -> Iterator[int]:
    """Where PostgreSQL's messages begin."""
    at = 0
    while at < len(answers):
        yield at
        at += 1 + int.from_bytes(answers[at + 1 : at + 5])


async def test_a_connection_that_ends_at_any_step_is_503_and_the_next_request_works(own: Bench, link: SlowLink) -> None:
    alice = own.api([FaultsController]).alice
    async with pool(own.settings, patience=PATIENCE):
        assert (await alice.post("/write")).status_code == 200
        assert (await alice.get("/read")).status_code == 200
    steps = [cut for start in messages(link.answered) for cut in (start, start + 3)]
    assert len(steps) > 40
    seen = {}
    for cut in steps:
        async with pool(own.settings, patience=PATIENCE):
            link.allowed = cut
            seen[cut] = [(await alice.post("/write")).status_code, (await alice.get("/read")).status_code]
            link.allowed = None
            assert [(await alice.post("/write")).status_code, (await alice.get("/read")).status_code] == [200, 200], cut
    assert {status for pair in seen.values() for status in pair} == {200, 503}, seen
    assert all(503 in pair for pair in seen.values()), seen


async def test_ending_connections_under_load_is_never_a_bare_500(alice: Client, own_database: str) -> None:
    over = asyncio.Event()
    seen: dict[int, int] = {}

    async def ask() -> None:
        while not over.is_set():
            for answer in (await alice.get("/read"), await alice.post("/write")):
                seen[answer.status_code] = seen.get(answer.status_code, 0) + 1

    async with asyncio.TaskGroup() as group:
        for _ in range(12):
            group.create_task(ask())
        for _ in range(25):
            await as_operator(own_database, END_BACKENDS)
        over.set()
    assert set(seen) <= {200, 503}, seen
    assert await statuses(alice) == {200}


async def test_a_silent_server_keeps_nobody_longer_than_the_patience(own: Bench, link: SlowLink) -> None:
    alice = own.api([FaultsController]).alice
    async with pool(own.settings, patience=PATIENCE):
        assert await statuses(alice) == {200}
        loop = asyncio.get_running_loop()
        began = loop.time()
        link.hold()
        assert await statuses(alice) == {503}
        assert loop.time() - began < TOO_LONG
        link.release()
        assert await statuses(alice) == {200}


async def test_a_process_ends_while_the_server_is_silent(own: Bench, link: SlowLink) -> None:
    loop = asyncio.get_running_loop()
    alice = own.api([FaultsController]).alice
    async with pool(own.settings):
        assert await statuses(alice) == {200}
        link.hold()
        began = loop.time()
    assert loop.time() - began < TOO_LONG


async def test_health_with_a_token_answers_in_two_seconds_while_the_server_is_silent(
    own: Bench, link: SlowLink
) -> None:
    nobody = own.api([HealthController]).nobody
    async with pool(own.settings):
        await row("SELECT 1")
        link.hold()
        began = asyncio.get_running_loop().time()
        headers = {"authorization": "Bearer something"}
        answer = await nobody.get("/healthcheck", params={"email": "alice@example.org"}, headers=headers)
        assert answer.status_code == 503
        assert asyncio.get_running_loop().time() - began < TOO_LONG
