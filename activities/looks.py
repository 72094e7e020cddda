"""How often something outside is looked at while it takes its time: soon at first, then ever less, and not for ever."""

import asyncio
from collections.abc import AsyncIterator

from temporalio import activity

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between two looks."""


async def looks(seconds: float) -> AsyncIterator[None]:
    """One look after the other until `seconds` are over; whoever gets to the end says what it waited for in vain.

    The pauses grow, from one try of the activity to the next too.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    pause = min(FIRST_PAUSE * 2 ** min(activity.info().attempt - 1, 10), LONGEST_PAUSE)
    while True:
        yield
        left = deadline - loop.time()
        if left <= 0:
            return
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST_PAUSE)
