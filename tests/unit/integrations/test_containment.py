"""Nothing outside of a directory is ever opened, made, listed or removed, whatever is put in its way.

The races at the end run for 10 seconds each; `NBHUB_RACE_SECONDS=60` makes them last longer.
"""

import contextlib
import errno
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from integrations import containment
from integrations.filesystem import TRASH, EntryType, Volumes
from models.domain.errors import RecordMissing, RequestInvalid, StateConflict, VolumeUnavailable

ID = UUID("0197f3a2-7b3c-7c1a-9d55-2f6f3c0a1b2c")
SECONDS = float(os.environ.get("NBHUB_RACE_SECONDS", "10"))
SECRET = "canary-51c7"

RESOLVERS = {"openat2": containment.openat2, "walk": containment.walk}


@pytest.fixture(params=RESOLVERS)
def resolver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> containment.Resolver:
    """Each way to resolve a path in turn."""
    chosen: containment.Resolver = RESOLVERS[request.param]
    if request.param == "openat2" and containment.resolver() is not containment.openat2:
        pytest.skip("this kernel has no openat2")
    monkeypatch.setattr(containment, "resolver", lambda: chosen)
    return chosen


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a directory, and beside it one that nobody may reach, with a name that begins alike."""
    (tmp_path / "data" / "inner").mkdir(parents=True)
    (tmp_path / "data" / "inner" / "file").write_text("mine")
    (tmp_path / "data-secret").mkdir()
    (tmp_path / "data-secret" / "file").write_text(SECRET)
    return tmp_path / "data"


@pytest.fixture
def outside(root: Path) -> Path:
    return root.parent / "data-secret"


@pytest.fixture
def descriptor(root: Path) -> Iterator[int]:
    before = len(os.listdir("/proc/self/fd"))
    opened = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    yield opened
    os.close(opened)
    assert len(os.listdir("/proc/self/fd")) <= before, "a descriptor stayed open"


def refused(*numbers: int) -> "pytest.RaisesExc[OSError]":
    """The system refuses with one of these numbers."""
    return pytest.raises(OSError, check=lambda error: error.errno in numbers)


def shown(volumes: Volumes, root: Path, path: str) -> list[tuple[str, EntryType]]:
    """What a list shows of a directory."""
    return [(one.name, one.type) for one in volumes.list_entries(root, path, after=None, limit=10).entries]


def read(descriptor: int, *names: str) -> str:
    opened = containment.open_file(descriptor, names)
    with os.fdopen(opened) as file:
        return file.read()


BAD_PATHS = [
    "../",
    "..",
    "a/..",
    "a/../../b",
    "./.",
    ".",
    "./a",
    "a/./b",
    "/",
    "/etc/passwd",
    "//etc",
    "a//b",
    "a/",
    "a\0b",
    "\0",
    "\ud800",
    "a/\udcff",
    "x" * 256,
    "\u00e4" * 128,
    "a/" + "x" * 256,
    "/".join(["x" * 255] * 16) + "/x",
    "../data-secret",
]
# Odd, but names like any other: nothing decodes, expands or interprets them.
ODD_NAMES = [
    "..%2f",
    "%2e%2e",
    "%252e%252e",
    "..\\",
    "....",
    "...",
    "~root",
    "-rf",
    "con",
    "a\nb",
    "a\u202eb",
    " a ",
    "$(id)",
    "*",
    "\u00fc\u4e2d\U0001f600",
    "x" * 255,
    "\u00e4" * 127,
]


@pytest.mark.parametrize("path", BAD_PATHS, ids=ascii)
def test_paths_that_are_refused(root: Path, path: str) -> None:
    with pytest.raises(ValueError, match="must"):
        containment.components(path)
    for attempt in (
        lambda: Volumes().list_entries(root, path, after=None, limit=10),
        lambda: Volumes().create_file(root, path, "new", b""),
        lambda: Volumes().create_directory(root, path, "new"),
    ):
        with pytest.raises(RequestInvalid) as raised:
            attempt()
        assert raised.value.details[0].path == "/path"
    assert not list(root.parent.rglob("new"))


@pytest.mark.parametrize("name", [*BAD_PATHS, "", "a/b"], ids=ascii)
def test_names_that_are_refused(root: Path, name: str) -> None:
    for attempt in (
        partial(Volumes().create_file, root, "", name, b""),
        partial(Volumes().create_directory, root, "", name),
    ):
        with pytest.raises(RequestInvalid) as raised:
            attempt()
        assert raised.value.details[0].path == "/name"
    assert [entry.name for entry in root.iterdir()] == ["inner"]


@pytest.mark.usefixtures("resolver")
@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_odd_names_are_names(root: Path, name: str) -> None:
    volumes = Volumes()
    with pytest.raises(RecordMissing):
        volumes.list_entries(root, name, after=None, limit=10)
    volumes.create_directory(root, "", name)
    volumes.create_file(root, name, name, b"1")
    assert (root / name / name).read_bytes() == b"1"
    assert shown(volumes, root, name) == [(name, EntryType.FILE)]
    assert (name, EntryType.DIRECTORY) in shown(volumes, root, "")


def test_components() -> None:
    assert containment.components("") == ()
    assert containment.components("a/b c/...") == ("a", "b c", "...")
    assert len(containment.components("/".join(["x" * 255] * 16))) == 16  # 4,095 bytes


@pytest.mark.usefixtures("resolver")
def test_what_is_beneath_is_opened(root: Path, descriptor: int) -> None:
    assert read(descriptor, "inner", "file") == "mine"
    for names, directory in (((), root), (("inner",), root / "inner")):
        opened = containment.open_directory(descriptor, names)
        assert os.path.samestat(os.fstat(opened), directory.stat())
        assert not os.get_inheritable(opened)
        os.close(opened)
    with pytest.raises(FileNotFoundError):
        containment.open_directory(descriptor, ("inner", "missing"))
    with pytest.raises(NotADirectoryError):
        containment.open_directory(descriptor, ("inner", "file"))
    with pytest.raises(NotADirectoryError):
        read(descriptor, "inner", "file", "file")


LINKS: dict[str, Callable[[Path], str | Path]] = {
    "absolute": lambda root: root.parent / "data-secret",
    "upwards": lambda _: "../data-secret",
    "to the parent": lambda _: "..",
    "to itself": lambda _: "link",
    "to nothing": lambda _: "missing",
    "beneath": lambda _: "inner",
    "to the root directory": lambda _: "/",
    "to a process": lambda _: "/proc/self",
    "to a process's root": lambda _: "/proc/self/root",
    "to a process's directory": lambda _: "/proc/self/cwd",
}


@pytest.mark.parametrize("to", LINKS)
def test_a_link_is_followed_nowhere(
    root: Path, outside: Path, descriptor: int, resolver: containment.Resolver, to: str
) -> None:
    """Neither as the last name nor as one on the way; also where it leads to something beneath."""
    (root / "link").symlink_to(LINKS[to](root))
    for names in (("link",), ("link", "file"), ("link", "."), ("link", "environ")):
        for flags in (os.O_RDONLY, os.O_RDONLY | os.O_DIRECTORY):
            with refused(errno.ELOOP, errno.ENOTDIR):
                resolver(descriptor, names, flags)
    volumes = Volumes()
    for path in ("link", "link/file"):
        with pytest.raises(RequestInvalid, match="/path"):
            volumes.list_entries(root, path, after=None, limit=10)
        with pytest.raises(RequestInvalid, match="/path"):
            volumes.create_file(root, path, "new", b"")
    assert shown(volumes, root, "") == [("inner", EntryType.DIRECTORY)]
    for make in (
        partial(volumes.create_file, root, "", "link", b"new"),
        partial(volumes.create_directory, root, "", "link"),
    ):
        with pytest.raises(StateConflict):
            make()
    assert [(one.name, one.read_text()) for one in outside.iterdir()] == [("file", SECRET)]
    assert (root / "link").is_symlink()


@pytest.mark.parametrize("to", ["/proc/self/environ", "../data-secret/file", "inner/file", "/dev/null"])
def test_a_link_in_place_of_a_file_is_not_read(
    root: Path, descriptor: int, resolver: containment.Resolver, to: str
) -> None:
    (root / "link").symlink_to(to)
    with refused(errno.ELOOP):
        read(descriptor, "link")


def test_the_resolvers_leave_no_directory(root: Path, descriptor: int, resolver: containment.Resolver) -> None:
    """Text that `components` would have refused; the kernel refuses it again."""
    for names in (("..",), ("..", "data-secret"), ("inner", "..", ".."), ("", "etc", "passwd")):
        with refused(errno.EXDEV):
            resolver(descriptor, names, os.O_RDONLY)


def test_where_the_kernel_says_that_something_was_renamed_meanwhile_no_directory_is_left(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does for a path with `..`, whatever was renamed on the machine."""

    def renamed(*_: object) -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(containment, "call_openat2", renamed)
    with refused(errno.EXDEV):
        containment.openat2(descriptor, ("..", "data-secret"), os.O_RDONLY)
    os.close(containment.openat2(descriptor, ("inner",), os.O_RDONLY))


