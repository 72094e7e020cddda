"""Waking the workflows of many subjects, a bounded number of them at once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from models.domain.values import Subject

_AT_ONCE = 25

Wake = Callable[[Subject], Awaitable[bool]]
"""Wakes the workflow of a subject; False: it was not told."""


async def wake_all(wake: Wake, subjects: Sequence[Subject]) -> list[Subject]:
    """Wake them; those that were told."""
    told: list[Subject] = []
    for start in range(0, len(subjects), _AT_ONCE):
        some = subjects[start : start + _AT_ONCE]
        reached = await asyncio.gather(*map(wake, some))
        told += [subject for subject, done in zip(some, reached, strict=True) if done]
    return told
