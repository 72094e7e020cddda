"""What reads cost in databases of several sizes: CPU time of this process and of its one connection's server process.

The sizes take turns, forwards and backwards, so that whatever else the machine does weighs on all alike.
"""

import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from itertools import count

from models.database import engine
from models.database.sql import rows
from models.domain.settings import Settings
from stack.supervisor import make_database
from tests.bench.judge import on_cpu
from tests.stacks import Stack

_WARM = 12
"""Reads that are not counted: PostgreSQL plans the first few of a statement each for its values."""
_numbers = count(1)

Read = Callable[[], Awaitable[object]]


async def new_database(stack: Stack) -> str:
    """The address of a migrated database of its own."""
    name = f"bench{next(_numbers)}"
    await make_database(stack.layout, name)
    address = stack.layout.database_url(name)
    await stack.migrate(address)
    return address


async def costs(
    databases: dict[int, str], reads: Mapping[str, Callable[[int], Read]], *, rounds: int, times: int
) -> dict[str, list[float]]:
    """Milliseconds of each read, made for a size, in the database of each size: the median of the rounds."""
    found: dict[tuple[str, int], list[float]] = {(name, size): [] for name in reads for size in databases}
    for _ in range(rounds):
        for size in (*databases, *reversed([*databases])):
            async with engine.pool(Settings(database_url=databases[size], database_pool_size=1)):
                for name, read in reads.items():
                    found[name, size].append(await _cost(read(size), times))
    return {name: [statistics.median(found[name, size]) for size in databases] for name in reads}


async def _cost(read: Read, times: int) -> float:
    (backend,) = await rows("SELECT pg_backend_pid() AS pid")
    for _ in range(_WARM):
        await read()
    before = time.process_time_ns() + on_cpu(backend["pid"], backend["pid"])
    for _ in range(times):
        await read()
    return (time.process_time_ns() + on_cpu(backend["pid"], backend["pid"]) - before) / times / 1e6
