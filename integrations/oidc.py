"""An OpenID Connect provider, any conforming one: what it can do is found by discovery and nothing is assumed.

What a token says is believed only after every check here: a signature of a fixed list of algorithms by a
key that the provider publishes, issuer, audience, times, nonce. Errors are those of `models.domain.errors`, and
none quotes the provider or a token.
"""

import asyncio
import contextlib
import math
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import httpx
import msgspec
import structlog
from authlib.common.security import generate_token
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import Key, KeySet
from msgspec import Struct

from integrations.asked_tokens import AskedTokens
from models.domain.errors import (
    NOBODY_BEHIND,
    ActionForbidden,
    IdentityUnknown,
    ProviderUnavailable,
    RequestMalformed,
    StateConflict,
)
from models.domain.settings import Settings

log = structlog.get_logger(__name__)

# Never what the provider's metadata or a token's header asks for.
ALGORITHMS = ["RS256", "ES256", "EdDSA"]
_REGISTRY = jws.JWSRegistry(algorithms=ALGORITHMS)
LEEWAY_SECONDS = 30
METADATA_SECONDS = 3600.0
KEYS_SECONDS = 600.0
# An unknown key id makes us ask for the keys again, and no more often than this.
KEYS_FLOOR_SECONDS = 60.0
# Without any key nobody is let in: asked again soon, and not by everybody who waits.
KEYS_MISSING_SECONDS = 2.0
LARGEST_TOKEN = 16_384
# A session of ours without a word of the provider, and the longest, so that no answer leaves the calendar.
DEFAULT_LIFETIME_SECONDS = 300.0
LONGEST_LIFETIME_SECONDS = 366 * 86_400.0
_DEADLINE = httpx.Timeout(5, connect=3)
_DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
_ACCESS_TYPES = {"at+jwt", "application/at+jwt", "jwt", None}

Claims = dict[str, Any]
_CLAIMS = msgspec.json.Decoder(Claims)
T = TypeVar("T")


class TokenAnswer(Struct, frozen=True, kw_only=True):
    """Tokens of the provider."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - the name of a kind
    expires_in: float | None = None
    id_token: str | None = None
    refresh_token: str | None = None
    scope: str | None = None

    @property
    def lifetime(self) -> float:
        """Seconds that the access token lives."""
        if self.expires_in is None or not math.isfinite(self.expires_in):
            return DEFAULT_LIFETIME_SECONDS
        return min(max(self.expires_in, 0.0), LONGEST_LIFETIME_SECONDS)


class Login(Struct, frozen=True, kw_only=True):
    """A sign-in that begins: where the browser goes, and what has to be remembered until it comes back."""

    url: str
    state: str
    nonce: str
    code_verifier: str


class DeviceCode(Struct, frozen=True, kw_only=True):
    """What a provider begins a sign-in with where there is no browser (RFC 8628): a person types a code elsewhere."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str | None = None
    expires_in: float
    """Seconds."""
    interval: float = 5
    """Seconds between two looks at whether the person has decided."""


class DeviceLogin(Struct, frozen=True, kw_only=True):
    """Such a sign-in: what to show of it, and what has to be remembered until it is decided."""

    code: DeviceCode
    code_verifier: str


class Undecided(Struct, frozen=True):
    """The person has not decided yet; `slower`: the provider wants to be asked less often."""

    slower: bool


class _Refusal(Struct, frozen=True):
    error: str = ""


class _Metadata(Struct, frozen=True, kw_only=True):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    introspection_endpoint: str | None = None
    revocation_endpoint: str | None = None
    end_session_endpoint: str | None = None
    device_authorization_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


def joined(claims: Claims, more: Claims) -> Claims:
    """Claims, with what the provider says `more` of the same person elsewhere; what says nothing hides nothing."""
    said = {name: value for name, value in claims.items() if value not in (None, "", {})}
    if "email" in said and "email_verified" not in said and _email(said) != _email(more):
        # Which is said of another address.
        more = {name: value for name, value in more.items() if name != "email_verified"}
    return more | said


def _email(claims: Claims) -> str:
    return str(claims.get("email")).strip().lower()


def has_email(claims: Claims) -> bool:
    """Whether the claims hold an e-mail."""
    return bool(claims.get("email"))


