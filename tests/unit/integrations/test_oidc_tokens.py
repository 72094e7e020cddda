"""Which tokens are believed: every check has a token that only it refuses."""

import base64
import hmac
import time
from datetime import timedelta
from typing import Any, cast

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import RSAKey

from integrations.oidc import KEYS_SECONDS, LARGEST_TOKEN, OidcClient, has_email
from models.domain.errors import ActionForbidden, IdentityUnknown
from tests.unit.integrations.fake_provider import (
    CLIENT,
    ISSUER,
    KEYS,
    STRANGER,
    FakeProvider,
    access_claims,
    id_claims,
    sign,
    token,
)

NOW = int(time.time())
PUBLIC_PEM = cast(RSAKey, KEYS["RS256"]).as_pem(private=False)


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def unsigned(algorithm: str, signature: str = "") -> str:
    header = encoded(msgspec.json.encode({"alg": algorithm, "kid": "rsa"}))
    return f"{header}.{encoded(msgspec.json.encode(access_claims()))}.{signature}"


def by_hand(header: bytes) -> str:
    """A token that our key really signed, with a header that no library would write."""
    signed = f"{encoded(header)}.{encoded(msgspec.json.encode(access_claims()))}"
    key = cast(RSAPrivateKey, KEYS["RS256"].private_key)
    return f"{signed}.{encoded(key.sign(signed.encode(), PKCS1v15(), SHA256()))}"


def by_secret(secret: bytes) -> str:
    """A token signed as HS256, which no library does with a public key."""
    header = encoded(b'{"alg":"HS256","kid":"rsa"}')
    signed = f"{header}.{encoded(msgspec.json.encode(access_claims()))}"
    return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"


def with_payload(payload: bytes) -> str:
    return sign(payload, KEYS["RS256"], alg="RS256", kid="rsa")


def with_text(**values: str) -> str:
    """A payload with values that are written as given."""
    fields = {name: msgspec.json.encode(value).decode() for name, value in access_claims().items()} | values
    return with_payload(("{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}").encode())


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
async def test_good_tokens_are_believed(oidc: OidcClient, alg: str) -> None:
    good = token(access_claims(), alg=alg)
    assert at_hand(oidc, good) is None, "the keys were not asked for yet"
    assert (await oidc.read_id_token(token(id_claims(), alg=alg), nonce="n"))["sub"] == "s-1"
    assert (await oidc.read_access_token(good))["email"] == "alice@example.org"
    assert at_hand(oidc, good) == await oidc.read_access_token(good)


def at_hand(oidc: OidcClient, token: str) -> dict[str, Any] | None:
    """What is known of a token without asking anybody."""
    return oidc.read_at_hand(token, says_all=has_email)


