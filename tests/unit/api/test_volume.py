"""Files and directories over the API: who may list and make them, and what is refused."""

import asyncio
import dataclasses
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest

from api.health import Probes, run_checks
from api.volume import VolumeController
from integrations.file_threads import FileThreads
from integrations.filesystem import Volumes
from models.access.permissions import Level
from models.database.sql import row
from models.domain.errors import VolumeUnavailable
from models.domain.ids import new_id
from models.records import datasets
from tests.unit.api.bench import Client
from tests.unit.api.files import LARGEST, Files


def a_file(root: str = "notebooks", **fields: Any) -> dict[str, Any]:
    return {"root": root, "type": "file", "name": "new.txt", **fields}


def problems_of(answer: httpx.Response) -> dict[str, str]:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, "VALIDATION_FAILED"), answer.text
    return {detail["path"]: detail["code"] for detail in error["details"]}


async def names(api: Client, **query: str) -> list[str]:
    answer = await api.get("/volume/files", params=query)
    assert answer.status_code == 200, answer.text
    return [one["name"] for one in answer.json()]


async def test_a_file_is_made_at_home_and_listed(files: Files) -> None:
    api = files.api.alice
    made = await api.post("/volume/file", json=a_file(type="directory", name="work", path=""))
    assert made.json() == {"root": "notebooks", "type": "directory", "name": "work", "path": ""}
    made = await api.post("/volume/file", json=a_file(path="work", content="caf\u00e9\n", name="\u00fc \u4e2d.txt"))
    assert made.status_code == 200
    assert made.json() == a_file(path="work", content="caf\u00e9\n", name="\u00fc \u4e2d.txt")
    assert (files.home("alice") / "work" / "\u00fc \u4e2d.txt").read_text() == "caf\u00e9\n"
    listed = await api.get("/volume/files", params={"root": "notebooks"})
    (work,) = listed.json()
    assert datetime.now(UTC) - datetime.fromisoformat(work.pop("modified_at")) < timedelta(minutes=1)
    assert work == {"name": "work", "path": "", "root": "notebooks", "type": "directory"}
    listed = await api.get("/volume/files", params={"root": "notebooks", "path": "work"})
    (file,) = listed.json()
    assert datetime.now(UTC) - datetime.fromisoformat(file.pop("modified_at")) < timedelta(minutes=1)
    assert file == {"name": "\u00fc \u4e2d.txt", "path": "work", "root": "notebooks", "type": "file", "size": 6}
    found = await row(
        "SELECT actor, action, subject_kind, detail FROM audit WHERE subject = :subject ORDER BY id DESC LIMIT 1",
        subject=files.callers["alice"].id,
    )
    assert found is not None
    assert (found["action"], found["subject_kind"]) == ("volume.create_file", "person")
    assert json.loads(found["detail"]) == {"path": "work", "name": "\u00fc \u4e2d.txt", "type": "file"}


async def test_text_is_kept_as_it_is_and_names_are_normalised(files: Files) -> None:
    content = "  a\r\n\tb\u0301\ufeff\x01\x7f \u202e\n"
    made = await files.api.alice.post("/volume/file", json=a_file(name=" e\u0301 ", content=content))
    assert (made.json()["name"], made.json()["content"]) == ("\u00e9", content)
    assert (files.home("alice") / "\u00e9").read_bytes() == content.encode()
    empty = await files.api.alice.post("/volume/file", json=a_file(name="empty", content=None, path=None))
    assert empty.json() == a_file(name="empty", path="")
    assert (files.home("alice") / "empty").read_bytes() == b""


