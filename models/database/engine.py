"""The one PostgreSQL engine of a process: its settings, its pool, how connections are lent and retired.

Every use of the database ends in time, the way back to the pool included, and a connection that may not be able
to do its job any more is never lent again: it is ended at once, without a word to a server that may not listen.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from piccolo.engine.postgres import PostgresEngine

from models.domain.settings import Settings

# Who waits longer for a connection is told that the database is busy.
ACQUIRE_SECONDS = 5.0
PATIENCE = 20.0
"""Seconds that one use of the database (a statement, or a transaction) may take; an API has less of it."""
KEEP_SECONDS = 300.0
"""A connection is no older than this when it is lent."""
_CONNECT_SECONDS = 5
_CLOSE_SECONDS = 2

# Every wait has an end: a lost peer or a forgotten transaction must not hold a connection for ever.
SERVER_SETTINGS = {
    "application_name": "notebooks-hub",
    "statement_timeout": "15000",
    "lock_timeout": "5000",
    "idle_in_transaction_session_timeout": "30000",
    "timezone": "UTC",
}

# By SQLSTATE, or its beginning: PostgreSQL is gone, going, not yet there, full, read-only, or lets nobody in.
_UNAVAILABLE = (
    "08",  # connection exceptions
    "25006",  # read_only_sql_transaction: a standby, or a primary that became one
    "25P03",  # idle_in_transaction_session_timeout
    "25P04",  # transaction_timeout
    "28",  # invalid authorization: a password is being changed
    "3D000",  # invalid_catalog_name: the database is being restored
    "53",  # insufficient resources: disk, memory, connections
    "57P",  # operator intervention: shutdown, crash, start
    "57014",  # query_canceled
    "58",  # system errors, such as those of a disk
)


def _all_of(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for one in kind.__subclasses__():
        yield from _all_of(one)


def _unavailable(kinds: Iterable[type[Exception]]) -> Iterator[type[Exception]]:
    for kind in kinds:
        if (getattr(kind, "sqlstate", None) or "").startswith(_UNAVAILABLE):
            yield kind


DATABASE_ERRORS: tuple[type[Exception], ...] = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""Whatever a use of the database may raise: the roots of the driver's exceptions, and the operating system's."""

CONNECTION_PROBLEMS: tuple[type[Exception], ...] = (
    *_unavailable(_all_of(asyncpg.PostgresError)),
    # Nobody here uses the driver wrongly: it raises these where an answer is cut off, or comes when it is not expected.
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    # Prepared before a migration.
    asyncpg.InvalidCachedStatementError,
    OSError,
    TimeoutError,
)
"""What is raised when PostgreSQL cannot be reached, goes away, or cannot work: the same may succeed later."""


def connection_arguments(settings: Settings, **server_settings: str) -> dict[str, Any]:
    """How to connect to the database of `settings`: to the one server of a cluster that takes writes.

    `server_settings` come before those of `SERVER_SETTINGS`.
    """
    return {
        "dsn": settings.database_url,
        "timeout": _CONNECT_SECONDS,
        "target_session_attrs": "read-write",
        "server_settings": SERVER_SETTINGS | server_settings,
    }


class _Engine(PostgresEngine):
    """Piccolo's engine, made before it is known where the database is, whose uses of the pool end in time."""

    async def get_version(self) -> float:
        return await super().get_version() if self.config else 0.0

    async def _run_in_pool(self, query: str, args: Sequence[Any] | None = None) -> list[asyncpg.Record]:
        async with lent_connection() as connection:
            return await connection.fetch(query, *(args or ()))


# The tables are bound to this engine when they are imported; where it leads is set by `configure`.
DB = _Engine(config={}, extensions=(), log_queries=False, log_responses=False)
_patience = PATIENCE


def configure(settings: Settings, **server_settings: str) -> None:
    """Point the engine at the database of `settings`, with other `server_settings` where they are given."""
    DB.config = connection_arguments(settings, **server_settings)


