"""Every bad body and query is refused with its own status and with every problem named; none is a 5xx."""

import re
import unicodedata
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

import httpx
import pytest
from litestar import Controller, get, patch, post
from litestar.params import FromQuery, JSONBody
from msgspec import UNSET, Meta, Struct, UnsetType, field

from api.app import assemble
from api.http.fields import (
    UUID_TEXT,
    AnswerBody,
    Description,
    Email,
    Name,
    PathInServer,
    PathName,
    PathWord,
    RequestBody,
    Tags,
)
from api.http.policy import Policy, needs
from models.domain.settings import Settings
from models.domain.values import OperationStatus
from tests.unit.api.bench import Client

Ids = list[Annotated[str, Meta(pattern=UUID_TEXT, extra={"says": "is not an id"})]]


class Call(RequestBody, frozen=True, kw_only=True):
    """A nested part."""

    id: Name
    arguments: list[str] = field(default_factory=list)


class Thing(RequestBody, frozen=True, kw_only=True):
    """A body with one field of each kind."""

    name: Name
    public: bool
    path_name: PathName | None = field(name="pathName", default=None)
    word: PathWord | None = None
    file: PathInServer | None = None
    email: Email | None = None
    description: Description | None = None
    count: int | None = None
    tags: Tags | None = None
    ids: Ids | None = None
    when: datetime | None = None
    calls: list[Call] | None = None
    values: dict[str, str] | str | None = None
    place: str | UnsetType = UNSET


class Change(RequestBody, frozen=True, kw_only=True):
    """A body for PATCH."""

    name: Name | UnsetType = UNSET
    note: Description | None | UnsetType = UNSET
    public: bool | UnsetType = UNSET


class Note(AnswerBody, frozen=True, kw_only=True):
    """What came out of a PATCH."""

    fields: list[str]
    note: str | None = None


class Things(Controller):
    """A sample controller."""

    @post("/things", opt=needs(Policy.PUBLIC), status_code=200)
    async def create(self, data: JSONBody[Thing]) -> Thing:
        """Echo."""
        return data

    @patch("/things", opt=needs(Policy.PUBLIC))
    async def change(self, data: JSONBody[Change]) -> Note:
        """Name what was given."""
        given = [name for name in data.__struct_fields__ if getattr(data, name) is not UNSET]
        return Note(fields=given, note=None if data.note is UNSET else data.note)

    @post("/optional", opt=needs(Policy.PUBLIC), status_code=200)
    async def optional(self, data: JSONBody[Call | None] = None) -> dict[str, bool]:
        """A body may be left out."""
        return {"given": data is not None}

    @get("/things", opt=needs(Policy.PUBLIC))
    async def find(
        self,
        owner: FromQuery[str],
        status: FromQuery[OperationStatus | None] = None,
        many: FromQuery[list[str] | None] = None,
        limit: FromQuery[int] = 10,
    ) -> dict[str, Any]:
        """Echo."""
        return {"owner": owner, "status": status, "limit": limit, "many": many}

    @get("/broken", opt=needs(Policy.PUBLIC))
    async def broken(self) -> None:
        """A defect."""
        raise KeyError("postgresql://user:hunter2@host")


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = assemble([Things], settings=Settings(database_url="postgresql:///unused", max_body_bytes=65_536))
    async with Client(app) as client:
        yield client


JSON = {"content-type": "application/json"}
GOOD = {"name": "a", "public": True}


