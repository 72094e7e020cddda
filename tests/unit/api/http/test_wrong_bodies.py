"""No body that is wrong ends the process, and none is worked at for longer than it takes to refuse it."""

import asyncio
import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, Literal

import httpx
import msgspec
import pytest
from litestar import get, post
from litestar.params import JSONBody

from api.app import HANDLERS, assemble
from api.http import readers, validation
from api.http.policy import Policy, handlers_of, needs
from api.modules import ModuleCreate
from api.sharing_routes import MOST_PRINCIPALS
from api.volume import FileCreate
from integrations.lmod import MOST_ARGUMENTS
from models.domain.errors import MOST_PROBLEMS, ProblemDetail
from models.domain.settings import Settings
from tests.project import PROJECT
from tests.unit.api.bench import Client
from tests.unit.api.http import wrong_bodies


@pytest.mark.parametrize("allocator", ["default", "debug"])
def test_fields_of_the_wrong_kind_never_end_the_process(allocator: str) -> None:
    """`make test-bodies` does it five hundred times."""
    # In a process of its own: what it would show is a segmentation fault.
    ended = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", wrong_bodies.__name__, "5"],
        cwd=PROJECT,
        env={**os.environ, "PYTHONMALLOC": allocator},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert int(ended.stdout) > 5000


async def test_no_reader_is_made_in_a_request(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a type is compiled in a request")

    for name in ("reader_of", "RequestReader", "QueryField"):
        monkeypatch.setattr(validation, name, refuse)
    monkeypatch.setattr(msgspec.inspect, "type_info", refuse)
    assert (await client.post("/things", json={"name": "a", "version": "1"})).status_code == 200
    assert (await client.post("/things?x=1", json={"name": 5})).status_code == 422


@post("/things", opt=needs(Policy.PUBLIC), status_code=200)
async def make_thing(data: JSONBody[ModuleCreate]) -> None:
    """Take a body of ordinary size."""


@post("/files", opt=needs(Policy.PUBLIC) | {"largest_body": lambda _: 64 * 1024 * 1024}, status_code=200)
async def make_file(data: JSONBody[FileCreate]) -> None:
    """Take a body of any size."""


@get("/other", opt=needs(Policy.PUBLIC))
async def other() -> None:
    """What somebody else asks meanwhile."""


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(database_url="postgresql:///unused")
    async with Client(assemble([make_thing, make_file, other], settings=settings)) as client:
        yield client


@pytest.mark.parametrize(
    "body",
    [
        {f"x{number}": 1 for number in range(4_000)},
        {"name": 1, **{f"x{number}": 1 for number in range(4_000)}},
        {"luaModuleFile": [{"id": 1}] * 255},
        {"luaModuleFile": [{"id": "x", "arguments": [1] * 4_000}]},
    ],
    ids=["unknown fields", "unknown fields and another", "entries", "entries of an entry"],
)
async def test_no_more_problems_are_made_than_are_told(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, body: dict[str, object]
) -> None:
    made = []

    def counted(**values: Any) -> ProblemDetail:
        made.append(values)
        return ProblemDetail(**values)

    monkeypatch.setattr(readers, "ProblemDetail", counted)
    refused = await client.post("/things", json=body)
    assert refused.status_code == 422
    assert len(refused.json()["error"]["details"]) == len(made) == MOST_PROBLEMS


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ("1," * 2_000, 413),
        ("{}," * 2_000, 413),
        ('"a",' * 2_000, 413),
        ('{"a":"b"},' * 2_000, 413),
        ('"\\\\",' * 2_000, 413),
        ('"\\"",' * 2_000, 413),
        ('"\\",' * 2_000, 400),
        (f'"{"," * 300_000}",', 422),
        (f'"{"x," * 300_000}\\"{"," * 300_000}\\\\",', 422),
        ("1," * 900, 422),
    ],
    ids=lambda value: repr(value)[:20],
)
async def test_a_body_of_too_many_values_is_not_read(client: httpx.AsyncClient, content: str, status: int) -> None:
    body = f'{{"content": [{content}1]}}'.encode()
    refused = await client.post("/files", content=body, headers={"content-type": "application/json"})
    assert refused.status_code == status, refused.text


@pytest.mark.parametrize(("size", "status"), [(900, 422), (1_100, 413)])
async def test_what_no_request_can_need_is_refused_before_it_is_decoded(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, size: int, status: int
) -> None:
    decoded = []

    def decode(raw: bytes) -> object:
        decoded.append(len(raw))
        return json.loads(raw)

    monkeypatch.setattr(validation, "decode_json", decode)
    refused = await client.post("/files", json={"content": [1] * size})
    assert (refused.status_code, len(decoded)) == (status, int(status == 422))


async def test_as_much_as_a_request_can_need_is_read(client: httpx.AsyncClient) -> None:
    calls = [{"id": "help", "arguments": ["x"]}] * MOST_ARGUMENTS
    made = await client.post("/things", json={"name": "a", "version": "1", "luaModuleFile": calls})
    assert made.status_code == 200, made.text


def test_each_route_says_how_many_values_its_body_can_need() -> None:
    most = {
        handler.operation_id: validation.RequestReader(handler).most_values
        for _, handler in handlers_of(assemble(HANDLERS, settings=Settings(database_url="postgresql:///unused")))
    }
    shares = 3 * MOST_PRINCIPALS
    assert most["shareDataset"] > shares
    assert max(most.values()) < shares + 2 * validation.SPARE_VALUES
    assert most["createTemplate"] < 2 * validation.SPARE_VALUES


async def test_a_file_of_many_commas_is_read(client: httpx.AsyncClient) -> None:
    body = {"root": "notebooks", "name": "a.csv", "type": "file", "content": '1,"2"\\,\n' * 300_000}
    assert (await client.post("/files", json=body)).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "on_loop"),
    [(["x" * 1_000], True), (["x" * 100_000], False), (["x"] * 900, True), (["x"] * 1_100, False)],
    ids=["short", "long", "some", "many"],
)
async def test_a_large_body_is_not_read_on_the_event_loop(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, arguments: list[str], on_loop: bool
) -> None:
    read_in = []

    def decode(raw: bytes) -> object:
        with_loop = asyncio._get_running_loop() is not None
        read_in.append(with_loop)
        return json.loads(raw)

    monkeypatch.setattr(validation, "decode_json", decode)
    body = {"name": "a", "version": "1", "luaModuleFile": [{"id": "help", "arguments": arguments}]}
    assert (await client.post("/things", json=body)).status_code == 200
    assert read_in == [on_loop]


@pytest.mark.parametrize("field", ["name", "path"])
async def test_a_huge_name_is_refused_without_a_look_at_its_letters(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    looked_at = []

    def normalize(form: Literal["NFC"], text: str) -> str:
        looked_at.append(len(text))
        return unicodedata.normalize(form, text)

    monkeypatch.setattr(readers, "unicodedata", SimpleNamespace(normalize=normalize))
    content = json.dumps({"root": "notebooks", "type": "file", field: "e\u0301" * 1_000_000})
    refused = await client.post("/files", content=content, headers={"content-type": "application/json"})
    assert [(one["path"], one["code"]) for one in refused.json()["error"]["details"]] == [(f"/{field}", "maxLength")]
    assert looked_at == []
