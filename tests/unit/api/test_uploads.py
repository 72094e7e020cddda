"""Files that come in parts: where they go on, who sees what of them, and what is left when they end too early."""

import asyncio
import os
from typing import Any

import httpx
import pytest

from activities.filesystem import Filesystem
from api.uploads import UploadsController
from integrations.filesystem import UNFINISHED
from models.access.permissions import Level
from models.database.sql import row
from models.domain.ids import new_id
from tests.unit.api.bench import NOBODY, Client, Json, answered, problems
from tests.unit.api.files import LARGEST_UPLOAD, Files

PARTIAL = "application/octet-stream"


async def begun(who: Client, path: str = "new", root: str = "notebooks", **more: Any) -> Json:
    return answered(await who.post("/volume/uploads", json={"root": root, "path": path, **more}), 200)


async def sent(
    who: Client, upload: Json, offset: int, content: Any, *, last: bool = False, **headers: str
) -> httpx.Response:
    given = {"content-type": PARTIAL, "upload-offset": str(offset), "upload-complete": "?1" if last else "?0"}
    return await who.patch(
        f"/volume/uploads/{upload['_id']}",
        content=content,
        headers=given | {name.replace("_", "-"): value for name, value in headers.items()},
    )


async def settle(files: Files) -> None:
    threads = files.bench.services.file_threads
    assert threads is not None
    await Filesystem(files.bench.settings, threads).settle_files()


async def test_a_file_comes_in_parts_and_is_there_with_the_last_one(files: Files) -> None:
    alice, home = files.api.alice, files.home("alice")
    (home / "dir").mkdir()
    upload = await begun(alice, "dir/big.bin", size=9)
    assert (upload["offset"], upload["path"], upload["size"]) == (0, "dir/big.bin", 9)
    answer = await sent(alice, upload, 0, b"abc")
    assert (answer.status_code, answer.headers["upload-offset"]) == (200, "3"), answer.text
    assert (await alice.get("/volume/files", params={"root": "notebooks", "path": "dir"})).json() == []
    answer = await alice.get(f"/volume/uploads/{upload['_id']}")
    assert (answer.json()["offset"], answer.headers["upload-offset"]) == (3, "3")
    assert answer.headers["upload-limit"].startswith("max-append-size=")
    assert (await sent(alice, upload, 3, b"def")).status_code == 200
    answer = await sent(alice, upload, 6, b"ghi", last=True)
    assert answered(answer, 200) | {"expires_at": ""} == upload | {"offset": 9, "complete": True, "expires_at": ""}
    assert os.listdir(home / "dir") == ["big.bin"]
    assert (home / "dir" / "big.bin").read_bytes() == b"abcdefghi"
    read = await alice.get("/volume/file", params={"root": "notebooks", "path": "dir/big.bin"})
    assert read.headers["etag"] == answer.headers["etag"]
    assert (await alice.get(f"/volume/uploads/{upload['_id']}")).status_code == 404
    found = await row(
        "SELECT action FROM audit WHERE subject = :subject ORDER BY id DESC LIMIT 1", subject=alice.caller.id
    )
    assert found == {"action": "volume.write_file"}


async def test_a_part_begins_where_the_one_before_ended(files: Files) -> None:
    alice = files.api.alice
    upload = await begun(alice)
    await sent(alice, upload, 0, b"abc")
    for offset in (0, 2, 4, 10**12):
        answer = await sent(alice, upload, offset, b"xyz", last=True)
        assert (answer.status_code, answer.headers["upload-offset"]) == (409, "3")
        assert answer.json()["error"]["code"] == "OFFSET_MISMATCH"
    assert (await sent(alice, upload, 3, b"", last=True)).status_code == 200
    assert (files.home("alice") / "new").read_bytes() == b"abc"


