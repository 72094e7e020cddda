"""A provider in this process: it publishes keys, signs whatever a test wants, and counts what it is asked."""

import asyncio
import time
import warnings
from typing import Any

import httpx
import msgspec
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from integrations.asked_tokens import MOST_ASKED
from integrations.oidc import OidcClient

ISSUER = "https://id.example.org/realm"
CLIENT = "notebooks-hub"
KEYS: dict[str, Key] = {
    "RS256": RSAKey.generate_key(2048, {"kid": "rsa"}),
    "ES256": ECKey.generate_key("P-256", {"kid": "ec"}),
    "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "okp"}),
}
STRANGER = RSAKey.generate_key(2048, {"kid": "rsa"})

Claims = dict[str, Any]


def sign(payload: bytes, key: Key, **header: Any) -> str:
    """A JWS with any header."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        return jws.serialize_compact(header, payload, key, algorithms=[header["alg"]])


def token(claims: Claims, *, alg: str = "RS256", **header: Any) -> str:
    """A JWT that this provider signed."""
    key = KEYS[alg]
    return sign(msgspec.json.encode(claims), key, **{"alg": alg, "kid": key.kid, **header})


def id_claims(**changes: Any) -> Claims:
    """The claims of a good id token; a change to `...` leaves one out."""
    now = int(time.time())
    return _changed({"iss": ISSUER, "sub": "s-1", "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": "n"}, changes)


def access_claims(**changes: Any) -> Claims:
    """The claims of a good access token."""
    now = int(time.time())
    good = {"iss": ISSUER, "sub": "s-1", "aud": "hub-api", "azp": CLIENT, "iat": now, "exp": now + 300}
    return _changed({**good, "email": "alice@example.org"}, changes)


def _changed(claims: Claims, changes: Claims) -> Claims:
    return {name: value for name, value in {**claims, **changes}.items() if value is not ...}


class FakeProvider:
    """What the provider answers, by path; tests change it as they go."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.published: list[Key] = list(KEYS.values())
        self.answers: dict[str, httpx.Response] = {}
        self.down = False
        self.slow = 0.0

    async def handle(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/realm")
        self.asked.append(path)
        await asyncio.sleep(self.slow)
        if self.down:
            raise httpx.ConnectError("refused")
        if path in self.answers:
            return self.answers[path]
        if path == "/.well-known/openid-configuration":
            return httpx.Response(200, json=metadata())
        if path == "/keys":
            return httpx.Response(200, json={"keys": [key.as_dict(private=False) for key in self.published]})
        return httpx.Response(404, json={})

    def says(self, path: str, body: Any, status: int = 200) -> None:
        """Answer so from now on."""
        self.answers[path] = httpx.Response(status, json=body)

    def client(self, **changes: Any) -> OidcClient:
        """A client of this provider."""
        values = {"audiences": ("hub-api",), "trusted_clients": ("jupyterhub",), **changes}
        return OidcClient(ISSUER, CLIENT, "secret", transport=httpx.MockTransport(self.handle), **values)


class HeldProvider(FakeProvider):
    """Knows the tokens in `good`, and answers about others only when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.good: set[str] = set()
        self.let = asyncio.Event()
        self.busy = asyncio.Event()
        self.under_way = self.most = 0
        self._held: list[asyncio.Future[None]] = []
        self._left = 0

    def answer(self, count: int) -> None:
        """Answer about so many more that are held."""
        self._left = count
        self._go_on()

    def _go_on(self) -> None:
        while self._left and self._held:
            self._left -= 1
            self._held.pop(0).set_result(None)

    async def handle(self, request: httpx.Request) -> httpx.Response:
        form = httpx.QueryParams(request.content.decode())
        asked = form.get("token") or form.get("refresh_token")
        if asked is None:
            return await super().handle(request)
        self.asked.append(asked)
        if asked in self.good:
            return httpx.Response(
                200,
                json={
                    **{"active": True, "client_id": CLIENT, "sub": "s-1"},
                    **{"email": "alice@example.org", "token_type": "Bearer", "access_token": "fresh"},
                },
            )
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        # As many as one address has.
        if self.under_way == MOST_ASKED - 1:
            self.busy.set()
        self._held.append(asyncio.get_running_loop().create_future())
        held = self._held[-1]
        self._go_on()
        let = asyncio.create_task(self.let.wait())
        either: list[asyncio.Future[Any]] = [held, let]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        let.cancel()
        self.under_way -= 1
        return httpx.Response(400 if "refresh_token" in form else 200, json={"active": False})


def metadata(**changes: Any) -> Claims:
    """What discovery answers."""
    return {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/authorize",
        "token_endpoint": f"{ISSUER}/token",
        "jwks_uri": f"{ISSUER}/keys",
        "userinfo_endpoint": f"{ISSUER}/userinfo",
        "introspection_endpoint": f"{ISSUER}/introspect",
        "revocation_endpoint": f"{ISSUER}/revoke",
        "end_session_endpoint": f"{ISSUER}/logout?tenant=1",
        **changes,
    }
