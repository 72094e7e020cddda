"""How long a process of the API takes until it answers, and what memory it has after many requests."""

import asyncio
import contextlib
import http.client
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from models.database import engine
from models.domain.settings import Settings
from tests.bench import sizes
from tests.bench.another_api import environment_of_api
from tests.bench.filled import OTHERS, OWN, fill
from tests.bench.judge import TOKEN
from tests.bench.reads import KINDS, LISTS, READS
from tests.bench.verdicts import told
from tests.project import PROJECT
from tests.stacks import Stack
from tests.unit.api.processes import free_url

STARTS = 5
REQUESTS = 40_000
AT_ONCE = 4
MOST_SECONDS, MOST_MIB, MOST_GROWTH = 1.5, 150.0, 1.05
_OF_THOUSAND = 0.002
"""Of all requests those for a list of 1,000."""


async def measure(stack: Stack, *, short: bool = False) -> dict[str, Any]:
    """Seconds until the first answer, MiB after the load, and how much that is of what it was half-way."""
    starts, requests, (own, others) = (1, 200, (60, 5)) if short else (STARTS, REQUESTS, (OWN, OTHERS))
    address, url = await sizes.new_database(stack), free_url()
    async with engine.pool(Settings(database_url=address), patience=120):
        ids = (await fill(own, others)).ids
    environment = await environment_of_api(stack, url, NBHUB_DATABASE_URL=address)
    return await asyncio.to_thread(_measure, int(url.rpartition(":")[2]), environment, ids, starts, requests)


def _measure(
    port: int, environment: Mapping[str, str], ids: dict[str, list[UUID]], starts: int, requests: int
) -> dict[str, Any]:
    seconds = []
    for number in range(starts):
        with _served(environment) as process:
            seconds.append(_until_it_answers(port))
            if number == starts - 1:
                first = _resident_mib(process.pid)
                half = _after(port, ids, requests // 2, process.pid)
                whole = _after(port, ids, requests // 2, process.pid)
    return {
        "first answer": told("first answer", statistics.median(seconds), MOST_SECONDS, " s"),
        "memory": told("memory", whole, MOST_MIB, " MiB", {"at_first": first}),
        "of that half-way": told("memory, of that half-way", whole / half, MOST_GROWTH, beside={"requests": requests}),
    }


@contextlib.contextmanager
def _served(environment: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-m", "api"], cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _until_it_answers(port: int) -> float:
    begun = time.perf_counter()
    while time.perf_counter() < begun + 60:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with contextlib.closing(connection), contextlib.suppress(ConnectionError):
            connection.request("GET", "/version")
            assert connection.getresponse().status == 200
            return time.perf_counter() - begun
        time.sleep(0.005)
    raise TimeoutError("the API does not answer")


def _after(port: int, ids: dict[str, list[UUID]], requests: int, pid: int) -> float:
    """MiB of memory that a process has after so many requests, some at once."""
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(AT_ONCE)]
    for _ in range(requests // AT_ONCE):
        for connection in connections:
            connection.request("GET", _path(ids), headers={"Authorization": f"Bearer {TOKEN}"})
        for connection in connections:
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
    for connection in connections:
        connection.close()
    return _resident_mib(pid)


def _path(ids: dict[str, list[UUID]]) -> str:
    """One record or a list of 50 of any kind, seldom a list of 1,000."""
    if random.random() < _OF_THOUSAND:
        return LISTS[-1].path(ids)
    return random.choice((*READS, LISTS[0], *KINDS)).path(ids)


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
