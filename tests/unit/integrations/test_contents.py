"""A large file on its way: on the disk before it has its name, and gone if it never gets one."""

import errno
import os
import stat
import subprocess
from pathlib import Path

import pytest

from integrations.contents import Content, Draft, Version
from integrations.filesystem import Volumes
from models.domain.errors import StateConflict, VolumeUnavailable

MIB = 2**20


class Claimed:
    """Who writes a file, without a claim."""

    mark = "0123"

    def __init__(self) -> None:
        self.noted: list[str] = []

    def note(self, identity: str) -> None:
        self.noted.append(identity)

    def made(self, identity: str) -> bool:
        return identity in self.noted


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def draft_of(home: Path, maker: Claimed | None = None) -> Draft:
    return Draft(Volumes(), home.parent, "home", "file", maker or Claimed())


def anything(_: Version | None) -> None:
    pass


@pytest.mark.parametrize("there", [True, False], ids=["replaced", "new"])
def test_a_file_is_on_the_disk_before_it_has_its_name(home: Path, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    if there:
        (home / "file").touch()
    steps: list[str] = []

    def noted(name: str) -> None:
        real = getattr(os, name)

        def step(*arguments: object, **named: object) -> object:
            kind = ""
            if name == "fsync":
                kind = " directory" if stat.S_ISDIR(os.fstat(int(str(arguments[0]))).st_mode) else " file"
            steps.append(name + kind)
            return real(*arguments, **named)

        monkeypatch.setattr(os, name, step)

    draft = draft_of(home)
    for name in ("fsync", "rename", "link"):
        noted(name)
    draft.write(b"x")
    draft.finish(anything)
    assert steps == ["fsync file", "rename" if there else "link", "fsync directory"]


def test_the_end_of_a_large_file_waits_for_a_part_of_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda file: synced.append(os.fstat(file).st_size))
    draft = draft_of(home)
    for _ in range(70):
        draft.write(b"x" * MIB)
    assert synced == [32 * MIB, 64 * MIB]
    draft.discard()


@pytest.mark.parametrize("call", ["fsync", "link"])
def test_a_file_that_cannot_be_finished_is_not_there(home: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    draft = draft_of(home)
    draft.write(b"x")
    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        with pytest.raises(VolumeUnavailable):
            draft.finish(anything)
    draft.discard()
    assert list(home.iterdir()) == []


def test_what_takes_the_name_meanwhile_is_not_replaced_unless_it_is_a_file(home: Path) -> None:
    draft = draft_of(home)
    (home / "file").symlink_to("/etc/passwd")
    with pytest.raises(StateConflict):
        draft.finish(anything)
    (home / "file").unlink()
    (home / "file").touch()
    draft.finish(anything)
    assert not (home / "file").is_symlink()


def test_a_file_that_is_read_stays_what_it_was(home: Path) -> None:
    (home / "file").write_bytes(b"old")
    content = Content(home.parent, "home/file")
    draft = draft_of(home)
    draft.write(b"new")
    version = draft.finish(anything)
    assert content.read(0, 10) == b"old"
    assert version == Content(home.parent, "home/file").version != content.version


def test_what_its_maker_has_put_there_before_stays(home: Path) -> None:
    maker = Claimed()
    first = draft_of(home, maker).finish(anything)
    again = draft_of(home, maker)
    assert again.finish(lambda _: pytest.fail("it was asked")) == first
    again.discard()
    assert [one.name for one in home.iterdir()] == ["file"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount")
def test_a_disk_that_is_full_is_told_and_leaves_the_old_file(home: Path) -> None:
    size = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(home)]
    if subprocess.run(size, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not possible here")
    try:
        (home / "file").write_bytes(b"old")
        assert "delete files" in hint_of_a_write(home, 3 * MIB)
        assert ([one.name for one in home.iterdir()], (home / "file").read_bytes()) == (["file"], b"old")
        # The twin: what there is room for.
        smaller = draft_of(home)
        smaller.write(b"x" * MIB)
        assert smaller.finish(anything).size == MIB
    finally:
        subprocess.run(["umount", "--lazy", home], check=True)


def hint_of_a_write(home: Path, size: int) -> str:
    """What one is told whose content does not fit. All that was opened for it is closed."""
    draft = draft_of(home)
    try:
        draft.write(b"x" * size)
    except VolumeUnavailable as error:
        return error.hint
    finally:
        draft.discard()
    return ""
