"""Contents of files over the API: written as they come, whole or not at all, and read in parts."""

import asyncio
import errno
import os
import stat
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from api.volume import VolumeController
from integrations.contents import Draft
from integrations.file_threads import FileThreads
from models.access.permissions import Level
from models.database.sql import row, rows
from models.domain.errors import VolumeUnavailable
from models.domain.ids import new_id
from tests.unit.api.bench import Client, answered
from tests.unit.api.files import LARGEST_UPLOAD, Files

BYTES = {"content-type": "application/octet-stream"}
KIB = 1024
Parts = AsyncIterator[bytes]


async def put(
    api: Client, path: str, content: bytes | Parts = b"new", *, root: str = "notebooks", **headers: str
) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.put("/volume/file", params={"root": root, "path": path}, content=content, headers=BYTES | named)


async def get(api: Client, path: str, *, root: str = "notebooks", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.get("/volume/file", params={"root": root, "path": path}, headers=named)


async def in_parts(content: bytes, then: Callable[[], Awaitable[None]] | None = None) -> Parts:
    """A content as it comes; something else happens before its last part does."""
    for start in range(0, len(content), 300 * KIB):
        if then is not None and start + 300 * KIB >= len(content):
            await then()
        yield content[start : start + 300 * KIB]


def under(place: Path) -> list[str]:
    return sorted(one.name for one in place.iterdir())


async def claimed(files: Files) -> int:
    found = await row(
        "SELECT count(*) AS count FROM write_claim WHERE person = ANY(:people::uuid[])",
        people=[one.id for one in files.callers.values()],
    )
    assert found is not None
    count: int = found["count"]
    return count


async def test_a_content_is_written_and_read_as_it_is(files: Files) -> None:
    api, content = files.api.alice, os.urandom(700 * KIB)
    (files.home("alice") / "work").mkdir()
    made = await put(api, "work/\u00fc %.bin", in_parts(content))
    assert answered(made, 200) == {
        "name": "\u00fc %.bin",
        "path": "work",
        "root": "notebooks",
        "type": "file",
        "size": len(content),
    }
    assert (files.home("alice") / "work" / "\u00fc %.bin").read_bytes() == content
    read = await get(api, "work/\u00fc %.bin")
    assert (read.status_code, read.content) == (200, content)
    assert read.headers["etag"] == made.headers["etag"]
    assert (read.headers["content-length"], read.headers["accept-ranges"]) == (str(len(content)), "bytes")
    found = await rows(
        "SELECT action, detail->>'name' AS name FROM audit WHERE subject = :subject", subject=files.callers["alice"].id
    )
    assert [(one["action"], one["name"]) for one in found] == [("volume.write_file", "\u00fc %.bin")]
    assert await claimed(files) == 0
    # Replaced as a whole, by less; and by nothing.
    for shorter in (b"short", b""):
        assert (await put(api, "work/\u00fc %.bin", shorter)).status_code == 200
        assert (await get(api, "work/\u00fc %.bin")).content == shorter
    assert under(files.home("alice") / "work") == ["\u00fc %.bin"]


async def test_a_persons_page_is_saved_and_never_shown_on_this_origin(files: Files) -> None:
    name = 'a";\u00fc.html'
    (files.home("alice") / name).write_text("<script>alert(1)</script>")
    read = await get(files.api.alice, name)
    assert read.headers["content-type"] == "application/octet-stream"
    assert read.headers["content-disposition"] == "attachment; filename*=UTF-8''a%22%3B%C3%BC.html"
    assert read.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in read.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("asked", "status", "part", "said"),
    [
        ("bytes=0-3", 206, slice(0, 4), "bytes 0-3/10"),
        ("bytes=4-", 206, slice(4, 10), "bytes 4-9/10"),
        ("bytes=-3", 206, slice(7, 10), "bytes 7-9/10"),
        ("bytes=-99", 206, slice(0, 10), "bytes 0-9/10"),
        ("bytes=8-99", 206, slice(8, 10), "bytes 8-9/10"),
        ("Bytes=9-9", 206, slice(9, 10), "bytes 9-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=10-20", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        ("bytes=5-4", 200, slice(0, 10), None),
        ("bytes=-", 200, slice(0, 10), None),
        ("bytes=0-1,3-4", 200, slice(0, 10), None),
        ("lines=0-1", 200, slice(0, 10), None),
        ("bytes=\u0661-", 200, slice(0, 10), None),
        ("bytes=" + "9" * 18 + "-", 416, None, "bytes */10"),
        ("bytes=" + "9" * 5000 + "-", 200, slice(0, 10), None),
    ],
)
async def test_a_range_of_a_file(files: Files, asked: str, status: int, part: slice | None, said: str | None) -> None:
    (files.home("alice") / "ten").write_bytes(b"0123456789")
    read = await files.api.alice.get(
        "/volume/file", params={"root": "notebooks", "path": "ten"}, headers=[(b"range", asked.encode())]
    )
    assert (read.status_code, read.headers.get("content-range")) == (status, said), read.text
    if part is None:
        assert read.json()["error"]["code"] == "RANGE"
    else:
        assert read.content == b"0123456789"[part]
        assert read.headers["content-length"] == str(len(read.content))


async def test_an_empty_file_has_no_range(files: Files) -> None:
    (files.home("alice") / "empty").touch()
    assert (await get(files.api.alice, "empty")).content == b""
    for asked in ("bytes=0-", "bytes=0-0", "bytes=-1"):
        read = await get(files.api.alice, "empty", range=asked)
        assert (read.status_code, read.headers["content-range"]) == (416, "bytes */0")


async def test_a_version_that_the_client_has_is_not_sent_again(files: Files) -> None:
    file = files.home("alice") / "file"
    file.write_bytes(b"0123456789")
    api, first = files.api.alice, await get(files.api.alice, "file")
    tag, day = first.headers["etag"], 86_400
    changed = file.stat().st_mtime
    earlier, later = formatdate(changed - day, usegmt=True), formatdate(changed + day, usegmt=True)
    for headers, status in (
        ({"if_none_match": tag}, 304),
        ({"if_none_match": f'"x", W/{tag}'}, 304),
        ({"if_none_match": "*"}, 304),
        ({"if_none_match": '"x"'}, 200),
        ({"if_none_match": '"x"', "if_modified_since": later}, 200),
        ({"if_modified_since": first.headers["last-modified"]}, 304),
        ({"if_modified_since": earlier}, 200),
        ({"if_modified_since": "yesterday"}, 200),
        ({"if_match": tag}, 200),
        ({"if_match": "*"}, 200),
        ({"if_match": f"W/{tag}"}, 412),
        ({"if_match": '"x"'}, 412),
        ({"if_unmodified_since": earlier}, 412),
        ({"if_unmodified_since": later}, 200),
        ({"range": "bytes=1-2", "if_range": tag}, 206),
        ({"range": "bytes=1-2", "if_range": '"x"'}, 200),
        ({"range": "bytes=1-2", "if_range": f"W/{tag}"}, 200),
        ({"range": "bytes=1-2", "if_range": later}, 200),
        ({"range": "bytes=90-", "if_range": '"x"'}, 200),
    ):
        read = await get(api, "file", **headers)
        assert read.status_code == status, headers
        assert (read.content == b"") == (status == 304)
        if status != 412:
            assert read.headers["etag"] == tag
    # Another content of the same size and time is another version.
    file.write_bytes(b"9876543210")
    os.utime(file, (changed, changed))
    assert (await get(api, "file", if_none_match=tag)).status_code == 200


async def test_a_write_may_depend_on_what_is_there(files: Files) -> None:
    api, file = files.api.alice, files.home("alice") / "file"
    assert (await put(api, "file", b"1", if_match="*")).status_code == 412
    made = await put(api, "file", b"1", if_none_match="*")
    tag = made.headers["etag"]
    assert (await put(api, "file", b"2", if_none_match="*")).status_code == 412
    assert (await put(api, "file", b"2", if_match='"x"')).status_code == 412
    assert file.read_bytes() == b"1"
    assert (await put(api, "file", b"2", if_match=tag)).status_code == 200
    refused = await put(api, "file", b"3", if_match=tag)
    assert (refused.status_code, refused.json()["error"]["code"]) == (412, "STALE")
    assert (file.read_bytes(), under(files.home("alice")), await claimed(files)) == (b"2", ["file"], 0)


async def test_what_changes_while_a_content_comes_is_not_overwritten(files: Files) -> None:
    api, file = files.api.alice, files.home("alice") / "file"
    file.write_bytes(b"first")
    tag = (await get(api, "file")).headers["etag"]

    async def change() -> None:
        file.write_bytes(b"a notebook's")

    assert (await put(api, "file", in_parts(b"x" * 700 * KIB, change), if_match=tag)).status_code == 412
    assert (file.read_bytes(), under(files.home("alice"))) == (b"a notebook's", ["file"])


async def test_of_two_people_at_once_who_saw_the_same_version_one_writes(files: Files) -> None:
    identity = await files.dataset(bob=Level.WRITE)
    place = files.place / "datasets" / str(identity)
    path = f"{identity}/file"
    for number in range(10):
        (place / "file").write_text(f"shared {number}")
        tag = (await get(files.api.bob, path, root="datasets")).headers["etag"]
        answers = await asyncio.gather(
            *(
                put(files.api.person(name), path, name.encode(), root="datasets", if_match=tag)
                for name in ("alice", "bob", "alice", "bob")
            )
        )
        statuses = sorted(one.status_code for one in answers)
        assert statuses[0] == 200
        assert set(statuses[1:]) <= {409, 412}, statuses
        assert (place / "file").read_text() in ("alice", "bob")
    assert (under(place), await claimed(files)) == (["file"], 0)


async def test_who_writes_at_once_without_a_condition_leaves_one_of_the_contents(files: Files) -> None:
    contents = [bytes([number]) * 400 * KIB for number in range(5)]
    answers = await asyncio.gather(*(put(files.api.alice, "file", in_parts(one)) for one in contents))
    assert {one.status_code for one in answers} <= {200, 409}
    assert (files.home("alice") / "file").read_bytes() in contents
    assert (under(files.home("alice")), await claimed(files)) == (["file"], 0)


@pytest.mark.parametrize(
    ("caller", "reads", "writes"), [("alice", 200, 200), ("bob", 200, 200), ("carol", 200, 403), ("dave", 404, 404)]
)
async def test_contents_of_a_dataset_are_for_those_who_may(files: Files, caller: str, reads: int, writes: int) -> None:
    """alice owns it, bob may write and carol read it."""
    identity = await files.dataset(bob=Level.WRITE, carol=Level.READ)
    place = files.place / "datasets" / str(identity)
    (place / "file").write_bytes(b"old")
    api = files.api.person(caller)
    assert (await get(api, f"{identity}/file", root="datasets")).status_code == reads
    assert (await put(api, f"{identity}/file", root="datasets")).status_code == writes
    assert (place / "file").read_bytes() == (b"new" if writes == 200 else b"old")
    assert under(place) == ["file"]


async def test_contents_of_a_home_are_its_owners_and_an_admins(files: Files) -> None:
    (files.home("alice") / "file").write_text("mine")
    query = {"root": "notebooks", "path": "file", "email": files.callers["alice"].email}
    assert (await files.api.bob.get("/volume/file", params=query)).status_code == 403
    assert (await files.api.admin.get("/volume/file", params=query)).content == b"mine"
    assert (await get(files.api.bob, "file")).status_code == 404
    assert (await get(files.api.nobody, "file")).status_code == 401
    assert (await put(files.api.nobody, "file")).status_code == 401


async def test_a_right_that_is_taken_while_a_content_comes_is_none_at_its_end(files: Files) -> None:
    identity = await files.dataset(bob=Level.WRITE)
    place = files.place / "datasets" / str(identity)
    (place / "file").write_text("old")

    async def revoke() -> None:
        await row("DELETE FROM access_grant WHERE object = :object", object=identity)

    refused = await put(files.api.bob, f"{identity}/file", in_parts(b"x" * 700 * KIB, revoke), root="datasets")
    assert refused.status_code == 404
    assert ((place / "file").read_text(), under(place), await claimed(files)) == ("old", ["file"], 0)


async def test_no_path_of_a_content_leads_elsewhere(files: Files) -> None:
    api, home = files.api.alice, files.home("alice")
    (files.home("bob") / "secret").write_text("bob's")
    (home / "link").symlink_to(files.home("bob") / "secret")
    (home / "up").symlink_to("..")
    (home / "directory").mkdir()
    os.mkfifo(home / "fifo")
    bob = files.callers["bob"].id
    for path in ("link", f"up/{bob}/secret", "directory", "fifo", f"../{bob}/secret", "/etc/passwd", "a/", ".", "a\0"):
        read = await get(api, path)
        assert read.status_code == 422, path
        assert [one["path"] for one in read.json()["error"]["details"]] == ["path"]
        assert (await put(api, path)).status_code in (409, 422), path
    assert (await get(api, "missing")).status_code == 404
    assert (await put(api, "missing/file")).status_code == 404
    for path in (".nbhub-unfinished-x", "directory/.nbhub-unfinished-x"):
        (home / path).write_text("half of it")
        assert (await get(api, path)).status_code == 404
        assert (await put(api, path)).status_code == 422
        assert (home / path).read_text() == "half of it"
    assert (files.home("bob") / "secret").read_text() == "bob's"
    assert (home / "link").is_symlink()
    assert (await put(api, "directory/file")).status_code == 200


async def test_a_hard_link_to_a_file_keeps_the_old_content(files: Files) -> None:
    (files.home("bob") / "file").write_text("bob's")
    os.link(files.home("bob") / "file", files.home("alice") / "file")
    assert (await put(files.api.alice, "file")).status_code == 200
    assert (files.home("bob") / "file").read_text() == "bob's"


async def test_nothing_is_written_where_nothing_may_be_made(files: Files) -> None:
    for root, path, status in (
        ("datasets", "file", 403),
        ("datasets", f"{new_id()}/file", 404),
        ("groups", "file", 403),
        ("modules", "modulefiles/file", 403),
    ):
        assert (await put(files.api.admin, path, root=root)).status_code == status


async def test_modes_stay_and_special_ones_do_not(files: Files) -> None:
    script = files.home("alice") / "run.sh"
    script.touch()
    script.chmod(0o4755)
    assert (await put(files.api.alice, "run.sh")).status_code == 200
    assert stat.S_IMODE(script.stat().st_mode) == 0o755


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "found out"])
async def test_a_content_above_the_limit_is_refused_and_leaves_the_old_one(files: Files, announced: bool) -> None:
    (files.home("alice") / "file").write_text("old")
    for size, status in ((LARGEST_UPLOAD + 1, 413), (LARGEST_UPLOAD, 200)):
        content = b"x" * size
        answer = await put(files.api.alice, "file", content if announced else in_parts(content))
        assert answer.status_code == status
        if status == 413:
            assert str(LARGEST_UPLOAD) in answer.json()["error"]["message"]
            assert (files.home("alice") / "file").read_text() == "old"
        assert (under(files.home("alice")), await claimed(files)) == (["file"], 0)