def test_only_regular_files_are_read(root: Path, descriptor: int, resolver: containment.Resolver) -> None:
    """A FIFO would keep the reader until somebody writes; a device could do anything."""
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(root, os.O_PATH)
        listening.bind(f"/proc/self/fd/{here}/socket")  # the address of a socket has to be short
        os.close(here)
        kinds = ["fifo", "socket", "inner"]
        if os.geteuid() == 0:
            with contextlib.suppress(PermissionError):
                os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
                kinds.append("null")
        for name in kinds:
            with refused(errno.EINVAL, errno.ENXIO, errno.EISDIR):
                read(descriptor, name)
    assert shown(Volumes(), root, "") == [("inner", EntryType.DIRECTORY)]


@pytest.mark.usefixtures("resolver")
def test_a_hard_link_is_a_file_of_its_own(root: Path, outside: Path, descriptor: int) -> None:
    """No path leads through it to where else the file is; that nobody links what is not theirs is the kernel's matter
    (`fs.protected_hardlinks`). Removing it removes one name."""
    os.link(outside / "file", root / "inner" / "hard")
    assert ("hard", EntryType.FILE) in shown(Volumes(), root, "inner")
    with pytest.raises(StateConflict):
        Volumes().create_file(root, "inner", "hard", b"overwritten")
    assert (outside / "file").read_text() == SECRET


