"""Directories on the shared file system: named by an id, durable, and never somewhere else."""

import contextlib
import errno
import itertools
import os
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from integrations.entries import Found, entries_of
from integrations.filesystem import TRASH, EntryType, Volumes
from models.domain.errors import RecordMissing, RequestInvalid, StateConflict, VolumeUnavailable

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


@pytest.mark.parametrize(("there", "asked"), [("e\u0301", "\u00e9"), ("\u00e9", "e\u0301")])
def test_a_name_in_the_other_form_of_unicode_is_taken(root: Path, there: str, asked: str) -> None:
    (root / "home").mkdir()
    (root / "home" / there).write_text("here first")
    for make in (Volumes().create_directory, partial(Volumes().create_file, content=b"")):
        with pytest.raises(StateConflict):
            make(root, "home", asked)
    assert os.listdir(root / "home") == [there]


def test_a_name_of_files_that_are_being_written_is_nobodys(root: Path) -> None:
    (root / "home").mkdir()
    for make in (Volumes().create_directory, partial(Volumes().create_file, content=b"")):
        with pytest.raises(RequestInvalid) as refused:
            make(root, "home", ".nbhub-unfinished-x")
        assert [one.path for one in refused.value.details] == ["/name"]
        make(root, "home", f".nbhub-{make}"[:60].replace("/", ""))


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
    assert "is a symbolic link" in raised.value.message
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert not (tmp_path / "missing").exists()


def test_a_file_in_its_place_is_refused_and_kept(root: Path) -> None:
    (root / str(ID)).write_text("mine")
    with pytest.raises(VolumeUnavailable, match="The directory is a file or the like"):
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


def fail(number: int) -> Callable[..., None]:
    def failing(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return failing


@pytest.fixture
def live(root: Path) -> Path:
    """A record's directory with something in it."""
    made = Volumes().make_directory(root, ID)
    (made / "data").write_text("mine")
    return made


@pytest.fixture
def trashed(root: Path) -> Path:
    return root / TRASH / str(ID)


@pytest.mark.usefixtures("umask")
def test_to_the_trash_and_back(root: Path, live: Path, trashed: Path) -> None:
    inode = live.stat().st_ino
    before = descriptors()
    for _ in range(2):
        Volumes().trash_directory(root, ID)
        assert not live.exists()
        assert (trashed / "data").read_text() == "mine"
        assert stat.S_IMODE((root / TRASH).stat().st_mode) == 0o700
    for _ in range(2):
        Volumes().restore_directory(root, ID)
        assert (live.stat().st_ino, (live / "data").read_text()) == (inode, "mine")
        assert list((root / TRASH).iterdir()) == []
    assert descriptors() <= before


def test_what_was_never_made_is_trashed_and_restored_all_the_same(root: Path, live: Path, trashed: Path) -> None:
    other = UUID(int=7)
    Volumes().trash_directory(root, other)
    assert not (root / TRASH / str(other)).exists()
    Volumes().restore_directory(root, other)
    assert (root / str(other)).is_dir()
    (live / "data").unlink()
    live.rmdir()
    Volumes().restore_directory(root, ID)
    assert list(live.iterdir()) == []
    assert not trashed.exists()


def test_a_directory_in_both_places_is_nobody_s_to_lose(root: Path, live: Path, trashed: Path) -> None:
    Volumes().trash_directory(root, ID)
    live.mkdir()
    (live / "other").write_text("also mine")
    for verb in (Volumes().trash_directory, Volumes().restore_directory):
        with pytest.raises(VolumeUnavailable, match="in place and in the trash"):
            verb(root, ID)
        assert (live / "other").read_text() == "also mine"
        assert (trashed / "data").read_text() == "mine"
    # Somebody who came late made it again, and nothing is in it.
    (live / "other").unlink()
    Volumes().trash_directory(root, ID)
    assert not live.exists()
    live.mkdir()
    Volumes().restore_directory(root, ID)
    assert (live / "data").read_text() == "mine"
    assert not trashed.exists()


@pytest.mark.parametrize("verb", ["trash_directory", "restore_directory", "purge_directory"])
def test_a_link_in_place_of_the_trash_is_refused(root: Path, live: Path, tmp_path: Path, verb: str) -> None:
    (tmp_path / "elsewhere" / str(ID)).mkdir(parents=True)
    (root / TRASH).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(VolumeUnavailable, match="not a directory"):
        getattr(Volumes(), verb)(root, ID)
    assert (tmp_path / "elsewhere" / str(ID)).is_dir()
    assert (live / "data").exists()


def test_a_link_in_place_of_a_directory_is_not_trashed(root: Path, tmp_path: Path) -> None:
    (root / str(ID)).symlink_to(tmp_path)
    for verb in (Volumes().trash_directory, Volumes().restore_directory):
        with pytest.raises(VolumeUnavailable, match=r"not a directory|symbolic link"):
            verb(root, ID)
    assert (root / str(ID)).is_symlink()


@pytest.mark.parametrize("verb", ["trash_directory", "restore_directory", "purge_directory"])
@pytest.mark.parametrize(("call", "number"), [("rename", errno.EIO), ("fsync", errno.EIO), ("open", errno.ENFILE)])
def test_a_failing_file_system_loses_nothing_and_is_tried_again(
    root: Path, live: Path, trashed: Path, monkeypatch: pytest.MonkeyPatch, verb: str, call: str, number: int
) -> None:
    if verb == "restore_directory":
        Volumes().trash_directory(root, ID)
    before = descriptors()
    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail(number))
        with pytest.raises(VolumeUnavailable, match=os.strerror(number)):
            getattr(Volumes(), verb)(root, ID)
        if verb != "purge_directory":
            assert live.exists() != trashed.exists()
    assert descriptors() <= before
    getattr(Volumes(), verb)(root, ID)
    assert live.exists() == (verb == "restore_directory")
    assert trashed.exists() == (verb == "trash_directory")


