"""Runs blocking calls on the shared file system: in few threads of their own, and with a deadline.

A file system that hangs keeps its threads for as long as it hangs. So they are counted, and whoever finds none free in
time is told that the file system is busy; the rest of the process goes on.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from models.domain.errors import VolumeUnavailable

P = ParamSpec("P")
T = TypeVar("T")


class FileThreads:
    """The threads of one process."""

    def __init__(self, threads: int = 8, seconds: float = 10.0) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="files")
        self._free = asyncio.Semaphore(threads)
        self._seconds = seconds

    async def run(self, call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """The result of a call; raises `VolumeUnavailable` when it takes too long. It may go on and succeed then."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._free.acquire()
                running = asyncio.get_running_loop().run_in_executor(self._pool, partial(call, *arguments, **named))
                # The place is free when the thread is, which may be long after its caller gave up.
                running.add_done_callback(lambda _: self._free.release())
                return await asyncio.shield(running)
        except TimeoutError:
            raise VolumeUnavailable(
                "The file system does not answer in time.", hint="Look whether the change has happened all the same."
            ) from None
