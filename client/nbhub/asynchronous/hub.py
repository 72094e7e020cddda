"""The client: everything begins here."""

import builtins
import time
from asyncio import sleep
from collections.abc import AsyncGenerator, Callable
from typing import Any, Self

import httpx2
import msgspec

from nbhub.answers import read
from nbhub.asynchronous.audit import AsyncAudit
from nbhub.asynchronous.datasets import AsyncDatasets
from nbhub.asynchronous.files import AsyncFiles
from nbhub.asynchronous.following import follow
from nbhub.asynchronous.groups import AsyncGroups
from nbhub.asynchronous.lists import AsyncPages
from nbhub.asynchronous.modules import AsyncModules
from nbhub.asynchronous.operations import AsyncPlainOperation
from nbhub.asynchronous.secrets import AsyncSecrets
from nbhub.asynchronous.servers import AsyncServers
from nbhub.asynchronous.templates import AsyncTemplates
from nbhub.asynchronous.transport import MOST_RETRIES, TIMEOUT_SECONDS, AsyncTransport, segment
from nbhub.credentials import found
from nbhub.errors import ConnectionFailed, Invalid, RateLimited, Unavailable
from nbhub.models import (
    Application,
    Change,
    DeviceCode,
    Hardware,
    Health,
    Me,
    OperationState,
    Organisation,
    Person,
    Reset,
    Tokens,
    Trashed,
    Use,
    Version,
)

PENDING = "AUTHORIZATION_PENDING"
LONGEST_PAUSE_SECONDS = 60.0
SLOWER_SECONDS = 5.0
"""So much longer is waited, from then on, by who has asked too often (RFC 8628)."""


class AsyncOperations:
    """What was asked for: by oneself, or about what is one's own."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        subject: str | None = None,
        status: str | None = None,
        kind: str | None = None,
        sort: str | None = None,
    ) -> AsyncPages[OperationState]:
        """Newest first: about one record, in one status, or of one kind such as `server.start`."""
        query = {"subject": subject, "status": status, "kind": kind, "sort": sort}
        return AsyncPages(self._transport, "/operations", OperationState, query)

    async def get(self, id: str) -> AsyncPlainOperation:
        """One by its id, to be followed or cancelled."""
        state = await self._transport.call("GET", f"/operations/{segment(id)}", OperationState)
        return AsyncPlainOperation(self._transport, state)


class AsyncSignIn:
    """Signing in through the provider. `nbhub login` does it; programs of this machine then use its profile."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def begin(self, redirect_uri: str | None = None) -> str:
        """Where the browser signs in. This client alone can complete it, within ten minutes."""
        body = {} if redirect_uri is None else {"redirect_uri": redirect_uri}
        answer = await self._transport.call("POST", "/auth/authorize", dict[str, str], body=body)
        return answer["authorizationUrl"]

    async def complete(self, code: str, state: str) -> Tokens:
        """The tokens for the code that the browser came back with."""
        return await self._transport.call("POST", "/auth/token", Tokens, body={"code": code, "state": state})

    async def begin_on_device(self) -> DeviceCode:
        """What somebody types in a browser elsewhere. Raises `Conflict` if the provider has no such codes."""
        return await self._transport.call("POST", "/auth/device", DeviceCode)

    async def complete_on_device(self, begun: DeviceCode) -> Tokens:
        """The tokens, as soon as somebody has typed the code and said yes: it is waited for.

        Raises `Forbidden` if the person said no or may not sign in, `Invalid` if the time is over.
        """
        body = {"device_code": begun.device_code}
        deadline = time.monotonic() + begun.expires_in
        interval = pause = float(begun.interval)
        while True:
            await sleep(pause)
            pause = interval
            try:
                return await self._transport.call("POST", "/auth/device/token", Tokens, body=body)
            except Invalid as refusal:
                if refusal.code != PENDING:
                    raise
            except RateLimited as refusal:
                interval += SLOWER_SECONDS
                pause = max(interval, refusal.retry_after or 0.0)
            except (ConnectionFailed, Unavailable):
                # It is asked half as often, and given up when the code has ended.
                pause = interval = max(interval, min(2 * interval, LONGEST_PAUSE_SECONDS))
                if time.monotonic() > deadline:
                    raise

    async def refresh(self, refresh_token: str) -> Tokens:
        """Fresh tokens; the refresh token is good once."""
        return await self._transport.call("POST", "/auth/refresh", Tokens, body={"refresh_token": refresh_token})

    async def end(self, id_token: str) -> str:
        """End the session; where the browser signs out of the provider."""
        answer = await self._transport.call("POST", "/auth/logout", dict[str, str], body={"id_token": id_token})
        return answer["logoutUrl"]


