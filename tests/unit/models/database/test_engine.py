"""Connections that are kept between uses: few, in order, not for ever, and nobody waits for one that lies idle."""

import asyncio
import contextlib

import asyncpg
import pytest

from models.database import engine
from models.database.engine import lent_connection, pool
from models.domain.settings import Settings

SIZE = 2


@pytest.fixture
def settings(postgres: str) -> Settings:
    return Settings(database_url=postgres, database_pool_size=SIZE)


async def backend() -> int:
    """The process of PostgreSQL behind the connection that is lent next."""
    async with lent_connection() as connection:
        return int(await connection.fetchval("SELECT pg_backend_pid()"))


async def test_one_use_after_another_has_the_same_connection(settings: Settings) -> None:
    async with pool(settings):
        assert len({await backend() for _ in range(10)}) == 1


async def test_who_waits_gets_what_comes_back_and_there_are_no_more_than_may_be(settings: Settings) -> None:
    async with pool(settings):
        assert len(set(await asyncio.gather(*(backend() for _ in range(50))))) == SIZE
        async with lent_connection(), lent_connection():
            waits = asyncio.create_task(backend())
            await asyncio.sleep(0)
            assert not waits.done()
        assert await waits


async def test_a_connection_that_is_old_is_not_lent(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "KEEP_SECONDS", 0)
    async with pool(settings):
        assert len({await backend() for _ in range(3)}) == 3


async def test_a_connection_that_was_ended_is_not_lent(settings: Settings) -> None:
    async with pool(settings):
        async with lent_connection() as one, lent_connection() as other:
            ended = other.get_server_pid()
            await one.execute("SELECT pg_terminate_backend($1)", ended)
            with contextlib.suppress(*engine.CONNECTION_PROBLEMS):
                await other.fetch("SELECT")
        assert ended not in await asyncio.gather(*(backend() for _ in range(10)))


async def test_connections_that_are_lost_while_they_are_kept_are_in_nobodys_way(settings: Settings) -> None:
    """As when PostgreSQL is started again."""
    async with pool(settings):
        async with lent_connection() as one, lent_connection() as other:
            kept = [one.get_server_pid(), other.get_server_pid()]
            lost = [asyncio.Event(), asyncio.Event()]
            for connection, event in zip((one, other), lost, strict=True):
                connection.add_termination_listener(lambda _, event=event: event.set())
        elsewhere = await asyncpg.connect(settings.database_url)
        await elsewhere.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid", kept)
        await elsewhere.close()
        async with asyncio.timeout(30):
            await asyncio.gather(*(event.wait() for event in lost))
        assert not {*await asyncio.gather(backend(), backend(), backend())} & {*kept}


async def test_what_a_use_leaves_open_is_gone_before_the_next(settings: Settings) -> None:
    async with pool(settings):
        async with lent_connection() as connection:
            await connection.execute("BEGIN")
            await connection.execute("CREATE TABLE left_open (x int)")
        async with lent_connection() as connection:
            assert not connection.is_in_transaction()
            assert await connection.fetchval("SELECT to_regclass('left_open')") is None


async def test_nothing_is_left_when_the_pool_ends(settings: Settings) -> None:
    async with pool(settings):
        gone = await backend()
    async with pool(settings), lent_connection() as connection, asyncio.timeout(10):
        while await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", gone):
            await asyncio.sleep(0.01)
