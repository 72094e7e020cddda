"""Modules over the API: what is answered, what a workflow is woken for, and what is refused with which field named."""

import json
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from models.database.sql import row
from models.domain.values import Subject
from tests.unit.api.bench import NOBODY, Api, Bench, Json, problems, unique

HELP = {"id": "help", "arguments": ["x"]}


def path_of(module: Json) -> str:
    return f"/modules/{module['_id']}"


async def sent(api: Api, method: str, path: str, body: Json) -> httpx.Response:
    """Also a lone surrogate is sent: escaped, as JSON can."""
    return await api.alice.request(method, path, content=json.dumps(body), headers={"content-type": "application/json"})


async def updates_of(api: Api, module: Json) -> list[Json]:
    found: list[Json] = await api.alice.got("/operations", subject=module["_id"], kind="module.update")
    return found


async def audited(module: Json) -> int:
    found = await row("SELECT count(*) AS rows FROM audit WHERE subject = :subject", subject=UUID(module["_id"]))
    assert found is not None
    return int(found["rows"])


async def test_a_module_is_accepted_with_every_field(api: Api) -> None:
    calls = [
        {
            "id": "help",
            "arguments": ["  e\u0301 \u00e9 \u4e2d \U0001f600 '\"\\ $(id) `id` %s\t\n\x01\x7f\u202e\u2028]] "],
        },
        {"id": "setenv", "arguments": ["ZULU", "-- \\065\"]]..os.execute('x')--"]},
        {"id": "setenv", "arguments": ["ALFA", ""]},
        {"id": "prepend_path", "arguments": ["PATH", "/opt/a b"]},
        {"id": "help", "arguments": ["one", "", "three"]},
    ]
    name = unique("Tool+")
    answer = await api.alice.post(
        "/modules",
        json={
            "name": name,
            "version": "2.0-rc.1",
            "description": "of\n\tmice",
            "featured": True,
            "luaModuleFile": calls,
            "owner": api.alice.email.upper(),
            "write_access": False,
        },
    )
    made = answer.json()
    assert answer.status_code == 202, answer.text
    assert made == {
        "_id": made["_id"],
        "name": name,
        "version": "2.0-rc.1",
        "description": "of\n\tmice",
        "featured": True,
        "luaModuleFile": calls,
        "owner": api.alice.email,
        "write_access": True,
    }
    assert [list(call) for call in made["luaModuleFile"]] == [["id", "arguments"]] * 5
    assert api.bench.wakes.subjects == [Subject("module", UUID(made["_id"]))]
    operation = await api.alice.got(answer.headers["location"])
    assert (operation["kind"], operation["subject"], operation["status"]) == ("module.create", made["_id"], "queued")
    read = await api.alice.get(path_of(made))
    assert read.json() == made
    assert read.headers["etag"]
    assert await api.alice.got("/modules") == [made]
    assert await api.bob.got("/modules") == []
    assert (await api.bob.get(path_of(made))).status_code == 404


async def test_help_that_was_written_on_windows_is_taken(api: Api) -> None:
    written = [{"id": "help", "arguments": ["One\r\ntwo\r\n"]}, {"id": "whatis", "arguments": ["Name: a\r\nb"]}]
    kept = [{"id": "help", "arguments": ["One\ntwo\n"]}, {"id": "whatis", "arguments": ["Name: a\nb"]}]
    made = await api.alice.module(luaModuleFile=written)
    assert made["luaModuleFile"] == kept
    changed = await api.alice.patch(path_of(made), json={"luaModuleFile": [*written, *written]})
    assert changed.json()["luaModuleFile"] == kept * 2
    by_itself = await sent(api, "PATCH", path_of(made), {"luaModuleFile": [{"id": "help", "arguments": ["a\rb"]}]})
    assert problems(by_itself) == {"/luaModuleFile/0/arguments/0"}


async def test_what_is_null_counts_as_absent_and_is_not_answered(api: Api) -> None:
    absent: Json = dict.fromkeys(("description", "featured", "luaModuleFile", "owner", "write_access"))
    bare, nulls = await api.alice.module(), await api.alice.module(**absent)
    for made in (bare, nulls):
        assert made == {
            "_id": made["_id"],
            "name": made["name"],
            "version": "1.0",
            "featured": False,
            "luaModuleFile": [],
            "owner": api.alice.email,
            "write_access": True,
        }