def problems_of(response: httpx.Response) -> dict[str, str]:
    body = response.json()["error"]
    assert body["statusCode"] == response.status_code
    assert response.headers["content-type"] == "application/json"
    assert body["code"] == "VALIDATION_FAILED"
    for detail in body["details"]:
        assert set(detail) == {"path", "code", "message", "info"}
    return {detail["path"]: detail["code"] for detail in body["details"]}


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", JSON, 400),
        (b"not json", JSON, 400),
        (b'\xef\xbb\xbf{"name": "a", "public": true}', JSON, 400),
        (b'{"name": "\xff"}', JSON, 400),
        ('{"name": "a"}'.encode("utf-16"), JSON, 400),
        (b'{"name": NaN}', JSON, 400),
        (b'{"name": -Infinity}', JSON, 400),
        (b'{"name": "a\nb"}', JSON, 400),
        (b"[" * 60_000, JSON, 400),
        (b'{"a":' * 12_000, JSON, 400),
        (b'{"name": "a",}', JSON, 400),
        (b"", JSON, 422),
        (b"", {}, 422),
        (b"null", JSON, 422),
        (b"[]", JSON, 422),
        (b'"x"', JSON, 422),
        (b"1", JSON, 422),
        (b"true", JSON, 422),
        (b'{"name": "a", "public": true, "count": 1e400}', JSON, 422),
        (b'{"name": "a", "public": true, "count": 9223372036854775808}', JSON, 422),
        (b'{"name": "a", "public": true, "count": ' + b"9" * 5000 + b"}", JSON, 422),
        (b'{"name": "a", "name": "b", "public": true}', JSON, 422),
        (b'{"name": "\\ud800", "public": true}', JSON, 422),
        (b'{"name": "a\\u0000b", "public": true}', JSON, 422),
        (b'{"\\ud800\\u0000": 1, "name": "a", "public": true}', JSON, 422),
        (b'{"values": {"\\ud800": "x"}, "name": "a", "public": true}', JSON, 422),
        (b'{"when": "\\ud800", "name": "a", "public": true}', JSON, 422),
        (b'{"calls": [{"id": "x", "arguments": ["\\u0000"]}], "name": "a", "public": true}', JSON, 422),
        (b'{"__proto__": {}, "name": "a", "public": true}', JSON, 422),
        (b"name=a", {"content-type": "application/x-www-form-urlencoded"}, 415),
        (b'{"name": "a", "public": true}', {"content-type": "text/plain"}, 415),
        (b'{"name": "a", "public": true}', {}, 415),
        (b'{"name": "a", "public": true}', {"content-type": "application/json; charset=latin-1"}, 415),
        (b"\x1f\x8b", {**JSON, "content-encoding": "gzip"}, 415),
        (b'{"name": "' + b"a" * 70_000 + b'"}', JSON, 413),
        (b'{"name": "a", "public": true}', {"content-type": "application/json; charset=UTF-8"}, 200),
        (b'{"name": "a", "public": true}', {"content-type": "application/merge-patch+json"}, 200),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_bodies_that_cannot_be_read(
    client: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int
) -> None:
    response = await client.post("/things", content=content, headers=headers)
    assert response.status_code == status, response.text
    if status != 200:
        assert response.json()["error"]["statusCode"] == status


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ({}, {"/name": "required", "/public": "required"}),
        ({"name": None, "public": None}, {"/name": "required", "/public": "required"}),
        ({**GOOD, "owner": 1, "_id": "x"}, {"/owner": "additionalProperties", "/_id": "additionalProperties"}),
        ({**GOOD, "public": "true"}, {"/public": "type"}),
        ({**GOOD, "public": 1}, {"/public": "type"}),
        ({**GOOD, "name": 7}, {"/name": "type"}),
        ({**GOOD, "name": ["a"]}, {"/name": "type"}),
        ({**GOOD, "name": {"a": 1}}, {"/name": "type"}),
        ({**GOOD, "name": ""}, {"/name": "minLength"}),
        ({**GOOD, "name": " \t "}, {"/name": "minLength"}),
        ({**GOOD, "name": "x" * 129}, {"/name": "maxLength"}),
        ({**GOOD, "name": "a\u202eb"}, {"/name": "format"}),
        ({**GOOD, "name": "a\nb"}, {"/name": "format"}),
        ({**GOOD, "name": "a\x1b[31m"}, {"/name": "format"}),
        ({**GOOD, "pathName": "../etc"}, {"/pathName": "pattern"}),
        ({**GOOD, "pathName": "a/b"}, {"/pathName": "pattern"}),
        ({**GOOD, "pathName": "-rf"}, {"/pathName": "pattern"}),
        ({**GOOD, "pathName": "ä"}, {"/pathName": "pattern"}),
        ({**GOOD, "pathName": "x" * 65}, {"/pathName": "maxLength"}),
        ({**GOOD, "pathName": "0190F3A2-1111-7222-8333-444455556666"}, {"/pathName": "format"}),
        ({**GOOD, "word": "a b"}, {"/word": "pattern"}),
        ({**GOOD, "email": "nobody"}, {"/email": "format"}),
        ({**GOOD, "email": "bob@example.org."}, {"/email": "format"}),
        ({**GOOD, "email": "bob@a..b"}, {"/email": "format"}),
        ({**GOOD, "count": True}, {"/count": "type"}),
        ({**GOOD, "count": 1.5}, {"/count": "type"}),
        ({**GOOD, "count": "1"}, {"/count": "type"}),
        ({**GOOD, "tags": "a"}, {"/tags": "type"}),
        (
            {**GOOD, "tags": ["ok", 1, "", "x" * 65]},
            {"/tags/1": "type", "/tags/2": "minLength", "/tags/3": "maxLength"},
        ),
        ({**GOOD, "tags": ["t"] * 65}, {"/tags": "maxLength"}),
        ({**GOOD, "tags": [None]}, {"/tags/0": "type"}),
        ({**GOOD, "ids": ["x", "0190F3A2-1111-7222-8333-444455556666"]}, {"/ids/0": "pattern", "/ids/1": "pattern"}),
        ({**GOOD, "when": "yesterday"}, {"/when": "format"}),
        (
            {**GOOD, "calls": [{}, {"id": "x", "y": 1}]},
            {"/calls/0/id": "required", "/calls/1/y": "additionalProperties"},
        ),
        ({**GOOD, "calls": [[]]}, {"/calls/0": "type"}),
        ({**GOOD, "values": {"a": 1}}, {"/values/a": "type"}),
        ({**GOOD, "values": 1}, {"/values": "type"}),
        ({**GOOD, "place": None}, {"/place": "type"}),
        ({"name": 1, "public": "x", "z": 1}, {"/name": "type", "/public": "type", "/z": "additionalProperties"}),
    ],
    ids=lambda value: repr(value)[:60],
)
async def test_every_problem_of_a_body_is_named(
    client: httpx.AsyncClient, body: dict[str, object], problems: dict[str, str]
) -> None:
    response = await client.post("/things", json=body)
    assert response.status_code == 422, response.text
    assert problems_of(response) == problems


