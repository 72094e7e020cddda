"""Watches over a stack that is up: a part that dies is started again, and so is one when somebody asks."""

import asyncio
import time
from collections.abc import Awaitable

from stack import control
from stack.state import StackFailed
from stack.supervisor import Stack

_Wish = asyncio.Future[None]


class Watch:
    """Starts parts again. Nothing does so by itself in a stack that nobody watches, as those of most tests are."""

    def __init__(self, stack: Stack, *, pause: float = 0.5, deaths: int = 5, within: float = 60) -> None:
        """The first start after a death is `pause` seconds later, and each one after that twice as much.

        A part that dies that many times `within` so many seconds is given up until somebody asks for it.
        """
        self._stack = stack
        self._pause = pause
        self._most_deaths = deaths
        self._within = within
        self._wishes: dict[str, asyncio.Queue[_Wish]] = {part: asyncio.Queue() for part in stack.parts}

    async def run(self) -> None:
        """Watch until cancelled; raises `StackFailed` when the stack's directory is gone."""
        try:
            async with control.listening(self._stack.layout.control_socket, self.restart), asyncio.TaskGroup() as group:
                for part in self._wishes:
                    group.create_task(self._keep(part))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def restart(self, part: str) -> None:
        """End a part and start it again, also one that was given up; raises `StackFailed` unless it is ready."""
        if part not in self._wishes:
            raise StackFailed(f"there is no part {part!r}: there are {', '.join(self._wishes)}")
        wish = asyncio.get_running_loop().create_future()
        self._wishes[part].put_nowait(wish)
        await wish

    async def _keep(self, part: str) -> None:
        deaths: list[float] = []
        while True:
            wish = await self._wish_before(part, self._stack.process(part).until_ended())
            if wish is None:
                now = time.monotonic()
                deaths = [*(death for death in deaths if now - death < self._within), now]
                wish = await self._died(part, len(deaths))
            if wish is not None:
                deaths = []
            failure = await self._start_again(part)
            if wish is not None and not wish.done():
                wish.set_exception(failure) if failure is not None else wish.set_result(None)

    async def _died(self, part: str, deaths: int) -> _Wish | None:
        """Wait before a part is started again, until somebody asks for it if need be."""
        if self._stack.lost():
            raise StackFailed(f"{self._stack.directory} was removed: what ran there is ended")
        process = self._stack.process(part)
        how = f"{part} ended with {process.exit_code}"
        if deaths >= self._most_deaths:
            self._stack.note_end(part, given_up=True)
            self._stack.progress.say(
                f"{how}, {deaths} times within {self._within:.0f} s: given up; `nbhub restart {part}` tries again. "
                f"Its log, {process.log}, ends with:\n{process.last_lines()}"
            )
            return await self._wishes[part].get()
        pause = self._pause * 2 ** (deaths - 1)
        self._stack.note_end(part)
        self._stack.progress.say(f"{how}: it is started again in {pause:g} s")
        return await self._wish_before(part, asyncio.sleep(pause))

    async def _start_again(self, part: str) -> StackFailed | None:
        process = self._stack.process(part)
        await process.stop()
        try:
            await self._stack.start_part(part)
        except StackFailed as failure:
            # Of one that has ended, what is next is told next.
            if process.running:
                self._stack.progress.say(str(failure))
                await process.stop()
            return failure
        self._stack.progress.say(f"{part}: ready again")
        return None

    async def _wish_before(self, part: str, event: Awaitable[None]) -> _Wish | None:
        """A wish for this part, or None when the event comes first."""
        wish = asyncio.ensure_future(self._wishes[part].get())
        coming = asyncio.ensure_future(event)
        try:
            await asyncio.wait((wish, coming), return_when=asyncio.FIRST_COMPLETED)
            return wish.result() if wish.done() else None
        finally:
            wish.cancel()
            coming.cancel()