async def test_a_part_that_was_cut_off_is_gone_on_with(files: Files) -> None:
    alice = files.api.alice

    async def broken() -> Any:
        yield b"x" * 300_000
        raise OSError("the line is cut")

    upload = await begun(alice)
    assert (await sent(alice, upload, 0, broken())).status_code >= 400
    offset = (await alice.get(f"/volume/uploads/{upload['_id']}")).json()["offset"]
    assert offset <= 300_000
    answer = await sent(alice, upload, offset, b"x" * (400_000 - offset), last=True)
    assert answered(answer, 200)["offset"] == 400_000
    assert (files.home("alice") / "new").read_bytes() == b"x" * 400_000


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"upload-offset": "-1"}, 422),
        ({"upload-offset": "x"}, 422),
        ({"upload-complete": "yes"}, 422),
        ({"content-type": "application/json"}, 415),
        ({"content-encoding": "gzip"}, 415),
    ],
)
async def test_parts_that_are_none(files: Files, headers: dict[str, str], status: int) -> None:
    upload = await begun(files.api.alice)
    good = {"content-type": PARTIAL, "upload-offset": "0", "upload-complete": "?0"}
    path = f"/volume/uploads/{upload['_id']}"
    assert (await files.api.alice.patch(path, content=b"x", headers=good | headers)).status_code == status
    assert (await files.api.alice.patch(path, content=b"x", headers=good)).status_code == 200


@pytest.mark.parametrize(("size", "status"), [(9.0, 200), (9.5, 422), (1e300, 413), (True, 422), ("9", 422)])
async def test_a_size_is_whole_as_json_has_it(files: Files, size: object, status: int) -> None:
    body = {"root": "notebooks", "path": "whole.bin", "size": size}
    answer = await files.api.alice.post("/volume/uploads", json=body)
    assert answer.status_code == status, answer.text


async def test_no_more_comes_than_was_announced_or_may(files: Files) -> None:
    alice = files.api.alice
    assert (
        await alice.post("/volume/uploads", json={"root": "notebooks", "path": "x", "size": LARGEST_UPLOAD + 1})
    ).status_code == 413
    upload = await begun(alice, size=4)
    assert (await sent(alice, upload, 0, b"12345")).status_code == 413

    assert (await sent(alice, upload, 0, b"123", last=True)).status_code == 409
    upload = await begun(alice)
    assert (await sent(alice, upload, 0, b"x" * LARGEST_UPLOAD)).status_code == 200
    assert (await sent(alice, upload, LARGEST_UPLOAD, b"x", last=True)).status_code == 413
    assert [one for one in os.listdir(files.home("alice")) if not one.startswith(UNFINISHED)] == []


@pytest.mark.parametrize("path", ["..", "a/../b", "/etc/x", f"{UNFINISHED}x", "a//b"])
async def test_paths_that_are_none(files: Files, path: str) -> None:
    answer = await files.api.alice.post("/volume/uploads", json={"root": "notebooks", "path": path})
    assert problems(answer) == {"/path"}


async def test_an_upload_is_its_owners_and_of_who_may_write(files: Files) -> None:
    dataset = str(await files.dataset(bob=Level.WRITE, carol=Level.READ))
    bob, path = files.api.bob, f"{dataset}/new"
    for name, status in (("carol", 403), ("dave", 404)):
        answer = await files.api.person(name).post("/volume/uploads", json={"root": "datasets", "path": path})
        assert answer.status_code == status
    upload = await begun(bob, path, "datasets")
    assert (await sent(bob, upload, 0, b"abc")).status_code == 200
    for who in (files.api.alice, files.api.person("carol"), files.api.admin):
        assert (await who.get(f"/volume/uploads/{upload['_id']}")).status_code == 404
        assert (await sent(who, upload, 3, b"x")).status_code == 404
        assert (await who.delete(f"/volume/uploads/{upload['_id']}")).status_code == 404
    assert (await bob.get(f"/volume/uploads/{NOBODY}")).status_code == 404
    await row("DELETE FROM access_grant WHERE person = :person", person=bob.caller.id)
    assert (await sent(bob, upload, 3, b"x", last=True)).status_code == 404
    assert not (files.place / "datasets" / dataset / "new").exists()


