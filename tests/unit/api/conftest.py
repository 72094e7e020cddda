"""The bench of this directory's tests."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.unit.api.bench import Api, Bench, bench_settings, open_bench
from tests.unit.api.files import Files, open_files
from tests.unit.api.processes import client_of, free_url


@pytest.fixture
async def bench(postgres: str) -> AsyncIterator[Bench]:
    async with open_bench(bench_settings(postgres)) as bench:
        for name in ("alice", "bob", "admin"):
            await bench.join(name, admin=name == "admin")
        yield bench


@pytest.fixture
def api(bench: Bench) -> Api:
    return bench.api()


@pytest.fixture
async def files(bench: Bench, tmp_path: Path) -> Files:
    return await open_files(bench, tmp_path)


@pytest.fixture
def url() -> str:
    return free_url()


@pytest.fixture
def environment(bench: Bench, tmp_path: Path, url: str) -> dict[str, str]:
    nowhere = "127.0.0.1:9"
    return {
        "PATH": os.environ["PATH"],
        "NBHUB_DATABASE_URL": bench.settings.database_url,
        "NBHUB_SESSION_KEY": bench.settings.session_key,
        "NBHUB_API_PORT": url.rpartition(":")[2],
        "NBHUB_TEMPORAL_ADDRESS": nowhere,
        "NBHUB_OIDC_ISSUER": f"http://{nowhere}",
        "NBHUB_CRASH_POINTS": str(tmp_path),
    }


@pytest.fixture
async def signed_in(bench: Bench, url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with await client_of(bench.callers["alice"], url) as client:
        yield client