async def test_one_sees_what_one_may_use_and_an_owner_at_a_time(api: Api) -> None:
    mine, hers = await api.bob.module(), [await api.alice.module() for _ in range(3)]
    reader = {"relation": "read", "userArray": api.bob.email}
    await api.alice.made(f"{path_of(hers[1])}/share", **reader)
    assert await api.bob.pages("/modules?limit=1") == [[hers[1]["_id"]], [mine["_id"]]]
    assert (await api.bob.got("/modules"))[0] == hers[1] | {"write_access": False}
    of_alice = {"owner": api.alice.email}
    assert (await api.bob.get("/modules", params=of_alice)).status_code == 403
    for who in ("alice", "admin"):
        listed = await api.person(who).got("/modules", **of_alice)
        assert [one["_id"] for one in listed] == [one["_id"] for one in reversed(hers)]
    assert await api.admin.got("/modules", owner="no@one.org") == []


NO_WORDS: list[object] = [
    *("", " ", ".x", "a/b", "..", "a b", "a\nb", "\u00e9", "x" * 65, NOBODY, "-a", "a:b", "a\0b", "a\u202eb"),
    *(7, None, ["a"]),
]


@pytest.mark.parametrize("field", ["name", "version"])
async def test_a_name_or_version_that_can_be_no_file_is_refused(api: Api, field: str) -> None:
    made = await api.alice.module()
    for word in NO_WORDS:
        body = {"name": unique("m"), "version": "1", field: word}
        answer = await api.alice.post("/modules", json=body)
        assert problems(answer) == {f"/{field}"}, ascii(word)
        answer = await api.alice.patch(path_of(made), json={field: word})
        assert problems(answer) == {f"/{field}"}, ascii(word)
    assert await api.alice.got("/modules") == [made]


@pytest.mark.parametrize("version", ["default", "Default", " DEFAULT "])
async def test_the_name_that_lmod_gives_is_no_version(api: Api, version: str) -> None:
    body = {"name": "default", "version": version}
    assert problems(await api.alice.post("/modules", json=body)) == {"/version"}
    made = await api.alice.module(name="default", version=f"{version.strip()}.1")
    assert problems(await api.alice.patch(path_of(made), json={"version": version})) == {"/version"}


async def test_what_is_missing_or_unknown_is_named_at_once(api: Api) -> None:
    assert problems(await api.alice.post("/modules", json={})) == {"/name", "/version"}
    body: Json = {"name": unique("m"), "version": "1", "module_version": "1", "_id": NOBODY, "calls": []}
    assert problems(await api.alice.post("/modules", json=body)) == {"/module_version", "/_id", "/calls"}
    body = {"name": unique("m"), "version": "1", "featured": "true", "write_access": 1, "description": 1, "owner": 1}
    wrong = {"/featured", "/write_access", "/description", "/owner"}
    assert problems(await api.alice.post("/modules", json=body)) == wrong
    path = path_of(await api.alice.module())
    change = {"owner": api.alice.email, "write_access": True, "_id": NOBODY}
    assert problems(await api.alice.patch(path, json=change)) == {"/owner", "/write_access", "/_id"}
    nothing = dict.fromkeys(("name", "version", "featured", "luaModuleFile"))
    assert problems(await api.alice.patch(path, json=nothing)) == {f"/{field}" for field in nothing}


async def test_only_an_admin_makes_a_module_for_somebody_else(api: Api) -> None:
    body = {"name": unique("m"), "version": "1", "owner": api.bob.email}
    assert problems(await api.alice.post("/modules", json=body)) == {"/owner"}
    assert (await api.admin.made("/modules", **body))["owner"] == api.bob.email
    assert problems(await api.admin.post("/modules", json=body | {"owner": "no@one.org"})) == {"/owner"}


