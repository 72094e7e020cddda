"""Renaming, moving, copying and deleting files and directories over the API, and what nobody reaches by it."""

import asyncio
import os
import threading
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from activities.filesystem import Filesystem
from integrations import changes, removal
from integrations.filesystem import UNFINISHED
from models.access.permissions import Level
from models.database.sql import row, rows
from models.domain.ids import new_id
from tests.unit.api.bench import Client, problems
from tests.unit.api.files import LARGEST_UPLOAD, Files


class Killed(BaseException):
    """The process ends here."""


async def die(*_: object, **__: object) -> None:
    raise Killed


async def moved(who: Client, path: str, to: str, root: str = "notebooks", **headers: str) -> httpx.Response:
    return await who.post("/volume/file/move", json={"root": root, "path": path, "to": to}, headers=headers)


async def copied(who: Client, path: str, to: str, root: str = "notebooks", **more: Any) -> httpx.Response:
    return await who.post("/volume/file/copy", json={"root": root, "path": path, "to": to, **more})


async def deleted(who: Client, path: str, root: str = "notebooks", **headers: str) -> httpx.Response:
    return await who.delete("/volume/file", params={"root": root, "path": path}, headers=headers)


def tree(top: Path) -> list[str]:
    return sorted(str(one.relative_to(top)) for one in top.rglob("*"))


async def actions(files: Files, name: str = "alice") -> list[str]:
    found = await rows("SELECT action FROM audit WHERE actor = :actor ORDER BY id", actor=files.callers[name].id)
    return [one["action"].removeprefix("volume.") for one in found]


async def claims(files: Files) -> int:
    found = await row("SELECT count(*)::int AS n FROM write_claim WHERE person = :p", p=files.callers["alice"].id)
    assert found is not None
    count: int = found["n"]
    return count


async def test_a_file_and_a_directory_are_moved(files: Files) -> None:
    home, alice = files.home("alice"), files.api.alice
    (home / "a").mkdir()
    (home / "b").mkdir()
    (home / "a" / "one.txt").write_text("1")
    answer = await moved(alice, "a/one.txt", "b/two.txt")
    assert (answer.status_code, answer.json()) == (
        200,
        {"name": "two.txt", "path": "b", "root": "notebooks", "type": "file"},
    )
    assert (await moved(alice, "b", "a/c")).json() == {
        "name": "c",
        "path": "a",
        "root": "notebooks",
        "type": "directory",
    }
    assert tree(home) == ["a", "a/c", "a/c/two.txt"]
    assert (await moved(alice, "a/c", "a/c")).status_code == 200
    assert (await actions(files))[:2] == ["move_file", "move_file"]
    assert await claims(files) == 0


async def test_nothing_is_replaced(files: Files) -> None:
    home, alice = files.home("alice"), files.api.alice
    for name in ("one", "two"):
        (home / name).write_text(name)
        (home / f"{name}-dir").mkdir()
    for source in ("one", "one-dir"):
        for to in ("two", "two-dir"):
            assert (await moved(alice, source, to)).status_code == 409
    assert (await copied(alice, "one", "two")).status_code == 409
    assert (await copied(alice, "one", "two-dir")).status_code == 409
    assert (home / "two").read_text() == "two"
    assert tree(home) == ["one", "one-dir", "two", "two-dir"]


async def test_a_directory_does_not_come_into_itself(files: Files) -> None:
    home = files.home("alice")
    (home / "a" / "b").mkdir(parents=True)
    assert problems(await moved(files.api.alice, "a", "a/b/c")) == {"/to"}
    assert tree(home) == ["a", "a/b"]


@pytest.mark.parametrize("path", ["", "..", "a/../b", "/etc/passwd", "a//b", "x" * 256, "a\0b", f"{UNFINISHED}x"])
async def test_paths_that_are_none(files: Files, path: str) -> None:
    (files.home("alice") / "there").touch()
    assert (await moved(files.api.alice, path, "new")).status_code in (404, 422)
    assert problems(await moved(files.api.alice, "there", path)) == {"/to"}
    assert problems(await copied(files.api.alice, "there", path)) == {"/to"}
    assert (await deleted(files.api.alice, path)).status_code in (404, 422)
    assert tree(files.home("alice")) == ["there"]


