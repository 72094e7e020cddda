"""A sign-out is final everywhere, whoever is away or dies meanwhile."""

import asyncpg
import httpx
import pytest

from stack import sign_in
from tests.e2e.people import Json, Member, until
from tests.stacks import Stack

CAROL = "carol@example.org"


class SignedIn:
    """Somebody who has tokens, the API and the provider, as they see them."""

    def __init__(self, stack: Stack, tokens: Json, client: httpx.AsyncClient) -> None:
        self._stack, self._tokens, self._client = stack, tokens, client

    async def sign_out(self) -> None:
        answer = await self._client.post(
            f"{self._stack.info.api}/auth/logout", json={"id_token": self._tokens["id_token"]}
        )
        assert answer.status_code == 200, answer.text

    async def is_out(self) -> bool:
        """Whether neither token is good any more at the API."""
        who = await self._client.get(
            f"{self._stack.info.api}/whoami", headers={"Authorization": f"Bearer {self._tokens['access_token']}"}
        )
        refreshed = await self._client.post(
            f"{self._stack.info.api}/auth/refresh", json={"refresh_token": self._tokens["refresh_token"]}
        )
        return (who.status_code, refreshed.status_code) == (401, 401)

    async def is_known_to_the_provider(self) -> bool:
        """Whether the refresh token is good at the provider, as that says itself."""
        answer = await self._client.post(
            f"{self._stack.info.issuer}/token/introspection",
            data={"token": self._tokens["refresh_token"]},
            auth=("notebooks-hub", self._stack.secrets.api_client_secret),
        )
        active: bool = answer.raise_for_status().json()["active"]
        return active

    async def is_revoked(self) -> None:
        """Returns once the provider has forgotten the refresh token."""
        await until(self.is_known_to_the_provider, lambda known: not known, within=60, what="the token is revoked")

    async def last_sign_out(self, who: Member) -> Json:
        """The operation of the last sign-out that somebody may see."""
        found = await who.call("GET", "/operations", params={"kind": "person.sign_out", "limit": 1})
        operation: Json = found[0]
        return operation


async def signed_in(stack: Stack, client: httpx.AsyncClient) -> SignedIn:
    found = SignedIn(stack, await sign_in.tokens(stack.info.api, CAROL), client)
    assert await found.is_known_to_the_provider()
    return found


async def test_a_sign_out_has_the_provider_forget_the_token_at_once(stack: Stack, admin: Member) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        carol = await signed_in(stack, client)
        await carol.sign_out()
        assert await carol.is_out()
        await carol.is_revoked()
        operation = await admin.succeeded(await carol.last_sign_out(admin))
        assert (operation["actor"], operation["subject_kind"]) == (CAROL, "sign-out")
        # Nothing is left to be ended.
        await carol.sign_out()
        assert (await carol.last_sign_out(admin))["_id"] == operation["_id"]


@pytest.mark.parametrize("victim", ["worker", "api"])
async def test_a_sign_out_is_final_although_the_provider_is_away(stack: Stack, admin: Member, victim: str) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        carol = await signed_in(stack, client)
        stack.freeze("oidc")
        try:
            await carol.sign_out()
            assert await carol.is_out()
            operation = await carol.last_sign_out(admin)

            async def troubles() -> list[str]:
                seen = await admin.call("GET", f"/operations/{operation['_id']}")
                return [step["detail"] for step in seen["steps"] if "detail" in step]

            said = await until(troubles, bool, within=60, what="the provider is missed")
            assert "provider does not answer" in said[0]
            stack.kill(victim)
            await stack.start_part(victim)
            assert await carol.is_out()
        finally:
            stack.thaw("oidc")
        await carol.is_revoked()
        await admin.succeeded(operation)
        # Of what is kept nothing can be turned into the token again.
        database = await asyncpg.connect(stack.info.database)
        try:
            left = "SELECT 1 FROM session WHERE id_token_hash IS NULL AND refresh_token_encrypted IS NOT NULL"
            assert await database.fetch(left) == []
        finally:
            await database.close()