def test_a_path_that_is_longer_than_one_call_takes(root: Path, descriptor: int, resolver: containment.Resolver) -> None:
    names = ["d" * 250] * 40
    current = os.dup(descriptor)
    for name in names:
        os.mkdir(name, dir_fd=current)
        deeper = os.open(name, os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = deeper
    opened = containment.open_directory(descriptor, names)
    assert os.path.samestat(os.fstat(opened), os.fstat(current))
    os.close(opened)
    os.close(current)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM, errno.EINVAL])
def test_without_openat2_paths_are_walked(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refusing(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(containment, "call_openat2", refusing)
    assert containment.resolver.__wrapped__() is containment.walk
    monkeypatch.undo()
    assert containment.resolver() is containment.resolver(), "chosen once"


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENAMETOOLONG])
def test_a_rename_meanwhile_is_no_failure(descriptor: int, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refusing(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(containment, "call_openat2", refusing)
    os.close(containment.openat2(descriptor, ("inner",), os.O_RDONLY | os.O_DIRECTORY))


def test_a_root_that_is_replaced_meanwhile_is_not_followed(root: Path, outside: Path, descriptor: int) -> None:
    root.rename(root.parent / "moved")
    root.symlink_to(outside)
    assert read(descriptor, "inner", "file") == "mine"


# Exchanges two names as fast as it can, until it is ended.
SWAP = """
import ctypes, sys
libc = ctypes.CDLL(None)
pairs = [(a.encode(), b.encode()) for a, b in zip(sys.argv[1::2], sys.argv[2::2])]
print("ready", flush=True)
while True:
    for a, b in pairs:
        libc.renameat2(-100, a, -100, b, 2)
"""


@contextlib.contextmanager
def swapping(*pairs: tuple[Path, Path]) -> Iterator[None]:
    """Another process exchanges each pair of names in a tight loop."""
    names = [str(name) for pair in pairs for name in pair]
    process = subprocess.Popen([sys.executable, "-c", SWAP, *names], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
        assert process.poll() is None, "the race was run"
    finally:
        process.kill()
        process.communicate()


def test_a_directory_swapped_for_a_link_lets_nothing_escape(
    root: Path, outside: Path, descriptor: int, resolver: containment.Resolver
) -> None:
    """Lists, reads and makes while a directory on the way is, half of the time, a link to the outside."""
    (outside / "inner").mkdir()
    (outside / "inner" / "file").write_text(SECRET)
    (root / "top").mkdir()
    (root / "inner").rename(root / "top" / "inner")
    (root / "trap").symlink_to(outside)
    before = sorted(outside.rglob("*"))
    volumes, reached, met = Volumes(), 0, 0
    mine = [("file", EntryType.FILE)]

    def look() -> None:
        assert shown(volumes, root, "top/inner")[:1] == mine
        assert [one.name for one in volumes.list_entries(root, "top", after=None, limit=5).entries] == ["inner"]

    def load() -> None:
        assert read(descriptor, "top", "inner", "file") == "mine"

    def make() -> None:
        volumes.create_file(root, "top/inner", f"x{turn}", b"new")

    def make_directory() -> None:
        volumes.create_directory(root, "top/inner", f"y{turn}")

    turn, end = 0, time.monotonic() + SECONDS
    with swapping((root / "top", root / "trap")):
        while time.monotonic() < end:
            turn += 1
            for act in (look, load, make, make_directory):
                try:
                    act()
                    reached += 1
                except (RequestInvalid, RecordMissing, NotADirectoryError):
                    met += 1
                except OSError as error:
                    if error.errno != errno.ELOOP:
                        raise
                    met += 1
    assert sorted(outside.rglob("*")) == before
    assert reached > 20, "it was tried"
    assert met > 20, "the link was met"


def test_a_purge_leaves_through_no_swapped_link(root: Path, outside: Path) -> None:
    """Directories are swapped for links to the outside while they are removed."""
    for number in range(20):
        (outside / f"d{number}" / "deep").mkdir(parents=True)
        (outside / f"d{number}" / "deep" / "file").write_text(SECRET)
    before = sorted(outside.rglob("*"))
    target = root / str(ID)
    names = [target / f"d{number}" for number in range(20)]
    rounds, end = 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        rounds += 1
        for number, name in enumerate(names):
            (name / "deep").mkdir(parents=True)
            (name / "deep" / "file").touch()
            (target / f"{name.name}.trap").symlink_to(outside / f"d{number}")
        trashed = root / TRASH / str(ID)
        pairs = [(trashed / one.name, trashed / f"{one.name}.trap") for one in names]
        with swapping(*pairs):
            # A purge that meets a swap at every turn may give up; it is repeated.
            for _ in range(100):
                with contextlib.suppress(VolumeUnavailable):
                    Volumes().purge_directory(root, ID)
                if not trashed.exists():
                    break
        assert sorted(outside.rglob("*")) == before
        assert not target.exists()
        assert list((root / TRASH).iterdir()) == []
    assert rounds > 2
