"""The API over a real database, with callers who are whom a header says."""

from collections.abc import AsyncIterator

import pytest

from tests.unit.api.bench import Bench, bench_settings, open_bench


@pytest.fixture(scope="module")
async def bench(postgres: str) -> AsyncIterator[Bench]:
    # The crowd of the tests is made in one transaction.
    async with open_bench(bench_settings(postgres), patience=600) as bench:
        yield bench
