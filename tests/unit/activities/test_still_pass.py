"""A pass of the reconciler that finds nothing to do asks JupyterHub and PostgreSQL as often as it has to."""

from collections.abc import Awaitable, Callable

from integrations.jupyterhub import PAGE_SIZE
from tests.bench.reconcile import still_passes

STATEMENTS = 5
"""Of those that made no progress, of what is held and may not be, of guests who may not, groups, and servers."""


async def test_a_pass_that_finds_nothing_to_do_asks_no_more_than_it_has_to(
    new_database: Callable[[], Awaitable[str]],
) -> None:
    found = await still_passes(await new_database(), servers=900, groups=2 * PAGE_SIZE + 1, passes=1)
    # Each page of groups, and all processes at once.
    assert found["calls"] == 3 + 1
    assert found["statements"] == STATEMENTS
    assert found["rows written"] == 0
