"""A running provider of either kind of access token, and the API that trusts it."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from models.database.engine import pool
from models.database.sql import row
from models.domain.settings import Settings
from stack import tools
from stack.progress import Progress
from tests.integration.api.running_provider import Place, Provider, place


@pytest.fixture(scope="session")
async def modules() -> Path:
    return await tools.node_modules(Progress())


@pytest.fixture(scope="session", params=["opaque", "jwt"])
async def provider(request: pytest.FixtureRequest, modules: Path) -> AsyncIterator[Provider]:
    directory = Path(tempfile.mkdtemp(prefix="nbhub-oidc-"))
    provider = Provider(directory, modules, request.param)
    await provider.start()
    yield provider
    provider.stop()
    shutil.rmtree(directory)


@pytest.fixture
async def hub(postgres: str, provider: Provider) -> AsyncIterator[Place]:
    settings = Settings(database_url=postgres, database_pool_size=8)
    async with pool(settings), place(postgres, provider) as found:
        # Each of the two providers has its own accounts of the same people.
        for table in ("session", "login_transaction", "device_sign_in", "operation", "person_org", "person"):
            await row(f'DELETE FROM "{table}"')  # noqa: S608 - a constant
        yield found
