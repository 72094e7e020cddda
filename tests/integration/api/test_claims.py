"""What other providers write, from a real one: verified as a text, organisations as objects, signed userinfo.

Each is seen by both ways: the API's own sign-in, and JupyterHub's, which brings the access token to the API.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.access import principals
from models.database.engine import pool
from models.database.sql import row, rows
from models.domain.settings import Settings
from models.ledger import audit
from models.records import persons
from tests.integration.api.running_provider import Place, Provider, place

UNVERIFIED: dict[str, Any] = {
    "alice@example.org": "false",
    "bob@example.org": "no",
    "carol@example.org": 0,
    "dave@elsewhere.org": "False",
}


@pytest.fixture(params=["opaque", "jwt"])
async def told(request: pytest.FixtureRequest, postgres: str, modules: Path) -> AsyncIterator[Any]:
    """A place whose provider has what a test tells it."""
    directory = Path(tempfile.mkdtemp(prefix="nbhub-oidc-"))
    providers: list[Provider] = []

    async def start(claims: dict[str, dict[str, Any]], **client: str) -> Provider:
        provider = Provider(directory, modules, request.param, claims=claims, **client)
        providers.append(provider)
        await provider.start()
        return provider

    async with pool(Settings(database_url=postgres, database_pool_size=8)):
        for table in ("session", "login_transaction", "person_org", "person"):
            await row(f'DELETE FROM "{table}"')  # noqa: S608 - a constant
        yield start
    for provider in providers:
        provider.stop()
    shutil.rmtree(directory)


async def sign_in(hub: Place, email: str) -> httpx.Response:
    """What the API answers to somebody who signs in."""
    async with hub.browser() as browser:
        landed = await browser.land(await browser.begin(), email)
        return await browser.exchange(code=landed["code"], state=landed["state"])


async def sign_in_to_jupyterhub(hub: Place, email: str) -> httpx.Response:
    """What the API tells JupyterHub of somebody who signs in there."""
    return await hub.whoami((await hub.provider.tokens_of("jupyterhub", email))["access_token"])


Way = Callable[[Place, str], Awaitable[httpx.Response]]
WAYS: tuple[Way, ...] = (sign_in, sign_in_to_jupyterhub)


async def release(hub: Place, email: str) -> int:
    """How a token of somebody is answered where only admins may go: 404 to an admin, nobody has the address."""
    token = (await hub.provider.tokens_of("jupyterhub", email))["access_token"]
    async with hub.browser() as browser:
        answer = await browser.api.post(
            "/persons/release", params={"email": "nobody@example.org"}, headers={"Authorization": f"Bearer {token}"}
        )
    return answer.status_code


async def orgs_of(email: str) -> set[str]:
    """The organisations that work in the background knows of."""
    found = await rows("SELECT org FROM person_org WHERE person = :person", person=await persons.find_by_email(email))
    return {one["org"] for one in found}


async def test_an_email_that_is_called_unverified_in_any_way_signs_nobody_in(told: Any, postgres: str) -> None:
    provider = await told(
        {email: {"email_verified": word} for email, word in UNVERIFIED.items()}
        | {"admin@example.org": {"email_verified": "true"}}
    )
    async with place(postgres, provider) as hub:
        for email in UNVERIFIED:
            for answer in (await sign_in(hub, email), await sign_in_to_jupyterhub(hub, email)):
                assert answer.status_code == 403, (email, answer.text)
                assert "not verified" in answer.json()["error"]["message"]
            assert await persons.find_by_email(email) is None
        assert (await sign_in(hub, "admin@example.org")).status_code == 200
        assert (await sign_in_to_jupyterhub(hub, "admin@example.org")).json() == "admin@example.org"


async def test_an_issuer_that_does_not_say_whether_it_is_verified_needs_a_setting_of_its_own(
    told: Any, postgres: str
) -> None:
    provider = await told({"alice@example.org": {"email_verified": None}})
    for others in ((), (f"{provider.issuer}/", "https://other.example.org")):
        async with place(postgres, provider, oidc_unverified_issuers=others) as strict:
            for way in WAYS:
                answer = await way(strict, "alice@example.org")
                assert answer.status_code == 403, answer.text
                assert "does not say" in answer.json()["error"]["message"]
                assert (await way(strict, "bob@example.org")).status_code == 200
    assert await persons.find_by_email("alice@example.org") is None
    async with place(postgres, provider, oidc_unverified_issuers=(provider.issuer,)) as hub:
        for way in WAYS:
            assert (await way(hub, "alice@example.org")).status_code == 200


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("client", [{}, {"userinfo_signed_response_alg": "RS256"}])
async def test_an_address_that_nobody_calls_verified_gives_nothing_by_itself(
    told: Any, postgres: str, way: Way, client: dict[str, str]
) -> None:
    unsaid = {"email_verified": None}
    provider = await told(
        {"alice@example.org": unsaid, "dave@elsewhere.org": unsaid, "carol@example.org": unsaid}, **client
    )
    listed = ("alice@example.org", "bob@example.org")
    async with place(
        postgres,
        provider,
        oidc_unverified_issuers=(provider.issuer,),
        admin_emails=listed,
        org_domains=("elsewhere.org",),
    ) as hub:
        # Not the rights of an admin whose address it is, nor membership of the address's domain; claims still count.
        assert (await way(hub, "alice@example.org")).status_code == 200
        assert await release(hub, "alice@example.org") == 403
        assert (await way(hub, "bob@example.org")).status_code == 200
        assert await release(hub, "bob@example.org") == 404
        assert await orgs_of("alice@example.org") == {"biology"}
        assert (await way(hub, "dave@elsewhere.org")).status_code == 200
        assert "elsewhere.org" not in await orgs_of("dave@elsewhere.org")
        # Nor what was shared with the address before.
        await principals.invite(["carol@example.org", "admin@example.org"])
        refused = await way(hub, "carol@example.org")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "EMAIL_INVITED")
        assert await persons.find_by_email("carol@example.org") is None
        invited = await row("SELECT id FROM person WHERE email = 'admin@example.org'")
        assert (await way(hub, "admin@example.org")).status_code == 200
        assert invited == {"id": await persons.find_by_email("admin@example.org")}


async def test_organisations_that_are_objects_are_read(told: Any, postgres: str) -> None:
    provider = await told(
        {
            "alice@example.org": {"orgs": {"acme": {"id": "1"}, "lab": {}}},
            "bob@example.org": {"orgs": [{"acme": {"id": "1"}}, "biology"]},
            "carol@example.org": {"orgs": [{"id": "1", "name": "acme"}]},
        }
    )
    async with place(postgres, provider) as hub:
        for email, orgs in (
            ("alice@example.org", {"acme", "lab"}),
            ("bob@example.org", {"acme", "biology"}),
            ("carol@example.org", {"acme"}),
        ):
            assert (await sign_in(hub, email)).status_code == 200
            assert await orgs_of(email) == orgs
            assert (await sign_in_to_jupyterhub(hub, email)).status_code == 200
            assert await orgs_of(email) == orgs


async def test_organisations_that_cannot_be_read_are_said_so(told: Any, postgres: str) -> None:
    provider = await told({"alice@example.org": {"orgs": [{"id": "1"}]}, "bob@example.org": {"orgs": []}})
    async with place(postgres, provider) as hub:
        for answer in (
            await sign_in(hub, "alice@example.org"),
            await sign_in_to_jupyterhub(hub, "alice@example.org"),
        ):
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (403, "CLAIM_UNREADABLE")
            assert "`orgs`" in error["message"]
            denied, *_ = await audit.list_rows(action=audit.DENIED, limit=2)
            assert (denied.detail or {})["code"] == "CLAIM_UNREADABLE"
        assert (await sign_in(hub, "bob@example.org")).status_code == 200


async def test_signed_userinfo_is_read(told: Any, postgres: str) -> None:
    provider = await told({"bob@example.org": {"email_verified": "false"}}, userinfo_signed_response_alg="RS256")
    async with place(postgres, provider) as hub:
        answer = await sign_in_to_jupyterhub(hub, "alice@example.org")
        assert (answer.status_code, answer.json()) == (200, "alice@example.org")
        assert await orgs_of("alice@example.org") == {"biology"}
        assert (await sign_in_to_jupyterhub(hub, "bob@example.org")).status_code == 403