async def test_owner_name_and_version_together_are_unique(api: Api) -> None:
    name = unique("m")
    made, newer = await api.alice.module(name=name), await api.alice.module(name=name, version="1.1")
    again = await api.alice.post("/modules", json={"name": name, "version": "1.0"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "NAME_TAKEN")
    await api.bob.module(name=name)
    other = await api.alice.module()
    for path, change in ((path_of(newer), {"version": "1.0"}), (path_of(other), {"name": name})):
        assert (await api.alice.patch(path, json=change)).status_code == 409
    for one in (newer, other):
        assert await api.alice.got(path_of(one)) == one
        assert await updates_of(api, one) == []
    assert (await api.alice.delete(path_of(made))).status_code == 202
    assert (await api.alice.patch(path_of(other), json={"name": name})).status_code == 202


@pytest.mark.parametrize("change", [{"description": "a"}, {"featured": True}, {"description": "b", "featured": False}])
async def test_what_no_file_shows_is_changed_at_once(api: Api, change: Json) -> None:
    made = await api.alice.module(description="old", luaModuleFile=[HELP])
    answer = await api.alice.patch(path_of(made), json=change)
    assert (answer.status_code, answer.json()) == (200, made | change)
    assert answer.headers["etag"] == (await api.alice.get(path_of(made))).headers["etag"]
    assert await updates_of(api, made) == []
    assert len(api.bench.wakes.subjects) == 1
    found = await row(
        "SELECT detail FROM audit WHERE subject = :subject AND action = 'module.update'", subject=UUID(made["_id"])
    )
    assert found is not None
    assert json.loads(found["detail"]) == {"fields": sorted(change)}


@pytest.mark.parametrize(
    "change",
    [
        {"name": "renamed"},
        {"version": "1.1"},
        {"luaModuleFile": [{"id": "setenv", "arguments": ["A", "b"]}, HELP]},
        {"luaModuleFile": []},
        {"name": "renamed", "version": "2", "description": "x", "featured": True, "luaModuleFile": []},
    ],
    ids=lambda change: " ".join(change),
)
async def test_a_workflow_moves_and_writes_the_file(api: Api, change: Json) -> None:
    made = await api.alice.module(luaModuleFile=[HELP])
    answer = await api.alice.patch(path_of(made), json=change)
    assert (answer.status_code, answer.json()) == (202, made | change)
    assert await api.alice.got(path_of(made)) == made | change
    (operation,) = await updates_of(api, made)
    assert answer.headers["location"] == f"/operations/{operation['_id']}"
    assert operation["status"] == "queued"
    assert api.bench.wakes.subjects == [Subject("module", UUID(made["_id"]))] * 2


async def test_a_change_of_nothing_changes_nothing(api: Api) -> None:
    made = await api.alice.module()
    before, rows = await api.alice.get(path_of(made)), await audited(made)
    answer = await api.alice.patch(path_of(made), json={})
    assert (answer.status_code, answer.json()) == (200, made)
    assert answer.headers["etag"] == before.headers["etag"]
    assert await audited(made) == rows
    assert await updates_of(api, made) == []
    assert len(api.bench.wakes.subjects) == 1


async def test_a_stale_change_is_refused(api: Api) -> None:
    made = await api.alice.module()
    old = {"if-match": (await api.alice.get(path_of(made))).headers["etag"]}
    assert (await api.alice.patch(path_of(made), json={"version": "2"}, headers=old)).status_code == 202
    for change in ({}, {"description": "x"}, {"version": "3"}):
        assert (await api.alice.patch(path_of(made), json=change, headers=old)).status_code == 412
    assert (await api.alice.delete(path_of(made), headers=old)).status_code == 412
    assert await api.alice.got(path_of(made)) == made | {"version": "2"}


async def test_readers_writers_and_owners(api: Api) -> None:
    made = await api.alice.module()
    path, bob = path_of(made), {"userArray": api.bob.email}
    assert await api.bob.statuses(path) == [404] * 5
    await api.alice.made(f"{path}/share", relation="read", **bob)
    assert await api.bob.statuses(path) == [200, 403, 403, 403, 403]
    assert (await api.bob.patch(path, json={"luaModuleFile": []})).status_code == 403
    await api.alice.made(f"{path}/share", relation="write", **bob)
    assert await api.bob.statuses(path) == [200, 200, 200, 403, 403]
    answer = await api.bob.patch(path, json={"version": "2"})
    assert (answer.status_code, answer.json()["write_access"]) == (202, True)
    # The owner finds what a writer asked for.
    assert [one["actor"] for one in await updates_of(api, made)] == [api.bob.email]


async def test_a_module_goes_into_the_trash_and_comes_back(api: Api) -> None:
    made = await api.alice.module(luaModuleFile=[HELP])
    path = path_of(made)
    await api.alice.made(f"{path}/share", relation="write", userArray=api.bob.email)
    assert (await api.alice.post(f"{path}/restore")).status_code == 409
    deleted = await api.alice.delete(path)
    assert (deleted.status_code, deleted.json()["kind"]) == (202, "module.delete")
    for who in ("alice", "bob", "admin"):
        assert await api.person(who).statuses(path) == [404] * 5
        assert await api.person(who).got("/modules") == []
    assert (await api.bob.post(f"{path}/restore")).status_code == 404
    restored = await api.alice.post(f"{path}/restore")
    assert (restored.status_code, restored.json()) == (202, made)
    assert (await api.alice.got(restored.headers["location"]))["kind"] == "module.restore"
    assert api.bench.wakes.subjects[-1] == Subject("module", UUID(made["_id"]))
    assert (await api.bob.post(f"{path}/restore")).status_code == 403
    assert await api.bob.statuses(path) == [200, 200, 200, 403, 403]


async def test_a_name_that_was_taken_meanwhile_keeps_a_module_in_the_trash(api: Api) -> None:
    name = unique("m")
    made = await api.alice.module(name=name)
    await api.alice.delete(path_of(made))
    other = await api.alice.module(name=name)
    answer = await api.alice.post(f"{path_of(made)}/restore")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "NAME_TAKEN")
    assert (await api.alice.get(path_of(made))).status_code == 404
    assert (await api.alice.patch(path_of(other), json={"version": "2"})).status_code == 202
    assert (await api.alice.post(f"{path_of(made)}/restore")).status_code == 202