async def test_homes_are_their_own(files: Files) -> None:
    (files.home("alice") / "mine").touch()
    assert await names(files.api.bob, root="notebooks") == []
    email = files.callers["alice"].email
    assert await names(files.api.alice, root="notebooks", email=email.upper()) == ["mine"]
    assert await names(files.api.admin, root="notebooks", email=email) == ["mine"]
    assert (await files.api.bob.get("/volume/files", params={"root": "notebooks", "email": email})).status_code == 403
    for path in (f"{files.callers['alice'].id}", f"../{files.callers['alice'].id}"):
        answer = await files.api.bob.get("/volume/files", params={"root": "notebooks", "path": path})
        assert answer.status_code in (404, 422)
    unknown = {"root": "notebooks", "email": "nobody@example.org"}
    assert (await files.api.admin.get("/volume/files", params=unknown)).status_code == 404
    assert (await files.api.nobody.get("/volume/files", params=unknown)).status_code == 401
    assert (await files.api.nobody.post("/volume/file", json=a_file())).status_code == 401


async def test_the_email_is_for_homes_only(files: Files) -> None:
    other = {"root": "datasets", "email": files.callers["alice"].email}
    assert problems_of(await files.api.admin.get("/volume/files", params=other)) == {"email": "format"}
    assert (await files.api.bob.get("/volume/files", params=other)).status_code == 403
    assert await names(files.api.person("carol"), root="datasets", email=files.callers["carol"].email) == []


@pytest.mark.parametrize(
    ("caller", "reads", "writes"),
    [
        ("alice", 200, 200),
        ("bob", 200, 200),
        ("carol", 200, 403),
        ("dave", 404, 404),
        ("admin", 200, 200),
    ],
)
async def test_permissions_of_a_dataset(files: Files, caller: str, reads: int, writes: int) -> None:
    """alice owns it, bob may write and carol read it."""
    identity = await files.dataset(bob=Level.WRITE, carol=Level.READ)
    place = files.place / "datasets" / str(identity)
    (place / "sub").mkdir()
    api = files.api.person(caller)
    for path in (f"{identity}", f"{identity}/sub"):
        query = {"root": "datasets", "path": path}
        assert (await api.get("/volume/files", params=query)).status_code == reads
        made = await api.post("/volume/file", json=a_file("datasets", path=path, content="x"))
        assert made.status_code == writes, made.text
    assert len(list(place.rglob("new.txt"))) == (2 if writes == 200 else 0)
    listed = await api.get("/volume/files", params={"root": "datasets", "limit": "1000"})
    there = [one for one in listed.json() if one["name"] == str(identity)]
    # An admin reads any, and lists what anybody would.
    assert bool(there) == (reads == 200 and caller != "admin")
    for one in there:
        found = await datasets.read(identity, files.callers["alice"])
        assert one == {
            "name": str(identity),
            "path": "",
            "root": "datasets",
            "type": "directory",
            "title": found.name,
        }


async def test_a_right_that_is_taken_or_expired_is_none_at_once(files: Files) -> None:
    identity = await files.dataset()
    query, body = {"root": "datasets", "path": str(identity)}, a_file("datasets", path=str(identity))
    api = files.api.person("carol")
    await files.grant(identity, "carol", Level.WRITE, datetime.now(UTC) - timedelta(seconds=1))
    assert (await api.get("/volume/files", params=query)).status_code == 404
    assert (await api.post("/volume/file", json=body)).status_code == 404
    await files.grant(identity, "carol", Level.WRITE)
    assert (await api.get("/volume/files", params=query)).status_code == 200
    assert (await api.post("/volume/file", json=body)).status_code == 200
    await row("DELETE FROM access_grant WHERE object = :object", object=identity)
    assert (await api.get("/volume/files", params=query)).status_code == 404
    await row("UPDATE dataset SET wish = 'trashed' WHERE id = :id", id=identity)
    for caller in ("alice", "admin"):
        assert (await files.api.person(caller).get("/volume/files", params=query)).status_code == 404
        assert (await files.api.person(caller).post("/volume/file", json=body | {"name": "b"})).status_code == 404


