"""The bench of this directory's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.api.bench import Api, Bench, bench_settings, open_bench
from tests.unit.api.files import Files, open_files


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