async def test_modules_are_shared_as_datasets_are(api: Api) -> None:
    made = await api.alice.module()
    path, org = path_of(made), unique("org")
    bob = api.bob.caller
    await row(
        "INSERT INTO person_org (id, person, org) VALUES (gen_random_uuid(), :person, :org)", person=bob.id, org=org
    )
    group = await api.alice.group()
    named = {"userArray": bob.email, "groupArray": group["_id"], "orgArray": [org]}
    shared = await api.alice.made(f"{path}/share", relation="write", **named)
    assert (shared["kind"], shared["subject"]) == ("module.share", made["_id"])
    assert api.bench.wakes.subjects[-1] == Subject.access_of("module", UUID(made["_id"]))
    results = await api.alice.got(f"/operations/{shared['_id']}/results")
    assert {one["entity"]: one["outcome"] for one in results} == dict.fromkeys(
        (bob.email, group["name"], org), "granted"
    )
    access = await api.bob.got(f"{path}/access")
    assert [(one["type"], one["access"]) for one in access if one["access"] != "owner"] == [
        ("user", "write"),
        ("group", "write"),
        ("org", "write"),
    ]
    explained = await api.bob.got(f"{path}/access/explain", email=bob.email)
    assert [(way["type"], way["access"]) for way in explained["via"]] == [("user", "write"), ("org", "write")]
    revoked = await api.alice.made(f"{path}/revoke", relation="read", **named)
    assert revoked["kind"] == "module.revoke"
    assert await api.bob.statuses(path) == [404] * 5
    share = {"relation": "read", "userArray": bob.email}
    wrong_kind = f"/datasets/{made['_id']}/share"
    assert (await api.alice.post(wrong_kind, json=share)).status_code == 404


def _call(function: str, *arguments: object) -> Json:
    return {"id": function, "arguments": list(arguments)}


ROOT = "/luaModuleFile"