async def test_no_link_leads_out(files: Files) -> None:
    home, other = files.home("alice"), files.home("bob")
    (other / "secret").write_text("s")
    (other / "dir").mkdir()
    (home / "mine").touch()
    (home / "link").symlink_to(other)
    (home / "file").symlink_to(other / "secret")
    (home / "up").symlink_to("..")
    os.mkfifo(home / "fifo")
    bob = str(files.callers["bob"].id)
    for path in ("link/secret", f"up/{bob}/secret", f"up/{bob}", "link/dir"):
        assert problems(await moved(files.api.alice, path, "got")) == {"/path"}
        assert problems(await copied(files.api.alice, path, "got")) == {"/path"}
        assert problems(await deleted(files.api.alice, path)) == {"path"}
        assert problems(await moved(files.api.alice, "mine", path)) == {"/to"}
        assert problems(await copied(files.api.alice, "mine", path)) == {"/to"}
    for path in ("link", "file", "up", "fifo"):
        assert (await moved(files.api.alice, path, "got")).status_code == 404
        assert (await deleted(files.api.alice, path)).status_code == 404
        assert (await copied(files.api.alice, path, "got")).status_code == 422
    assert (tree(other), (other / "secret").read_text()) == (["dir", "secret"], "s")
    assert sorted(os.listdir(home)) == ["fifo", "file", "link", "mine", "up"]


async def test_what_links_in_a_directory_lead_to_stays(files: Files) -> None:
    home, other = files.home("alice"), files.home("bob")
    (other / "secret").write_text("s")
    (home / "a" / "deep").mkdir(parents=True)
    (home / "a" / "deep" / "link").symlink_to(other)
    os.link(other / "secret", home / "a" / "hard")
    (home / "a" / "deep").chmod(0)
    answer = await deleted(files.api.alice, "a")
    assert (answer.status_code, answer.content) == (204, b"")
    assert tree(home) == []
    assert (other / "secret").read_text() == "s"
    assert await claims(files) == 0
    assert (await actions(files))[-1] == "delete_file"
    assert (await deleted(files.api.alice, "a")).status_code == 404


async def test_a_directory_that_becomes_a_link_while_it_is_deleted_leads_nowhere(files: Files) -> None:
    home, other = files.home("alice"), files.home("bob")
    (other / "kept").mkdir()
    for number in range(200):
        (home / "a" / f"{number}" / "x").mkdir(parents=True)
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            for top in home.iterdir():
                for name in ("7", "150"):
                    try:
                        (top / name).rename(home / "aside")
                        (top / name).symlink_to(other)
                        (home / "aside").rename(top / "back")
                    except OSError:
                        pass

    swapping = asyncio.get_running_loop().run_in_executor(None, swap)
    try:
        answer = await deleted(files.api.alice, "a")
        again = [await moved(files.api.alice, "a/7", f"m{one}") for one in range(5)]
    finally:
        ended.set()
        await swapping
    assert answer.status_code == 204
    assert {one.status_code for one in again} <= {404, 422}
    assert tree(other) == ["kept"]


async def test_a_name_that_becomes_a_link_while_it_is_moved_or_copied_leads_nowhere(files: Files) -> None:
    home, other = files.home("alice"), files.home("bob")
    (other / "secret").write_text("secret")
    (home / "dir").mkdir()
    (home / "dir" / "secret").write_text("mine")
    (home / "link").symlink_to(other)
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            for one, two in (("dir", "aside"), ("link", "dir"), ("dir", "link"), ("aside", "dir")):
                os.rename(home / one, home / two)

    swapping = asyncio.get_running_loop().run_in_executor(None, swap)
    try:
        found = [await copied(files.api.alice, "dir/secret", f"copy{one}") for one in range(40)]
        taken = [await moved(files.api.alice, "dir/secret", f"moved{one}") for one in range(10)]
    finally:
        ended.set()
        await swapping
    assert {one.status_code for one in (*found, *taken)} <= {200, 404, 422}
    assert (other / "secret").read_text() == "secret"
    copies = [one.read_text() for one in home.iterdir() if one.name.startswith(("copy", "moved"))]
    assert {*copies} <= {"mine"}


