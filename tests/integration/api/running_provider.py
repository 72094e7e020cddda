"""The development provider as a process, and an application of the sign-in that trusts it."""

import asyncio
import json
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urljoin

import httpx
from cryptography.fernet import Fernet
from litestar import Litestar

from api.app import assemble
from api.auth import AuthController
from api.browser_session import BrowserSessionController
from api.device_sign_in import DeviceSignInController
from api.http.authentication import Authentication
from api.http.operation_events import OperationEvents
from api.http.rates import Rates
from api.http.services import Services
from integrations.oidc import OidcClient
from integrations.vault import Vault
from models.domain.profiles import load_profiles
from models.domain.settings import Settings
from stack import programs, tools
from stack.parts import DEVICE_CODES
from stack.sign_in import Form, sign_in
from tests.unit.api.bench import RecordedWakes

CALLBACK = "https://ui.example.org/callback"
OTHER_CALLBACK = "https://ui.example.org/other?from=hub"
HUB_CALLBACK = "https://hub.example.org/hub/oauth_callback"
HOME = "https://ui.example.org/"
PROVIDER = tools.PROJECT / "stack" / "oidc" / "provider.mjs"
CLIENTS = [
    {
        "client_id": "notebooks-hub",
        "client_secret": "a secret: with/odd+characters",
        "grant_types": ["authorization_code", "refresh_token", DEVICE_CODES],
        "redirect_uris": [CALLBACK, OTHER_CALLBACK],
        "post_logout_redirect_uris": [HOME],
    },
    {
        "client_id": "jupyterhub",
        "client_secret": "hub-secret",
        "redirect_uris": [HUB_CALLBACK],
        "post_logout_redirect_uris": [],
    },
    {
        "client_id": "stranger",
        "client_secret": "stranger-secret",
        "redirect_uris": [HUB_CALLBACK],
        "post_logout_redirect_uris": [],
    },
]


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Provider:
    """The provider as a process of its own."""

    def __init__(
        self,
        directory: Path,
        modules: Path,
        token_format: str,
        *,
        claims: dict[str, dict[str, Any]] | None = None,
        **client: str,
    ) -> None:
        """`claims` are what people have otherwise, by e-mail; `client` is what all clients are registered with."""
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.directory = directory
        self._values = {
            "OIDC_PORT": str(self.port),
            "OIDC_ISSUER": self.issuer,
            "OIDC_CLIENTS": json.dumps([{**one, **client} for one in CLIENTS]),
            "OIDC_DATA_DIR": str(directory / "data"),
            "OIDC_MODULES": str(modules),
            "OIDC_TOKEN_FORMAT": token_format,
            "OIDC_CLAIMS": json.dumps(claims or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it and wait until it answers."""
        node = await programs.find("node")
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - starting takes no time
                [str(node.path), str(PROVIDER)], env=self._values, stdout=log, stderr=log
            )
        async with httpx.AsyncClient(timeout=30) as client:
            for _ in range(300):
                assert self._process.poll() is None, (self.directory / "log").read_text()
                try:
                    if (await client.get(f"{self.issuer}/.well-known/openid-configuration")).is_success:
                        return
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
        raise AssertionError("the provider does not answer")

    def stop(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def tokens_of(self, client_id: str, email: str) -> dict[str, Any]:
        """The tokens that another service gets when somebody signs in there."""
        client = next(one for one in CLIENTS if one["client_id"] == client_id)
        oidc = OidcClient(self.issuer, client_id, str(client["client_secret"]), scopes="openid profile email")
        try:
            begun = await oidc.begin(HUB_CALLBACK)
            async with httpx.AsyncClient(timeout=30) as browser:
                landed = httpx.URL(await sign_in(begun.url, email, client=browser, until=HUB_CALLBACK))
            tokens = await oidc.exchange(landed.params["code"], HUB_CALLBACK, begun.code_verifier)
        finally:
            await oidc.close()
        return {"access_token": tokens.access_token, "id_token": tokens.id_token}


@dataclass
class Place:
    """An API that trusts a running provider."""

    settings: Settings
    provider: Provider
    services: Services
    app: Litestar

    @asynccontextmanager
    async def browser(self) -> AsyncIterator["Browser"]:
        """A browser without cookies."""
        transport = httpx.ASGITransport(app=cast(Any, self.app), raise_app_exceptions=False)
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://api.test", timeout=30) as api,
            httpx.AsyncClient(timeout=30) as web,
        ):
            yield Browser(api, web)

    async def whoami(self, token: str) -> httpx.Response:
        """Who the API says a token stands for."""
        async with self.browser() as browser:
            return await browser.whoami(token)


class Browser:
    """A person's browser: cookies of the API, cookies of the provider."""

    def __init__(self, api: httpx.AsyncClient, web: httpx.AsyncClient) -> None:
        self.api = api
        self.web = web

    async def begin(self, **body: str) -> str:
        """Where the sign-in begins."""
        answer = await self.api.post("/auth/authorize", json=body or None)
        assert answer.status_code == 200, answer.text
        url: str = answer.json()["authorizationUrl"]
        return url

    async def land(self, url: str, email: str) -> httpx.QueryParams:
        """What the provider sends the browser back with."""
        until = httpx.URL(url).params["redirect_uri"]
        return httpx.URL(await sign_in(url, email, client=self.web, until=until)).params

    async def type_code(self, begun: dict[str, Any], email: str, *, button: str = "") -> str:
        """Type the code of a terminal, and sign in; `button` is pressed instead of the one that says yes. The page."""
        page = await self.web.get(begun["verification_uri"])
        page = await self._submit(page, user_code=begun["user_code"])
        assert begun["user_code"] in page.text
        page = await self._submit(page, **({button: "yes"} if button else {}))
        if page.is_redirect:
            issuer = begun["verification_uri"].removesuffix("/device")
            landed = await sign_in(
                urljoin(issuer, page.headers["location"]), email, client=self.web, until=f"{issuer}/device/"
            )
            page = await self.web.get(landed)
        return page.text

    async def _submit(self, page: httpx.Response, **fields: str) -> httpx.Response:
        form = Form()
        form.feed(page.text)
        return await self.web.post(form.action, data=form.fields | fields)

    async def exchange(self, **body: str) -> httpx.Response:
        """Complete the sign-in."""
        return await self.api.post("/auth/token", json=body)

    async def sign_in(self, email: str) -> dict[str, Any]:
        """The whole way; the tokens."""
        landed = await self.land(await self.begin(), email)
        answer = await self.exchange(code=landed["code"], state=landed["state"])
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    async def whoami(self, token: str) -> httpx.Response:
        """Who the API says a token stands for."""
        return await self.api.get("/whoami", headers={"Authorization": f"Bearer {token}"})

    async def refresh(self, token: str) -> httpx.Response:
        """Fresh tokens."""
        return await self.api.post("/auth/refresh", json={"refresh_token": token})

    async def sign_out(self, id_token: str) -> httpx.Response:
        """End the session."""
        return await self.api.post("/auth/logout", json={"id_token": id_token})


@asynccontextmanager
async def place(postgres: str, provider: Provider, **changes: Any) -> AsyncIterator[Place]:
    """The sign-in of the API, in this process; it uses the pool that there is."""
    values: dict[str, Any] = {
        "database_url": postgres,
        "database_pool_size": 8,
        "session_key": Fernet.generate_key().decode(),
        "oidc_issuer": provider.issuer,
        "oidc_client_id": "notebooks-hub",
        "oidc_client_secret": "a secret: with/odd+characters",
        "oidc_redirect_uris": (CALLBACK, OTHER_CALLBACK),
        "oidc_post_logout_redirect_uri": HOME,
        "oidc_trusted_clients": ("jupyterhub",),
        "admin_claim": "realm_access.roles=nbhub-admin",
        "org_claim": "orgs",
        "org_domains": ("elsewhere.org",),
        **changes,
    }
    settings = Settings(**values)
    oidc = OidcClient.from_settings(settings)
    services = Services(
        settings=settings,
        profiles=load_profiles(None),
        workflows=cast(Any, RecordedWakes()),
        operation_events=OperationEvents(settings),
        oidc=oidc,
        vault=Vault.from_settings(settings),
        rates=Rates(settings),
    )
    app = assemble(
        [AuthController, BrowserSessionController, DeviceSignInController],
        settings=settings,
        middleware=[Authentication()],
    )
    app.state.services = services
    try:
        yield Place(settings, provider, services, app)
    finally:
        await oidc.close()