class _Lender:
    """Lends the connections of a pool, and keeps what comes back for the next use, unless somebody waits for one.

    The pool would look after each of them with a task, a shield and timers: three times what a small statement costs.
    """

    def __init__(self, source: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._source = source
        self._kept: list[tuple[_Connection, float]] = []
        self._waiting = 0
        self._closing = False

    @property
    def kept(self) -> int:
        """How many wait here for the next use."""
        return len(self._kept)

    async def take(self) -> tuple["_Connection", float]:
        """A connection, and until when it may be lent. Raises `TimeoutError` when none becomes free."""
        while self._kept:
            connection, until = self._kept.pop()
            # One that was lost while it was kept the pool has taken back by itself, and it raises whatever is called.
            with contextlib.suppress(asyncpg.InterfaceError):
                if not connection.is_closed() and time.monotonic() < until:
                    return connection, until
                await self._end(connection)
        self._waiting += 1
        try:
            return await self._source.acquire(timeout=ACQUIRE_SECONDS), time.monotonic() + KEEP_SECONDS
        finally:
            self._waiting -= 1

    async def give_back(self, connection: "_Connection", until: float) -> None:
        """Take back what was used without an error."""
        if self._waiting or self._closing or connection.is_closed() or connection.is_in_transaction():
            await self._source.release(connection)
        else:
            self._kept.append((connection, until))

    async def give_up(self, connection: "_Connection", error: BaseException) -> None:
        """Take back what an error came of, or what leads to a server that takes no writes: then all lead there."""
        if ruins(error):
            connection.terminate()
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
            await self._source.expire_connections()
            await self._end_kept()
        await self._source.release(connection)

    async def close(self) -> None:
        """Keep nothing any more."""
        self._closing = True
        await self._end_kept()

    async def _end_kept(self) -> None:
        while self._kept:
            await self._end(self._kept.pop()[0])

    async def _end(self, connection: "_Connection") -> None:
        connection.terminate()
        with contextlib.suppress(*CONNECTION_PROBLEMS):
            await self._source.release(connection)


_Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
_lender: _Lender | None = None


async def _keep_as_it_is(_: object) -> None:
    """Nothing that is set here outlives its transaction, so a connection goes back without a round trip."""


@asynccontextmanager
async def pool(settings: Settings, *, patience: float = PATIENCE) -> AsyncIterator[None]:
    """Keep a pool of connections while the context lives; every query then uses it.

    Nothing is connected to yet. A use that takes longer than `patience` seconds raises `TimeoutError`.
    """
    global _patience, _lender
    configure(settings)
    _patience = patience
    # PostgreSQL gives up a little sooner, which costs no connection.
    limits = {"statement_timeout": str(int(max(patience - 1, patience / 2) * 1000))}
    await DB.start_connection_pool(
        min_size=0,
        max_size=settings.database_pool_size,
        command_timeout=patience,
        reset=_keep_as_it_is,
        server_settings=SERVER_SETTINGS | limits,
    )
    assert DB.pool is not None
    _lender = lender = _Lender(DB.pool)
    try:
        yield
    finally:
        _lender = None
        # Where that takes too long the driver ends all connections.
        with contextlib.suppress(*CONNECTION_PROBLEMS):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await lender.close()
                await DB.close_connection_pool()
        DB.pool = None


@asynccontextmanager
async def lent_connection() -> AsyncIterator[_Connection]:
    """A connection of the pool for one use. Raises `TimeoutError` when the use takes too long.

    However the use ends, the connection is back in the pool at once or is ended.
    """
    lender = _lender
    if lender is None:
        raise RuntimeError("the pool of connections was not started")
    async with asyncio.timeout(_patience):
        connection, until = await lender.take()
        try:
            yield connection
        except BaseException as error:
            with contextlib.suppress(*CONNECTION_PROBLEMS):
                await lender.give_up(connection, error)
            raise
        # What was done is done: a connection that does not come back is ended, and that is all.
        with contextlib.suppress(*CONNECTION_PROBLEMS):
            await lender.give_back(connection, until)


def connections() -> dict[str, int]:
    """How many connections of the pool are `busy`, and how many `free`."""
    if DB.pool is None or _lender is None:
        return {}
    free = DB.pool.get_idle_size() + _lender.kept
    return {"busy": DB.pool.get_size() - free, "free": free}


async def ping() -> bool:
    """True; raises where PostgreSQL cannot be reached, or takes no writes."""
    async with lent_connection() as connection:
        return bool(await connection.fetchval("SELECT true"))


def ruins(error: BaseException) -> bool:
    """Whether a connection may be of no use or still busy after this. The driver's refusal of a value is neither."""
    return isinstance(error, (*CONNECTION_PROBLEMS, asyncio.CancelledError)) and not isinstance(error, ValueError)