@pytest.mark.parametrize(("caller", "writes", "reads"), [("bob", 200, 200), ("carol", 403, 200), ("dave", 404, 404)])
async def test_changes_are_for_those_who_may_write(files: Files, caller: str, writes: int, reads: int) -> None:
    dataset = str(await files.dataset(bob=Level.WRITE, carol=Level.READ))
    place = files.place / "datasets" / dataset
    for name in ("a", "b"):
        (place / name).write_text(name)
    who = files.api.person(caller)
    assert (await copied(who, f"{dataset}/a", "got", "datasets", to_root="notebooks")).status_code == reads
    assert (files.home(caller) / "got").exists() == (reads == 200)
    assert (await copied(who, f"{dataset}/a", f"{dataset}/c", "datasets")).status_code == writes
    assert (await moved(who, f"{dataset}/a", f"{dataset}/d", "datasets")).status_code == writes
    assert (await deleted(who, f"{dataset}/b", "datasets")).status_code == (204 if writes == 200 else writes)
    assert tree(place) == (["c", "d"] if writes == 200 else ["a", "b"])


async def test_nobody_reaches_another_persons_home_or_another_record(files: Files) -> None:
    one, other = str(await files.dataset()), str(await files.dataset("bob"))
    for name in (one, other):
        (files.place / "datasets" / name / "f").touch()
    alice = files.api.alice
    assert problems(await moved(alice, f"{one}/f", f"{other}/f2", "datasets")) == {"/to"}
    assert (await copied(alice, f"{one}/f", f"{other}/f2", "datasets")).status_code == 404
    assert (await copied(alice, f"{other}/f", f"{one}/f2", "datasets")).status_code == 404
    assert (await deleted(alice, f"{other}/f", "datasets")).status_code == 404
    for path in (one, other):
        assert (await deleted(alice, path, "datasets")).status_code == 403
        assert (await moved(alice, path, "x", "datasets")).status_code == 403
    assert (await deleted(alice, "modulefiles/x", "modules")).status_code == 403
    # Paths in one's home begin there, whatever they look like.
    assert (await deleted(alice, f"{files.callers['bob'].id}/x")).status_code == 404


async def test_a_copy_is_whole_and_its_own(files: Files) -> None:
    home = files.home("alice")
    content = os.urandom(LARGEST_UPLOAD)
    (home / "a").write_bytes(content)
    os.link(home / "a", home / "hard")
    answer = await copied(files.api.alice, "hard", "b")
    assert (answer.status_code, answer.json()["size"], answer.headers["etag"][0]) == (200, LARGEST_UPLOAD, '"')
    (home / "a").write_text("changed")
    assert (home / "b").read_bytes() == content
    with (home / "large").open("wb") as large:
        large.truncate(LARGEST_UPLOAD + 1)
    assert (await copied(files.api.alice, "large", "c")).status_code == 413
    (home / "dir").mkdir()
    assert problems(await copied(files.api.alice, "dir", "c")) == {"/path"}
    assert tree(home) == ["a", "b", "dir", "hard", "large"]


