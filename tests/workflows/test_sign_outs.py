"""The end of sessions: what others have of them ends too, whoever is away or dies meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID

import msgspec
import pytest
from cryptography.fernet import Fernet

from api import provider_work
from integrations.oidc import OidcClient
from models.database.sql import rows
from models.domain.errors import ProviderUnavailable
from models.domain.logins import hub_session_of
from models.domain.settings import Settings
from models.domain.values import OperationStatus, Subject
from models.ledger import operations
from models.records import persons, sessions
from tests.workflows.conftest import Scene
from workflows.client import workflow_id

Record = Callable[[str, str], Awaitable[None]]
KEY = Fernet.generate_key()


class Provider:
    """Has tokens revoked as the test says. The real one is in `tests/e2e/test_sign_out.py`."""

    def __init__(self) -> None:
        self.revoked: list[str] = []
        self.away = False

    async def revoke(self, refresh_token: str) -> None:
        if self.away:
            raise ProviderUnavailable("The sign-in provider does not answer.")
        self.revoked.append(refresh_token)


class SignedIn:
    """The person of a scene, who is signed in once for each token."""

    def __init__(self, scene: Scene, settings: Settings, provider: Provider) -> None:
        self.scene, self.provider, self._settings = scene, provider, settings
        self.person, self.subject = scene.caller.id, Subject(Subject.SIGN_OUT, scene.caller.id)

    @asynccontextmanager
    async def api(self) -> AsyncIterator[None]:
        """An API process, as far as it works for workflows."""
        settings = msgspec.structs.replace(self._settings, session_key=KEY.decode())
        async with provider_work.make_worker(self.scene.client, settings, cast(OidcClient, self.provider)):
            yield

    async def sign_in(self, token: str, *, key: bytes = KEY) -> None:
        mark = f"{token} of {self.person}"
        await sessions.keep(
            sessions.digest(f"access {mark}"),
            person_id=self.person,
            admin=False,
            orgs=(),
            expires_at=datetime.now(UTC) + timedelta(hours=1),
            id_token_hash=sessions.digest(f"id {mark}"),
            sid=token,
            refresh_token_encrypted=Fernet(key).encrypt(token.encode()),
            refresh_token_hash=sessions.digest(mark),
        )

    async def sign_out(self, token: str) -> UUID:
        """The operation of the end of a token's login."""
        assert await sessions.end_login(self.person, token)
        await self.scene.wake(self.subject)
        found = await rows(
            "SELECT id FROM operation WHERE subject_kind = 'sign-out' AND subject = :person ORDER BY id",
            person=self.person,
        )
        operation: UUID = found[-1]["id"]
        return operation

    async def kept_in_the_hub(self) -> list[str] | None:
        """The sessions that JupyterHub was told to keep, if it was told to end the others."""
        return self.scene.hub.kept_sessions.get(await persons.hub_user_of(self.person))

    async def trouble(self, operation: UUID) -> str:
        """What hinders an operation, once something does."""
        async with asyncio.timeout(30):
            while not (said := [step.detail for step in (await operations.read(operation)).steps if step.detail]):
                await asyncio.sleep(0.02)
        return str(said[0])


@pytest.fixture
def ada(scene: Scene, settings: Settings) -> SignedIn:
    return SignedIn(scene, settings, Provider())


async def test_a_sign_out_has_its_tokens_revoked_and_no_others(ada: SignedIn, record: Record) -> None:
    async with ada.api():
        await ada.sign_in("mine")
        await ada.sign_in("elsewhere")
        operation = await ada.scene.ended(await ada.sign_out("mine"))
        assert operation.status is OperationStatus.SUCCEEDED
        assert {step.name for step in operation.steps} == {"Revoke it at the sign-in provider", "End it in JupyterHub"}
        assert ada.provider.revoked == ["mine"]
        assert await ada.kept_in_the_hub() == [hub_session_of("elsewhere")]
        await ada.scene.at_rest(ada.subject)
        assert await sessions.unrevoked(ada.person, 9) == []
    await record("sign-out", workflow_id(ada.subject))


async def test_a_provider_that_is_away_is_asked_again_for_all_that_ended_meanwhile(ada: SignedIn) -> None:
    ada.provider.away = True
    async with ada.api():
        for token in ("first", "second"):
            await ada.sign_in(token)
        first = await ada.sign_out("first")
        assert await ada.trouble(first) == "The sign-in provider does not answer."
        second = await ada.sign_out("second")
        # JupyterHub is there, and waits for nobody.
        async with asyncio.timeout(30):
            while await ada.kept_in_the_hub() != []:
                await asyncio.sleep(0.02)
        ada.provider.away = False
        for operation in (first, second):
            assert (await ada.scene.ended(operation)).status is OperationStatus.SUCCEEDED
        assert sorted(ada.provider.revoked) == ["first", "second"]


async def test_a_hub_that_is_away_is_asked_again_and_the_provider_at_once(ada: SignedIn) -> None:
    ada.scene.hub.away = True
    async with ada.api():
        await ada.sign_in("mine")
        operation = await ada.sign_out("mine")
        assert await ada.trouble(operation) == "JupyterHub does not answer."
        async with asyncio.timeout(30):
            while ada.provider.revoked != ["mine"]:
                await asyncio.sleep(0.02)
        assert not (await operations.read(operation)).status.ended
        ada.scene.hub.away = False
        assert (await ada.scene.ended(operation)).status is OperationStatus.SUCCEEDED
        assert await ada.kept_in_the_hub() == []


async def test_a_sign_out_waits_for_an_api(ada: SignedIn) -> None:
    await ada.sign_in("mine")
    operation = await ada.sign_out("mine")
    assert not (await operations.read(operation)).status.ended
    async with ada.api():
        assert (await ada.scene.ended(operation)).status is OperationStatus.SUCCEEDED
    assert ada.provider.revoked == ["mine"]


async def test_a_token_that_nobody_can_read_any_more_is_given_up(ada: SignedIn) -> None:
    async with ada.api():
        await ada.sign_in("mine", key=Fernet.generate_key())
        assert (await ada.scene.ended(await ada.sign_out("mine"))).status is OperationStatus.SUCCEEDED
    assert ada.provider.revoked == []
    assert await sessions.unrevoked(ada.person, 9) == []
