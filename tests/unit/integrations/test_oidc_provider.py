"""How the client gets on with a provider: its keys, its troubles, its addresses."""

import asyncio
import time
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey

from integrations.oidc import OidcClient, TokenAnswer, Undecided
from models.domain.errors import (
    ActionForbidden,
    IdentityUnknown,
    ProviderUnavailable,
    RequestMalformed,
    StateConflict,
)
from tests.unit.integrations.fake_provider import (
    CLIENT,
    ISSUER,
    KEYS,
    FakeProvider,
    access_claims,
    metadata,
    sign,
    token,
)

DISCOVERY = "/.well-known/openid-configuration"


class Clock:
    """The time that the client goes by."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return time.time()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("integrations.oidc.time", clock)
    return clock


def of_unknown_key(kid: str) -> str:
    return token(access_claims(), kid=kid)


async def test_many_at_once_ask_for_the_keys_once(provider: FakeProvider, oidc: OidcClient) -> None:
    provider.slow = 0.05
    await asyncio.gather(*(oidc.read_access_token(token(access_claims())) for _ in range(50)))
    assert provider.asked.count("/keys") == 1


async def test_ten_thousand_unknown_keys_ask_once_a_minute(
    provider: FakeProvider, oidc: OidcClient, clock: Clock
) -> None:
    await oidc.read_access_token(token(access_claims()))
    header_and_rest = [of_unknown_key(f"k{number}") for number in range(50)]
    for _ in range(3):
        clock.now += 61
        for forged in header_and_rest:
            with pytest.raises(IdentityUnknown):
                await oidc.read_access_token(forged)
    assert provider.asked.count("/keys") == 4


async def test_a_new_key_is_found_and_an_old_one_forgotten(
    provider: FakeProvider, oidc: OidcClient, clock: Clock
) -> None:
    await oidc.read_access_token(token(access_claims()))
    fresh = RSAKey.generate_key(2048, {"kid": "next"})
    provider.published = [fresh]
    clock.now += 61
    body = httpx.Response(200, json=access_claims()).content
    assert await oidc.read_access_token(sign(body, fresh, alg="RS256", kid="next"))
    with pytest.raises(IdentityUnknown):
        await oidc.read_access_token(token(access_claims()))


async def test_old_keys_serve_while_the_provider_is_away(
    provider: FakeProvider, oidc: OidcClient, clock: Clock
) -> None:
    await oidc.read_access_token(token(access_claims()))
    for trouble in (
        httpx.Response(500),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"keys": []}),
        httpx.Response(200, json={"error": "x"}),
        httpx.Response(302, headers={"location": f"{ISSUER}/keys"}),
        httpx.Response(429),
    ):
        provider.answers["/keys"] = trouble
        clock.now += 601
        assert await oidc.read_access_token(token(access_claims()))
    asked = len(provider.asked)
    assert await oidc.read_access_token(token(access_claims()))
    assert len(provider.asked) == asked


async def test_a_key_of_an_unknown_kind_costs_no_other(provider: FakeProvider, oidc: OidcClient) -> None:
    good = KEYS["RS256"].as_dict(private=False)
    strange = [
        {"kty": "AKP", "kid": "pq", "alg": "ML-DSA-65", "pub": "AA"},
        {"kty": "OKP", "kid": "odd", "crv": "Curve99", "x": "AA"},
        {"kty": "EC", "kid": "broken"},
        {"kty": "oct", "kid": "rsa", "k": "c2VjcmV0"},
        {**good, "use": "enc", "kid": "for-encryption"},
    ]
    provider.says("/keys", {"keys": [*strange, good]})
    assert await oidc.read_access_token(token(access_claims()))
    with pytest.raises(IdentityUnknown):
        await oidc.read_access_token(of_unknown_key("for-encryption"))


async def test_without_any_key_nobody_waits_for_all_the_others(
    provider: FakeProvider, oidc: OidcClient, clock: Clock
) -> None:
    provider.answers["/keys"] = httpx.Response(503)
    for _ in range(20):
        with pytest.raises(ProviderUnavailable):
            await oidc.read_access_token(token(access_claims()))
    assert provider.asked.count("/keys") == 1
    del provider.answers["/keys"]
    clock.now += 3
    assert await oidc.read_access_token(token(access_claims()))


async def test_a_provider_that_is_away_or_another_is_said_to_be(provider: FakeProvider, oidc: OidcClient) -> None:
    for trouble in (
        httpx.Response(500),
        httpx.Response(404),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=metadata(issuer="https://other.example.org")),
        httpx.Response(302, headers={"location": "https://other.example.org"}),
    ):
        provider.answers[DISCOVERY] = trouble
        with pytest.raises(ProviderUnavailable):
            await oidc.begin("https://hub.example.org/cb")
    provider.down = True
    with pytest.raises(ProviderUnavailable):
        await oidc.begin("https://hub.example.org/cb")


async def test_what_was_discovered_is_looked_at_again(provider: FakeProvider, oidc: OidcClient, clock: Clock) -> None:
    await oidc.begin("https://hub.example.org/cb")
    provider.says(DISCOVERY, metadata(authorization_endpoint=f"{ISSUER}/moved"))
    assert urlsplit((await oidc.begin("https://hub.example.org/cb")).url).path == "/realm/authorize"
    clock.now += 3601
    assert urlsplit((await oidc.begin("https://hub.example.org/cb")).url).path == "/realm/moved"
    provider.down = True
    clock.now += 3601
    assert urlsplit((await oidc.begin("https://hub.example.org/cb")).url).path == "/realm/moved"


async def test_a_sign_in_begins_with_everything_that_ties_it_down(oidc: OidcClient) -> None:
    login, other = await oidc.begin("https://hub.example.org/cb?a=b&c"), await oidc.begin("https://hub.example.org/cb")
    query = parse_qs(urlsplit(login.url).query)
    assert query["redirect_uri"] == ["https://hub.example.org/cb?a=b&c"]
    assert query["code_challenge_method"] == ["S256"]
    assert query["code_challenge"] != [login.code_verifier]
    assert (query["state"], query["nonce"], query["client_id"]) == ([login.state], [login.nonce], [CLIENT])
    assert not {login.state, login.nonce, login.code_verifier} & {other.state, other.nonce, other.code_verifier}
    assert 43 <= len(login.code_verifier) <= 128


async def test_what_the_token_endpoint_refuses(provider: FakeProvider, oidc: OidcClient) -> None:
    provider.says("/token", {"error": "invalid_grant"}, 400)
    with pytest.raises(RequestMalformed):
        await oidc.exchange("code", "https://hub.example.org/cb", "verifier")
    with pytest.raises(IdentityUnknown):
        await oidc.refresh("token", known=True)
    for status in (429, 500, 502):
        provider.says("/token", {}, status)
        with pytest.raises(ProviderUnavailable):
            await oidc.exchange("code", "https://hub.example.org/cb", "verifier")
        # Nobody is signed out because the provider has too much to do.
        with pytest.raises(ProviderUnavailable):
            await oidc.refresh("token", known=True)
    provider.says("/token", {"token_type": "Bearer"})
    with pytest.raises(ProviderUnavailable):
        await oidc.refresh("token", known=True)


CODES = {
    "device_code": "d",
    "user_code": "BCDF-GHJK",
    "verification_uri": f"{ISSUER}/device",
    # As a text: some write numbers so.
    "expires_in": "1800",
}


async def test_a_sign_in_by_a_code_begins_with_a_verifier_of_its_own(provider: FakeProvider) -> None:
    provider.says(DISCOVERY, metadata(device_authorization_endpoint=f"{ISSUER}/device/begin"))
    provider.says("/device/begin", CODES)
    oidc = provider.client()
    login, other = await oidc.begin_on_device(), await oidc.begin_on_device()
    assert (login.code.user_code, login.code.expires_in, login.code.interval) == ("BCDF-GHJK", 1800, 5)
    assert login.code.verification_uri_complete is None
    assert login.code_verifier != other.code_verifier
    await oidc.close()


async def test_a_provider_or_a_client_without_codes_is_told_from_one_that_is_away(provider: FakeProvider) -> None:
    oidc = provider.client()
    with pytest.raises(StateConflict) as refused:
        await oidc.begin_on_device()
    assert refused.value.code == "DEVICE_CODES_UNAVAILABLE"
    await oidc.close()
    provider.says(DISCOVERY, metadata(device_authorization_endpoint=f"{ISSUER}/device/begin"))
    oidc = provider.client()
    provider.says("/device/begin", {"error": "unauthorized_client"}, 400)
    with pytest.raises(StateConflict):
        await oidc.begin_on_device()
    provider.says("/device/begin", {}, 503)
    with pytest.raises(ProviderUnavailable):
        await oidc.begin_on_device()
    provider.says("/device/begin", CODES)
    assert (await oidc.begin_on_device()).code.device_code == "d"
    await oidc.close()


async def test_what_a_provider_says_of_a_code_that_was_typed_or_not(provider: FakeProvider, oidc: OidcClient) -> None:
    async def said(error: str, status: int = 400) -> object:
        provider.says("/token", {"error": error}, status)
        return await oidc.exchange_device_code("d", "verifier")

    assert await said("authorization_pending") == Undecided(slower=False)
    assert await said("authorization_pending", 428) == Undecided(slower=False)
    assert await said("slow_down") == Undecided(slower=True)
    with pytest.raises(ActionForbidden) as denied:
        await said("access_denied")
    assert denied.value.code == "SIGN_IN_DENIED"
    for error in ("expired_token", "invalid_grant", "unauthorized_client", ""):
        with pytest.raises(RequestMalformed):
            await said(error)
    with pytest.raises(ProviderUnavailable):
        await said("authorization_pending", 502)
    provider.says("/token", {"access_token": "a", "token_type": "Bearer", "id_token": "i"})
    found = await oidc.exchange_device_code("d", "verifier")
    assert isinstance(found, TokenAnswer)
    assert found.access_token == "a"


@pytest.mark.parametrize(
    ("said", "lifetime"),
    [(3599, 3599), ("3599", 3599), (None, 300), ("NaN", 300), (-5, 0), (1e300, 366 * 86_400), (0.5, 0.5)],
)
async def test_a_lifetime_is_read_whatever_it_is_written_as(
    provider: FakeProvider, oidc: OidcClient, said: object, lifetime: float
) -> None:
    provider.says("/token", {"access_token": "a", "token_type": "Bearer", "expires_in": said})
    assert (await oidc.refresh("token")).lifetime == lifetime


async def test_the_logout_address(provider: FakeProvider, oidc: OidcClient) -> None:
    parts = urlsplit(await oidc.logout_url("id.to.ken", "https://hub.example.org/?a&b"))
    assert parse_qs(parts.query) == {
        "tenant": ["1"],
        "id_token_hint": ["id.to.ken"],
        "client_id": [CLIENT],
        "post_logout_redirect_uri": ["https://hub.example.org/?a&b"],
    }
    fresh = provider.client()
    provider.says(DISCOVERY, metadata(end_session_endpoint=None))
    assert await fresh.logout_url("id.to.ken", "https://hub.example.org/") == "https://hub.example.org/"
    await fresh.close()


async def test_roles_that_are_only_in_the_access_token_or_userinfo(provider: FakeProvider, oidc: OidcClient) -> None:
    provider.says("/userinfo", {"sub": "s-1", "email": "alice@example.org", "orgs": ["biology"]})
    keycloak = token(access_claims(email=..., realm_access={"roles": ["nbhub-admin"]}))
    found = await oidc.read_more(keycloak, "s-1")
    assert (found["email"], found["realm_access"]) == ("alice@example.org", {"roles": ["nbhub-admin"]})
    assert "realm_access" not in await oidc.read_more(token(access_claims(sub="s-2", realm_access={})), "s-1")
    assert (await oidc.read_more("opaque", "s-1"))["orgs"] == ["biology"]
