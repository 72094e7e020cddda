"""The one PostgreSQL engine of a process: its settings, its pool, its transactions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from piccolo.engine.postgres import PostgresEngine

from models.settings import Settings


class _LateEngine(PostgresEngine):
    """An engine that is made before it is known where the database is, and so asks nothing until then."""

    async def get_version(self) -> float:
        return await super().get_version() if self.config else 0.0


# The tables are bound to this engine when they are imported; where it leads is set by `configure`.
DB = _LateEngine(config={}, extensions=(), log_queries=False, log_responses=False)

# Every wait has an end: a lost peer or a forgotten transaction must not hold a connection for ever.
SERVER_SETTINGS = {
    "application_name": "notebooks-hub",
    "statement_timeout": "15000",
    "lock_timeout": "10000",
    "idle_in_transaction_session_timeout": "30000",
    "timezone": "UTC",
}

# What asyncpg and the operating system raise when PostgreSQL cannot be reached or goes away.
CONNECTION_PROBLEMS: tuple[type[BaseException], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    OSError,
    TimeoutError,
)


def configure(settings: Settings) -> None:
    """Point the engine at the database of `settings`."""
    DB.config = {
        "dsn": settings.database_url,
        "timeout": 5,
        "command_timeout": 20,
        "server_settings": SERVER_SETTINGS,
    }


@asynccontextmanager
async def pool(settings: Settings) -> AsyncIterator[None]:
    """Keep a pool of connections while the context lives; every query then uses it."""
    configure(settings)
    await DB.start_connection_pool(min_size=1, max_size=settings.database_pool_size)
    try:
        yield
    finally:
        await DB.close_connection_pool()
