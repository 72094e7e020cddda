"""The bench of this directory's tests."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from cryptography.fernet import Fernet

from api.http.operation_events import OperationEvents
from api.http.services import Services
from integrations.vault import Vault
from models.database.engine import pool
from models.database.tables import Person
from models.domain.ids import new_id
from models.domain.profiles import load_profiles
from models.domain.settings import Settings
from models.domain.values import Caller
from tests.unit.api.bench import Bench, RecordedWakes


@pytest.fixture
async def bench(postgres: str) -> AsyncIterator[Bench]:
    settings = Settings(
        database_url=postgres,
        database_pool_size=8,
        session_key=Fernet.generate_key().decode(),
        public_url="https://hub.example.org",
    )
    async with pool(settings):
        callers = {}
        for name in ("alice", "bob", "admin"):
            caller = Caller(id=new_id(), email=f"{name}-{new_id().hex[-8:]}@example.org", admin=name == "admin")
            await Person.insert(Person(id=caller.id, issuer="test", subject=caller.email, email=caller.email))
            callers[name] = caller
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
            yield Bench(settings=settings, services=services, callers=callers, wakes=wakes)