@pytest.mark.parametrize(("caller", "status"), [("alice", 200), ("bob", 200), ("carol", 403), ("admin", 200)])
async def test_permissions_of_a_group(files: Files, caller: str, status: int) -> None:
    """alice manages it, and bob is a member."""
    identity = await files.group()
    await row(
        """INSERT INTO group_member (id, user_group, person, manager)
           VALUES (gen_random_uuid(), :group, :person, false)""",
        group=identity,
        person=files.callers["bob"].id,
    )
    api, query = files.api.person(caller), {"root": "groups", "path": str(identity)}
    assert (await api.get("/volume/files", params=query)).status_code == status
    assert (await api.post("/volume/file", json=a_file("groups", path=str(identity)))).status_code == status
    assert (str(identity) in await names(api, root="groups")) == (status == 200)
    await row("UPDATE user_group SET wish = 'purged' WHERE id = :id", id=identity)
    assert (await api.get("/volume/files", params=query)).status_code == 404
    assert str(identity) not in await names(api, root="groups")


async def test_records_come_in_pages_newest_first(files: Files) -> None:
    made = {"datasets": [await files.dataset() for _ in range(5)], "groups": [await files.group() for _ in range(5)]}
    await files.dataset("bob")
    await files.group("bob")
    for root, identities in made.items():
        url, seen = f"/volume/files?root={root}&limit=2", []
        while url:
            answer = await files.api.alice.get(url)
            assert len(answer.json()) <= 2
            seen += [one["name"] for one in answer.json()]
            url = answer.links.get("next", {}).get("url", "")
        assert seen == [str(one) for one in reversed(identities)]


async def test_modules_have_no_directories_yet(files: Files) -> None:
    api = files.api.admin
    assert await names(api, root="modules") == []
    for path in (str(new_id()), "modulefiles", "binaries"):
        assert (await api.get("/volume/files", params={"root": "modules", "path": path})).status_code == 404
    for path, status in (("", 403), ("modulefiles", 403), ("modulefiles/a/b", 403), (str(new_id()), 404)):
        assert (await api.post("/volume/file", json=a_file("modules", path=path))).status_code == status


@pytest.mark.parametrize("root", ["datasets", "groups"])
async def test_records_are_not_made_by_making_directories(files: Files, root: str) -> None:
    body = a_file(root, type="directory", name=str(new_id()))
    for more in ({}, {"path": ""}, {"path": None}):
        assert (await files.api.admin.post("/volume/file", json=body | more)).status_code == 403
    for path in (".trash", str(new_id()), str(new_id()).upper(), "x", f"{new_id()}/x"):
        assert (await files.api.admin.post("/volume/file", json=body | {"path": path})).status_code == 404
        query = {"root": root, "path": path}
        assert (await files.api.admin.get("/volume/files", params=query)).status_code == 404
    assert list((files.place / root).iterdir()) == []


BAD_PATHS = [
    "..",
    "../x",
    "a/../..",
    "/etc",
    "/",
    "//etc",
    "a/",
    "a//b",
    ".",
    "./a",
    "a\0",
    "x" * 256,
    "a/" * 2048 + "b",
]


@pytest.mark.parametrize("path", BAD_PATHS, ids=ascii)
async def test_bad_paths(files: Files, path: str) -> None:
    identity = await files.dataset()
    for root, given in (("notebooks", path), ("datasets", f"{identity}/{path}"), ("datasets", path)):
        assert set(problems_of(await files.api.alice.post("/volume/file", json=a_file(root, path=given)))) == {"/path"}
        answer = await files.api.alice.get("/volume/files", params={"root": root, "path": given})
        assert set(problems_of(answer)) == {"path"}
        assert answer.json()["error"]["details"][0]["info"] == {"in": "query"}
    assert not list(files.place.rglob("new.txt"))


@pytest.mark.parametrize(
    "path", ["..%2f", "%2e%2e", "....", "..\\", "~root", "$(id)", "a\nb", "-x", "\u202e"], ids=ascii
)
async def test_odd_paths_are_paths(files: Files, path: str) -> None:
    api, query = files.api.alice, {"root": "notebooks", "path": path}
    assert (await api.get("/volume/files", params=query)).status_code == 404
    assert (await api.post("/volume/file", json=a_file(path=path))).status_code == 404
    (files.home("alice") / path).mkdir()
    assert (await api.post("/volume/file", json=a_file(path=path))).status_code == 200
    assert await names(api, **query) == ["new.txt"]


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", "/", "a/b", "../a", "a\0b", "a\nb", "\x1b[1m", "\u202ea", "\u2028", "x" * 256, "\u00e4" * 128],
    ids=ascii,
)
async def test_bad_names(files: Files, name: str) -> None:
    for type in ("file", "directory"):
        answer = await files.api.alice.post("/volume/file", json=a_file(name=name, type=type))
        assert set(problems_of(answer)) == {"/name"}
    assert list(files.home("alice").iterdir()) == []