async def test_what_is_no_content_is_refused_before_it_is_read(files: Files) -> None:
    async def unread() -> Parts:
        yield pytest.fail("it was read")

    query = {"root": "notebooks", "path": "file"}
    for headers, status in (
        ({"content-type": "application/json"}, 415),
        ({}, 415),
        (BYTES | {"content-encoding": "gzip"}, 415),
        (BYTES | {"content-length": str(LARGEST_UPLOAD + 1)}, 413),
        (BYTES | {"x-caller": "nobody"}, 401),
    ):
        answer = await files.api.alice.put("/volume/file", params=query, content=unread(), headers=headers)
        assert answer.status_code == status, answer.text
    assert (await files.api.alice.put("/volume/file", content=unread(), headers=BYTES)).status_code == 422
    assert under(files.home("alice")) == []


async def test_a_full_disk_is_told_and_leaves_the_old_file(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = files.home("alice") / "file"
    file.write_text("old")
    with monkeypatch.context() as patched:
        patched.setattr("integrations.contents.os.write", full)
        answer = await put(files.api.alice, "file")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "VOLUME_UNAVAILABLE")
    assert "no space left" in answer.json()["error"]["hint"]
    assert (file.read_text(), under(files.home("alice"))) == ("old", ["file"])
    assert (await put(files.api.alice, "file")).status_code == 200


