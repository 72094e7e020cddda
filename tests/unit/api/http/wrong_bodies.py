"""Sends every field of every route every wrong kind of JSON value, to one process that has to live on.

`python -m tests.unit.api.http.wrong_bodies 500` does it so many times; `make test-bodies` runs that with a debugging
allocator, which finds memory that is freed wrongly where nothing has crashed yet.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import structlog
from litestar import Litestar

from api.app import HANDLERS, assemble
from api.http.policy import handlers_of
from api.http.rates import Rates
from models.domain.ids import new_id
from models.domain.settings import Settings
from models.domain.values import Caller
from tests.unit.api.bench import HeaderIdentity

VALUES: tuple[object, ...] = (
    None,
    True,
    5,
    -1.5,
    "",
    "(",
    [],
    {},
    [5],
    [None],
    [[]],
    [{}],
    {"a": 5},
    {"a": {}},
    {"a": [None]},
    "é" * 2000,
)
NO_FIELD = "no_such_field"
"""Has each request refused, also where a value happens to be right: nothing is to be done here."""


def bodies() -> Iterator[tuple[str, str, dict[str, object]]]:
    """Method and path of every route with a body, and bodies that are wrong in one field."""
    app = _app()
    for path, handler in handlers_of(app):
        if handler.parsed_data_field is None:
            continue
        fields = _fields(handler.parsed_data_field.annotation)
        address = path.replace("{memberEmail:str}", "bob@example.org").replace("{id:str}", str(new_id()))
        for method in handler.http_methods:
            for name in fields:
                for value in VALUES:
                    yield method, address, {name: value, NO_FIELD: 1}


def _fields(annotation: Any) -> tuple[str, ...]:
    kinds = [one for one in getattr(annotation, "__args__", (annotation,)) if one is not type(None)]
    fields: tuple[str, ...] = kinds[0].__struct_encode_fields__
    return fields


def _app() -> Litestar:
    caller = Caller(id=new_id(), email="alice@example.org", admin=True)
    settings = Settings(database_url="postgresql:///unused", auth_per_minute=0)
    app = assemble(HANDLERS, settings=settings, middleware=[HeaderIdentity()])
    app.state.callers = {"alice": caller}
    app.state.services = SimpleNamespace(rates=Rates(settings))
    return app


async def send(app: Litestar, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    """Status and body of an answer, without a client in between."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [
            (b"host", b"api.test"),
            (b"x-caller", b"alice"),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("api.test", 80),
    }
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def answer(message: dict[str, Any]) -> None:
        messages.append(message)

    await app(cast(Any, scope), cast(Any, receive), cast(Any, answer))
    return messages[0]["status"], b"".join(message.get("body", b"") for message in messages)


async def run(rounds: int) -> None:
    """Send everything so many times; print how many requests were refused as they should."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    app, wrong = _app(), list(bodies())
    for _ in range(rounds):
        for method, path, body in wrong:
            status, answer = await send(app, method, path, json.dumps(body).encode())
            problems = json.loads(answer)["error"].get("details", ())
            assert status == 422, (method, path, body, answer)
            assert f"/{NO_FIELD}" in {problem["path"] for problem in problems}, (method, path, body, answer)
    print(rounds * len(wrong))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1])))
