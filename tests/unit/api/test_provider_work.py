"""What an API process does for workflows, where Temporal does not do its part. On a real one: `tests/workflows`."""

import asyncio
from typing import cast

import pytest

from api import provider_work
from integrations.oidc import OidcClient
from models.domain.settings import Settings

SETTINGS = Settings(database_url="postgresql:///nowhere", temporal_address="127.0.0.1:1")


async def test_an_api_ends_although_temporal_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    polls, answers = asyncio.Event(), asyncio.Event()

    class Hanging:
        async def run(self) -> None:
            polls.set()
            try:
                await asyncio.Event().wait()
            finally:
                # As Temporal's SDK, which says that it goes.
                await answers.wait()

    async def connect(_settings: Settings, *, lazy: bool) -> None:
        assert not lazy

    monkeypatch.setattr(provider_work, "connect", connect)
    monkeypatch.setattr(provider_work, "make_worker", lambda *_: Hanging())
    async with asyncio.timeout(20), provider_work.doing_provider_work(SETTINGS, cast(OidcClient, None)):
        await polls.wait()
    answers.set()


async def test_an_api_serves_while_temporal_is_away() -> None:
    async with asyncio.timeout(20), provider_work.doing_provider_work(SETTINGS, cast(OidcClient, None)):
        await asyncio.sleep(0)