class _Keys(Struct, frozen=True):
    keys: list[dict[str, Any]]


class OidcClient:
    """A client of one provider, to be closed at the end. Nothing is asked before the first use."""

    def __init__(
        self,
        issuer: str,
        client_id: str,
        client_secret: str = "",
        *,
        scopes: str = "openid profile email",
        audiences: tuple[str, ...] = (),
        trusted_clients: tuple[str, ...] = (),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`audiences` are accepted in JWT access tokens besides the client id; `trusted_clients` may ask for them."""
        self._issuer = issuer
        self._client_id = client_id
        self._secret = client_secret
        self._scopes = scopes
        self._audiences = {client_id, *audiences}
        self._clients = {client_id, *trusted_clients}
        self._http = httpx.AsyncClient(timeout=_DEADLINE, transport=transport, follow_redirects=False)
        self._metadata: _Metadata | None = None
        self._metadata_until = 0.0
        self._keys: KeySet | None = None
        self._keys_until = self._keys_asked = float("-inf")
        self._lock = asyncio.Lock()
        self._asked_tokens = AskedTokens[Claims]()
        self._asked_refreshes = AskedTokens[TokenAnswer]()

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The client that the settings describe."""
        return cls(
            settings.oidc_issuer,
            settings.oidc_client_id,
            settings.oidc_client_secret,
            scopes=settings.oidc_scopes,
            audiences=settings.oidc_audiences,
            trusted_clients=settings.oidc_trusted_clients,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def begin(self, redirect_uri: str) -> Login:
        """A sign-in with a fresh state, nonce and PKCE verifier."""
        metadata = await self._discover()
        state, nonce, verifier = generate_token(43), generate_token(43), generate_token(64)
        url = prepare_grant_uri(
            metadata.authorization_endpoint,
            self._client_id,
            "code",
            redirect_uri,
            self._scopes,
            state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return Login(url=url, state=state, nonce=nonce, code_verifier=verifier)

    async def exchange(self, code: str, redirect_uri: str, code_verifier: str | None) -> TokenAnswer:
        """The tokens for a code; raises `RequestMalformed` if the provider does not accept it."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        if code_verifier is not None:
            form["code_verifier"] = code_verifier
        answer = await self._post((await self._discover()).token_endpoint, form)
        if answer.is_client_error:
            raise RequestMalformed(
                "The sign-in provider does not accept this code.", hint="Begin the sign-in again.", code="CODE_REJECTED"
            )
        return _decoded(answer, TokenAnswer)

    async def begin_on_device(self) -> DeviceLogin:
        """A sign-in by a code that is typed in a browser elsewhere, with a fresh PKCE verifier.

        Raises `StateConflict` if the provider gives no such codes to this client.
        """
        endpoint = (await self._discover()).device_authorization_endpoint
        if endpoint is not None:
            verifier = generate_token(64)
            # Some providers want it of a client in every way to sign in; others pass over it.
            challenge = {"code_challenge": create_s256_code_challenge(verifier), "code_challenge_method": "S256"}
            answer = await self._post(endpoint, {"scope": self._scopes, **challenge})
            if answer.is_success:
                return DeviceLogin(code=_decoded(answer, DeviceCode), code_verifier=verifier)
            log.warning("device_code_refused", status=answer.status_code)
        raise StateConflict(
            "The sign-in provider gives no codes to sign in by on another device.",
            hint="Sign in with a browser; an operator can have the provider give codes to the client of Notebooks Hub.",
            code="DEVICE_CODES_UNAVAILABLE",
        )

    async def exchange_device_code(self, device_code: str, code_verifier: str) -> TokenAnswer | Undecided:
        """The tokens of a sign-in that began by a code, once the person has said yes.

        Raises `ActionForbidden` if the person said no, `RequestMalformed` if the code has expired or was used.
        """
        form = {"grant_type": _DEVICE_CODE, "device_code": device_code, "code_verifier": code_verifier}
        answer = await self._post((await self._discover()).token_endpoint, form)
        if not answer.is_client_error:
            return _decoded(answer, TokenAnswer)
        match _decoded(answer, _Refusal).error:
            case "authorization_pending" | "slow_down" as undecided:
                return Undecided(slower=undecided == "slow_down")
            case "access_denied":
                raise ActionForbidden("The sign-in was refused, where its code was typed.", code="SIGN_IN_DENIED")
        raise RequestMalformed(
            "The sign-in provider does not accept this code any more.",
            hint="Begin the sign-in again.",
            code="CODE_REJECTED",
        )

    async def refresh(self, refresh_token: str, *, known: bool = False, address: str | None = None) -> TokenAnswer:
        """Fresh tokens; raises `IdentityUnknown` if the refresh token is no longer accepted.

        One that is not `known` is asked about in turn; raises `RequestThrottled` for too many, at all or of an address.
        """
        if known:
            return await self._refreshed(refresh_token)
        return await self._asked_refreshes.answer(
            refresh_token, lambda: self._refreshed(refresh_token), lambda: None, address
        )

    async def _refreshed(self, refresh_token: str) -> TokenAnswer:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        answer = await self._post((await self._discover()).token_endpoint, form)
        if answer.is_client_error:
            raise IdentityUnknown("The refresh token is no longer accepted.", hint="Sign in again.")
        return _decoded(answer, TokenAnswer)

    async def revoke(self, refresh_token: str) -> None:
        """Have a refresh token forgotten, where the provider can; it may have ended already."""
        endpoint = (await self._discover()).revocation_endpoint
        if endpoint is None:
            return
        answer = await self._post(endpoint, {"token": refresh_token, "token_type_hint": "refresh_token"})
        if answer.status_code in (401, 403):
            raise ProviderUnavailable(
                "The sign-in provider does not let this service revoke a token.",
                hint="Ask an operator to compare NBHUB_OIDC_CLIENT_SECRET with the provider's.",
                away=True,
            )
        if answer.is_client_error:
            # RFC 7009: it revokes no tokens of this kind, now or later.
            log.warning("refresh_token_not_revoked", status=answer.status_code)

    async def logout_url(self, id_token: str, redirect_uri: str) -> str:
        """Where a browser ends its session at the provider; without such an address, where it would land afterwards."""
        endpoint = (await self._discover()).end_session_endpoint
        if endpoint is None:
            return redirect_uri
        query = {"id_token_hint": id_token, "client_id": self._client_id}
        if redirect_uri:
            query["post_logout_redirect_uri"] = redirect_uri
        parts = urlsplit(endpoint)
        joined = "&".join(part for part in (parts.query, urlencode(query)) if part)
        return urlunsplit((*parts[:3], joined, ""))

    async def read_id_token(self, token: str, *, nonce: str | None) -> Claims:
        """The claims of an id token that was issued to us just now; raises `IdentityUnknown`.

        A `nonce` of None is for a refresh, whose id token need not have one.
        """
        claims = await self.read_logout_hint(token)
        _check_times(claims)
        if nonce is not None and claims.get("nonce") != nonce:
            raise _refused("it belongs to another sign-in")
        return claims

    async def read_logout_hint(self, token: str) -> Claims:
        """The claims of an id token that was once issued to us, expired or not; raises `IdentityUnknown`."""
        given = _parsed(token)
        claims = await self._verified(given)
        # An access token can have us as its audience too.
        if str(given.headers().get("typ") or "jwt").lower() != "jwt" or claims.get("typ", "ID") != "ID":
            raise _refused("it is no id token")
        audience = _listed(claims.get("aud"))
        if self._client_id not in audience:
            raise _refused("it was issued to another client")
        authorized = claims.get("azp")
        if (authorized is not None or len(audience) > 1) and authorized != self._client_id:
            raise _refused("it was issued to another client")
        if not _number(claims.get("exp")) or not _number(claims.get("iat")):
            raise _refused("it does not say when it was issued")
        return claims

    async def read_access_token(
        self,
        token: str,
        *,
        says_all: Callable[[Claims], bool] = has_email,
        admit: Callable[[], None] = lambda: None,
        address: str | None = None,
    ) -> Claims:
        """The claims of an access token of this provider, a JWT or not; raises `IdentityUnknown`.

        A JWT is checked by the provider's keys, any other by asking the provider (RFC 7662). Where that does not say
        all that is needed, the provider's userinfo is asked too; raises `ActionForbidden` where that cannot be read.
        Tokens that the provider does not know are asked about in turn, if `admit` raises nothing; raises
        `RequestThrottled` for too many, at all or of the address that they come from.
        """
        if len(token) > LARGEST_TOKEN:
            raise _refused("it is too long")
        if token.count(".") != 2:
            return await self._asked_tokens.answer(
                token, lambda: self._opaque_access_token(token, says_all), admit, address
            )
        claims = await self._jwt_access_token(token)
        if says_all(claims):
            return claims
        more = await self._asked_tokens.answer(token, lambda: self.userinfo(token, claims["sub"]))
        return joined(claims, more)

    async def read_more(self, access_token: str, subject: str) -> Claims:
        """What the provider says of a person elsewhere than in the id token: in its userinfo, in a JWT access token."""
        found = await self.userinfo(access_token, subject)
        if access_token.count(".") == 2:
            with contextlib.suppress(IdentityUnknown):
                claims = await self._jwt_access_token(access_token)
                found = joined(claims, found) if claims["sub"] == subject else found
        return found

    async def _opaque_access_token(self, token: str, says_all: Callable[[Claims], bool]) -> Claims:
        claims = await self._introspect(token)
        known = has_email(claims) and str(claims.get("token_type", "")).lower() == "bearer"
        if known and says_all(claims):
            return claims
        found = await self.userinfo(token, claims["sub"])
        if not found and not known:
            # A refresh token passes introspection too; only an access token opens userinfo.
            raise _refused("it is no access token, or not one of a person")
        return joined(claims, found)

    def read_at_hand(self, token: str, *, says_all: Callable[[Claims], bool]) -> Claims | None:
        """The claims of an access token, if it is a JWT that says all, by a key that was published before.

        None: nothing is known of it until `read_access_token` was waited for, which may refuse it.
        """
        try:
            given = _parsed(token)
            if self._keys is None or self._keys_due(_kid(given)):
                return None
            claims = self._of_provider(_signed_by(self._keys, given))
            self._check_access(given, claims)
        except IdentityUnknown:
            return None
        return claims if says_all(claims) else None

    async def _jwt_access_token(self, token: str) -> Claims:
        given = _parsed(token)
        claims = await self._verified(given)
        self._check_access(given, claims)
        return claims

    def _check_access(self, given: jws.CompactSignature, claims: Claims) -> None:
        """Refuse what is no access token for us, or none by now."""
        header = given.headers()
        if str(header.get("typ") or "jwt").lower() not in _ACCESS_TYPES:
            raise _refused("it is no access token")
        _check_times(claims)
        # What an id token has and an access token has not.
        if "nonce" in claims or "at_hash" in claims or claims.get("typ") in ("ID", "Refresh", "Logout"):
            raise _refused("it is no access token")
        client = next((claims[name] for name in ("azp", "client_id") if claims.get(name) is not None), None)
        audience = _listed(claims.get("aud"))
        if client is None and set(audience) == {self._client_id} and header.get("typ") != "at+jwt":
            # An id token names its client as audience and says no more; an access token says who asked for it.
            raise _refused("it is no access token")
        ours = isinstance(client, str) and client in self._clients
        if not (self._audiences & set(audience) or ours):
            raise _refused("it was issued for another service")
        if client is not None and not ours:
            raise _refused("it was issued to another client")

    async def _introspect(self, token: str) -> Claims:
        endpoint = (await self._discover()).introspection_endpoint
        if endpoint is None or not self._secret:
            raise _refused("it is unknown here")
        answer = await self._post(endpoint, {"token": token, "token_type_hint": "access_token"})
        if not answer.is_success:
            log.warning("introspection_refused", status=answer.status_code)
        claims = _decoded(answer, Claims) if answer.is_success else {}
        client = claims.get("client_id")
        if claims.get("active") is not True or not isinstance(client, str) or client not in self._clients:
            raise _refused("it is unknown here, or no longer valid")
        if claims.get("token_use", "access_token") != "access_token" or claims.get("iss", self._issuer) != self._issuer:
            raise _refused("it is no access token of this provider")
        if not isinstance(claims.get("sub"), str):
            raise _refused("it names nobody")
        return claims

    async def userinfo(self, token: str, subject: str) -> Claims:
        """What the provider tells of the person of an access token; nothing if it tells of somebody else.

        Raises `ActionForbidden` for an answer that would be no more readable another time.
        """
        endpoint = (await self._discover()).userinfo_endpoint
        if endpoint is None:
            return {}
        answer = await self._send("GET", endpoint, headers={"Authorization": f"Bearer {token}"})
        if not answer.is_success:
            return {}
        if answer.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/jwt":
            claims = await self._signed_userinfo(answer.text.strip())
        else:
            claims = _decoded(answer, Claims)
        # Required by OpenID Connect Core 5.3.2: another subject's answer is not to be used.
        return claims if claims.get("sub") == subject else {}

    async def _signed_userinfo(self, answer: str) -> Claims:
        """The claims of a userinfo that the provider signed (OpenID Connect Core 5.3.2), for a client of ours."""
        try:
            claims = await self._signed(_parsed(answer))
            if claims.get("iss", self._issuer) != self._issuer:
                raise _refused("it is of another provider")
            if "aud" in claims and not self._clients & set(_listed(claims["aud"])):
                raise _refused("it was issued to another client")
            # It need not expire, unlike a token.
            _check_times({"exp": float("inf")} | claims)
        except IdentityUnknown as problem:
            log.warning("userinfo_unreadable", reason=problem.message)
            raise ActionForbidden(
                "What the sign-in provider says of this account cannot be read: its userinfo is encrypted, "
                "or signed in a way that is not accepted here.",
                hint=f"An administrator can have userinfo sent as JSON, or signed by {', '.join(ALGORITHMS)}.",
                code="CLAIM_UNREADABLE",
            ) from None
        return claims

    async def _verified(self, given: jws.CompactSignature) -> Claims:
        """The claims of a JWT of this provider, its signature and issuer checked."""
        claims = await self._signed(given)
        await self._discover()
        return self._of_provider(claims)

    def _of_provider(self, claims: Claims) -> Claims:
        """Claims that are signed; refuses those of another issuer, or of nobody."""
        # Discovery takes no provider that calls itself otherwise.
        if claims.get("iss") != self._issuer:
            raise _refused("it is of another provider")
        if not isinstance(claims.get("sub"), str) or not claims["sub"]:
            raise _refused("it names nobody")
        return claims

    async def _signed(self, given: jws.CompactSignature) -> Claims:
        """What a key of this provider signed."""
        return _signed_by(await self._key_set(_kid(given)), given)

    async def _key_set(self, kid: str | None) -> KeySet:
        """The provider's keys, asked for again when they are old or have no key of this id, by one task at a time."""
        if self._keys is not None and not self._keys_due(kid):
            return self._keys
        async with self._lock:
            if self._keys_due(kid):
                await self._fetch_keys()
        if self._keys is None:
            raise ProviderUnavailable("The sign-in provider's keys cannot be had at the moment.")
        return self._keys

    def _keys_due(self, kid: str | None) -> bool:
        now = time.monotonic()
        if self._keys is None or now >= self._keys_until:
            return now >= self._keys_until
        unknown = kid is not None and all(key.kid != kid for key in self._keys.keys)
        return unknown and now - self._keys_asked > KEYS_FLOOR_SECONDS

    async def _fetch_keys(self) -> None:
        """Ask for the keys. Where that fails the old ones stay, and for a while nobody asks again."""
        try:
            found = await self._published_keys()
        except ProviderUnavailable:
            log.warning("provider_keys_unavailable", kept=self._keys is not None)
            lifetime = KEYS_MISSING_SECONDS if self._keys is None else KEYS_FLOOR_SECONDS
        else:
            self._keys, lifetime = found, KEYS_SECONDS
        self._keys_asked = time.monotonic()
        self._keys_until = self._keys_asked + lifetime

    async def _published_keys(self) -> KeySet:
        answer = await self._send("GET", (await self._discover()).jwks_uri)
        usable: list[Key] = []
        for key in _decoded(answer, _Keys).keys:
            # A symmetric key would let anybody who knows it sign; one for encryption signs nothing.
            if key.get("kty") in ("RSA", "EC", "OKP") and key.get("use", "sig") == "sig":
                # One of a kind that we do not know must not cost us the others.
                with contextlib.suppress(JoseError, ValueError, KeyError, TypeError):
                    usable.extend(KeySet.import_key_set({"keys": [_public(key)]}).keys)
        if not usable:
            raise ProviderUnavailable("The sign-in provider publishes no usable key.")
        return KeySet(usable)

    async def _discover(self) -> _Metadata:
        now = time.monotonic()
        if self._metadata is not None and now < self._metadata_until:
            return self._metadata
        try:
            answer = await self._send("GET", f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
            metadata = _decoded(answer, _Metadata) if answer.is_success else None
        except ProviderUnavailable:
            metadata = None
        if metadata is None or metadata.issuer != self._issuer:
            if self._metadata is None:
                message = "The sign-in provider does not answer, or is another than configured."
                raise ProviderUnavailable(message, away=True)
            self._metadata_until = now + KEYS_FLOOR_SECONDS
            return self._metadata
        self._metadata, self._metadata_until = metadata, now + METADATA_SECONDS
        return metadata

    async def _post(self, url: str, form: Mapping[str, str]) -> httpx.Response:
        """A request as this client, authenticated as the provider wants it."""
        methods = (await self._discover()).token_endpoint_auth_methods_supported
        if not self._secret:
            return await self._send("POST", url, data={**form, "client_id": self._client_id})
        if "client_secret_basic" in methods:
            return await self._send(
                "POST", url, data=dict(form), auth=(quote(self._client_id, safe=""), quote(self._secret, safe=""))
            )
        return await self._send("POST", url, data={**form, "client_id": self._client_id, "client_secret": self._secret})

    async def _send(self, method: str, url: str, **more: Any) -> httpx.Response:
        try:
            answer = await self._http.request(method, url, **more)
        except httpx.HTTPError as error:
            message = f"The sign-in provider does not answer ({type(error).__name__})."
            raise ProviderUnavailable(message, away=True) from None
        if answer.is_server_error or answer.is_redirect or answer.status_code in (408, 429):
            away = answer.status_code in (*NOBODY_BEHIND, 429)
            raise ProviderUnavailable(f"The sign-in provider answers {answer.status_code}.", away=away)
        return answer


def _public(key: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in key.items() if name not in ("d", "p", "q", "dp", "dq", "qi", "oth", "k")}


def _decoded(answer: httpx.Response, kind: type[T]) -> T:
    try:
        # Some write a lifetime as a text.
        return msgspec.json.decode(answer.content, type=kind, strict=False)
    except msgspec.DecodeError:
        raise ProviderUnavailable("The sign-in provider answers something that cannot be read.") from None


def _parsed(token: str) -> jws.CompactSignature:
    """A JWT, of which nothing is verified yet, but that it claims a signature of a kind that is accepted."""
    if len(token) > LARGEST_TOKEN:
        raise _refused("it is too long")
    try:
        given = jws.extract_compact(token.encode("ascii"))
    except (JoseError, ValueError):
        raise _refused("it cannot be read") from None
    header = given.headers()
    if header.get("alg") not in ALGORITHMS or "crit" in header:
        raise _refused("its signature is of no accepted kind")
    return given


def _kid(given: jws.CompactSignature) -> str | None:
    kid = given.headers().get("kid")
    return kid if isinstance(kid, str) else None


def _signed_by(keys: KeySet, given: jws.CompactSignature) -> Claims:
    """What one of these keys signed."""
    try:
        with warnings.catch_warnings():
            # Of the name EdDSA, for which RFC 9864 has others; providers use it all the same.
            warnings.simplefilter("ignore", SecurityWarning)
            fits = jws.validate_compact(given, keys, registry=_REGISTRY)
        if fits:
            return _CLAIMS.decode(given.payload)
    except (JoseError, ValueError, TypeError):
        pass
    raise _refused("its signature does not fit")


def _listed(audience: object) -> list[str]:
    found = audience if isinstance(audience, list) else [audience]
    return [one for one in found if isinstance(one, str)]


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_times(claims: Claims) -> None:
    now = time.time()
    for name in ("exp", "nbf", "iat"):
        if name in claims and not _number(claims[name]):
            raise _refused("its times cannot be read")
    if claims.get("exp", 0) + LEEWAY_SECONDS <= now:
        raise _refused("it has expired")
    if claims.get("nbf", 0) - LEEWAY_SECONDS > now or claims.get("iat", 0) - LEEWAY_SECONDS > now:
        raise _refused("it is not valid yet")


def _refused(reason: str) -> IdentityUnknown:
    return IdentityUnknown(f"The token is not accepted: {reason}.", hint="Sign in again.")
