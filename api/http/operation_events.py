"""Tells open streams and waiting requests that an operation has changed, and those who follow that something has.

PostgreSQL notifies of each change (by trigger, whichever process made it) on one connection per API process.
A notification may be lost with that connection, so one query every two seconds looks at all operations that
somebody watches. A watcher only learns *that* something changed; it then reads the operation itself.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from uuid import UUID

from api.http.event_streams import Streams
from api.http.followers import Followers
from api.http.listening import listen
from models.database.engine import DATABASE_ERRORS
from models.domain.ids import parse_id
from models.domain.process import meanwhile
from models.domain.settings import Settings
from models.ledger import events, operations
from models.ledger.operations import OperationRecord

CHANNEL = "nbhub_operation"
LOOK_EVERY = 2.0


class OperationEvents:
    """The watchers of one API process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._watchers: dict[UUID, set[asyncio.Event]] = {}
        self._versions: dict[UUID, int] = {}
        self.streams = Streams()
        self.followers = Followers()
        self.closing = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen and look while the context lives."""
        async with meanwhile(self._listen(), self._look()):
            yield

    def close(self) -> None:
        """Let everybody who waits go: the process is about to end."""
        self.closing = True
        for operation in self._watchers:
            self._tell(operation)
        self.followers.wake_all()

    @contextlib.contextmanager
    def watch(self, operation: UUID) -> Iterator[asyncio.Event]:
        """An event that is set at each change of the operation; whoever waits clears it and reads."""
        event = asyncio.Event()
        self._watchers.setdefault(operation, set()).add(event)
        try:
            yield event
        finally:
            remaining = self._watchers[operation]
            remaining.discard(event)
            if not remaining:
                del self._watchers[operation]
                self._versions.pop(operation, None)

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

    def _notified(self, payload: str) -> None:
        operation = parse_id(payload)
        if operation is not None:
            self._tell(operation)

    async def _listen(self) -> None:
        heard = {CHANNEL: self._notified, events.CHANNEL: self.followers.notified}
        await listen(self._settings, heard, self.followers.wake_all)

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
