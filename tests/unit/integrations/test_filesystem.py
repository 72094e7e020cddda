"""Directories on the shared file system: named by an id, durable, and never somewhere else."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest

from integrations.filesystem import Volumes
from models.errors import VolumeUnavailable

ID = UUID("0197f3a2-7b3c-7c1a-9d55-2f6f3c0a1b2c")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "notebooks"
    root.mkdir()
    return root


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.usefixtures("umask")
def test_a_directory_is_made_for_its_owner(root: Path) -> None:
    made = Volumes().make_directory(root, ID)
    assert made == root / str(ID)
    assert stat.S_IMODE(made.stat().st_mode) == 0o750
    assert made.stat().st_uid == os.geteuid()


def test_a_directory_that_is_there_stays_as_it_is(root: Path) -> None:
    made = Volumes().make_directory(root, ID)
    made.chmod(0o711)
    (made / "analysis.ipynb").write_text("{}")
    assert Volumes(uid=os.geteuid(), gid=os.getegid()).make_directory(root, ID) == made
    assert (made / "analysis.ipynb").read_text() == "{}"
    assert stat.S_IMODE(made.stat().st_mode) == 0o711


def test_many_may_make_it_at_once(root: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: Volumes().make_directory(root, ID), range(50)))
    assert made == {root / str(ID)}
    assert [entry.name for entry in root.iterdir()] == [str(ID)]


@pytest.mark.parametrize("to", ["elsewhere", "missing", ".", str(ID)])
def test_a_link_in_its_place_is_refused(root: Path, tmp_path: Path, to: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = root if to == "." else tmp_path / to
    (root / str(ID)).symlink_to(root / to if to == str(ID) else target)
    with pytest.raises(VolumeUnavailable) as raised:
        Volumes(uid=os.geteuid()).make_directory(root, ID)
    assert "is not a directory" in raised.value.message
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert not (tmp_path / "missing").exists()


def test_a_file_in_its_place_is_refused_and_kept(root: Path) -> None:
    (root / str(ID)).write_text("mine")
    with pytest.raises(VolumeUnavailable, match=r"notebooks/0197f3a2-\S+ is not a directory"):
        Volumes().make_directory(root, ID)
    assert (root / str(ID)).read_text() == "mine"


def test_a_root_that_is_replaced_meanwhile_is_not_followed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.mkdir
    trap = tmp_path / "trap"
    trap.mkdir()

    def replacing(path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        root.rename(tmp_path / "moved")
        root.symlink_to(trap)
        real(path, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", replacing)
    Volumes().make_directory(root, ID)
    assert list(trap.iterdir()) == []
    assert (tmp_path / "moved" / str(ID)).is_dir()


@pytest.mark.parametrize("spoil", ["missing", "a file"])
def test_a_root_that_cannot_be_used_is_said_to_be(tmp_path: Path, spoil: str) -> None:
    """The shared file system may be mounted later: nothing is made in its place, and it is tried again."""
    root = tmp_path / "notebooks"
    if spoil == "a file":
        root.touch()
    with pytest.raises(VolumeUnavailable) as raised:
        Volumes().make_directory(root, ID)
    assert "notebooks" in raised.value.message
    assert str(tmp_path) not in raised.value.message, "people need not know where it is mounted"
    assert not root.is_dir()


@pytest.mark.parametrize(("call", "number"), [("mkdir", errno.ENOSPC), ("fsync", errno.EIO), ("open", errno.EACCES)])
def test_a_failing_file_system_is_a_dependency_that_is_away(
    root: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    before = descriptors()
    with monkeypatch.context() as patched:
        patched.setattr(os, call, failing)
        with pytest.raises(VolumeUnavailable, match=os.strerror(number)):
            Volumes().make_directory(root, ID)
    assert descriptors() <= before


def test_no_descriptor_stays_open(root: Path) -> None:
    before = descriptors()
    for _ in range(3):
        Volumes().make_directory(root, ID)
    assert descriptors() <= before


def test_what_is_made_is_on_the_disk_and_has_its_owner(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory that holds the new name is flushed, once the owner is right."""
    calls: list[tuple[object, ...]] = []
    real = os.fsync

    def flush(descriptor: int) -> None:
        calls.append(("fsync", os.path.samestat(os.fstat(descriptor), root.stat()), (root / str(ID)).is_dir()))
        real(descriptor)

    def own(name: str, uid: int, gid: int, *, dir_fd: int, follow_symlinks: bool) -> None:
        calls.append(("chown", name, uid, gid, follow_symlinks))
        assert os.path.samestat(os.fstat(dir_fd), root.stat())

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "chown", own)
    Volumes(gid=4711).make_directory(root, ID)
    assert calls == [("chown", str(ID), -1, 4711, False), ("fsync", True, True)]


def test_an_owner_is_set_only_where_one_is_wanted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def own(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(os, "chown", own)
    assert Volumes().make_directory(root, ID).is_dir()


def test_a_directory_is_whole_or_tried_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owned: list[str] = []

    def own(name: str, *_: object, **__: object) -> None:
        owned.append(name)
        if len(owned) == 1:
            raise OSError(errno.EIO, "the first time it does not work")

    monkeypatch.setattr(os, "chown", own)
    volumes = Volumes(uid=4711, gid=4711)
    with pytest.raises(VolumeUnavailable):
        volumes.make_directory(root, ID)
    volumes.make_directory(root, ID)
    assert owned == [str(ID)] * 2


def test_a_directory_is_durable_or_tried_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []

    def flush(descriptor: int) -> None:
        flushed.append(descriptor)
        if len(flushed) == 1:
            raise OSError(errno.EIO, "the first time it does not work")

    monkeypatch.setattr(os, "fsync", flush)
    with pytest.raises(VolumeUnavailable):
        Volumes().make_directory(root, ID)
    Volumes().make_directory(root, ID)
    assert len(flushed) == 2