NO_FILES: list[tuple[object, set[str]]] = [
    ([_call("os.execute", "id")], {f"{ROOT}/0/id"}),
    ([_call("Help", "x")], {f"{ROOT}/0/id"}),
    ([_call("", "x")], {f"{ROOT}/0/id"}),
    ([_call("help", "x"), {"arguments": ["x"]}], {f"{ROOT}/1/id"}),
    ([{"id": None, "arguments": ["x"]}], {f"{ROOT}/0/id"}),
    ([{"id": 7, "arguments": ["x"]}], {f"{ROOT}/0/id"}),
    ([_call("help\0", "x")], {f"{ROOT}/0/id"}),
    ([_call("x" * 65, "x")], {f"{ROOT}/0/id"}),
    ([_call("help")], {f"{ROOT}/0/arguments"}),
    ([{"id": "help"}], {f"{ROOT}/0/arguments"}),
    ([{"id": "help", "arguments": None}], {f"{ROOT}/0/arguments"}),
    ([{"id": "help", "arguments": "x"}], {f"{ROOT}/0/arguments"}),
    ([_call("setenv", "A")], {f"{ROOT}/0/arguments"}),
    ([_call("setenv", "A", "b", "c")], {f"{ROOT}/0/arguments"}),
    ([_call("family", "a", "b")], {f"{ROOT}/0/arguments"}),
    ([_call("setenv", "A", 7)], {f"{ROOT}/0/arguments/1"}),
    ([_call("setenv", "A", True)], {f"{ROOT}/0/arguments/1"}),
    ([_call("help", None)], {f"{ROOT}/0/arguments/0"}),
    ([_call("help", ["x"])], {f"{ROOT}/0/arguments/0"}),
    ([_call("setenv", "A", "b\0")], {f"{ROOT}/0/arguments/1"}),
    ([_call("setenv", "A", "b\ud800")], {f"{ROOT}/0/arguments/1"}),
    ([_call("setenv", "A", "b\nc")], {f"{ROOT}/0/arguments/1"}),
    ([_call("setenv", "LD_PRELOAD", "x")], {f"{ROOT}/0/arguments/0"}),
    ([_call("setenv", "1A", "x"), _call("load", "../x")], {f"{ROOT}/0/arguments/0", f"{ROOT}/1/arguments/0"}),
    ([{"id": "help", "arguments": ["x"], "args": []}], {f"{ROOT}/0/args"}),
    (["help"], {f"{ROOT}/0"}),
    ([None], {f"{ROOT}/0"}),
    ({"id": "help", "arguments": ["x"]}, {ROOT}),
    ("help('x')", {ROOT}),
    ([_call("help", *["x"] * 1001)], {ROOT}),
    ([_call("help", *["x"] * 500), _call("help", *["x"] * 501)], {ROOT}),
    ([_call("help", "x")] * 1001, {ROOT}),
    ([_call("help", "x" * 65_537)], {ROOT}),
    ([_call("help", "\u00e9" * 16_384), _call("help", "\u00e9" * 16_385)], {ROOT}),
]


async def test_a_file_that_lmod_is_not_to_run_is_refused(api: Api) -> None:
    made = await api.alice.module(luaModuleFile=[HELP])
    for file, paths in NO_FILES:
        body = {"name": unique("m"), "version": "1", "luaModuleFile": file}
        assert problems(await sent(api, "POST", "/modules", body)) == paths, ascii(file)[:80]
        answer = await sent(api, "PATCH", path_of(made), {"luaModuleFile": file})
        assert problems(answer) == paths, ascii(file)[:80]
    assert await api.alice.got("/modules") == [made]


@pytest.mark.parametrize(
    "file",
    [[_call("help", *["x"] * 1000)], [_call("help", "x")] * 1000, [_call("help", "\u00e9" * 32_768)]],
    ids=["arguments", "calls", "bytes"],
)
async def test_a_file_may_be_as_large_as_is_said(api: Api, file: list[Json]) -> None:
    assert (await api.alice.module(luaModuleFile=file))["luaModuleFile"] == file


async def test_all_that_is_wrong_with_a_module_is_told_at_once(bench: Bench) -> None:
    api = bench.api(featured_by_admins_only=True)
    body = {"name": unique("m"), "version": "default", "featured": True, "luaModuleFile": [_call("dofile", "x")]}
    answer = await api.alice.post("/modules", json=body)
    assert problems(answer) == {"/version", "/featured", f"{ROOT}/0/id"}


async def test_who_makes_a_module_featured_is_a_setting(bench: Bench) -> None:
    api = bench.api(featured_by_admins_only=True)
    body = {"name": unique("m"), "version": "1", "featured": True}
    assert problems(await api.alice.post("/modules", json=body)) == {"/featured"}
    assert (await api.admin.made("/modules", **body))["featured"] is True
    made = await api.alice.module(featured=False)
    path = path_of(made)
    assert problems(await api.alice.patch(path, json={"featured": True})) == {"/featured"}
    assert (await api.admin.patch(path, json={"featured": True})).json()["featured"] is True
    assert (await api.alice.patch(path, json={"version": "2"})).json()["featured"] is True
    # Who sends everything back changes nothing.
    assert (await api.alice.patch(path, json={"featured": True})).status_code == 200
    assert (await api.alice.patch(path, json={"featured": False})).json()["featured"] is False


