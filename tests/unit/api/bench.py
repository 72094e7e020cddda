"""What tests of the plumbing work with: sample applications on a real database, callers named by a header."""

import asyncio
import contextlib
import copy
import dataclasses
import functools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import httpx
import msgspec
from cryptography.fernet import Fernet
from litestar import Litestar
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, ControllerRouterHandler, Receive, Scope, Send

from api.app import HANDLERS, assemble
from api.http.operation_events import OperationEvents
from api.http.rates import Rates
from api.http.services import Services
from integrations.vault import Vault
from models.database.engine import pool
from models.database.sql import row, to_json
from models.domain.errors import HubUnavailable, IdentityUnknown
from models.domain.ids import new_id
from models.domain.profiles import load_profiles
from models.domain.settings import Settings
from models.domain.values import Caller, OperationStatus, Subject
from models.ledger.operations import OperationError
from tests.people import make_person
from tests.unit.api.documented_answers import check_documented

Json = dict[str, Any]
NOBODY = "01a20000-0000-7000-8000-000000000000"
"""An id that no record has."""
NO_DIRECTORY_NAMES: tuple[object, ...] = (
    *("", " ", ".x", "a/b", "..", "a\nb", "é", "x" * 65, NOBODY, "-a", "a\u202eb", "a:b", "a\0b"),
    *(7, None, ["a"]),
)
"""What can be no name of a record that has a directory."""
TEMPLATE: Json = {
    "name": "Lab",
    "description": "",
    "type": "user",
    "applicationType": "jupyterlab",
    "hardware": "cpuSmall",
    "public": True,
}


class HeaderIdentity(ASGIMiddleware):
    """Stands in for the authentication: the caller is who the request says."""

    exclude_opt_key = "exclude_from_auth"

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        callers = scope["litestar_app"].state.callers
        given = dict(scope["headers"]).get(b"x-caller", b"").decode()
        if given not in callers:
            raise IdentityUnknown("A valid access token is needed.")
        scope["user"] = callers[given]
        scope["state"]["token_expires_at"] = datetime.now(UTC) + timedelta(hours=1)
        await next_app(scope, receive, send)


class RecordedWakes:
    """Stands in for Temporal: remembers who was woken."""

    def __init__(self) -> None:
        self.subjects: list[Subject] = []
        self.woken = asyncio.Event()
        self.away = False
        self.logs: dict[UUID, str] = {}

    async def read_log(self, server: UUID) -> str | None:
        if self.away:
            raise HubUnavailable("JupyterHub does not answer.")
        return self.logs.get(server)

    async def wake(self, subject: Subject) -> bool:
        self.subjects.append(subject)
        self.woken.set()
        return not self.away


_OF_A_TEST = {
    "database_url": "postgresql:///unused",
    "session_key": "",
    **{f"{name}_location": "" for name in ("notebook", "dataset", "group", "module")},
}
"""Settings that each test has of its own, and no application is assembled by."""


@functools.lru_cache(maxsize=16)
def _assembled(handlers: tuple[ControllerRouterHandler, ...], settings: Settings) -> Litestar:
    """An application without services: half a second of work, and hundreds of tests ask the same."""
    return assemble(handlers, settings=settings, middleware=[HeaderIdentity()])


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

    def api(self, handlers: Sequence[ControllerRouterHandler] = HANDLERS, /, **settings: Any) -> "Api":
        """The application, or one of other handlers, with other settings than the bench's."""
        bench = self
        if settings:
            changed = msgspec.structs.replace(self.settings, **settings)
            bench = dataclasses.replace(
                self,
                settings=changed,
                services=dataclasses.replace(self.services, settings=changed, rates=Rates(changed)),
            )
        of_no_test = msgspec.structs.replace(bench.settings, **_OF_A_TEST)
        app = copy.copy(_assembled(tuple(handlers), of_no_test))
        app.state = app.state.copy()
        app.state.services, app.state.callers = bench.services, bench.callers
        return Api(bench, app)

    async def join(self, name: str, *, admin: bool = False) -> Caller:
        """One person more, whom tests know by `name`."""
        self.callers[name] = await make_person(name, admin=admin)
        return self.callers[name]


def answered(answer: httpx.Response, status: int) -> Json:
    """What an answer of this status holds."""
    assert answer.status_code == status, answer.text
    found: Json = answer.json()
    return found


