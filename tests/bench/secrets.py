"""How long others wait while secrets are put into a Vault that is slow: `GET /version`, idle and meanwhile."""

import asyncio
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from tests.bench.another_api import environment_of_api
from tests.bench.verdicts import told
from tests.slow_link import SlowLink
from tests.stacks import Stack
from tests.unit.api.processes import free_url, running

ALICE = "alice@example.org"
SECRETS = 100
VAULT_SECONDS = 0.5
MOST_RATIO = 2.0
_BETWEEN = 0.005
_IDLE_SECONDS = 3.0


async def measure(stack: Stack, *, short: bool = False) -> dict[str, Any]:
    """The p99 of `GET /version` while 100 secrets are put at once, against the idle one just before; the median."""
    token, url = await stack.token(ALICE), free_url()
    async with SlowLink("127.0.0.1", stack.layout.ports["vault"], delay=VAULT_SECONDS) as link:
        environment = await environment_of_api(stack, url, NBHUB_VAULT_URL=link.url)
        async with running(environment, url):
            rounds, number, idle_seconds = (1, 10, 0.5) if short else (5, SECRETS, _IDLE_SECONDS)
            pairs = [await _pair(url, token, number, idle_seconds) for _ in range(rounds)]
    for idle, busy, seconds in pairs:
        print(f"  p99 idle {idle * 1000:.1f} ms, meanwhile {busy * 1000:.1f} ms; the puts took {seconds:.1f} s")
    ratios = [busy / idle for idle, busy, _ in pairs]
    return {
        "p99 meanwhile ÷ idle": told(
            "p99 meanwhile ÷ idle",
            statistics.median(ratios),
            MOST_RATIO,
            beside={"low": min(ratios), "high": max(ratios)},
        ),
        "100 puts": told("100 puts", statistics.median(seconds for *_, seconds in pairs), unit=" s"),
    }


async def _pair(api: str, token: str, number: int, idle_seconds: float) -> tuple[float, float, float]:
    """p99 idle, p99 meanwhile, and the seconds that the puts took."""
    program = str(Path(__file__).with_name("put_secrets.py"))
    load = await asyncio.create_subprocess_exec(
        sys.executable, program, api, str(number), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert load.stdin is not None
    assert load.stdout is not None
    load.stdin.write(f"{token}\n".encode())
    assert (await load.stdout.readline()).strip() == b"ready"
    async with httpx.AsyncClient(base_url=api) as client:
        idle = await _latencies(client, asyncio.create_task(asyncio.sleep(idle_seconds)))
        load.stdin.write(b"\n")
        done = asyncio.create_task(load.stdout.readline())
        busy = await _latencies(client, done)
    kept, seconds = done.result().split()
    await load.wait()
    assert int(kept) == number, f"only {kept.decode()} of {number} were kept"
    return _p99(idle), _p99(busy), float(seconds)


async def _latencies(client: httpx.AsyncClient, until: "asyncio.Task[Any]") -> list[float]:
    """Seconds of one request after the other, until something is done."""
    found = []
    while not until.done():
        begun = time.perf_counter()
        (await client.get("/version")).raise_for_status()
        found.append(time.perf_counter() - begun)
        await asyncio.sleep(_BETWEEN)
    return found


def _p99(latencies: list[float]) -> float:
    return statistics.quantiles(latencies, n=100)[-1]