async def ask(files: Files, messages: list[dict[str, Any]]) -> None:
    """Send a content as a server hands it on: the last message may be that the client is gone."""
    app, sent = cast(Any, files.api.app), iter(messages)

    async def receive() -> dict[str, Any]:
        return next(sent)

    async def send(_: object) -> None:
        pass

    scope = {
        "type": "http",
        "method": "PUT",
        "path": "/volume/file",
        "raw_path": b"/volume/file",
        "query_string": b"root=notebooks&path=file",
        "headers": [(b"x-caller", b"alice"), (b"content-type", b"application/octet-stream")],
        "http_version": "1.1",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("api.test", 80),
        "root_path": "",
    }
    await app(scope, receive, send)


async def test_a_cut_off_upload_leaves_the_old_file_and_nothing_beside_it(files: Files) -> None:
    file = files.home("alice") / "file"
    file.write_text("old")
    part = {"type": "http.request", "body": b"x" * 300 * KIB, "more_body": True}
    await ask(files, [part, part, {"type": "http.disconnect"}])
    assert (file.read_text(), under(files.home("alice")), await claimed(files)) == ("old", ["file"], 0)
    # The twin: one that ends.
    await ask(files, [part, {"type": "http.request", "body": b"", "more_body": False}])
    assert file.read_bytes() == b"x" * 300 * KIB