async def test_a_repeated_request_is_answered_as_the_first_was(api: Api) -> None:
    body = {"name": unique("m"), "version": "1", "luaModuleFile": [_call("help", "e\u0301 \U0001f600")]}
    key = {"idempotency-key": unique("k")}
    first, again = [await api.alice.post("/modules", json=body, headers=key) for _ in range(2)]
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert first.headers["location"] == again.headers["location"]
    made = first.json()
    assert await api.alice.got("/modules") == [made]
    change = {"version": "2"}
    first, again = [await api.alice.patch(path_of(made), json=change, headers=key) for _ in range(2)]
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert len(await updates_of(api, made)) == 1


async def test_the_functions_of_modulefiles_are_listed(api: Api) -> None:
    assert await api.bob.got("/volume/lua") == [
        "help",
        "whatis",
        "prepend_path",
        "append_path",
        "setenv",
        "pushenv",
        "unsetenv",
        "depends_on",
        "load",
        "conflict",
        "prereq",
        "family",
        "set_alias",
    ]


def files_below(directory: Path) -> dict[str, str]:
    return {str(one.relative_to(directory)): one.read_text() for one in directory.rglob("*") if one.is_file()}


async def test_the_files_of_modules_are_their_binaries(bench: Bench, tmp_path: Path) -> None:
    api = bench.api(module_location=str(tmp_path))
    hers, mine, _ = await api.alice.module(), await api.bob.module(version="2.1"), await api.alice.module()
    await api.alice.made(f"{path_of(hers)}/share", relation="read", userArray=api.bob.email)
    listed = await api.bob.got("/volume/files", root="modules")
    assert listed == [
        {
            "name": one["_id"],
            "path": "",
            "root": "modules",
            "type": "directory",
            "title": f"{one['name']}/{one['version']}",
        }
        for one in (mine, hers)
    ]
    directory = tmp_path / "binaries" / hers["_id"]
    directory.mkdir(parents=True)
    file = {"root": "modules", "path": hers["_id"], "name": "tool", "type": "file", "content": "x"}
    assert (await api.bob.post("/volume/file", json=file)).status_code == 403
    assert (await api.alice.post("/volume/file", json=file)).status_code == 200
    assert files_below(tmp_path) == {f"binaries/{hers['_id']}/tool": "x"}
    entries = await api.bob.got("/volume/files", root="modules", path=hers["_id"])
    assert entries[0].pop("modified_at")
    assert entries == [{"name": "tool", "path": hers["_id"], "root": "modules", "type": "file", "size": 1}]
    assert (await api.admin.delete(path_of(hers))).status_code == 202
    assert (await api.alice.post("/volume/file", json=file | {"name": "late"})).status_code == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [("", 403), ("modulefiles", 403), (f"modulefiles/{NOBODY}/m", 403), ("binaries", 404), (NOBODY, 404)],
)
async def test_nobody_writes_modulefiles_but_the_service(bench: Bench, tmp_path: Path, path: str, status: int) -> None:
    for made in ("modulefiles", "binaries/modulefiles"):
        (tmp_path / made).mkdir(parents=True)
    api = bench.api(module_location=str(tmp_path))
    file = {"root": "modules", "path": path, "name": "1.0.lua", "type": "file"}
    for who in ("alice", "admin"):
        assert (await api.person(who).post("/volume/file", json=file)).status_code == status
    assert files_below(tmp_path) == {}


async def test_a_featured_module_is_answered_for_again_whoever_may_feature_by_now(bench: Bench) -> None:
    body, key = {"name": unique("m"), "version": "1", "featured": True}, {"idempotency-key": unique("k")}
    api = bench.api(featured_by_admins_only=False)
    first = await api.alice.post("/modules", json=body, headers=key)
    assert first.status_code == 202, first.text
    api = bench.api(featured_by_admins_only=True)
    again = await api.alice.post("/modules", json=body, headers=key)
    assert (again.status_code, again.json()) == (202, first.json())
    body["name"] = unique("m")
    assert problems(await api.alice.post("/modules", json=body)) == {"/featured"}
