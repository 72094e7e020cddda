"""Health: each part is looked at by itself, within its deadline, and its failure is told in words."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from api.health import HealthController
from api.http.rates import Rates
from api.http.shared_look import LASTS_SECONDS
from models.database.engine import lent_connection
from models.database.sql import row
from models.domain.settings import Settings
from models.ledger import heartbeats
from models.ledger.heartbeats import Role
from tests.unit.api.bench import Bench


class Temporal:
    """Stands in for Temporal: `ping` raises or hangs, and counts how often it was asked."""

    def __init__(self, *, away: bool = False, hangs: bool = False) -> None:
        self.away, self.hangs, self.asked = away, hangs, 0

    async def ping(self) -> None:
        self.asked += 1
        if self.hangs:
            await asyncio.sleep(60)
        if self.away:
            raise RuntimeError("secret-address:7233")


@pytest.fixture(autouse=True)
async def a_worker(bench: Bench) -> None:
    """A worker was seen just now."""
    await seen("7@somewhere", ago=0)


async def seen(process: str, *, ago: float) -> None:
    """The only worker was seen so many seconds ago."""
    await row("DELETE FROM heartbeat WHERE role = 'worker'")
    await row(
        """INSERT INTO heartbeat (id, process, role, seen_at)
           VALUES (gen_random_uuid(), :process, 'worker', now() - make_interval(secs => :ago))""",
        process=process,
        ago=float(ago),
    )


@contextlib.asynccontextmanager
async def answering(status: int | None) -> AsyncIterator[str]:
    """An HTTP server that always answers `status`, or never if None; its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            if status is None:
                await reader.read()
            writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\nlocation: http://127.0.0.1:9/\r\n\r\n" % (status or 0))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def directories(root: Path) -> dict[str, str]:
    found = {}
    for name in ("dataset", "module", "notebook", "group"):
        (root / name).mkdir(exist_ok=True)
        found[f"{name}_location"] = str(root / name)
    return found


async def look(bench: Bench, temporal: Temporal, **changes: Any) -> tuple[int, dict[str, Any]]:
    settings: Settings = msgspec.structs.replace(bench.settings, **changes)
    services = dataclasses.replace(
        bench.services, settings=settings, rates=Rates(settings), workflows=cast(Any, temporal)
    )
    nobody = dataclasses.replace(bench, services=services).api([HealthController]).nobody
    answer = await nobody.get("/healthcheck")
    return answer.status_code, answer.json()


async def test_all_is_well(bench: Bench, tmp_path: Path) -> None:
    async with answering(200) as hub, answering(429) as vault:
        status, health = await look(bench, Temporal(), jupyterhub_url=hub, vault_url=vault, **directories(tmp_path))
    assert (status, health["status"]) == (200, "ok")
    assert set(health["checks"]) == {"database", "temporal", "workers", "jupyterhub", "vault", "volumes"}
    assert {check["status"] for check in health["checks"].values()} == {"ok"}
    assert all(check["latency_ms"] >= 0 and "error" not in check for check in health["checks"].values())


async def test_without_vault_there_is_no_check_of_it(bench: Bench, tmp_path: Path) -> None:
    async with answering(200) as hub:
        status, health = await look(bench, Temporal(), jupyterhub_url=hub, **directories(tmp_path))
    assert status == 200
    assert "vault" not in health["checks"]


async def test_everything_that_can_fail_fails_by_itself(bench: Bench, tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    places = {**directories(tmp_path), "group_location": str(tmp_path / "nowhere")}
    async with answering(None) as hub, answering(503) as vault:
        status, health = await look(bench, Temporal(hangs=True), jupyterhub_url=hub, vault_url=vault, **places)
    assert loop.time() - started < 4, "the checks run side by side"
    assert (status, health["status"]) == (503, "failed")
    errors = {name: check.get("error") for name, check in health["checks"].items()}
    assert errors == {
        "database": None,
        "temporal": "no answer within 2 s",
        "workers": None,
        "jupyterhub": errors["jupyterhub"],
        "vault": "is sealed",
        "volumes": "the group location directory is missing",
    }
    assert errors["jupyterhub"] in ("no answer within 2 s", "no answer (ReadTimeout)")


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_a_hub_that_answers_wrongly(bench: Bench, tmp_path: Path, status: int) -> None:
    async with answering(status) as hub:
        _, health = await look(
            bench, Temporal(away=True), jupyterhub_url=hub, vault_url="http://127.0.0.1:9", **directories(tmp_path)
        )
    errors = {name: check.get("error", "") for name, check in health["checks"].items()}
    assert errors["jupyterhub"] == f"answered {status}"
    assert errors["temporal"] == "no answer (RuntimeError)"
    assert errors["vault"].startswith("no answer (Connect")


@pytest.mark.parametrize(("ago", "error"), [(10, None), (20, "no worker was seen within 15 s")])
async def test_a_worker_that_was_not_seen_for_15_seconds_does_not_work(
    bench: Bench, tmp_path: Path, ago: float, error: str | None
) -> None:
    await seen("7@somewhere", ago=ago)
    _, health = await look(bench, Temporal(), **directories(tmp_path))
    assert health["checks"]["workers"].get("error") == error


async def test_a_worker_that_ended_gently_is_missed_at_once(bench: Bench, tmp_path: Path) -> None:
    await row("DELETE FROM heartbeat")
    await heartbeats.beat(Role.WORKER)
    assert await heartbeats.worker_works()
    await heartbeats.stop(Role.WORKER)
    _, health = await look(bench, Temporal(), **directories(tmp_path))
    assert health["checks"]["workers"]["error"] == "no worker was seen within 15 s"


async def test_a_database_that_takes_no_writes_is_not_healthy(bench: Bench, tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as held:
        for _ in range(bench.settings.database_pool_size):
            connection = await held.enter_async_context(lent_connection())
            await connection.execute("SET default_transaction_read_only = on")
    # Counting the request would find it out, too, and then connect anew.
    _, health = await look(bench, Temporal(), health_per_minute=0, **directories(tmp_path))
    assert health["checks"]["database"]["error"] == "takes no writes"


async def test_twenty_who_ask_at_once_share_one_look(bench: Bench, tmp_path: Path) -> None:
    temporal = Temporal()
    async with answering(200) as hub:
        settings = msgspec.structs.replace(bench.settings, jupyterhub_url=hub, **directories(tmp_path))
        services = dataclasses.replace(
            bench.services, settings=settings, rates=Rates(settings), workflows=cast(Any, temporal)
        )
        nobody = dataclasses.replace(bench, services=services).api([HealthController]).nobody
        answers = await asyncio.gather(*(nobody.get("/healthcheck") for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        assert temporal.asked == 1
        await asyncio.sleep(LASTS_SECONDS)
        assert (await nobody.get("/healthcheck")).status_code == 200
        assert temporal.asked == 2


async def test_a_persons_folders_are_for_the_signed_in(bench: Bench) -> None:
    nobody = bench.api([HealthController]).nobody
    assert (await nobody.get("/healthcheck?email=alice@example.org")).status_code == 401


async def test_version(bench: Bench) -> None:
    nobody = bench.api([HealthController]).nobody
    answer = (await nobody.get("/version")).json()
    assert set(answer) == {"version", "api"}
    assert answer["version"][0].isdigit()
    assert (await nobody.get("/version?x=1")).status_code == 422
