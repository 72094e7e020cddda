"""Tells open streams and waiting requests that an operation has changed.

PostgreSQL notifies of each change (by trigger, whichever process made it) on one connection per API process.
A notification may be lost with that connection, so one query every two seconds looks at all operations that
somebody watches. A watcher only learns *that* something changed; it then reads the operation itself.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from uuid import UUID
from weakref import WeakSet

import asyncpg
import structlog

from models.database.engine import ACQUIRE_SECONDS, DATABASE_ERRORS, connection_arguments
from models.domain.absence import Absence
from models.domain.ids import parse_id
from models.domain.settings import Settings
from models.ledger import operations
from models.ledger.operations import OperationRecord

log = structlog.get_logger(__name__)

CHANNEL = "nbhub_operation"
LOOK_EVERY = 2.0
RECONNECT_AFTER = 2.0


class Stream:
    """One that a person has open. Of some no message is ever read: those just go out of memory."""

    def __init__(self, person: UUID) -> None:
        self.person = person


class OperationEvents:
    """The watchers of one API process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._watchers: dict[UUID, set[asyncio.Event]] = {}
        self._versions: dict[UUID, int] = {}
        self._streams: WeakSet[Stream] = WeakSet()
        self.closing = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen and look while the context lives."""
        tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._look())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        """Let everybody who waits go: the process is about to end."""
        self.closing = True
        for operation in self._watchers:
            self._tell(operation)

    @contextlib.contextmanager
    def watch(self, operation: UUID, stream: "Stream | None" = None) -> Iterator[asyncio.Event]:
        """An event that is set at each change of the operation; whoever waits clears it and reads.

        The `stream` for which it is has ended with it.
        """
        event = asyncio.Event()
        self._watchers.setdefault(operation, set()).add(event)
        try:
            yield event
        finally:
            if stream is not None:
                self._streams.discard(stream)
            remaining = self._watchers[operation]
            remaining.discard(event)
            if not remaining:
                del self._watchers[operation]
                self._versions.pop(operation, None)

    def streams_of(self, person: UUID) -> int:
        """How many streams a person has open here."""
        return sum(stream.person == person for stream in self._streams)

    def open_stream(self, person: UUID) -> "Stream":
        """A stream that counts to a person until it has been watched for, or is dropped."""
        stream = Stream(person)
        self._streams.add(stream)
        return stream

    async def end_of(self, operation: UUID, seconds: float) -> OperationRecord | None:
        """The operation once it has ended, or None if it does not end within that time."""
        with self.watch(operation) as changed:
            try:
                async with asyncio.timeout(seconds):
                    while not self.closing:
                        changed.clear()
                        record = await operations.read(operation)
                        if record.status.ended:
                            return record
                        await changed.wait()
            except TimeoutError:
                pass
        return None

    def _tell(self, operation: UUID) -> None:
        for event in self._watchers.get(operation, ()):
            event.set()

    def _notified(self, _: object, __: int, ___: str, payload: object) -> None:
        operation = parse_id(str(payload))
        if operation is not None:
            self._tell(operation)

    async def _listen(self) -> None:
        absence = Absence("PostgreSQL")
        while True:
            try:
                connection = await asyncpg.connect(**connection_arguments(self._settings))
                try:
                    lost = asyncio.Event()
                    connection.add_termination_listener(lambda _, lost=lost: lost.set())
                    async with asyncio.timeout(ACQUIRE_SECONDS):
                        await connection.add_listener(CHANNEL, self._notified)
                    absence.over()
                    await lost.wait()
                finally:
                    connection.terminate()
                log.warning("operation_events_lost")
            except DATABASE_ERRORS as error:
                absence.noticed(error)
            await asyncio.sleep(RECONNECT_AFTER)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if not self._watchers:
                continue
            with contextlib.suppress(*DATABASE_ERRORS):
                for record in await operations.read_many(list(self._watchers)):
                    if record.id in self._watchers and self._versions.get(record.id) != record.version:
                        self._versions[record.id] = record.version
                        self._tell(record.id)
