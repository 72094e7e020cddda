"""The provider and its client of this directory's tests."""

from collections.abc import AsyncIterator

import pytest

from integrations.oidc import OidcClient
from tests.unit.integrations.fake_provider import FakeProvider


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider()


@pytest.fixture
async def oidc(provider: FakeProvider) -> AsyncIterator[OidcClient]:
    client = provider.client()
    yield client
    await client.close()