async def test_text_is_trimmed_normalised_and_kept(client: httpx.AsyncClient) -> None:
    body = {
        "name": "  Cafe\u0301 ",
        "public": False,
        "pathName": " data v1.0 ",
        "email": "Alice@Example.org",
        "description": "one\n\ttwo",
        "tags": [" a "],
        "calls": [{"id": "x", "arguments": [" as it is\u202e\n"]}],
        "values": " raw ",
        "word": None,
    }
    answer = (await client.post("/things", json=body)).json()
    assert answer["name"] == "Café"
    assert answer["pathName"] == "data v1.0"
    assert answer["email"] == "alice@example.org"
    assert answer["description"] == "one\n\ttwo"
    assert answer["tags"] == ["a"]
    assert answer["calls"][0]["arguments"] == [" as it is\u202e\n"]
    assert answer["values"] == " raw "


async def test_a_path_is_kept_as_it_is_on_disk(client: httpx.AsyncClient) -> None:
    path = unicodedata.normalize("NFD", " Zählung.py ")
    answer = await client.post("/things", json={**GOOD, "file": path})
    assert answer.json()["file"] == path
    refused = await client.post("/things", json={**GOOD, "file": "a\nb"})
    assert problems_of(refused) == {"/file": "format"}


async def test_problems_of_a_huge_list_are_bounded(client: httpx.AsyncClient) -> None:
    response = await client.post("/things", json={**GOOD, "calls": [1] * 20_000})
    assert response.status_code == 422
    assert len(response.json()["error"]["details"]) <= 100


