"""A worker as a process: it waits for what it needs, says for what, and ends when it is told to."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.project import PROJECT
from tests.slow_link import SlowLink


class RunningWorker:
    """A worker whose log is read."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.log: list[dict[str, Any]] = []

    async def says(self, event: str, part: str) -> None:
        """Returns once it has said so."""
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            while True:
                line = await self.process.stdout.readline()
                assert line, self.log
                self.log.append(json.loads(line))
                if (self.log[-1]["event"], self.log[-1].get("part")) == (event, part):
                    return

    async def ends(self) -> int:
        """Its exit code, once it was told to end."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            rest, _ = await self.process.communicate()
        self.log += [json.loads(line) for line in rest.splitlines()]
        return self.process.returncode or 0


@contextlib.asynccontextmanager
async def worker(database_url: str, temporal: str, **more: str) -> AsyncIterator[RunningWorker]:
    environment = {
        "PATH": os.environ["PATH"],
        "NBHUB_DATABASE_URL": database_url,
        "NBHUB_TEMPORAL_ADDRESS": temporal,
        "NBHUB_LOG_FORMAT": "json",
        **more,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "worker.py", cwd=PROJECT, env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield RunningWorker(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_worker_waits_for_the_database_and_then_for_temporal(postgres: str) -> None:
    address = urlsplit(postgres)
    async with SlowLink(parse_qs(address.query)["host"][0], 5432) as link, SlowLink("127.0.0.1", 9) as temporal:
        link.refuse()
        temporal.refuse()
        database_url = f"postgresql://nbhub@127.0.0.1:{link.port}{address.path}?sslmode=disable"
        async with worker(database_url, f"127.0.0.1:{temporal.port}") as running:
            await running.says("part_is_away", "PostgreSQL")
            link.accept()
            await running.says("part_is_back", "PostgreSQL")
            await running.says("part_is_away", "Temporal")
            temporal.hold()
            temporal.accept()
            assert await running.ends() == 0
    said = [line["part"] for line in running.log if line["event"] == "part_is_away"]
    assert said == ["PostgreSQL", "Temporal"], "once, not at each attempt"


async def test_a_worker_that_waits_for_a_silent_database_ends_when_told_to(postgres: str) -> None:
    async with SlowLink(parse_qs(urlsplit(postgres).query)["host"][0], 5432) as link:
        link.hold()
        async with worker(f"postgresql://nbhub@127.0.0.1:{link.port}/x?sslmode=disable", "127.0.0.1:9") as running:
            await running.says("part_is_away", "PostgreSQL")
            assert await running.ends() == 0


async def test_a_worker_whose_metrics_cannot_be_served_works_all_the_same_and_says_so() -> None:
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as taken:
        address = f"127.0.0.1:{taken.sockets[0].getsockname()[1]}"
        both = {"NBHUB_METRICS_ADDRESS": address, "NBHUB_TEMPORAL_METRICS_ADDRESS": address}
        async with worker("postgresql://nbhub@127.0.0.1:9/x?sslmode=disable", "127.0.0.1:9", **both) as running:
            await running.says("part_is_away", "PostgreSQL")
            assert await running.ends() == 0
    said = [line["address"] for line in running.log if line["event"] == "metrics_not_served"]
    assert said == [address, address]
