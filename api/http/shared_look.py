"""One look for everybody who asks at about the same time: those who ask must not become the trouble."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

LASTS_SECONDS = 1.0

Seen = TypeVar("Seen")


class SharedLook(Generic[Seen]):
    """The look that is under way, or what was seen last."""

    def __init__(self) -> None:
        self._look: asyncio.Task[Seen] | None = None
        self._stale_at = 0.0

    async def shared(self, look: Callable[[], Awaitable[Seen]]) -> Seen:
        """What a look sees that is under way, was done within the last second, or begins now."""
        if self._look is None or (self._look.done() and asyncio.get_running_loop().time() >= self._stale_at):
            self._look = asyncio.create_task(self._new(look))
        # Whoever gives up does not end it for the others.
        return await asyncio.shield(self._look)

    async def _new(self, look: Callable[[], Awaitable[Seen]]) -> Seen:
        try:
            return await look()
        finally:
            self._stale_at = asyncio.get_running_loop().time() + LASTS_SECONDS
