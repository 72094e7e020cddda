"""One line per request, and nothing in it that a log must not hold."""

import contextlib
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from litestar import get
from litestar.params import FromPath

from api.http.policy import Policy, needs
from models.domain import logging as shared_logging
from models.domain.settings import Settings
from tests.unit.api.bench import Bench
from tests.unit.api.http.test_write import NotesController

Lines = Callable[[], list[dict[str, Any]]]


@get("/things/{name:str}", opt=needs(Policy.SIGNED_IN))
async def thing(name: FromPath[str]) -> str:
    """A route with a parameter."""
    return name


@get("/defect", opt=needs(Policy.PUBLIC))
async def defect() -> str:
    """A route that fails with a value that nobody may see."""
    canary = "canary-local"
    raise KeyError(len(canary))


@pytest.fixture
def lines() -> Iterator[Lines]:
    root, written = logging.getLogger(), io.StringIO()
    handlers, level = list(root.handlers), root.level
    with contextlib.redirect_stdout(written):
        shared_logging.configure(Settings(database_url="postgresql:///unused", log_format="json"))
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)


async def test_the_line_of_a_request(bench: Bench, lines: Lines) -> None:
    api = bench.api([thing])
    headers = {"authorization": "Bearer canary-token", "cookie": "a=canary-cookie", "x-request-id": "from-proxy-1"}
    answer = await api.alice.get("/things/canary-path?canary-query=1", headers=headers)
    assert answer.headers["x-request-id"] == "from-proxy-1"
    logged = lines()
    assert len(logged) == 1
    (line,) = logged
    assert line.pop("ms") >= 0
    assert line.pop("at").endswith("Z")
    assert re.fullmatch("[0-9a-f]{32}", line.pop("request_id"))
    assert line == {
        "event": "request",
        "level": "info",
        "logger": "api.request",
        "method": "GET",
        "route": "/things/{name}",
        "status": 422,
        "user": str(api.alice.caller.id),
        "client_request_id": "from-proxy-1",
    }


@pytest.mark.parametrize(
    "given",
    [
        "short",
        "x" * 65,
        "a b c d e f",
        "abc\tdefgh",
        "\u00e4\u00e4\u00e4\u00e4\u00e4",
        "x" * 15_000,
        "abcdefgh\r\nx: y",
    ],
)
async def test_request_ids_that_are_not_taken(bench: Bench, lines: Lines, given: str) -> None:
    answer = await bench.api([thing]).alice.get("/things/x", headers=[(b"x-request-id", given.encode())])
    assert len(answer.headers["x-request-id"]) == 32
    (line,) = lines()
    assert line["request_id"] == answer.headers["x-request-id"]
    assert "client_request_id" not in line


async def test_operations_are_named(bench: Bench, lines: Lines) -> None:
    answer = await bench.api([NotesController]).alice.post("/work")
    assert lines()[-1]["operation"] == answer.json()["_id"]


async def test_unknown_addresses_are_logged_without_the_address(bench: Bench, lines: Lines) -> None:
    assert (await bench.api([thing]).nobody.get("/canary%0d%0aevil")).status_code == 404
    (line,) = lines()
    assert (line["route"], line["status"], line["user"]) == ("-", 404, None)


async def test_a_defect_is_logged_with_its_traceback_and_no_values(bench: Bench, lines: Lines) -> None:
    assert (await bench.api([defect]).alice.get("/defect")).status_code == 500
    failed, line = lines()
    assert failed["event"] == "request_failed"
    assert "KeyError: 12" in failed["exception"]
    assert "raise KeyError" in failed["exception"]
    assert line["status"] == 500


def test_secrets_given_by_mistake_are_hidden(lines: Lines) -> None:
    structlog.get_logger("x").warning("oops", access_token="canary", Authorization="canary", note="kept")
    logging.getLogger("library").warning("plain %s", "text")
    first, second = lines()
    assert first["note"] == "kept"
    assert "canary" not in str(first)
    assert (second["event"], second["logger"]) == ("plain text", "library")