class AsyncHub:
    """Notebooks Hub, as one person sees it.

    Address and token are those that are given, else `NBHUB_URL` and `NBHUB_TOKEN`, else those of `nbhub login`. A
    `token` may be a function that has the current one. Requests are repeated after network errors, 429 and 503, up to
    `max_retries` times; a write takes place once all the same.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | Callable[[], str] | None = None,
        *,
        profile: str | None = None,
        timeout: float = TIMEOUT_SECONDS,
        max_retries: int = MOST_RETRIES,
        agent: str = "",
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        place, credentials = found(url, token, profile)
        self._transport = AsyncTransport(
            place, credentials, timeout=timeout, max_retries=max_retries, agent=agent, transport=transport
        )
        self.servers = AsyncServers(self._transport)
        self.templates = AsyncTemplates(self._transport)
        self.datasets = AsyncDatasets(self._transport)
        self.groups = AsyncGroups(self._transport)
        self.modules = AsyncModules(self._transport)
        self.secrets = AsyncSecrets(self._transport)
        self.files = AsyncFiles(self._transport)
        self.operations = AsyncOperations(self._transport)
        self.audit = AsyncAudit(self._transport)
        self.sign_in = AsyncSignIn(self._transport)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.url}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    @property
    def url(self) -> str:
        """Where Notebooks Hub is."""
        return self._transport.url

    async def request(
        self, method: str, path: str, *, query: dict[str, Any] | None = None, body: Any = msgspec.UNSET
    ) -> httpx2.Response:
        """Any request, with the token, retries and errors of all others: for what has no method here."""
        return await self._transport.send(method, path, query=query, body=body)

    async def whoami(self) -> str:
        """One's e-mail."""
        return await self._transport.call("GET", "/whoami", str)

    async def me(self) -> Me:
        """Who one is, what one may do, has, and may have."""
        return await self._transport.call("GET", "/me", Me)

    def events(self) -> AsyncGenerator[Change | Reset, None]:
        """What changes from now on of all that one may see, as it happens; the first is a `Reset`."""
        return follow(self._transport)

    async def people(self, query: str) -> builtins.list[Person]:
        """Whom one may share with, as far as one may find them, by how their e-mail or name begins."""
        return await self._transport.call("GET", "/people", list[Person], query={"q": query})

    def organisations(self) -> AsyncPages[Organisation]:
        """Those that one may share with."""
        return AsyncPages(self._transport, "/orgs", Organisation)

    def trash(self) -> AsyncPages[Trashed]:
        """What is in one's trash, of all kinds, the latest first."""
        return AsyncPages(self._transport, "/trash", Trashed)

    async def hub_user(self) -> str:
        """The name of one's user in JupyterHub."""
        return await self._transport.call("GET", "/whoami/jupyterhub", str)

    async def is_signed_in(self) -> bool:
        """Whether there is a valid token."""
        response = await self._transport.send("GET", "/authenticated", accept=frozenset({401}))
        return response.is_success

    async def usage(self) -> dict[str, Use]:
        """How much one uses, and how much one may."""
        return await self._transport.call("GET", "/me/usage", dict[str, Use])

    async def version(self) -> Version:
        """Which Notebooks Hub this is."""
        return await self._transport.call("GET", "/version", Version)

    async def health(self, *, email: str | None = None) -> Health:
        """Whether everything is there that is needed; with an e-mail also somebody's directories."""
        query = {"email": email}
        response = await self._transport.send("GET", "/healthcheck", query=query, accept=frozenset({503}))
        return read(response, Health)

    async def initialize(self, *, email: str | None = None, wait: float | None = None) -> AsyncPlainOperation:
        """Make one's JupyterHub user, home and directories, which the first start does too."""
        return await self._operation("PUT", "/initialize", query={"email": email}, wait=wait)

    async def release_email(self, email: str, *, wait: float | None = None) -> AsyncPlainOperation:
        """For admins: let another account sign in with an address. It inherits nothing."""
        return await self._operation("POST", "/persons/release", query={"email": email}, wait=wait)

    async def _operation(self, method: str, path: str, **request: Any) -> AsyncPlainOperation:
        state = await self._transport.call(method, path, OperationState, **request)
        return AsyncPlainOperation(self._transport, state)

    async def applications(self) -> builtins.list[Application]:
        """The application types that a template may have."""
        return await self._transport.call("GET", "/applications", list[Application])

    async def hardware(self) -> builtins.list[Hardware]:
        """The hardware that a template may name, and what it has."""
        return await self._transport.call("GET", "/hardware", list[Hardware])

    async def lua_functions(self) -> builtins.list[str]:
        """The functions that a modulefile may call."""
        return await self._transport.call("GET", "/volume/lua", list[str])
