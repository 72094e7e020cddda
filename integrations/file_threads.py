"""Runs blocking calls on the shared file system: in few threads of their own, with a deadline, a share for each person.

A file system that hangs keeps its threads for as long as it hangs. So they are counted, and whoever finds none free in
time is told that the file system is busy; the rest of the process goes on. Nobody has more than a share of them at
once, however slow the directories are that somebody has made: whoever asks for more waits for oneself.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar
from uuid import UUID
from weakref import WeakSet, WeakValueDictionary

from integrations.turns import SOON_SECONDS, PersonsTurns
from models.domain.errors import RequestThrottled, VolumeUnavailable
from models.domain.process import threads_behind

CALL_SECONDS = 140.0
"""What an activity gives one call: less than it may take itself, so that it can say what was in the way."""

MOST_TRANSFERS = 8
"""Contents of files that one person sends and gets at once: each keeps a connection for as long as it takes."""

_AGAIN = "It is tried again by itself."

P = ParamSpec("P")
T = TypeVar("T")


class FileThreads:
    """The threads of one process."""

    def __init__(self, threads: int = 8, seconds: float = 10.0, share: int = 2) -> None:
        """`share` is how many of the `threads` one person has at once, `seconds` how long a call may take."""
        self._pool = threads_behind(threads, "files")
        self._free = asyncio.Semaphore(threads)
        self._seconds, self._share = seconds, share
        self._shares: WeakValueDictionary[UUID, PersonsThreads] = WeakValueDictionary()

    def of(self, person: UUID) -> "PersonsThreads":
        """Those that a person may use. All of a person's requests share them."""
        found = self._shares.get(person)
        if found is None:
            found = self._shares[person] = PersonsThreads(self._pool, self._free, self._seconds, self._share)
        return found


class PersonsThreads:
    """The share of one person, which is there as long as anything of it waits or works."""

    def __init__(self, pool: ThreadPoolExecutor, free: asyncio.Semaphore, seconds: float, share: int) -> None:
        self._pool, self._free, self._seconds = pool, free, seconds
        self._own = PersonsTurns(share)
        self._transfers: WeakSet[Transfer] = WeakSet()

    def begin_transfer(self) -> "Transfer":
        """What to run the calls of one content with; raises `RequestThrottled` where as many are under way as may."""
        if len(self._transfers) >= MOST_TRANSFERS:
            raise RequestThrottled(
                f"{MOST_TRANSFERS} files of yours are on their way.", hint="Wait for one of them.", retry_after=5
            )
        transfer = Transfer(self)
        self._transfers.add(transfer)
        return transfer

    async def run(self, call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """The result of a call; raises `VolumeUnavailable` when it takes too long. It may go on and succeed then."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._own.take()
                await self._take_thread()
                return await self._done(partial(call, *arguments, **named))
        except TimeoutError:
            raise _late() from None

    async def run_soon(self, call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """As `run`, for activities, which are tried again: `VolumeUnavailable` too where no turn comes soon.

        What waits for its turn so waits at Temporal, and keeps no place of this worker from what others want.
        """
        if not await self._own.take_soon():
            raise VolumeUnavailable("Other changes of the same person keep the file system busy.", hint=_AGAIN)
        try:
            async with asyncio.timeout(SOON_SECONDS):
                await self._take_thread()
        except TimeoutError:
            raise VolumeUnavailable("The file system is busy.", hint=_AGAIN) from None
        try:
            async with asyncio.timeout(self._seconds):
                return await self._done(partial(call, *arguments, **named))
        except TimeoutError:
            raise _late() from None

    async def _take_thread(self) -> None:
        try:
            await self._free.acquire()
        except BaseException:
            self._own.give_back()
            raise

    async def _done(self, call: Callable[[], T]) -> T:
        running = asyncio.get_running_loop().run_in_executor(self._pool, call)
        # The place is free when the thread is, which may be long after its caller gave up.
        running.add_done_callback(self._give_back)
        return await asyncio.shield(running)

    def _give_back(self, _: object) -> None:
        self._free.release()
        self._own.give_back()


def _late() -> VolumeUnavailable:
    return VolumeUnavailable(
        "The file system does not answer in time.", hint="Look whether the change has happened all the same."
    )


class Transfer:
    """A content on its way to or from a person, as long as somebody holds this."""

    def __init__(self, threads: PersonsThreads) -> None:
        self._threads = threads

    async def run(self, call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """As the person's threads do."""
        return await self._threads.run(call, *arguments, **named)