def test_a_move_is_on_the_disk_on_both_sides(
    root: Path, live: Path, trashed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: set[tuple[int, bool]] = set()
    real = os.fsync

    def flush(descriptor: int) -> None:
        flushed.add((os.fstat(descriptor).st_ino, live.exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", flush)
    both = {root.stat().st_ino}
    for verb, in_place in (("trash_directory", False), ("trash_directory", False), ("restore_directory", True)):
        flushed.clear()
        getattr(Volumes(), verb)(root, ID)
        both.add((root / TRASH).stat().st_ino)
        assert flushed == {(inode, in_place) for inode in both}


def test_a_purge_takes_everything_and_nothing_else(root: Path, live: Path, tmp_path: Path) -> None:
    other = Volumes().make_directory(root, UUID(int=7))
    sibling = root / f"{ID}-secret"
    sibling.mkdir()
    (other / "file").write_text("other")
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "file").write_text("outside")
    for place in (live, live / "a", live / "a" / "b"):
        place.mkdir(exist_ok=True)
        (place / "link").symlink_to(outside)
        (place / "up").symlink_to("../..")
        (place / "dangling").symlink_to("nowhere")
        (place / "loop").symlink_to("loop")
        (place / "file link").symlink_to(outside / "deep" / "file")
        os.link(outside / "deep" / "file", place / "hard")
        os.mkfifo(place / "fifo")
        (place / b"\xff\n".decode("utf-8", "surrogateescape")).touch()
    Volumes().trash_directory(root, ID)
    live.mkdir()
    (live / "came late").touch()
    before = descriptors()
    for _ in range(2):
        Volumes().purge_directory(root, ID)
        assert sorted(one.name for one in root.iterdir()) == sorted([TRASH, other.name, sibling.name])
        assert list((root / TRASH).iterdir()) == []
    assert (other / "file").read_text() == "other"
    assert (outside / "deep" / "file").read_text() == "outside"
    assert (outside / "deep" / "file").stat().st_nlink == 1
    assert descriptors() <= before


@pytest.mark.parametrize("where", ["live", "trashed"])
def test_a_link_or_file_in_place_of_a_directory_is_purged_itself(root: Path, tmp_path: Path, where: str) -> None:
    (root / TRASH).mkdir()
    place = root / str(ID) if where == "live" else root / TRASH / str(ID)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").touch()
    place.symlink_to(tmp_path / "outside")
    Volumes().purge_directory(root, ID)
    assert not place.is_symlink()
    place.touch()
    Volumes().purge_directory(root, ID)
    assert not place.exists()
    assert (tmp_path / "outside" / "file").exists()


def test_a_tree_deeper_than_any_limit_is_purged(root: Path, live: Path) -> None:
    """Deeper than Python recurses, than there are descriptors, and than a path can say."""
    current = os.open(live, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d" * 20, dir_fd=current)
        deeper = os.open("d" * 20, os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = deeper
    os.close(current)
    Volumes().purge_directory(root, ID)
    assert list(root.iterdir()) == [root / TRASH]


def test_a_wide_tree_is_purged(root: Path, live: Path) -> None:
    for number in range(50):
        (live / f"d{number}" / "e").mkdir(parents=True)
    for number in range(2500):
        (live / f"f{number}").touch()
    Volumes().purge_directory(root, ID)
    assert list(root.iterdir()) == [root / TRASH]


def test_an_interrupted_purge_goes_on(root: Path, live: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        (live / f"d{number}" / "e" / "f").mkdir(parents=True)
    real, left = os.rmdir, 5

    def failing(name: str, *, dir_fd: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.EIO, "no")
        real(name, dir_fd=dir_fd)

    with monkeypatch.context() as patched:
        patched.setattr(os, "rmdir", failing)
        with pytest.raises(VolumeUnavailable):
            Volumes().purge_directory(root, ID)
    assert not live.exists(), "out of sight at once"
    Volumes().purge_directory(root, ID)
    assert list((root / TRASH).iterdir()) == []


def test_entries_that_vanish_meanwhile_are_no_problem(root: Path, live: Path) -> None:
    """Several purges at once take each other's entries away."""
    for number in range(300):
        (live / f"d{number % 20}" / f"e{number}").mkdir(parents=True)
        (live / f"f{number}").touch()
    with ThreadPoolExecutor(4) as pool:
        results = [pool.submit(Volumes().purge_directory, root, ID) for _ in range(4)]
    assert [one.exception() for one in results] == [None] * 4
    assert list((root / TRASH).iterdir()) == []


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, which no mode of a file keeps out."""
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become nobody")
def test_modes_keep_no_purge_out_and_are_told_otherwise() -> None:
    with tempfile.TemporaryDirectory() as place:
        os.chown(place, 65534, 65534)
        root = Path(place, "datasets")
        with as_nobody():
            root.mkdir()
            for parts in ("a/b/c", "d", "e/f"):
                (root / str(ID) / parts).mkdir(parents=True)
            (root / str(ID) / "e" / "f" / "file").touch()
            for parts in ("a/b/c", "a/b", "a", "d", "e/f", "e", ""):
                (root / str(ID) / parts).chmod(0)
            for attempt in (
                lambda: Volumes().list_entries(root, f"{ID}", after=None, limit=9),
                lambda: Volumes().create_file(root, f"{ID}", "new", b""),
            ):
                with pytest.raises(VolumeUnavailable, match="Permission denied") as raised:
                    attempt()
                assert "mode" in raised.value.hint
            for verb in (Volumes().trash_directory, Volumes().restore_directory, Volumes().purge_directory):
                verb(root, ID)
                with contextlib.suppress(FileNotFoundError):
                    (root / str(ID)).chmod(0)
            assert list(root.iterdir()) == [root / TRASH]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount")
def test_nothing_that_is_mounted_is_emptied(root: Path, live: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("kept")
    for place in ("mounted", "deep/er/mounted"):
        point = live / place
        point.mkdir(parents=True)
        if subprocess.run(["mount", "--bind", kept, point], capture_output=True, check=False).returncode:
            pytest.skip("mounting is not possible here")
        try:
            with pytest.raises(VolumeUnavailable, match="busy") as raised:
                Volumes().purge_directory(root, ID)
            assert "unmount" in raised.value.hint
            assert (kept / "file").read_text() == "kept"
        finally:
            mounts = Path("/proc/self/mounts").read_text().splitlines()
            for target in [line.split()[1] for line in mounts if str(root) in line]:
                subprocess.run(["umount", target], check=True)
        Volumes().purge_directory(root, ID)
        assert not live.exists()
        Volumes().make_directory(root, ID)
    assert (kept / "file").read_text() == "kept"


@pytest.mark.parametrize("verb", ["trash_directory", "restore_directory", "purge_directory"])
def test_a_missing_root_is_a_dependency_that_is_away(tmp_path: Path, verb: str) -> None:
    with pytest.raises(VolumeUnavailable, match="datasets") as raised:
        getattr(Volumes(), verb)(tmp_path / "datasets", ID)
    assert str(tmp_path) not in raised.value.message
    assert not (tmp_path / "datasets").exists()


def names(root: Path, path: str = "", limit: int = 100) -> list[str]:
    return [one.name for one in Volumes().list_entries(root, path, after=None, limit=limit).entries]


def pages(root: Path, limit: int, between: Callable[[], None] = lambda: None) -> list[list[str]]:
    """All parts of a list; something happens after each."""
    found: list[list[str]] = []
    after: tuple[str, ...] | None = None
    while not found or after is not None:
        page = Volumes().list_entries(root, "", after=after, limit=limit)
        found.append([one.name for one in page.entries])
        after = page.after
        between()
    return found


def test_a_list_is_sorted_by_bytes_and_comes_in_pages(root: Path) -> None:
    given = ["b", "a", "B", "\u00e4", "z", "a b", "-", ".hidden", "\U0001f600", "\uffee", "10", "9"]
    for name in given:
        (root / name).touch()
    ordered = sorted(given, key=lambda name: name.encode())
    assert names(root) == ordered
    assert pages(root, 5) == [ordered[:5], ordered[5:10], ordered[10:]]
    assert pages(root, 6) == [ordered[:6], ordered[6:]]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many entries of a directory were read for each part of a list; a hundred is many."""
    found: list[int] = []

    def counted(directory: int, position: int = 0) -> Iterator[Found]:
        found.append(0)
        for one in entries_of(directory, position):
            found[-1] += 1
            yield one

    monkeypatch.setattr("integrations.filesystem.entries_of", counted)
    monkeypatch.setattr("integrations.filesystem.MOST_SORTED", 100)
    return found


def test_a_large_directory_comes_in_pages_without_being_read_for_each(root: Path, read: list[int]) -> None:
    given = {f"{number:04}" for number in range(1000)}
    for name in given:
        (root / name).touch()
    found = pages(root, 10)
    assert {len(page) for page in found} == {10}
    assert sorted(itertools.chain(*found)) == sorted(given)
    assert read[0] <= 101 + 11
    assert max(read[2:]) <= 11
    # The twin: as many as are sorted.
    for name in given - {f"{number:04}" for number in range(100)}:
        (root / name).unlink()
    assert pages(root, 60) == [[f"{number:04}" for number in range(60)], [f"{number:04}" for number in range(60, 100)]]


def test_what_is_there_all_the_time_is_listed_once_while_others_come_and_go(root: Path, read: list[int]) -> None:
    lasting = {f"{number:04}" for number in range(500)}
    for name in lasting | {f"goes {number}" for number in range(200)}:
        (root / name).touch()
    turns = itertools.count()

    def change() -> None:
        number = next(turns)
        (root / f"comes {number}").touch()
        (root / f"goes {number}").unlink(missing_ok=True)

    seen = list(itertools.chain(*pages(root, 20, change)))
    assert sorted(name for name in seen if name in lasting) == sorted(lasting)
    assert max(read[2:]) <= 21


def test_what_is_not_shown_makes_no_page_long(root: Path, read: list[int]) -> None:
    for number in range(450):
        (root / f"{number}").symlink_to("x")
    (root / "file").touch()
    found = pages(root, 10)
    assert [name for page in found for name in page] == ["file"]
    assert max(read) <= 101
    assert len(found) >= 4


def test_a_sorted_list_of_a_directory_that_has_grown_is_begun_anew(root: Path, read: list[int]) -> None:
    for number in range(100):
        (root / f"{number}").touch()
    first = Volumes().list_entries(root, "", after=None, limit=10)
    (root / "more").touch()
    with pytest.raises(RequestInvalid) as refused:
        Volumes().list_entries(root, "", after=first.after, limit=10)
    assert [one.path for one in refused.value.details] == ["cursor"]
    assert max(read) <= 101
    assert len(Volumes().list_entries(root, "", after=None, limit=10).entries) == 10


def test_a_file_system_that_does_not_say_what_an_entry_is_is_asked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "file").touch()
    (root / "directory").mkdir()
    (root / "link").symlink_to("file")
    monkeypatch.setattr("integrations.entries._UNKNOWN", 8)
    monkeypatch.setattr("integrations.entries._FILE", 99)
    assert names(root) == ["directory", "file"]


def test_only_what_can_be_said_and_used_is_listed(root: Path) -> None:
    (root / "file").touch()
    (root / "directory").mkdir()
    (root / "link").symlink_to("file")
    os.mkfifo(root / "fifo")
    (root / b"\xff".decode("utf-8", "surrogateescape")).touch()
    (root / ".nbhub-unfinished-0123").touch()
    shown = Volumes().list_entries(root, "", after=None, limit=10).entries
    assert [(one.name, one.type, one.size) for one in shown] == [
        ("directory", EntryType.DIRECTORY, None),
        ("file", EntryType.FILE, 0),
    ]


def test_what_cannot_be_listed(root: Path) -> None:
    (root / "file").touch()
    with pytest.raises(RecordMissing):
        names(root, "missing")
    with pytest.raises(RecordMissing):
        names(root, "missing/deeper")
    for path in ("file", "file/deeper"):
        with pytest.raises(RequestInvalid, match="/path is not a directory"):
            names(root, path)


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("content", [b"", b"x", b"line\n" * 300_000])
def test_a_file_is_made(root: Path, content: bytes) -> None:
    before = descriptors()
    Volumes().create_file(root, "", "new", content)
    assert (root / "new").read_bytes() == content
    assert stat.S_IMODE((root / "new").stat().st_mode) == 0o640
    assert (root / "new").stat().st_nlink == 1
    assert [one.name for one in root.iterdir()] == ["new"]
    assert descriptors() <= before


@pytest.mark.usefixtures("umask")
def test_a_directory_is_made_in_a_directory(root: Path) -> None:
    Volumes().create_directory(root, "", "a")
    Volumes().create_directory(root, "a", "b")
    assert stat.S_IMODE((root / "a" / "b").stat().st_mode) == 0o750


@pytest.mark.parametrize("there", ["file", "directory", "link", "fifo"])
def test_what_is_there_is_never_replaced(root: Path, there: str) -> None:
    match there:
        case "file":
            (root / "name").write_text("mine")
        case "directory":
            (root / "name").mkdir()
        case "link":
            (root / "name").symlink_to("missing")
        case _:
            os.mkfifo(root / "name")
    inode = (root / "name").lstat().st_ino
    for make in (
        partial(Volumes().create_file, root, "", "name", b"new"),
        partial(Volumes().create_directory, root, "", "name"),
    ):
        with pytest.raises(StateConflict, match="'name'"):
            make()
    assert (root / "name").lstat().st_ino == inode
    assert [one.name for one in root.iterdir()] == ["name"]


def test_of_many_at_once_one_makes_the_file(root: Path) -> None:
    def make(number: int) -> bool:
        try:
            Volumes().create_file(root, "", "name", str(number).encode() * 100_000)
        except StateConflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, range(8)))
    assert sum(made) == 1
    assert (root / "name").read_text() == str(made.index(True)) * 100_000
    assert [one.name for one in root.iterdir()] == ["name"]


def test_what_is_made_has_its_owner_before_it_has_its_name(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(
        os, "fchown", lambda _, uid, gid: calls.append((uid, gid, (root / "f").exists(), (root / "d").exists()))
    )
    Volumes(uid=4711, gid=4712).create_file(root, "", "f", b"")
    Volumes(gid=4712).create_directory(root, "", "d")
    Volumes().create_file(root, "", "other", b"")
    assert calls == [(4711, 4712, False, False), (-1, 4712, True, False)]


@pytest.mark.parametrize(
    ("call", "number", "hint"),
    [
        ("open", errno.ENOSPC, "space"),
        ("fsync", errno.EDQUOT, "quota"),
        ("link", errno.ENOSPC, "space"),
        ("link", errno.EROFS, "read-only"),
        ("fchown", errno.EPERM, "permission"),
        ("fsync", errno.EIO, ""),
    ],
)
def test_a_file_that_cannot_be_finished_is_not_there(
    root: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, hint: str
) -> None:
    real = getattr(os, call)

    def failing(*given: object, **named: object) -> object:
        if call == "open" and "mode" not in named:
            return real(*given, **named)
        raise OSError(number, os.strerror(number))

    before = descriptors()
    with monkeypatch.context() as patched:
        patched.setattr(os, call, failing)
        with pytest.raises(VolumeUnavailable, match=os.strerror(number)) as raised:
            Volumes(uid=os.geteuid()).create_file(root, "", "new", b"content")
    assert hint in raised.value.hint
    assert list(root.iterdir()) == []
    assert descriptors() <= before
    Volumes().create_file(root, "", "new", b"content")
    assert (root / "new").read_bytes() == b"content"


def test_a_crash_shows_no_half_of_a_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Crash(BaseException):
        pass

    def crash(*_: object, **__: object) -> None:
        raise Crash

    monkeypatch.setattr(os, "unlink", crash)  # nobody tidies up
    monkeypatch.setattr(os, "link", crash)
    with pytest.raises(Crash):
        Volumes().create_file(root, "", "new", b"content")
    assert len(list(root.iterdir())) == 1
    assert names(root) == []
    monkeypatch.undo()
    Volumes().create_file(root, "", "new", b"content")
    assert names(root) == ["new"]


def test_a_directory_that_is_removed_meanwhile_is_missing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", fail(errno.ENOENT))
    with pytest.raises(RecordMissing):
        Volumes().create_file(root, "", "new", b"")
    monkeypatch.setattr(os, "mkdir", fail(errno.ENAMETOOLONG))
    with pytest.raises(RequestInvalid, match="/name"):
        Volumes().create_directory(root, "", "new")
