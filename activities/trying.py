"""Tries many things one after the other: what fails keeps none of the others from being tried."""

from collections.abc import Awaitable, Iterable

import structlog

from models.domain.errors import DependencyUnavailable

log = structlog.get_logger(__name__)

# A request that had no answer may have been the only one.
_AWAY = 3


async def try_each(work: Iterable[Awaitable[None]], failed: str) -> Exception | None:
    """Try one after the other; what was last in the way, if anything. The log calls it `failed`.

    Once whoever is asked was away several times in a row, the rest is not begun. So what was tried has to come last the
    next time.
    """
    hindered: Exception | None = None
    in_a_row = 0
    for one in work:
        try:
            await one
        except Exception as problem:
            log.warning(failed, error=str(problem))
            hindered = problem
            in_a_row = in_a_row + 1 if isinstance(problem, DependencyUnavailable) and problem.away else 0
            if in_a_row == _AWAY:
                break
        else:
            in_a_row = 0
    return hindered
