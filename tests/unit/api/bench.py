"""What tests of the plumbing work with: sample applications on a real database, callers named by a header."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import httpx
from litestar import Litestar
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, ControllerRouterHandler, Receive, Scope, Send

from api.app import assemble
from api.services import Services
from models.errors import IdentityUnknown
from models.settings import Settings
from models.sql import row
from models.values import Caller, OperationStatus, Subject


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

    async def wake(self, subject: Subject) -> bool:
        self.subjects.append(subject)
        self.woken.set()
        return True


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
