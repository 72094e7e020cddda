"""The API does what its document says, and nothing else: Schemathesis asks it thousands of times."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.http.rates import AUTH, HEALTH, REFUSED, WRITES
from models.ledger.quotas import limits_of
from tests.project import PROJECT
from tests.stacks import Stack

# More is asked for here than any one person may, by one person at one address.
UNLIMITED = {f"NBHUB_{rate.upper()}_PER_MINUTE": "0" for rate in (AUTH, HEALTH, REFUSED, WRITES)} | {
    "NBHUB_QUOTAS": ",".join(f"{name}=0" for name in limits_of(()))
}
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Stack]:
    """The API with all that it asks itself; nobody does the work that it accepts."""
    async with Stack(tmp_path, only=("postgres", "oidc", "vault", "api"), settings=UNLIMITED) as stack:
        yield stack


async def test_schemathesis_finds_nothing(api: Stack, tmp_path: Path) -> None:
    """The same requests each time, unless further arguments ask for others: `make fuzz`."""
    more = os.environ.get("SCHEMATHESIS_ARGS", "").split()
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIGURATION), "run"),
        *("--no-color", "--url", api.info.api, *more, str(PROJECT / "docs" / "openapi.json")),
        cwd=tmp_path,
        env={**os.environ, "NBHUB_TOKEN": await api.token("alice@example.org"), "PYTHONPATH": str(PROJECT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    summary = output.decode()
    if process.returncode != 0:
        pytest.fail(summary, pytrace=False)
    print(summary)  # noqa: T201 - what was tried, for whoever runs it with -s