async def test_a_full_disk_leaves_no_copy(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    (files.home("alice") / "a").write_bytes(b"x" * 100)
    write = os.write

    def full(descriptor: int, data: Any) -> int:
        if len(data) == 100:
            raise OSError(122, "Disk quota exceeded")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    answer = await copied(files.api.alice, "a", "b")
    assert answer.status_code == 503
    assert "quota" in answer.text
    assert tree(files.home("alice")) == ["a"]


@pytest.mark.parametrize("verb", ["move", "delete"])
async def test_a_change_that_was_cut_off_is_repeatable(
    files: Files, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    home, alice, key = files.home("alice"), files.api.alice, new_id().hex
    (home / "a").mkdir()
    (home / "a" / "x").touch()

    async def ask() -> httpx.Response:
        headers = {"idempotency-key": key}
        return await (moved(alice, "a", "b", **headers) if verb == "move" else deleted(alice, "a", **headers))

    before = await actions(files)
    with monkeypatch.context() as patched:
        patched.setattr("models.records.volumes.record_made", die)
        patched.setattr("models.ledger.idempotency.release", die)
        with pytest.raises(Killed):
            await ask()
    assert (home / "b").exists() == (verb == "move")
    assert not (home / "a").exists()
    for _ in range(2):
        answer = await ask()
        assert answer.status_code == (200 if verb == "move" else 204), answer.text
    assert len(await actions(files)) == len(before) + 1
    assert (await alice.get("/volume/files", params={"root": "notebooks"})).status_code == 200


@pytest.mark.parametrize("verb", ["move", "delete"])
async def test_the_janitor_records_what_was_cut_off_and_clears_what_is_left(
    files: Files, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    home, alice = files.home("alice"), files.api.alice
    (home / "a" / "x").mkdir(parents=True)
    with monkeypatch.context() as patched:
        patched.setattr("models.records.volumes.record_made", die)
        with pytest.raises(Killed):
            await (moved(alice, "a", "b") if verb == "move" else deleted(alice, "a"))
    await row("UPDATE write_claim SET claimed_at = now() - interval '1 h'")
    threads = files.bench.services.file_threads
    assert threads is not None
    await Filesystem(files.bench.settings, threads).settle_files()
    assert (await actions(files))[-1] == f"{verb}_file"
    assert tree(home) == (["b", "b/x"] if verb == "move" else [])
    assert await claims(files) == 0


async def test_what_is_left_of_a_large_directory_is_hidden_and_goes_later(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, alice = files.home("alice"), files.api.alice
    (home / "a" / "x").mkdir(parents=True)

    def fails(*_: object) -> None:
        raise OSError(16, "Device or resource busy")

    with monkeypatch.context() as patched:
        patched.setattr(removal, "remove", fails)
        assert (await deleted(alice, "a")).status_code == 204
    listed = await alice.get("/volume/files", params={"root": "notebooks"})
    assert listed.json() == []
    (left,) = os.listdir(home)
    assert left.startswith(UNFINISHED)
    (home / "a").mkdir()
    await row("UPDATE write_claim SET claimed_at = now() - interval '1 h'")
    threads = files.bench.services.file_threads
    assert threads is not None
    await Filesystem(files.bench.settings, threads).settle_files()
    assert tree(home) == ["a"]


async def test_of_many_who_move_one_thing_one_does(files: Files) -> None:
    home = files.home("alice")
    (home / "a").write_text("a")
    answers = await asyncio.gather(*(moved(files.api.alice, "a", f"b{one}") for one in range(6)))
    assert sorted(one.status_code for one in answers).count(200) == 1
    assert len(tree(home)) == 1
    answers = await asyncio.gather(*(deleted(files.api.alice, tree(home)[0]) for _ in range(4)))
    assert {204} <= {one.status_code for one in answers} <= {204, 404}
    assert os.listdir(home) == []


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_where_one_step_is_none_two_move_and_replace_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(removal, "_renamed_anew", lambda *_: False)
    make = Path.touch if kind == "file" else Path.mkdir
    make(tmp_path / "a")
    make(tmp_path / "taken")
    identity = (tmp_path / "a").stat().st_ino
    top = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(FileExistsError):
            removal.move_anew(top, "a", top, "taken")
        removal.move_anew(top, "a", top, "b")
    finally:
        os.close(top)
    assert tree(tmp_path) == ["b", "taken"]
    assert (tmp_path / "b").stat().st_ino == identity


def test_what_was_made_by_another_is_not_taken_for_moved(tmp_path: Path) -> None:
    class Nobody:
        mark = UUID(int=0).hex

        def note(self, identity: str) -> None:
            raise AssertionError

        def made(self, identity: str) -> bool:
            return False

    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "b").touch()
    with pytest.raises(Exception, match="no such file"):
        changes.move_entry(tmp_path, ("top", "a"), ("top", "b"), Nobody())