@pytest.mark.parametrize(
    "name", ["x" * 255, "\u00e4" * 127, "-rf", "con", "..a", "~root", "a\\b", str(UUID(int=7))], ids=ascii
)
async def test_odd_names_are_names(files: Files, name: str) -> None:
    assert (await files.api.alice.post("/volume/file", json=a_file(name=name))).json()["name"] == name
    assert await names(files.api.alice, root="notebooks") == [name]


async def test_lone_surrogates(files: Files) -> None:
    for field in ("name", "path", "content"):
        body = json.dumps(a_file() | {field: "a\ud800"})
        answer = await files.api.alice.post("/volume/file", content=body, headers={"content-type": "application/json"})
        assert set(problems_of(answer)) == {f"/{field}"}


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        ({"root": None}, {"/root": "required"}),
        ({"type": None}, {"/type": "required"}),
        ({"name": None}, {"/name": "required"}),
        ({"root": "homes"}, {"/root": "enum"}),
        ({"type": "fifo"}, {"/type": "enum"}),
        ({"type": "directory", "content": ""}, {"/content": "format"}),
        ({"content": "a\0b"}, {"/content": "format"}),
        ({"content": 1}, {"/content": "type"}),
        ({"mode": "0777"}, {"/mode": "additionalProperties"}),
        (
            {"root": None, "type": None, "name": None, "path": ".."},
            dict.fromkeys(("/root", "/type", "/name"), "required") | {"/path": "format"},
        ),
    ],
    ids=str,
)
async def test_what_is_wrong_is_named(files: Files, change: dict[str, Any], problems: dict[str, str]) -> None:
    for body in (a_file() | change, {key: value for key, value in (a_file() | change).items() if value is not None}):
        assert problems_of(await files.api.alice.post("/volume/file", json=body)) == problems
    assert list(files.home("alice").iterdir()) == []


async def test_queries_that_are_refused(files: Files) -> None:
    for query, problem in (
        ({}, "root"),
        ({"root": "homes"}, "root"),
        ({"root": "notebooks", "limit": "0"}, "limit"),
        ({"root": "notebooks", "cursor": "x"}, "cursor"),
        ({"root": "notebooks", "depth": "2"}, "depth"),
    ):
        assert set(problems_of(await files.api.alice.get("/volume/files", params=query))) == {problem}


async def test_nothing_is_replaced(files: Files) -> None:
    home = files.home("alice")
    (home / "file").write_text("mine")
    (home / "directory").mkdir()
    (home / "link").symlink_to("missing")
    os.mkfifo(home / "fifo")
    for name in ("file", "directory", "link", "fifo"):
        for type in ("file", "directory"):
            answer = await files.api.alice.post("/volume/file", json=a_file(name=name, type=type))
            assert answer.status_code == 409, answer.text
    assert (home / "file").read_text() == "mine"
    assert await names(files.api.alice, root="notebooks") == ["directory", "file"]
    for path in ("file", "link", "fifo", "link/x"):
        query = {"root": "notebooks", "path": path}
        assert problems_of(await files.api.alice.get("/volume/files", params=query)) == {"path": "format"}
        assert problems_of(await files.api.alice.post("/volume/file", json=a_file(path=path))) == {"/path": "format"}


async def test_a_link_leads_nowhere(files: Files) -> None:
    secret = files.home("bob") / "secret"
    secret.mkdir()
    (files.home("alice") / "link").symlink_to(secret)
    (files.home("alice") / "up").symlink_to("..")
    for path in ("link", "up", f"up/{files.callers['bob'].id}/secret"):
        query = {"root": "notebooks", "path": path}
        assert problems_of(await files.api.alice.get("/volume/files", params=query)) == {"path": "format"}
        assert problems_of(await files.api.alice.post("/volume/file", json=a_file(path=path))) == {"/path": "format"}
    assert list(secret.iterdir()) == []


