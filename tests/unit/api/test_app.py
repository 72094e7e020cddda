"""The application as it is served: no route forgets the rules that hold for all."""

import inspect
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from litestar.handlers import HTTPRouteHandler

from api.app import create_app
from api.http.etag import is_versioned
from api.http.policy import Policy, handlers_of, policy_of
from models.domain.settings import Settings
from tests.unit.api.bench import Bench, Client

ANY_ID = "0190f3a2-1111-7222-8333-444455556666"
APP = create_app(Settings(database_url="postgresql:///unused", codec_token="c" * 40))
ROUTES = [
    (method, re.sub(r"{(\w+)(:\w+)?}", lambda found: ANY_ID if found[1] == "id" else "x", path), handler)
    for path, handler in handlers_of(APP)
    for method in sorted(handler.http_methods)
]
CLOSED = [route for route in ROUTES if policy_of(route[2]) is not Policy.PUBLIC]


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[httpx.AsyncClient]:
    APP.state.services = bench.services
    async with Client(APP) as client:
        yield client


def names(value: Any) -> str | None:
    return value if isinstance(value, str) else ""


@pytest.mark.parametrize(("method", "path", "handler"), CLOSED, ids=names)
async def test_nothing_opens_without_one_valid_token(
    client: httpx.AsyncClient, method: str, path: str, handler: HTTPRouteHandler
) -> None:
    bearer = ("authorization", "Bearer " + "x" * 40)
    for headers in (
        [],
        [("authorization", "")],
        [("authorization", "Bearer")],
        [("authorization", "Basic YTpi")],
        [("authorization", "Bearer a b")],
        [bearer, bearer],
        [("authorization", "Bearer " + "x" * 20_000)],
    ):
        answer = await client.request(method, path, headers=headers, content=b"{")
        assert answer.status_code == 401, (method, path, headers)
        assert answer.json()["error"]["code"] == "UNAUTHENTICATED"
        assert answer.headers["www-authenticate"] == "Bearer"


def test_only_these_routes_are_open() -> None:
    assert {f"{method} {path}" for method, path, handler in ROUTES if policy_of(handler) is Policy.PUBLIC} == {
        "GET /",
        "GET /callback",
        "GET /docs",
        "GET /healthcheck",
        "GET /help",
        "GET /help/x",
        "GET /livez",
        "GET /readyz",
        "GET /schema",
        "GET /schema/openapi.json",
        "GET /schema/x",
        "GET /ui",
        "GET /ui/x",
        "GET /version",
        "POST /auth/authorize",
        "POST /auth/device",
        "POST /auth/device/token",
        "POST /auth/logout",
        "POST /auth/refresh",
        "POST /auth/session",
        "POST /auth/token",
        "POST /codec/x/decode",
        "POST /codec/x/encode",
    }


@pytest.mark.parametrize("path", sorted({path for _, path, _ in ROUTES}))
async def test_an_address_tells_its_methods_and_answers_no_other(client: httpx.AsyncClient, path: str) -> None:
    there = {method for method, other, _ in ROUTES if other == path}
    asked = await client.options(path)
    assert asked.status_code == 204
    assert allowed(asked) == there | {"OPTIONS"}
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE"):
        answer = await client.request(method, path)
        assert (answer.status_code == 405) == (method not in there), method
        if method not in there:
            assert allowed(answer) == there | {"OPTIONS"}, method


def allowed(answer: httpx.Response) -> set[str]:
    return set(answer.headers["allow"].split(", "))


def test_every_route_that_takes_an_id_looks_its_record_up() -> None:
    silent = [
        f"{method} {path}"
        for method, path, handler in CLOSED
        if "{id" in str(handler.paths) and policy_of(handler) is not Policy.RECORD
    ]
    assert silent == []


@pytest.mark.parametrize(("method", "path", "handler"), ROUTES, ids=names)
def test_versions_are_documented_where_they_are_heeded(method: str, path: str, handler: HTTPRouteHandler) -> None:
    source = inspect.getsource(handler.fn)
    heeds = any(call in source for call in ("version=found.version", ".require_match(", "_intend("))
    assert is_versioned(handler) == heeds
