"""The API over a real database, with callers who are whom a header says."""

from collections.abc import AsyncIterator

import pytest

from tests.unit.api.bench import Bench, bench_settings, open_bench


@pytest.fixture(scope="module")
async def bench(postgres: str) -> AsyncIterator[Bench]:
    async with open_bench(bench_settings(postgres)) as bench:
        yield bench
