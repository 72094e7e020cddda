"""The pool of this directory's tests."""

from collections.abc import AsyncIterator

import pytest

from models.database.engine import pool
from models.domain.settings import Settings


@pytest.fixture
async def database(postgres: str) -> AsyncIterator[None]:
    async with pool(Settings(database_url=postgres)):
        yield
