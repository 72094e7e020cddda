"""Turns of each person at what there is little of, so that nobody has all of it, or stands in everybody's line."""

import asyncio
from collections.abc import Hashable
from weakref import WeakValueDictionary

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
