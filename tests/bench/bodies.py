"""Files of a gigabyte, and bodies that mean no good: the API's memory, and how long others wait meanwhile."""

import asyncio
import re
import statistics
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from models.database import engine
from models.database.sql import rows
from models.domain.settings import Settings
from tests.bench.verdicts import told
from tests.stacks import Stack

ALICE = "alice@example.org"
MALLORY = "bob@example.org"
MIB = 2**20
MOST_MIB, MOST_RATIO = 32.0, 3.0
_OCTETS = {"content-type": "application/octet-stream"}
_FILE = {"root": "notebooks", "path": "large"}
_BETWEEN = 0.005
_WINDOW_SECONDS = 4.0


async def measure(stack: Stack, *, short: bool = False) -> dict[str, Any]:
    """MiB by which the API's memory grew, and the p99 of `GET /version` under hostile bodies against the idle one.

    Windows of both take turns, so that whatever else the machine does weighs on both alike; the ratio is the median.
    """
    megabytes, rounds, window = (8, 1, 0.5) if short else (1024, 5, _WINDOW_SECONDS)
    tokens = {email: await stack.token(email) for email in (ALICE, MALLORY)}
    await _make_homes(stack)
    process = stack.info.pids["api"]
    grown, seconds = await _there_and_back(stack.info.api, tokens[ALICE], process, megabytes)
    ratios, sent = await _windows(stack.info.api, tokens[MALLORY], rounds, window)
    attacked = _peak_mib(process)
    print(f"  sent: {sent}", flush=True)
    return {
        "memory that it took": told("memory that it took", grown, MOST_MIB, " MiB", {"of": megabytes}),
        "p99 under hostile bodies ÷ idle": told(
            "p99 under hostile bodies ÷ idle",
            statistics.median(ratios),
            MOST_RATIO,
            beside={"low": min(ratios), "high": max(ratios)},
        ),
        "there and back": told("there and back", seconds, unit=" s"),
        "most memory": told("most memory", attacked, unit=" MiB"),
    }


async def _make_homes(stack: Stack) -> None:
    """As a worker would."""
    async with engine.pool(Settings(database_url=stack.layout.database_url())):
        for person in await rows("SELECT id FROM person"):
            (stack.data_root / "notebooks" / str(person["id"])).mkdir(parents=True, exist_ok=True)


async def _there_and_back(api: str, token: str, process: int, megabytes: int) -> tuple[float, float]:
    """MiB of memory that it took to write a file and read it, and the seconds."""
    headers = {"Authorization": f"Bearer {token}"}

    async def content() -> AsyncIterator[bytes]:
        for number in range(megabytes):
            yield number.to_bytes(8, "big") * (MIB // 8)

    async with httpx.AsyncClient(base_url=api, headers=headers, timeout=600) as client:
        (await client.put("/volume/file", params=_FILE, content=b"x", headers=_OCTETS)).raise_for_status()
        before, begun, read = _peak_mib(process), time.perf_counter(), 0
        (await client.put("/volume/file", params=_FILE, content=content(), headers=_OCTETS)).raise_for_status()
        async with client.stream("GET", "/volume/file", params=_FILE) as answer:
            async for part in answer.aiter_raw():
                read += len(part)
    assert read == megabytes * MIB, f"{read} bytes came back"
    return _peak_mib(process) - before, time.perf_counter() - begun


async def _windows(api: str, token: str, rounds: int, window: float) -> tuple[list[float], str]:
    """The ratio of each pair of windows, and what was sent in all."""
    program = str(Path(__file__).with_name("send_bodies.py"))
    sender = await asyncio.create_subprocess_exec(
        sys.executable,
        program,
        api,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert sender.stdin is not None
    assert sender.stdout is not None
    sender.stdin.write(f"{token}\n".encode())
    await sender.stdout.readline()
    ratios, sent = [], b""
    async with httpx.AsyncClient(base_url=api) as client:
        for _ in range(rounds):
            idle = await _p99(client, window)
            sender.stdin.write(b"\n")
            busy = await _p99(client, window)
            sender.stdin.write(b"\n")
            sent = await sender.stdout.readline()
            print(f"  p99 idle {idle * 1000:.1f} ms, under hostile bodies {busy * 1000:.1f} ms", flush=True)
            ratios.append(round(busy / idle, 2))
    sender.stdin.close()
    await sender.wait()
    return ratios, sent.decode().strip()


async def _p99(client: httpx.AsyncClient, window: float) -> float:
    """Of one request after the other, in a window."""
    found, end = [], time.perf_counter() + window
    while (begun := time.perf_counter()) < end:
        (await client.get("/version")).raise_for_status()
        found.append(time.perf_counter() - begun)
        await asyncio.sleep(_BETWEEN)
    return statistics.quantiles(found, n=100)[-1]


def _peak_mib(process: int) -> float:
    """The most memory that a process has had."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024
