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

from api.app import assemble
from api.http import readers, validation
from api.http.policy import Policy, needs
from api.modules import ModuleCreate
from api.volume import FileCreate
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
        {f"x{number}": 1 for number in range(50_000)},
        {"name": 1, **{f"x{number}": 1 for number in range(50_000)}},
        {"luaModuleFile": [{"id": 1}] * 255},
        {"luaModuleFile": [{"id": "x", "arguments": [1] * 50_000}]},
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
        ("1," * 200_001, 413),
        ("{}," * 200_001, 413),
        ('"a",' * 200_001, 413),
        ('{"a":"b"},' * 200_001, 413),
        ('"\\\\",' * 200_001, 413),
        ('"\\"",' * 200_001, 413),
        ('"\\",' * 200_001, 400),
        (f'"{"," * 300_000}",', 422),
        (f'"{"x," * 300_000}\\"{"," * 300_000}\\\\",', 422),
        ("1," * 150_000, 422),
    ],
    ids=lambda value: repr(value)[:20],
)
async def test_a_body_of_too_many_values_is_not_read(client: httpx.AsyncClient, content: str, status: int) -> None:
    body = f'{{"content": [{content}1]}}'.encode()
    refused = await client.post("/files", content=body, headers={"content-type": "application/json"})
    assert refused.status_code == status, refused.text


async def test_a_file_of_many_commas_is_read(client: httpx.AsyncClient) -> None:
    body = {"root": "notebooks", "name": "a.csv", "type": "file", "content": '1,"2"\\,\n' * 300_000}
    assert (await client.post("/files", json=body)).status_code == 200


@pytest.mark.parametrize("size", [1_000, 100_000])
async def test_a_large_body_is_not_read_on_the_event_loop(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    read_in = []

    def decode(raw: bytes) -> object:
        with_loop = asyncio._get_running_loop() is not None
        read_in.append(with_loop)
        return json.loads(raw)

    monkeypatch.setattr(validation, "decode_json", decode)
    body = {"name": "a", "version": "1", "luaModuleFile": [{"id": "help", "arguments": ["x" * size]}]}
    assert (await client.post("/things", json=body)).status_code == 200
    assert read_in == [size < validation.MOST_AT_ONCE]


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