class Client(httpx.AsyncClient):
    """What somebody asks an application in this process with; nobody waits for a workflow here, unless a test does."""

    def __init__(self, app: Litestar, callers: dict[str, Caller] | None = None, name: str = "") -> None:
        super().__init__(
            transport=httpx.ASGITransport(app=cast(Any, app), raise_app_exceptions=False),
            base_url="http://api.test",
            headers={"prefer": "wait=0"} | ({"x-caller": name} if name else {}),
            timeout=30,
        )
        self._callers, self._name = callers or {}, name
        self._documented = any(route.path == "/servers" for route in app.routes)

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """What is answered, which has to be in the document where the application is the whole one."""
        answer = await super().send(request, **options)
        if self._documented:
            check_documented(request, answer)
        return answer

    @property
    def caller(self) -> Caller:
        """Who asks."""
        return self._callers[self._name]

    @property
    def email(self) -> str:
        """The address of who asks."""
        return self.caller.email

    async def made(self, path: str, /, **body: Any) -> Json:
        """What is accepted for a workflow to make true."""
        return answered(await self.post(path, json=body), 202)

    async def dataset(self, **body: Any) -> Json:
        """A new dataset."""
        return await self.made("/datasets", **{"name": unique("d"), **body})

    async def module(self, **body: Any) -> Json:
        """A new module."""
        return await self.made("/modules", **{"name": unique("m"), "version": "1.0", **body})

    async def secret(self, **body: Any) -> Json:
        """A new secret, which has no value."""
        return answered(await self.post("/secrets", json={"secretName": unique("s"), "type": "raw", **body}), 200)

    async def group(self, **body: Any) -> Json:
        """A new group."""
        return await self.made("/groups", **{"name": unique("g"), **body})

    async def template(self, **body: Any) -> Json:
        """A new template, which is public."""
        return answered(await self.post("/template", json=TEMPLATE | body), 200)

    async def server(self, **body: Any) -> Json:
        """A new server, which is stopped, with a template of its own."""
        return answered(await self.post("/servers", json=TEMPLATE | body), 200)

    async def launched(self, template: Json) -> Json:
        """A new server, which is stopped, from a template."""
        return answered(await self.put("/servers", params={"templateId": template["_id"]}), 200)

    async def got(self, path: str, /, **query: str) -> Any:
        """What is read."""
        answer = await self.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def pages(self, path: str) -> list[list[str]]:
        """The ids of a list from its first page to its last, as the links lead."""
        found = []
        while path:
            answer = await self.get(path)
            assert answer.status_code == 200, answer.text
            found.append([one["_id"] for one in answer.json()])
            path = httpx.URL(answer.links["next"]["url"]).raw_path.decode() if "next" in answer.links else ""
        return found

    async def statuses(self, path: str) -> list[int]:
        """The answers to reading a record, changing it, asking who has access, sharing it and deleting it."""
        share = {"relation": "read", "userArray": self.email}
        return [
            (await self.get(path)).status_code,
            (await self.patch(path, json={"description": "x"})).status_code,
            (await self.get(f"{path}/access")).status_code,
            (await self.post(f"{path}/share", json=share)).status_code,
            (await self.delete(path)).status_code,
        ]


class Api:
    """An application, and the people who ask it: `await api.alice.get("/servers")`."""

    def __init__(self, bench: Bench, app: Litestar) -> None:
        self.bench, self.app = bench, app
        self.nobody = Client(app)
        self.alice, self.bob, self.admin = map(self.person, ("alice", "bob", "admin"))

    def person(self, name: str) -> Client:
        """One of the bench's callers."""
        return Client(self.app, self.bench.callers, name)


@contextlib.asynccontextmanager
async def open_bench(settings: Settings) -> AsyncIterator[Bench]:
    """A bench of nobody yet, on the database of the settings."""
    async with pool(settings):
        wakes = RecordedWakes()
        events = OperationEvents(settings)
        services = Services(
            settings=settings,
            profiles=load_profiles(None),
            workflows=cast(Any, wakes),
            operation_events=events,
            oidc=cast(Any, None),
            vault=Vault.from_settings(settings),
            rates=Rates(settings),
        )
        async with events.running():
            yield Bench(settings=settings, services=services, callers={}, wakes=wakes)
        await services.vault.close()


def bench_settings(database_url: str, **settings: Any) -> Settings:
    """What a bench needs to be told."""
    return Settings(
        database_url=database_url,
        database_pool_size=8,
        session_key=Fernet.generate_key().decode(),
        public_url="https://hub.example.org",
        **settings,
    )


def unique(prefix: str) -> str:
    """A name that no other test gives."""
    return f"{prefix}{new_id().hex[-10:]}"


def problems(answer: httpx.Response) -> set[str]:
    """What of a request was refused."""
    assert answer.status_code == 422, answer.text
    return {detail["path"] for detail in answer.json()["error"]["details"]}


async def end(operation: UUID, status: OperationStatus, error: OperationError | None = None) -> None:
    """End an operation as a workflow would."""
    await row(
        """UPDATE operation SET status = :status, error = CAST(:error AS jsonb), ended_at = now(), version = version + 1
            WHERE id = :operation""",
        status=str(status),
        error=to_json(error),
        operation=operation,
    )
