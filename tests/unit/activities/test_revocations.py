"""What ended here ends at the provider: a token that does not keeps no other, and one that is away is asked little."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from cryptography.fernet import Fernet
from temporalio.testing import ActivityEnvironment

from activities import revocations
from activities.messages import WorkflowRun
from activities.revocations import Revocations
from integrations.oidc import OidcClient
from models.database import engine
from models.database.sql import row
from models.domain.errors import ProviderUnavailable
from models.domain.ids import new_id
from models.domain.settings import Settings
from models.domain.values import Caller
from models.records import sessions
from tests.people import make_person

KEY = Fernet.generate_key()


class Provider:
    """Revokes tokens, but for those that are `stuck`, and unless it is `away`."""

    def __init__(self) -> None:
        self.stuck: set[str] = set()
        self.away = False
        self.asked: list[str] = []

    async def revoke(self, refresh_token: str) -> None:
        self.asked.append(refresh_token)
        if self.away:
            raise ProviderUnavailable("The sign-in provider does not answer.", away=True)
        if refresh_token in self.stuck:
            raise ProviderUnavailable("The sign-in provider answers 500.")


class Leaver:
    """Somebody who has signed out everywhere, and the provider that is to hear of it."""

    def __init__(self, person: Caller, settings: Settings) -> None:
        self.person, self.provider = person, Provider()
        self._activity = Revocations(cast(OidcClient, self.provider), settings).revoke_tokens

    async def had(self, count: int) -> list[str]:
        """So many new refresh tokens, in the order of their hashes."""
        made: dict[bytes, str] = {}
        for _ in range(count):
            token = str(new_id())
            made[sessions.digest(token)] = token
            await sessions.keep(
                sessions.digest(f"access {token}"),
                person_id=self.person.id,
                admin=False,
                orgs=(),
                expires_at=datetime.now(UTC) + timedelta(hours=1),
                id_token_hash=sessions.digest(f"id {token}"),
                sid=token,
                refresh_token_encrypted=Fernet(KEY).encrypt(token.encode()),
                refresh_token_hash=sessions.digest(token),
            )
            await sessions.end_login(self.person.id, token)
        return [made[one] for one in sorted(made)]

    async def attempt(self) -> list[str]:
        """What the provider is asked in one attempt of the activity, which says so if anything is left."""
        self.provider.asked.clear()
        run = WorkflowRun(subject=self.person.id, workflow_id="w", run_id="r")
        if self.provider.stuck or self.provider.away:
            with pytest.raises(ProviderUnavailable):
                await ActivityEnvironment().run(self._activity, run)
        else:
            await ActivityEnvironment().run(self._activity, run)
        return list(self.provider.asked)

    async def left(self) -> int:
        return len(await sessions.unrevoked(self.person.id, 100))


@pytest.fixture
async def ada(postgres: str) -> AsyncIterator[Leaver]:
    settings = Settings(database_url=postgres, database_pool_size=3, session_key=KEY.decode())
    async with engine.pool(settings):
        yield Leaver(await make_person("ada"), settings)


async def test_a_token_that_cannot_be_revoked_keeps_no_other(ada: Leaver) -> None:
    first, *others = await ada.had(6)
    ada.provider.stuck = {first}
    assert await ada.attempt() == [first, *others]
    assert await ada.left() == 1
    # It is tried again, and what comes meanwhile comes before it.
    new = await ada.had(1)
    assert await ada.attempt() == [*new, first]
    ada.provider.stuck.clear()
    assert await ada.attempt() == [first]
    assert await ada.attempt() == []


async def test_a_provider_that_is_away_is_asked_a_few_times_and_next_for_others(ada: Leaver) -> None:
    tokens = await ada.had(8)
    ada.provider.away = True
    asked = [await ada.attempt() for _ in range(3)]
    assert asked == [tokens[:3], tokens[3:6], [*tokens[6:], tokens[0]]]
    assert await ada.left() == 8


async def test_however_many_there_are_they_are_read_in_pages(ada: Leaver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations, "_PAGE", 3)
    tokens = await ada.had(8)
    assert await ada.attempt() == tokens
    assert await ada.left() == 0


async def test_tokens_of_sessions_that_are_older_than_their_hashes_are_revoked_too(ada: Leaver) -> None:
    tokens = await ada.had(2)
    await row("UPDATE session SET refresh_token_hash = NULL WHERE person = :person", person=ada.person.id)
    assert sorted(await ada.attempt()) == sorted(tokens)
    assert await ada.left() == 0
