"""What a worker tells Prometheus: of itself, of Temporal's SDK in it, and of what there is and was done."""

import asyncio
import os
import sys

import httpx
import pytest

from models.database.sql import row
from models.domain.settings import Settings
from models.domain.values import OperationStatus, Wish
from tests.project import PROJECT
from tests.unit.api.processes import free_url
from tests.workflows.conftest import Scene

pytestmark = pytest.mark.usefixtures("pool")


async def test_a_worker_tells_what_there_is_and_what_has_ended(scene: Scene, settings: Settings) -> None:
    start = await scene.wish(Wish.RUNNING)
    await scene.wake()
    assert (await scene.ended(start)).status is OperationStatus.SUCCEEDED
    # As if it had ended a minute ago, and somebody had looked before, but after all that other tests have started.
    await row(
        """UPDATE operation SET ended_at = CASE WHEN id = :id THEN now() - interval '1 minute'
                                               ELSE ended_at - interval '1 hour' END WHERE ended_at IS NOT NULL""",
        id=start,
    )
    await row(
        """INSERT INTO figures_seen (id, until) VALUES (1, now() - interval '2 minutes')
           ON CONFLICT (id) DO UPDATE SET until = excluded.until"""
    )
    ours, temporals = (free_url().removeprefix("http://") for _ in range(2))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "worker.py"),
        cwd=PROJECT,
        env={
            "PATH": os.environ["PATH"],
            "NBHUB_DATABASE_URL": settings.database_url,
            "NBHUB_TEMPORAL_ADDRESS": settings.temporal_address,
            "NBHUB_TEMPORAL_TASK_QUEUE": "nobody-asks-here",
            "NBHUB_SPEC_SIGNING_KEY_FILE": settings.spec_signing_key_file,
            "NBHUB_METRICS_ADDRESS": ours,
            "NBHUB_TEMPORAL_METRICS_ADDRESS": temporals,
        },
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        told = await _told(ours, "nbhub_start_phase_seconds_count")
        assert 'nbhub_operations_total{kind="server.start",outcome="succeeded"} 1.0' in told
        assert 'nbhub_operation_seconds_count{kind="server.start"} 1.0' in told
        assert 'nbhub_servers{observed="running",wish="running"}' in told
        assert "temporal_num_pollers{" in await _told(temporals, "temporal_num_pollers")
        process.terminate()
        async with asyncio.timeout(15):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _told(address: str, word: str) -> str:
    """What is told at an address, once that word is in it."""
    async with asyncio.timeout(60), httpx.AsyncClient(timeout=30) as client:
        while True:
            try:
                text = (await client.get(f"http://{address}/metrics")).text
            except httpx.TransportError:
                text = ""
            if word in text:
                return text
            await asyncio.sleep(0.1)
