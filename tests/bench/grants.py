"""What a check and a list cost against the number of grants, and of the caller's groups; as slopes in a log-log plot.

A slope of 0 is a cost that does not grow, 1 one that grows in proportion.
"""

import math
import statistics
from functools import partial
from typing import Any

from models.domain.values import Caller
from models.records import datasets
from tests.bench import sizes
from tests.bench.sizes import Read
from tests.bench.verdicts import told
from tests.integration.models.access import crowd
from tests.stacks import Stack

GRANTS = (1_000, 10_000, 100_000, 1_000_000)
GROUPS = (1, 10, 100, 1_000)
MOST_SLOPE = 0.1
_GRANTS_BY_GROUPS = 100_000

CALLER: Caller = crowd.caller()
READS: dict[str, Read] = {
    # A dataset that the first person reaches by a group.
    "check": lambda: datasets.read(crowd.identity("dataset", 0), CALLER),
    "list": lambda: datasets.list_visible(CALLER, limit=51),
}


async def measure(stack: Stack, *, short: bool = False) -> dict[str, Any]:
    """Milliseconds and slopes."""
    grants, groups = (GRANTS[:2], GROUPS[:2]) if short else (GRANTS, GROUPS)
    number = grants[-1] if short else _GRANTS_BY_GROUPS
    return {
        "by_grants": await _curves(stack, "grants", {size: (size, 10) for size in grants}, short=short),
        "by_groups": await _curves(stack, "groups", {size: (number, size) for size in groups}, short=short),
    }


async def _curves(stack: Stack, axis: str, wanted: dict[int, tuple[int, int]], *, short: bool) -> dict[str, Any]:
    """The curve of each read, in databases with so many grants and groups of the caller."""
    databases = {size: await _made(stack, *of) for size, of in wanted.items()}
    rounds, times = (1, 5) if short else (3, 200)
    found = await sizes.costs(
        databases, {name: partial(_same, read) for name, read in READS.items()}, rounds=rounds, times=times
    )
    for name, values in found.items():
        curve = ", ".join(f"{size:,}: {value:.2f}" for size, value in zip(databases, values, strict=True))
        print(f"  ms of a {name} by {axis}: {curve}", flush=True)
    return {
        name: told(f"slope of a {name} by {axis}", _slope([*databases], values), MOST_SLOPE)
        for name, values in found.items()
    }


def _same(read: Read, _: int) -> Read:
    return read


async def _made(stack: Stack, grants: int, groups: int) -> str:
    address, number = await sizes.new_database(stack), grants // crowd.GRANTS_PER_DATASET
    await crowd.make(address, number, max(20, number // 5), max(1_000, number // 50), groups_of_first=groups)
    return address


def _slope(numbers: list[int], values: list[float]) -> float:
    """Least squares through the logarithms."""
    points = [(math.log10(size), math.log10(value)) for size, value in zip(numbers, values, strict=True)]
    middle_x, middle_y = (statistics.mean(axis) for axis in zip(*points, strict=True))
    above = sum((x - middle_x) * (y - middle_y) for x, y in points)
    slope: float = above / sum((x - middle_x) ** 2 for x, _ in points)
    return slope