async def test_what_is_at_hand_says_all_and_is_of_keys_that_are_known_and_not_old(
    provider: FakeProvider, oidc: OidcClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = token(access_claims())
    await oidc.read_access_token(good)
    asked = len(provider.asked)
    assert at_hand(oidc, good)
    for other in (token(access_claims(email=...)), token(access_claims(), kid="another"), "opaque"):
        assert at_hand(oidc, other) is None
    later = time.monotonic() + KEYS_SECONDS + 1
    monkeypatch.setattr("integrations.oidc.time.monotonic", lambda: later)
    assert at_hand(oidc, good) is None
    assert len(provider.asked) == asked


FORGED = {
    "alg none": unsigned("none"),
    "alg None": unsigned("None"),
    "alg nOnE": unsigned("nOnE"),
    "alg none with a signature": unsigned("none", "AAAA"),
    "alg empty": unsigned(""),
    "no signature": token(access_claims()).rpartition(".")[0] + ".",
    "a secret made of the public key": by_secret(PUBLIC_PEM),
    "a secret made of the client's": by_secret(b"secret"),
    "another's key of our key's id": sign(msgspec.json.encode(access_claims()), STRANGER, alg="RS256", kid="rsa"),
    "a key inside the header": sign(
        msgspec.json.encode(access_claims()),
        STRANGER,
        alg="RS256",
        kid="rsa",
        jwk=STRANGER.as_dict(private=False),
    ),
    "keys at the sender's address": sign(
        msgspec.json.encode(access_claims()), STRANGER, alg="RS256", kid="x", jku="https://evil.example/keys"
    ),
    "a key id that is a path": sign(msgspec.json.encode(access_claims()), STRANGER, alg="RS256", kid="../../dev/null"),
    "a key id that is SQL": sign(msgspec.json.encode(access_claims()), STRANGER, alg="RS256", kid="' OR 1=1 --"),
    "a key of another kind": token(access_claims(), kid="ec"),
    "another algorithm of our key": sign(msgspec.json.encode(access_claims()), KEYS["RS256"], alg="PS256", kid="rsa"),
    "an unknown crit": by_hand(b'{"alg":"RS256","kid":"rsa","crit":["x"],"x":1}'),
    "the key's own name twice": by_hand(b'{"alg":"none","kid":"rsa","alg":"RS256","crit":[]}'),
    "a changed payload": ".".join(
        (
            token(access_claims()).split(".")[0],
            encoded(msgspec.json.encode(access_claims(sub="admin"))),
            token(access_claims()).split(".")[2],
        )
    ),
    "a header that is no object": f"{encoded(b'[]')}.{encoded(b'{}')}.AAAA",
    "a header that is no JSON": f"{encoded(b'{')}.{encoded(b'{}')}.AAAA",
    "no base64": "a.%%.b",
    "a huge header": f"{'A' * 1_000_000}.e30.AAAA",
    "two dots": "..",
}


async def test_a_token_by_hand_is_as_good_as_another(oidc: OidcClient) -> None:
    assert await oidc.read_access_token(by_hand(b'{"alg":"RS256","kid":"rsa"}'))


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
async def test_what_the_provider_did_not_sign_is_refused(oidc: OidcClient, forged: str) -> None:
    with pytest.raises(IdentityUnknown):
        await oidc.read_access_token(forged)
    with pytest.raises(IdentityUnknown):
        await oidc.read_id_token(forged, nonce=None)
    with pytest.raises(IdentityUnknown):
        await oidc.read_logout_hint(forged)
    await oidc.read_access_token(token(access_claims()))
    assert at_hand(oidc, forged) is None


BAD_ACCESS: dict[str, str] = {
    "expired": token(access_claims(exp=NOW - 31)),
    "no expiry": token(access_claims(exp=...)),
    "exp true": token(access_claims(exp=True)),
    "exp a text": token(access_claims(exp="9999999999")),
    "exp null": token(access_claims(exp=None)),
    "exp negative": token(access_claims(exp=-1)),
    "exp NaN": with_text(exp="NaN"),
    "exp 1e400": with_text(exp="1e400"),
    "not yet": token(access_claims(nbf=NOW + 600)),
    "of the future": token(access_claims(iat=NOW + 600)),
    "another issuer": token(access_claims(iss="https://other.example.org")),
    "our issuer with a slash": token(access_claims(iss=ISSUER + "/")),
    "no issuer": token(access_claims(iss=...)),
    "nobody": token(access_claims(sub=...)),
    "an empty subject": token(access_claims(sub="")),
    "a subject that is a number": token(access_claims(sub=1)),
    "another audience": token(access_claims(aud="other", azp=...)),
    "no audience": token(access_claims(aud=..., azp=...)),
    "another client": token(access_claims(azp="evil")),
    "another client beside us": token(access_claims(aud=["hub-api", "evil"], azp="evil")),
    "a client that is no text": token(access_claims(azp=["evil"])),
    "another client, and null by its first name": token(access_claims(azp=None, client_id="evil")),
    "another client by its other name": token(access_claims(azp=..., client_id="evil")),
    "an id token": token(id_claims()),
    "an id token without nonce": token(id_claims(nonce=...)),
    "an id token of a refresh": token(id_claims(nonce=..., azp=CLIENT, at_hash="x")),
    "Keycloak's id token": token(id_claims(nonce=..., azp=CLIENT, typ="ID")),
    "Keycloak's refresh token": token(access_claims(typ="Refresh")),
    "a logout token": token(access_claims(), typ="logout+jwt"),
    "an encrypted one": "a.b.c.d.e",
    "a payload that is no object": with_payload(b"[]"),
    "a payload that is no JSON": with_payload(b"{"),
}


@pytest.mark.parametrize("bad", BAD_ACCESS.values(), ids=BAD_ACCESS.keys())
async def test_access_tokens_that_are_not_for_us_are_refused(oidc: OidcClient, bad: str) -> None:
    with pytest.raises(IdentityUnknown):
        await oidc.read_access_token(bad)
    await oidc.read_access_token(token(access_claims()))
    assert at_hand(oidc, bad) is None


# Times as seconds from the moment of the test, which may be long after this file was read.
GOOD_ACCESS: dict[str, dict[str, Any]] = {
    "just expired": {"exp": timedelta(seconds=-10)},
    "a clock that is ahead": {"iat": timedelta(seconds=20), "nbf": timedelta(seconds=20)},
    "our audience among others": {"aud": ["account", "hub-api"], "azp": ...},
    "of a trusted client": {"aud": "account", "azp": "jupyterhub"},
    "of a trusted client by RFC 9068": {"aud": "account", "azp": ..., "client_id": "jupyterhub"},
}


@pytest.mark.parametrize("changes", GOOD_ACCESS.values(), ids=GOOD_ACCESS.keys())
async def test_access_tokens_that_are_for_us_are_believed(oidc: OidcClient, changes: dict[str, Any]) -> None:
    now = int(time.time())
    claims = {
        name: now + int(value.total_seconds()) if isinstance(value, timedelta) else value
        for name, value in changes.items()
    }
    assert (await oidc.read_access_token(token(access_claims(**claims))))["sub"] == "s-1"


BAD_ID: dict[str, dict[str, Any]] = {
    "expired": {"exp": NOW - 31},
    "no expiry": {"exp": ...},
    "exp true": {"exp": True},
    "no time of issue": {"iat": ...},
    "another audience, we only its azp": {"aud": "other", "azp": CLIENT},
    "no audience": {"aud": ...},
    "several audiences and no azp": {"aud": [CLIENT, "other"]},
    "several audiences and another azp": {"aud": [CLIENT, "other"], "azp": "other"},
    "our audience and another azp": {"azp": "other"},
    "another nonce": {"nonce": "m"},
    "no nonce": {"nonce": ...},
    "no nonce, and it says that there is none": {"nonce": ..., "nonce_supported": False},
    "another issuer": {"iss": "https://other.example.org"},
    "an access token's audience": {"aud": "hub-api"},
}


@pytest.mark.parametrize("changes", BAD_ID.values(), ids=BAD_ID.keys())
async def test_id_tokens_of_another_sign_in_are_refused(oidc: OidcClient, changes: dict[str, Any]) -> None:
    with pytest.raises(IdentityUnknown):
        await oidc.read_id_token(token(id_claims(**changes)), nonce="n")


@pytest.mark.parametrize("claims", [id_claims(typ="Bearer"), id_claims(typ="Refresh")])
async def test_other_tokens_that_name_us_are_no_id_tokens(oidc: OidcClient, claims: dict[str, Any]) -> None:
    for other in (token(claims), token(id_claims(), typ="at+jwt"), token(id_claims(), typ="logout+jwt")):
        with pytest.raises(IdentityUnknown):
            await oidc.read_id_token(other, nonce="n")
        with pytest.raises(IdentityUnknown):
            await oidc.read_logout_hint(other)
    assert await oidc.read_id_token(token(id_claims(typ="ID"), typ="JWT"), nonce="n")


async def test_an_expired_id_token_is_good_for_a_logout(oidc: OidcClient) -> None:
    assert (await oidc.read_logout_hint(token(id_claims(exp=NOW - 90_000))))["sub"] == "s-1"
    with pytest.raises(IdentityUnknown):
        await oidc.read_logout_hint(token(id_claims(aud="other")))


async def test_no_refusal_quotes_the_token(oidc: OidcClient) -> None:
    secret = token(access_claims(azp="evil"))
    with pytest.raises(IdentityUnknown) as refused:
        await oidc.read_access_token(secret)
    assert secret[:20] not in refused.value.message + refused.value.hint
    assert refused.value.__cause__ is None


async def test_an_opaque_token_needs_introspection_and_a_person(provider: FakeProvider, oidc: OidcClient) -> None:
    active = {
        "active": True,
        "client_id": "jupyterhub",
        "sub": "s-1",
        "exp": int(time.time()) + 60,
        "token_type": "Bearer",
    }
    info = {"sub": "s-1", "email": "alice@example.org", "orgs": ["biology"]}
    provider.says("/introspect", active)
    provider.says("/userinfo", info)
    found = await oidc.read_access_token("opaque")
    assert (found["email"], found["orgs"], found["client_id"]) == ("alice@example.org", ["biology"], "jupyterhub")
    for answer in (
        {"active": False},
        {**active, "active": "true"},
        {**active, "client_id": "evil"},
        {**active, "client_id": None},
        {**active, "client_id": ["jupyterhub"]},
        {**active, "iss": "https://other.example.org"},
        {**active, "token_use": "refresh_token"},
        {**active, "sub": None},
        {},
    ):
        provider.says("/introspect", answer)
        with pytest.raises(IdentityUnknown):
            await oidc.read_access_token(str(answer))
    provider.says("/introspect", active)
    for status, body in ((200, {**info, "sub": "s-2"}), (401, {}), (403, {})):
        provider.says("/userinfo", body, status)
        with pytest.raises(IdentityUnknown):
            await oidc.read_access_token(f"opaque {status}")


async def test_a_refresh_token_is_no_access_token(provider: FakeProvider, oidc: OidcClient) -> None:
    # Introspection calls it active, and only an access token has a type (RFC 7662).
    provider.says("/introspect", {"active": True, "client_id": CLIENT, "sub": "s-1", "email": "alice@example.org"})
    provider.says("/userinfo", {"error": "invalid_token"}, 401)
    with pytest.raises(IdentityUnknown):
        await oidc.read_access_token("opaque-refresh-token")


async def test_a_long_token_is_refused_without_asking(provider: FakeProvider, oidc: OidcClient) -> None:
    with pytest.raises(IdentityUnknown):
        await oidc.read_access_token("x" * (LARGEST_TOKEN + 1))
    assert provider.asked == []


def userinfo(provider: FakeProvider, text: str) -> None:
    """Have userinfo answered as a JWT."""
    provider.answers["/userinfo"] = httpx.Response(200, text=text, headers={"content-type": "application/jwt"})


SIGNED: dict[str, dict[str, Any]] = {
    "for us": {},
    "for a client that we trust": {"aud": ["jupyterhub"]},
    "for whoever has the access token": {"aud": ...},
    "that does not say by whom": {"iss": ...},
    "that expires": {"exp": timedelta(seconds=60)},
}


@pytest.mark.parametrize("changes", SIGNED.values(), ids=SIGNED.keys())
async def test_userinfo_that_the_provider_signed(
    provider: FakeProvider, oidc: OidcClient, changes: dict[str, Any]
) -> None:
    now = int(time.time())
    given = {
        name: now + value.total_seconds() if isinstance(value, timedelta) else value
        for name, value in {"exp": ..., **changes}.items()
    }
    userinfo(provider, token(id_claims(email="alice@example.org", nonce=..., **given)))
    assert (await oidc.read_access_token(token(access_claims(email=...))))["email"] == "alice@example.org"
    # The answer for somebody else is not used.
    assert "email" not in await oidc.read_access_token(token(access_claims(email=..., sub="s-2")))


UNREADABLE: dict[str, str] = {
    "encrypted": "a.b.c.d.e",
    "not signed": unsigned("none"),
    "by a secret": by_secret(b"secret"),
    "by somebody else": sign(msgspec.json.encode(id_claims()), STRANGER, alg="RS256", kid="rsa"),
    "of another provider": token(id_claims(iss="https://other.example.org")),
    "for another client": token(id_claims(aud="evil")),
    "expired": token(id_claims(exp=NOW - 60)),
    "no token": "{}",
}


@pytest.mark.parametrize("answer", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_userinfo_that_cannot_be_read_is_not_asked_for_ever(
    provider: FakeProvider, oidc: OidcClient, answer: str
) -> None:
    userinfo(provider, answer)
    with pytest.raises(ActionForbidden) as refused:
        await oidc.read_access_token(token(access_claims(email=...)))
    assert (refused.value.code, refused.value.status) == ("CLAIM_UNREADABLE", 403)


async def test_what_a_token_does_not_say_is_asked_of_userinfo(provider: FakeProvider, oidc: OidcClient) -> None:
    provider.says(
        "/userinfo", {"sub": "s-1", "email": "Alice@example.org", "email_verified": "false", "orgs": ["biology"]}
    )

    async def read(**claims: Any) -> dict[str, Any]:
        return await oidc.read_access_token(token(access_claims(**claims)), says_all=lambda _: False)

    found = await read(orgs=None, email="")
    assert (found["email"], found["email_verified"], found["orgs"]) == ("Alice@example.org", "false", ["biology"])
    found = await read(orgs=[], email="alice@example.org")
    assert (found["email"], found["email_verified"], found["orgs"]) == ("alice@example.org", "false", [])
    # What is said of one address is not said of another.
    assert "email_verified" not in await read(email="alice@elsewhere.example.org")
