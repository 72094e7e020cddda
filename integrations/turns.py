"""Turns of each person at what there is little of, so that nobody has all of it, or stands in everybody's line."""

import asyncio
from collections import Counter, deque
from collections.abc import Hashable
from weakref import WeakValueDictionary

from models.domain.errors import RequestThrottled

SOON_SECONDS = 1.0
"""How long what is tried again by itself waits for a turn: it keeps a place of its worker that others may need."""

_MOST_HOPING = 16


class Turns:
    """So many at once for each person, or whatever else somebody is known by."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._of: WeakValueDictionary[Hashable, PersonsTurns] = WeakValueDictionary()

    def of(self, person: Hashable) -> "PersonsTurns":
        """Those of a person, which are there as long as somebody holds or awaits one."""
        found = self._of.get(person)
        if found is None:
            found = self._of[person] = PersonsTurns(self._at_once)
        return found


class PersonsTurns:
    """One person's: a turn lasts as long as an `async with`, or until it is given back."""

    def __init__(self, at_once: int) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._hoping = 0

    async def take(self) -> None:
        """Wait for a turn."""
        await self._free.acquire()

    async def take_soon(self) -> bool:
        """Take a turn if one comes soon; whether it came. Of those who wait for that there are few."""
        if self._free.locked() and self._hoping >= _MOST_HOPING:
            return False
        self._hoping += 1
        try:
            async with asyncio.timeout(SOON_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            return False
        finally:
            self._hoping -= 1
        return True

    def give_back(self) -> None:
        """End a turn that was taken."""
        self._free.release()

    async def __aenter__(self) -> None:
        await self.take()

    async def __aexit__(self, *_: object) -> None:
        self.give_back()


class SharedTurns:
    """So many at once for all together; those who wait come from different sides, and each side has its turn.

    One side alone leaves a turn to the others. Where too many wait, the last of the side of which most wait has to go.
    """

    def __init__(self, at_once: int, most_waiting: int) -> None:
        self._at_once = at_once
        self._most_waiting = most_waiting
        self._taken: Counter[Hashable] = Counter()
        # The side whose turn it is comes first.
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}

    def require_room(self, side: Hashable) -> None:
        """Raise `RequestThrottled` where nobody else of this side can wait."""
        lines = self._waiting.values()
        if sum(map(len, lines)) >= self._most_waiting and self._length(side) + 1 >= max(map(len, lines)):
            raise _too_many()

    def join(self, side: Hashable) -> asyncio.Future[None]:
        """A place in the line of a side, done when its turn has come; in the end that is given back.

        Raises `RequestThrottled`, and so does the place of who has to go.
        """
        self.require_room(side)
        place = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(side, deque()).append(place)
        self._next()
        if sum(map(len, self._waiting.values())) > self._most_waiting:
            most = max(self._waiting, key=self._length)
            self._waiting[most].pop().set_exception(_too_many())
        return place

    def give_back(self, side: Hashable, place: asyncio.Future[None]) -> None:
        """End the turn of a place, if it has come to that."""
        if not place.done():
            place.cancel()
        elif not place.cancelled() and place.exception() is None:
            self._taken[side] -= 1
            if not self._taken[side]:
                del self._taken[side]
            self._next()

    def _length(self, side: Hashable) -> int:
        return len(self._waiting.get(side, ()))

    def _next(self) -> None:
        for side in list(self._waiting):
            if self._taken.total() >= self._at_once:
                return
            line = self._waiting[side]
            while line and line[0].done():
                line.popleft()
            if line and self._taken[side] < self._at_once - 1:
                del self._waiting[side]
                self._taken[side] += 1
                line.popleft().set_result(None)
                self._waiting[side] = line
            if not line:
                del self._waiting[side]


def _too_many() -> RequestThrottled:
    return RequestThrottled("Too many are waiting for the same as you.", hint="Try again in a moment.")
