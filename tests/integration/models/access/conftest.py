"""The API over a real database, with callers who are whom a header says."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from cryptography.fernet import Fernet

from api.http.operation_events import OperationEvents
from api.http.services import Services
from integrations.vault import Vault
from models.database.engine import pool
from models.domain.profiles import load_profiles
from models.domain.settings import Settings
from tests.unit.api.bench import Bench, RecordedWakes


@pytest.fixture(scope="module")
async def bench(postgres: str) -> AsyncIterator[Bench]:
    settings = Settings(
        database_url=postgres,
        database_pool_size=8,
        session_key=Fernet.generate_key().decode(),
        public_url="https://hub.example.org",
    )
    # The crowd of the tests is made in one transaction.
    async with pool(settings, patience=600):
        wakes = RecordedWakes()
        events = OperationEvents(settings)
        services = Services(
            settings=settings,
            profiles=load_profiles(None),
            workflows=cast(Any, wakes),
            operation_events=events,
            oidc=cast(Any, None),
            vault=Vault.from_settings(settings),
        )
        async with events.running():
            yield Bench(settings=settings, services=services, callers={}, wakes=wakes)