async def test_a_long_upload_outlives_the_janitor(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.file_paths._KEPT_EVERY", 0.0)

    person = files.callers["alice"].id

    async def content() -> Parts:
        for _ in range(3):
            await row(
                "UPDATE write_claim SET claimed_at = now() - interval '1 hour' WHERE person = :person", person=person
            )
            yield b"x" * 300 * KIB
        found = await row(
            "SELECT now() - claimed_at < interval '1 minute' AS kept FROM write_claim WHERE person = :person",
            person=person,
        )
        assert found == {"kept": True}
        yield b"x"

    assert (await put(files.api.alice, "file", content())).status_code == 200


async def test_an_upload_whose_claim_was_given_up_writes_nothing(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.file_paths._KEPT_EVERY", 0.0)

    async def content() -> Parts:
        yield b"x" * 300 * KIB
        await row("UPDATE write_claim SET abandoned = true WHERE person = :id", id=files.callers["alice"].id)
        yield b"x" * 300 * KIB
        yield b"x"

    answer = await put(files.api.alice, "file", content())
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "CLAIM_LOST")
    assert under(files.home("alice")) == []


async def test_a_key_makes_a_write_repeatable(files: Files) -> None:
    api, key, file = files.api.alice, new_id().hex, files.home("alice") / "file"
    first = await put(api, "file", b"mine", idempotency_key=key, if_none_match="*")
    file.write_bytes(b"a notebook's")
    again = await put(api, "file", b"mine", idempotency_key=key, if_none_match="*")
    assert (again.status_code, again.json(), again.headers["etag"]) == (200, first.json(), first.headers["etag"])
    assert file.read_bytes() == b"a notebook's"
    other = await put(api, "file", b"other", idempotency_key=key, if_none_match="*")
    assert [one["path"] for one in other.json()["error"]["details"]] == ["Idempotency-Key"]
    assert (file.read_bytes(), under(files.home("alice")), await claimed(files)) == (b"a notebook's", ["file"], 0)
    # Without the key it is another request.
    assert (await put(api, "file", b"mine", if_none_match="*")).status_code == 412


async def test_one_key_sent_many_times_at_once_writes_once(files: Files) -> None:
    key = new_id().hex
    answers = await asyncio.gather(
        *(put(files.api.alice, "file", in_parts(b"x" * 400 * KIB), idempotency_key=key) for _ in range(6))
    )
    assert {one.status_code for one in answers} <= {200, 409, 503}
    again = await put(files.api.alice, "file", in_parts(b"x" * 400 * KIB), idempotency_key=key)
    assert again.status_code == 200
    found = await rows("SELECT id FROM audit WHERE subject = :subject", subject=files.callers["alice"].id)
    assert (len(found), under(files.home("alice"))) == (1, ["file"])


class Killed(BaseException):
    """What no handler outlives."""


async def test_a_write_that_was_cut_off_before_it_was_recorded_is_repeatable(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: object, **__: object) -> None:
        raise Killed

    api, key, file = files.api.alice, new_id().hex, files.home("alice") / "file"
    file.write_text("old")
    tag = (await get(api, "file")).headers["etag"]
    with monkeypatch.context() as patched:
        patched.setattr("models.records.volumes.record_made", die)
        patched.setattr("models.ledger.idempotency.release", die)
        with pytest.raises(Killed):
            await put(api, "file", b"new", idempotency_key=key, if_match=tag)
    made = file.stat().st_ino
    assert (await put(api, "file", b"new", idempotency_key=key, if_match=tag)).status_code == 200
    assert (file.read_text(), file.stat().st_ino, under(files.home("alice"))) == ("new", made, ["file"])


async def test_a_file_system_that_hangs_while_a_content_comes_is_told(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise VolumeUnavailable("The file system does not answer in time.")

    with monkeypatch.context() as patched:
        patched.setattr(Draft, "write", refuse)
        assert (await put(files.api.alice, "file")).status_code == 503
    assert under(files.home("alice")) == []


async def test_no_descriptor_of_a_content_stays_open(files: Files) -> None:
    app = files.bench.api([VolumeController])
    (files.home("alice") / "file").write_bytes(b"x" * 10)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        for headers in ({}, {"range": "bytes=90-"}, {"if_match": '"x"'}, {"if_none_match": "*"}):
            await get(app.alice, "file", **headers)
        await put(app.alice, "file")
        await put(app.alice, "file", if_none_match="*")
    assert len(os.listdir("/proc/self/fd")) <= before


async def test_transfers_of_one_person_keep_nobody_elses_out(files: Files) -> None:
    come, begun = asyncio.Event(), asyncio.Semaphore(0)

    async def slowly() -> Parts:
        yield b"x"
        begun.release()
        await come.wait()
        yield b"y"

    under_way = [asyncio.create_task(put(files.api.alice, f"file{number}", slowly())) for number in range(8)]
    for _ in under_way:
        await begun.acquire()
    for refused in (await put(files.api.alice, "file"), await get(files.api.alice, "file0")):
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
    # Smaller requests of hers, and all of others, are answered.
    assert (await files.api.alice.get("/volume/files?root=notebooks")).json() == []
    assert (await put(files.api.bob, "file")).status_code == 200
    come.set()
    assert {one.status_code for one in await asyncio.gather(*under_way)} == {200}
    assert (await put(files.api.alice, "file")).status_code == 200
    for _ in range(9):
        assert (await get(files.api.alice, "file")).status_code == 200


async def test_one_persons_slow_directories_keep_nobody_from_the_threads() -> None:
    threads = FileThreads(4, 5, share=2)
    go_on, slow = threading.Event(), threads.of(new_id())
    hanging = [asyncio.create_task(slow.run(go_on.wait)) for _ in range(10)]
    # As many of others as there are threads left, again and again.
    for _ in range(3):
        others = [threads.of(new_id()).run(lambda: "answered") for _ in range(4)]
        assert await asyncio.gather(*others) == ["answered"] * 4
    assert not any(one.done() for one in hanging)
    go_on.set()
    assert all(await asyncio.gather(*hanging))


async def test_large_bodies_of_one_person_fill_no_memory_and_keep_nobody_elses_out(files: Files) -> None:
    come, begun = asyncio.Event(), asyncio.Semaphore(0)

    async def slowly(name: str) -> Parts:
        yield b'{"root": "notebooks", "type": "file", "content": "'
        begun.release()
        await come.wait()
        yield f'x", "name": "{name}"}}'.encode()

    async def post(api: Client, name: str) -> httpx.Response:
        json = {"content-type": "application/json", "transfer-encoding": "chunked"}
        return await api.post("/volume/file", content=slowly(name), headers=json)

    under_way = [asyncio.create_task(post(files.api.alice, f"{number}")) for number in range(8)]
    for _ in under_way:
        await begun.acquire()
    refused = await post(files.api.alice, "more")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
    # Of others it is, and so is what is small.
    others = asyncio.create_task(post(files.api.bob, "other"))
    await begun.acquire()
    small = {"root": "notebooks", "type": "file", "name": "small"}
    assert (await files.api.alice.post("/volume/file", json=small)).status_code == 200
    come.set()
    assert (await others).status_code == 200
    for answer in await asyncio.gather(*under_way):
        assert answer.status_code in (200, 503), answer.text
    assert (await post(files.api.alice, "more")).status_code == 200


@pytest.mark.parametrize("key", [{}, {"idempotency_key": "late"}], ids=["", "with a key"])
@pytest.mark.parametrize("ends", [True, False])
async def test_who_is_released_while_a_file_comes_replaces_nothing(
    files: Files, key: dict[str, str], ends: bool
) -> None:
    released = "UPDATE person SET released_at = CASE WHEN :ends THEN now() END WHERE id = :id"
    caller, content = files.callers["alice"], b"x" * 400 * KIB
    place = files.home("alice") / "kept"
    place.write_bytes(b"before")

    async def change() -> None:
        await row(released, id=caller.id, ends=ends)

    answer = await put(files.api.alice, "kept", in_parts(content, change), **key)
    assert answer.status_code == (401 if ends else 200)
    assert place.read_bytes() == (b"before" if ends else content)
    assert under(files.home("alice")) == ["kept"]
    assert await claimed(files) == 0
    await row(released, id=caller.id, ends=False)
