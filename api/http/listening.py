"""Hears what PostgreSQL notifies of, on one connection per API process, whichever process made the change."""

import asyncio
from collections.abc import Callable, Mapping

import asyncpg
import structlog

from models.database.engine import ACQUIRE_SECONDS, DATABASE_ERRORS, connection_arguments
from models.domain.absence import Absence
from models.domain.settings import Settings

log = structlog.get_logger(__name__)

RECONNECT_AFTER = 2.0


async def listen(settings: Settings, heard: Mapping[str, Callable[[str], None]], anew: Callable[[], None]) -> None:
    """Tell each notification of some channels, for ever.

    What is notified of without a connection is lost: `anew` is called when there is one again.
    """
    absence = Absence("PostgreSQL")
    while True:
        try:
            connection = await asyncpg.connect(**connection_arguments(settings))
            try:
                lost = asyncio.Event()
                connection.add_termination_listener(lambda _, lost=lost: lost.set())
                async with asyncio.timeout(ACQUIRE_SECONDS):
                    for channel, tell in heard.items():
                        await connection.add_listener(channel, lambda _, __, ___, text, tell=tell: tell(str(text)))
                absence.over()
                anew()
                await lost.wait()
            finally:
                connection.terminate()
            log.warning("notifications_lost")
        except DATABASE_ERRORS as error:
            absence.noticed(error)
        await asyncio.sleep(RECONNECT_AFTER)
