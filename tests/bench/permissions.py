"""What a check and a list cost against the number of grants, and of the caller's groups; as slopes in a log-log plot.

A slope of 0 is a cost that does not grow, 1 one that grows in proportion.
"""

import math
import statistics
import time
from collections.abc import Awaitable, Callable

from models.database import engine
from models.domain.settings import Settings
from models.domain.values import Caller
from models.records import datasets
from tests.integration.models.access import crowd
from tests.stacks import Stack

GRANTS = (1_000, 10_000, 100_000, 1_000_000)
GROUPS = (1, 10, 100, 1_000)
REPETITIONS = 300

Read = Callable[[Caller], Awaitable[object]]
READS: dict[str, Read] = {
    # A dataset that the first person reaches by a group.
    "check": lambda caller: datasets.read(crowd.identity("dataset", 0), caller),
    "list": lambda caller: datasets.list_visible(caller, limit=51),
}


async def measure(stack: Stack, *, short: bool = False) -> dict[str, dict[str, float]]:
    """Milliseconds and slopes, each curve in one run."""
    grants, groups = (GRANTS[:2], GROUPS[:2]) if short else (GRANTS, GROUPS)
    async with engine.pool(Settings(database_url=stack.layout.database_url(), database_pool_size=4)):
        return {
            "by_grants": await _curve("grants", grants, lambda number: _made(number, 10)),
            "by_groups": await _curve("groups", groups, lambda number: _made(grants[-1] // 10, number)),
        }


async def _made(grants: int, groups: int) -> Caller:
    number = grants // crowd.GRANTS_PER_DATASET
    return await crowd.make(number, max(20, number // 5), max(1_000, number // 50), groups_of_first=groups)


async def _curve(axis: str, sizes: tuple[int, ...], make: Callable[[int], Awaitable[Caller]]) -> dict[str, float]:
    medians: dict[str, list[float]] = {name: [] for name in READS}
    for size in sizes:
        caller = await make(size)
        for name, read in READS.items():
            medians[name].append(await _median(read, caller))
        told = ", ".join(f"{name} {values[-1]:.2f} ms" for name, values in medians.items())
        print(f"  {size:>9,} {axis}: {told}", flush=True)
    return {f"{name}_slope": round(_slope(sizes, values), 3) for name, values in medians.items()}


async def _median(read: Read, caller: Caller) -> float:
    times = []
    for number in range(REPETITIONS + 20):
        begun = time.perf_counter()
        await read(caller)
        if number >= 20:
            times.append(1000 * (time.perf_counter() - begun))
    return statistics.median(times)


def _slope(sizes: tuple[int, ...], values: list[float]) -> float:
    """Least squares through the logarithms."""
    points = [(math.log10(size), math.log10(value)) for size, value in zip(sizes, values, strict=True)]
    middle_x, middle_y = (statistics.mean(axis) for axis in zip(*points, strict=True))
    above = sum((x - middle_x) * (y - middle_y) for x, y in points)
    slope: float = above / sum((x - middle_x) ** 2 for x, _ in points)
    return slope
