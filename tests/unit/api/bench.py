"""What tests of the plumbing work with: sample applications on a real database, callers named by a header."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import httpx
import msgspec
from litestar import Litestar
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, ControllerRouterHandler, Receive, Scope, Send

from api.app import HANDLERS, assemble
from api.http.services import Services
from models.database.sql import row
from models.domain.errors import IdentityUnknown
from models.domain.ids import new_id
from models.domain.settings import Settings
from models.domain.values import Caller, OperationStatus, Subject

Json = dict[str, Any]
NOBODY = "01a20000-0000-7000-8000-000000000000"
"""An id that no record has."""


class HeaderIdentity(ASGIMiddleware):
    """Stands in for the authentication: the caller is who the request says."""

    exclude_opt_key = "exclude_from_auth"

    def __init__(self, callers: dict[str, Caller]) -> None:
        self.callers = callers

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        given = dict(scope["headers"]).get(b"x-caller", b"").decode()
        if given not in self.callers:
            raise IdentityUnknown("A valid access token is needed.")
        scope["user"] = self.callers[given]
        scope["state"]["token_expires_at"] = datetime.now(UTC) + timedelta(hours=1)
        await next_app(scope, receive, send)


class RecordedWakes:
    """Stands in for Temporal: remembers who was woken."""

    def __init__(self) -> None:
        self.subjects: list[Subject] = []
        self.woken = asyncio.Event()
        self.away = False

    async def wake(self, subject: Subject) -> bool:
        self.subjects.append(subject)
        self.woken.set()
        return not self.away


@dataclass
class Bench:
    """What a test of the plumbing works with."""

    settings: Settings
    services: Services
    callers: dict[str, Caller]
    wakes: RecordedWakes

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """A counterexample that Hypothesis finds with it is to be read by people."""
        printer.text("the bench")

    def client(self, handlers: Sequence[ControllerRouterHandler], caller: str | None = "alice") -> httpx.AsyncClient:
        """A client of an application of `handlers`."""
        app = assemble(handlers, settings=self.settings, middleware=[HeaderIdentity(self.callers)])
        app.state.services = self.services
        return client_of(app, **({} if caller is None else {"x-caller": caller}))


class Api:
    """The whole application, asked by one caller or another."""

    def __init__(self, bench: Bench, client: httpx.AsyncClient) -> None:
        self.bench, self.client = bench, client

    async def ask(self, who: str, method: str, path: str, **more: Any) -> httpx.Response:
        """What somebody is answered; nobody waits for a workflow here."""
        headers = {"x-caller": who, "prefer": "wait=0", **more.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **more)

    async def made(self, who: str, path: str, /, **body: Any) -> Json:
        """What is accepted for a workflow to make true."""
        answer = await self.ask(who, "POST", path, json=body)
        assert answer.status_code == 202, answer.text
        found: Json = answer.json()
        return found

    async def got(self, who: str, path: str, /, **query: str) -> Any:
        """What somebody reads."""
        answer = await self.ask(who, "GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def pages(self, who: str, path: str) -> list[list[str]]:
        """The ids of a list from its first page to its last, as the links lead."""
        found = []
        while path:
            answer = await self.ask(who, "GET", path)
            assert answer.status_code == 200, answer.text
            found.append([one["_id"] for one in answer.json()])
            path = answer.links.get("next", {}).get("url", "").removeprefix(self.bench.settings.browser_api_url)
        return found

    async def statuses(self, who: str, path: str) -> list[int]:
        """How somebody is answered who reads a record, changes it, asks who has access, shares it and deletes it."""
        share = {"relation": "read", "userArray": self.email(who)}
        return [
            (await self.ask(who, "GET", path)).status_code,
            (await self.ask(who, "PATCH", path, json={"description": "x"})).status_code,
            (await self.ask(who, "GET", f"{path}/access")).status_code,
            (await self.ask(who, "POST", f"{path}/share", json=share)).status_code,
            (await self.ask(who, "DELETE", path)).status_code,
        ]

    def email(self, who: str) -> str:
        """The address of somebody."""
        return self.bench.callers[who].email


@contextlib.asynccontextmanager
async def whole_api(bench: Bench, **settings: Any) -> AsyncIterator[Api]:
    """The whole application on a bench, with other settings than the bench's."""
    changed = msgspec.structs.replace(bench.settings, **settings)
    services = dataclasses.replace(bench.services, settings=changed)
    bench = dataclasses.replace(bench, settings=changed, services=services)
    async with bench.client(HANDLERS, caller=None) as client:
        yield Api(bench, client)


def unique(prefix: str) -> str:
    """A name that no other test gives."""
    return f"{prefix}{new_id().hex[-10:]}"


def problems(answer: httpx.Response) -> set[str]:
    """What of a request was refused."""
    assert answer.status_code == 422, answer.text
    return {detail["path"] for detail in answer.json()["error"]["details"]}


def client_of(app: Litestar, **headers: str) -> httpx.AsyncClient:
    """A client that calls the application in this process."""
    transport = httpx.ASGITransport(app=cast(Any, app), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://api.test", headers=headers, timeout=30)


async def end(operation: UUID, status: OperationStatus) -> None:
    """End an operation as a workflow would."""
    await row(
        "UPDATE operation SET status = {}, ended_at = now(), version = version + 1 WHERE id = {}",
        str(status),
        operation,
    )