async def test_pages_of_a_directory(files: Files) -> None:
    given = [f"{number:02}" for number in range(23)] + ["\u00e4", "Z", "a b&c"]
    for name in given:
        (files.home("alice") / name).touch()
    url, seen, pages = "/volume/files?root=notebooks&limit=10", [], 0
    while url:
        answer = await files.api.alice.get(url)
        seen += [one["name"] for one in answer.json()]
        url = answer.links.get("next", {}).get("url", "")
        assert not url or url.startswith("https://hub.example.org/volume/files?root=notebooks&limit=10&cursor=")
        pages += 1
    assert (seen, pages) == (sorted(given), 3)
    first = await files.api.alice.get("/volume/files?root=notebooks&limit=10")
    theirs = first.links["next"]["url"]
    for answer in (await files.api.bob.get(theirs), await files.api.alice.get(f"{theirs}&path=x")):
        assert problems_of(answer) == {"cursor": "cursor"}


async def test_pages_of_a_directory_that_is_too_large_to_be_sorted(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integrations.filesystem.MOST_SORTED", 20)
    given = [f"{number:02}" for number in range(55)]
    for name in given:
        (files.home("alice") / name).touch()
    url, seen = "/volume/files?root=notebooks&limit=10", []
    while url:
        answer = await files.api.alice.get(url)
        seen += [one["name"] for one in answer.json()]
        url = answer.links.get("next", {}).get("url", "")
        if url:
            assert problems_of(await files.api.bob.get(url)) == {"cursor": "cursor"}
    assert sorted(seen) == given


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ("x" * LARGEST, 200),
        ("x" * (LARGEST + 1), 413),
        ("\u00e4" * (LARGEST // 2), 200),
        ("\u00e4" * (LARGEST // 2 + 1), 413),
        ("\x01" * LARGEST, 200),  # six bytes each on the wire
        ("x" * (6 * LARGEST + 65_536), 413),
    ],
    ids=["as large as may be", "too large", "two bytes each", "too large in bytes", "escaped", "a body too large"],
)
async def test_how_large_a_file_may_be(files: Files, content: str, status: int) -> None:
    answer = await files.api.alice.post("/volume/file", json=a_file(content=content))
    assert answer.status_code == status, answer.text[:500]
    there = [one.read_text() for one in files.home("alice").iterdir()]
    assert there == ([content] if status == 200 else [])


async def test_a_key_makes_a_request_repeatable_and_keeps_no_content(files: Files) -> None:
    api, key = files.api.alice, {"idempotency-key": new_id().hex}
    body = a_file(content="canary-9a31", path="")
    first = await api.post("/volume/file", json=body, headers=key)
    again = await api.post("/volume/file", json=body, headers=key)
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json() == body
    assert (await api.post("/volume/file", json=body)).status_code == 409
    other = await api.post("/volume/file", json=body | {"content": "other"}, headers=key)
    assert set(problems_of(other)) == {"Idempotency-Key"}
    kept = await row(
        "SELECT convert_from(body, 'UTF8') AS body FROM idempotency WHERE key = :key", key=key["idempotency-key"]
    )
    assert kept is not None
    assert "canary" not in kept["body"]
    # A refused request may be repeated with its key.
    key = {"idempotency-key": new_id().hex}
    assert (await api.post("/volume/file", json=body, headers=key)).status_code == 409
    (files.home("alice") / "new.txt").unlink()
    assert (await api.post("/volume/file", json=body, headers=key)).status_code == 200


class Killed(BaseException):
    """What no handler outlives."""


async def die(*_: object, **__: object) -> None:
    raise Killed


async def audited(files: Files) -> int:
    found = await row("SELECT count(*) AS count FROM audit WHERE actor = :actor", actor=files.callers["alice"].id)
    assert found is not None
    count: int = found["count"]
    return count


@pytest.mark.parametrize("type", ["file", "directory"])
async def test_a_request_that_was_cut_off_after_the_file_was_made_is_repeatable(
    files: Files, monkeypatch: pytest.MonkeyPatch, type: str
) -> None:
    api, key = files.api.alice, {"idempotency-key": new_id().hex}
    body = a_file(path="", type=type)
    before = await audited(files)
    with monkeypatch.context() as patched:
        patched.setattr("models.records.volumes.record_made", die)
        patched.setattr("models.ledger.idempotency.release", die)
        with pytest.raises(Killed):
            await api.post("/volume/file", json=body, headers=key)
    assert [one.name for one in files.home("alice").iterdir()] == ["new.txt"]
    # It is nobody else's: without the key, or with another, the name is taken.
    for headers in ({}, {"idempotency-key": new_id().hex}):
        assert (await api.post("/volume/file", json=body, headers=headers)).status_code == 409
    for _ in range(2):
        answer = await api.post("/volume/file", json=body, headers=key)
        assert (answer.status_code, answer.json()) == (200, body), answer.text
    assert await audited(files) == before + 1
    assert [one.name for one in files.home("alice").iterdir()] == ["new.txt"]
    left = await row(
        "SELECT count(*) AS count FROM write_claim WHERE person = :person", person=files.callers["alice"].id
    )
    assert left == {"count": 0}


@pytest.mark.parametrize("type", ["file", "directory"])
async def test_one_key_sent_many_times_at_once_makes_one_entry(files: Files, type: str) -> None:
    api, key = files.api.alice, {"idempotency-key": new_id().hex}
    body = a_file(path="", type=type)
    before = await audited(files)
    answers = await asyncio.gather(*(api.post("/volume/file", json=body, headers=key) for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {200, 409, 503}
    again = await api.post("/volume/file", json=body, headers=key)
    assert (again.status_code, again.json()) == (200, body)
    assert await audited(files) == before + 1
    assert [one.name for one in files.home("alice").iterdir()] == ["new.txt"]


async def test_a_file_of_somebody_else_is_not_taken_for_ones_own(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the first try was cut off before it made anything, and another came first."""
    api, key = files.api.alice, {"idempotency-key": new_id().hex}
    body = a_file(path="")
    with monkeypatch.context() as patched:
        patched.setattr(Volumes, "create_file", lambda *_: (_ for _ in ()).throw(Killed()))
        patched.setattr("models.ledger.idempotency.release", die)
        with pytest.raises(Killed):
            await api.post("/volume/file", json=body, headers=key)
    (files.home("alice") / "new.txt").write_text("another's")
    assert (await api.post("/volume/file", json=body, headers=key)).status_code == 409
    assert (files.home("alice") / "new.txt").read_text() == "another's"


async def test_a_repeated_request_is_answered_for_whatever_is_allowed_by_now(files: Files) -> None:
    api, key = files.api.alice, {"idempotency-key": new_id().hex}
    body = a_file(path="", content="x" * 100)
    assert (await api.post("/volume/file", json=body, headers=key)).status_code == 200
    settings = msgspec.structs.replace(files.bench.settings, max_file_bytes=10)
    services = dataclasses.replace(files.bench.services, settings=settings)
    stricter = dataclasses.replace(files.bench, settings=settings, services=services).api([VolumeController]).alice
    assert (await stricter.post("/volume/file", json=body, headers=key)).status_code == 200
    assert (await stricter.post("/volume/file", json=body | {"name": "other"})).status_code == 413


async def test_a_home_or_root_that_is_not_there(files: Files) -> None:
    files.home("alice").rmdir()
    answer = await files.api.alice.get("/volume/files?root=notebooks")
    assert answer.status_code == 404
    assert (await files.api.alice.post("/volume/file", json=a_file())).status_code == 404
    for one in (files.place / "notebooks").iterdir():
        one.rmdir()
    (files.place / "notebooks").rmdir()
    for answer in (
        await files.api.alice.get("/volume/files?root=notebooks"),
        await files.api.alice.post("/volume/file", json=a_file()),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "VOLUME_UNAVAILABLE")
        assert "retry-after" in answer.headers
        assert str(files.place) not in answer.text
    assert not (files.place / "notebooks").exists()


@pytest.mark.parametrize("how", ["linked", "missing", "a file"])
async def test_a_home_that_cannot_be_used_is_told_in_one_sentence_wherever_one_looks(files: Files, how: str) -> None:
    home = files.home("alice")
    home.rmdir()
    if how == "linked":
        (files.place / "elsewhere").mkdir()
        home.symlink_to(files.place / "elsewhere")
    elif how == "a file":
        home.touch()
    listed = await files.api.alice.get("/volume/files?root=notebooks")
    made = await files.api.alice.post("/volume/file", json=a_file())
    deeper = await files.api.alice.post("/volume/file", json=a_file(path="a/b"))
    probes = Probes(files.bench.services)
    health = (await run_checks(probes.folders_of(files.callers["alice"].id)))["notebooks"]
    said = {listed.json()["error"]["message"], made.json()["error"]["message"], deeper.json()["error"]["message"]}
    assert said == {health.error}
    assert "home directory" in str(health.error)
    assert "administrator" in str(health.error)
    assert str(files.place) not in str(health.error)
    wanted = (404, "DIRECTORY_MISSING") if how == "missing" else (409, "DIRECTORY_UNUSABLE")
    assert {(one.status_code, one.json()["error"]["code"]) for one in (listed, made, deeper)} == {wanted}
    if how == "linked":
        assert list((files.place / "elsewhere").iterdir()) == []
    # The twin: a directory is one.
    assert (await run_checks(probes.folders_of(files.callers["bob"].id)))["notebooks"].status == "ok"
    assert (await files.api.bob.get("/volume/files?root=notebooks")).status_code == 200


@pytest.mark.parametrize("kind", ["dataset", "group"])
async def test_a_records_directory_that_is_a_link_is_no_fault_of_the_path(files: Files, kind: str) -> None:
    identity = await (files.dataset() if kind == "dataset" else files.group())
    directory = files.place / f"{kind}s" / str(identity)
    directory.rmdir()
    directory.symlink_to(files.place)
    for answer in (
        await files.api.alice.get("/volume/files", params={"root": f"{kind}s", "path": str(identity)}),
        await files.api.alice.post("/volume/file", json=a_file(f"{kind}s", path=str(identity))),
    ):
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (409, "DIRECTORY_UNUSABLE")
        assert error["message"].startswith(f"The directory of this {kind} is a symbolic link")


async def test_a_hung_file_system_uses_up_no_more_than_its_threads(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*_: object, **__: object) -> list[object]:
        time.sleep(1.2)
        return []

    with monkeypatch.context() as patched:
        patched.setattr(Volumes, "list_entries", hang)
        for _ in range(4):
            answer = await files.api.alice.get("/volume/files?root=notebooks")
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "VOLUME_UNAVAILABLE")
            # Meanwhile all else goes on.
            assert (await files.api.alice.get("/volume/hardware")).status_code == 200
    time.sleep(1.2)  # noqa: ASYNC251 - the threads come back, whatever the loop does
    assert await names(files.api.alice, root="notebooks") == []


async def test_a_call_that_fails_after_its_caller_gave_up_is_nobodys_error() -> None:
    def late() -> None:
        time.sleep(0.2)
        raise KeyError

    threads = FileThreads(1, 0.05).of(new_id())
    for _ in range(2):
        with pytest.raises(VolumeUnavailable):
            await threads.run(late)


async def test_results_and_errors_of_calls_come_through() -> None:
    def twice(value: int, *, plus: int) -> int:
        return 2 * value + plus

    threads = FileThreads(1).of(new_id())
    calls: list[Callable[[], int]] = [lambda: 1 // 0]
    with pytest.raises(ZeroDivisionError):
        await threads.run(calls[0])
    assert await threads.run(twice, 3, plus=1) == 7