@pytest.mark.parametrize(("given", "kind"), [(1, "a number"), (True, "a boolean"), ([], "an array")])
async def test_a_value_of_no_kind_that_a_field_takes(client: httpx.AsyncClient, given: object, kind: str) -> None:
    refused = await client.post("/things", json={**GOOD, "values": given})
    assert problems_of(refused) == {"/values": "type"}
    assert refused.json()["error"]["details"][0]["message"] == f"must be an object or a string, not {kind}"
    for taken in ("x", {"a": "b"}, None):
        assert (await client.post("/things", json={**GOOD, "values": taken})).status_code == 200


async def test_null_in_a_patch_clears_an_optional_text_only(client: httpx.AsyncClient) -> None:
    assert (await client.patch("/things", json={})).json() == {"fields": []}
    assert (await client.patch("/things", json={"note": None})).json() == {"fields": ["note"]}
    assert (await client.patch("/things", json={"note": " x "})).json() == {"fields": ["note"], "note": "x"}
    refused = await client.patch("/things", json={"name": None, "public": None})
    assert refused.status_code == 422
    assert problems_of(refused) == {"/name": "type", "/public": "type"}


async def test_a_body_may_be_left_out_where_it_is_optional(client: httpx.AsyncClient) -> None:
    assert (await client.post("/optional")).json() == {"given": False}
    assert (await client.post("/optional", json={"id": "x"})).json() == {"given": True}
    assert (await client.post("/optional", json={"x": 1})).status_code == 422
    assert (await client.post("/optional", json=[])).status_code == 422


@pytest.mark.parametrize(
    ("query", "problems"),
    [
        ("", {"owner": "required"}),
        ("owner=a&bogus=1", {"bogus": "additionalProperties"}),
        ("owner=a&bogus=", {"bogus": "additionalProperties"}),
        ("owner=a&owner=b", {"owner": "duplicate"}),
        ("owner=a%00b", {"owner": "format"}),
        ("owner=a&status=asleep", {"status": "enum"}),
        ("owner=a&limit=ten", {"limit": "type"}),
        ("owner=a&limit=1.5", {"limit": "type"}),
        ("owner=a&limit=", {"limit": "type"}),
        ("owner=a&%FF%00=1", {"\ufffd\\x00": "additionalProperties"}),
        ("a=1&b=2", {"a": "additionalProperties", "b": "additionalProperties", "owner": "required"}),
    ],
)
async def test_queries(client: httpx.AsyncClient, query: str, problems: dict[str, str]) -> None:
    response = await client.get(f"/things?{query}")
    assert response.status_code == 422, response.text
    assert problems_of(response) == problems


async def test_good_queries(client: httpx.AsyncClient) -> None:
    answer = await client.get("/things?owner=a&status=queued&many=1&many=2&limit=3")
    assert answer.status_code == 200
    assert answer.json() == {"owner": "a", "status": "queued", "limit": 3, "many": ["1", "2"]}


async def test_the_frameworks_refusals_come_in_the_envelope(client: httpx.AsyncClient) -> None:
    missing = await client.get("/nowhere")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "ENTITY_NOT_FOUND")
    method = await client.put("/things")
    assert method.status_code == 405
    assert {"GET", "POST", "PATCH"} <= set(method.headers["allow"].replace(" ", "").split(","))
    for name in ("TRACE", "PROPFIND"):
        assert (await client.request(name, "/things")).status_code == 405
    assert (await client.get("/things", headers={"host": "a/b?c"})).status_code == 400


async def test_a_defect_tells_nothing_but_its_request(client: httpx.AsyncClient) -> None:
    response = await client.get("/broken", headers={"x-request-id": "request-0001"})
    assert response.status_code == 500
    assert "hunter2" not in response.text
    assert re.fullmatch(r"Request id: [0-9a-f]{32}", response.json()["error"]["hint"])
    assert response.headers["x-request-id"] == "request-0001"
    assert response.headers["x-content-type-options"] == "nosniff"


def test_structs_are_frozen() -> None:
    assert issubclass(RequestBody, Struct)