async def test_what_was_put_in_the_place_of_an_upload_gets_nothing(files: Files) -> None:
    alice, home, other = files.api.alice, files.home("alice"), files.home("bob") / "secret"
    other.write_text("")
    for put in ("link", "hard", "fifo", "directory"):
        upload = await begun(alice, put)
        await sent(alice, upload, 0, b"abc")
        (hidden,) = (one for one in home.iterdir() if one.name.startswith(UNFINISHED))
        hidden.unlink()
        {"link": hidden.symlink_to, "hard": hidden.hardlink_to}.get(put, lambda _: None)(other)
        if put == "fifo":
            os.mkfifo(hidden)
        if put == "directory":
            hidden.mkdir()
        assert (await sent(alice, upload, 0, b"abc", last=True)).status_code == 409
        assert (await sent(alice, upload, 3, b"abc", last=True)).status_code == 409
        assert other.read_text() == ""
        assert (await alice.delete(f"/volume/uploads/{upload['_id']}")).status_code == 204
        assert list(home.iterdir()) == []


async def test_of_two_parts_at_once_one_is_taken(files: Files) -> None:
    alice = files.api.alice

    async def slow(content: bytes) -> Any:
        yield content
        await asyncio.sleep(0.3)
        yield content

    for _ in range(3):
        upload = await begun(alice)
        answers = await asyncio.gather(*(sent(alice, upload, 0, slow(one)) for one in (b"a", b"b", b"c")))
        assert sorted(one.status_code for one in answers) == [200, 409, 409]
        assert (await sent(alice, upload, 2, b"", last=True)).status_code == 200
        assert (files.home("alice") / "new").read_bytes() in (b"aa", b"bb", b"cc")


async def test_the_last_part_may_depend_on_what_is_there(files: Files) -> None:
    alice, there = files.api.alice, files.home("alice") / "new"
    there.write_text("old")
    upload = await begun(alice)
    assert (await sent(alice, upload, 0, b"new", last=True, if_none_match="*")).status_code == 412
    assert there.read_text() == "old"
    tag = (await alice.get("/volume/file", params={"root": "notebooks", "path": "new"})).headers["etag"]
    assert (await sent(alice, upload, 3, b"", last=True, if_match=tag)).status_code == 200
    assert there.read_text() == "new"


async def test_a_last_part_is_repeatable_by_its_key(files: Files) -> None:
    alice, key = files.api.alice, new_id().hex
    upload = await begun(alice)
    first = await sent(alice, upload, 0, b"abc", last=True, idempotency_key=key)
    again = await sent(alice, upload, 0, b"abc", last=True, idempotency_key=key)
    assert (first.status_code, first.json()) == (again.status_code, again.json()) == (200, again.json())
    assert (await sent(alice, upload, 0, b"other", last=True, idempotency_key=key)).status_code == 422
    assert (await sent(alice, upload, 0, b"abc", last=True)).status_code == 404


async def test_what_is_given_up_or_forgotten_leaves_nothing(files: Files) -> None:
    alice, home = files.api.alice, files.home("alice")
    upload = await begun(alice)
    await sent(alice, upload, 0, b"abc")
    assert (await alice.delete(f"/volume/uploads/{upload['_id']}")).status_code == 204
    assert list(home.iterdir()) == []
    upload = await begun(alice)
    await sent(alice, upload, 0, b"abc")
    await settle(files)
    assert len(list(home.iterdir())) == 1
    await row("UPDATE write_claim SET claimed_at = now() - interval '25 h'")
    await settle(files)
    assert list(home.iterdir()) == []
    assert (await sent(alice, upload, 3, b"abc", last=True)).status_code == 404


async def test_uploads_of_a_person_are_counted(files: Files) -> None:
    limited = files.bench.api([UploadsController], quotas=("uploads=2",))
    for number in range(2):
        await begun(limited.alice, f"n{number}")
    answer = await limited.alice.post("/volume/uploads", json={"root": "notebooks", "path": "n3"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "QUOTA_REACHED")
    await begun(limited.bob)
