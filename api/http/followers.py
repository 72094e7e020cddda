"""Those who follow all that they may see, in one API process: wakes whom an event may concern.

A follower only learns *that* there may be something; it then reads the ledger itself, for itself. What concerns a few
wakes these at once. What may concern anybody wakes everybody, but no more often than every second.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from uuid import UUID

from models.domain.ids import parse_id
from models.domain.values import Caller
from models.ledger.events import OTHERS

EVERYBODY_AFTER = 1.0
READERS = 4
"""Of those who are woken at the same time, so many read: none who follows waits for the connections of a request."""


class Followers:
    """The followers of one API process."""

    def __init__(self) -> None:
        self._woken: dict[UUID, set[asyncio.Event]] = {}
        self._admins: set[asyncio.Event] = set()
        self._everybody: asyncio.TimerHandle | None = None
        self.turns = asyncio.Semaphore(READERS)

    @contextlib.contextmanager
    def watch(self, caller: Caller) -> Iterator[asyncio.Event]:
        """An event that is set when there may be something to tell a caller; whoever waits clears it and reads."""
        event = asyncio.Event()
        theirs = self._woken.setdefault(caller.id, set())
        theirs.add(event)
        if caller.admin:
            self._admins.add(event)
        try:
            yield event
        finally:
            self._admins.discard(event)
            theirs.discard(event)
            if not theirs and self._woken.get(caller.id) is theirs:
                del self._woken[caller.id]

    def notified(self, concerned: str) -> None:
        """PostgreSQL tells whom an event concerns (see `models.ledger.events.CHANNEL`)."""
        if not concerned:
            if self._everybody is None:
                self._everybody = asyncio.get_running_loop().call_later(EVERYBODY_AFTER, self.wake_all)
            return
        person = None if concerned == OTHERS else parse_id(concerned)
        for event in (*self._admins, *(self._woken.get(person, ()) if person else ())):
            event.set()

    def wake_all(self) -> None:
        """Have everybody look."""
        if self._everybody is not None:
            self._everybody.cancel()
            self._everybody = None
        for theirs in self._woken.values():
            for event in theirs:
                event.set()
