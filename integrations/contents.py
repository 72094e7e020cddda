"""Contents of files that are too large for memory: read from an open file, and written beside the file they replace.

Whoever looks sees the old file or the new one, whole; a cut-off write leaves the old one, and the janitor what
`Volumes.clear_unfinished` removes. Every call blocks: run it in a thread. What the file system refuses is
`VolumeUnavailable`.
"""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from integrations import containment
from integrations.filesystem import (
    UNFINISHED,
    Maker,
    Volumes,
    directory_at,
    naming,
    opened,
    refusals_told,
    require_free,
    require_name,
    unfinished_name,
)
from models.domain.errors import RecordMissing, RequestInvalid, StateConflict

# So much is on the disk before more is taken: else all of it is waited for at the end, longer than a call may take.
_SYNCED_EVERY = 32 * 2**20
_NO_FILE = {errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ENAMETOOLONG, errno.EINVAL, errno.ENXIO, errno.EISDIR}


class Version(Struct, frozen=True, kw_only=True):
    """What a file holds at one moment: another `tag` stands for another content."""

    size: int
    modified: int
    """Seconds since 1970."""
    tag: str
    """The strong entity tag, in its quotation marks."""


class _Descriptor:
    """One that is closed when nobody holds it: never while a thread, however late, is at work with it."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


class Content:
    """An open file, which stays what it is while another takes its name."""

    def __init__(self, root: Path, path: str) -> None:
        """Open it; raises `RecordMissing`, or `RequestInvalid` for `/path` where there is something else."""
        self._root = root
        *_, name = names = containment.components(path)
        if name.startswith(UNFINISHED):
            raise _no_such_file()
        with opened(root) as descriptor:
            try:
                self._file = _Descriptor(containment.open_file(descriptor, names))
            except FileNotFoundError:
                raise _no_such_file() from None
            except OSError as error:
                if error.errno not in _NO_FILE:
                    raise
                raise RequestInvalid.of("/path", "format", "is not a file, or leads through a link") from None
            self.version = _version(os.fstat(self._file.number))

    def read(self, start: int, size: int) -> bytes:
        """At most `size` bytes from `start` on; none where the file ends by now."""
        with refusals_told(self._root):
            return os.pread(self._file.number, size, start)


class Draft:
    """A file that is being written, beside the one that it will be. It is finished or discarded."""

    def __init__(self, volumes: Volumes, root: Path, path: str, name: str, maker: Maker) -> None:
        """Begin it; raises `RecordMissing`, or `RequestInvalid` for `/path` or `/name`."""
        require_name(name)
        self._root, self._name, self._maker = root, name, maker
        self._unfinished, self._unsynced = unfinished_name(maker), 0
        with opened(root) as descriptor, directory_at(descriptor, path) as directory, naming(name):
            self._directory = _Descriptor(os.dup(directory))
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            self._file = _Descriptor(os.open(self._unfinished, flags, mode=0o640, dir_fd=directory))
            try:
                volumes.own(self._file.number)
            except OSError:
                self.discard()
                raise

    def write(self, data: bytes) -> None:
        """Append to it."""
        with refusals_told(self._root):
            left = memoryview(data)
            while left:
                left = left[os.write(self._file.number, left) :]
            self._unsynced += len(data)
            if self._unsynced >= _SYNCED_EVERY:
                os.fdatasync(self._file.number)
                self._unsynced = 0

    def finish(self, check: Callable[[Version | None], None]) -> Version:
        """Give it its name once it is on the disk, in place of a file that has it.

        `check` is asked with what is there, after the maker has noted what takes its place, and may raise. Raises
        `StateConflict` where there is something else than a file. What the maker has put there before stays.
        """
        with refusals_told(self._root), naming(self._name):
            os.fsync(self._file.number)
            there = self._there()
            if there is not None and self._maker.made(str(there.st_ino)):
                return _version(there)
            self._maker.note(str(os.fstat(self._file.number).st_ino))
            # From now on nobody but a notebook changes what is there.
            there = self._there()
            check(None if there is None else _version(there))
            names, at = (self._unfinished, self._name), self._directory.number
            if there is None:
                require_free(at, self._name)
                # Unlike a rename, a link never replaces.
                os.link(*names, src_dir_fd=at, dst_dir_fd=at, follow_symlinks=False)
                os.unlink(self._unfinished, dir_fd=at)
            else:
                os.fchmod(self._file.number, stat.S_IMODE(there.st_mode) & 0o777)
                os.rename(*names, src_dir_fd=at, dst_dir_fd=at)
            os.fsync(at)
            return _version(os.fstat(self._file.number))

    def discard(self) -> None:
        """Remove it, unless it was finished."""
        with refusals_told(self._root), contextlib.suppress(FileNotFoundError):
            os.unlink(self._unfinished, dir_fd=self._directory.number)

    def _there(self) -> os.stat_result | None:
        """The file that has the name now."""
        try:
            found = os.stat(self._name, dir_fd=self._directory.number, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):
            raise StateConflict("What has this name is not a file.", hint="Choose another name.")
        return found


class PartialDraft(Draft):
    """A draft that comes in parts, each perhaps to another process: it is found by its maker's mark, one at a time."""

    def __init__(self, volumes: Volumes, root: Path, path: str, name: str, maker: Maker, *, begun: bool) -> None:
        """Open it, or begin it; raises `RecordMissing`, `StateConflict`, or `RequestInvalid` for `/path` or `/name`.

        What has its place by now, and was not written down by the maker, is left alone.
        """
        require_name(name)
        self._root, self._name, self._maker = root, name, maker
        self._unfinished, self._unsynced = f"{UNFINISHED}{maker.mark}-0", 0
        flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | (0 if begun else os.O_CREAT)
        with opened(root) as descriptor, directory_at(descriptor, path) as directory:
            self._directory = _Descriptor(os.dup(directory))
            try:
                self._file = _Descriptor(os.open(self._unfinished, flags, mode=0o640, dir_fd=directory))
            except FileNotFoundError:
                raise RecordMissing("Nothing is left of what was uploaded.", hint="Begin again.") from None
            except OSError as error:
                if error.errno not in _NO_FILE:
                    raise
                raise _strange() from None
            found = os.fstat(self._file.number)
            if not stat.S_ISREG(found.st_mode):
                raise _strange()
            try:
                fcntl.flock(self._file.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StateConflict("Another part of it is on its way.", hint="Wait for its end.") from None
            if not begun and found.st_size == 0 and found.st_nlink == 1:
                volumes.own(self._file.number)
                maker.note(str(found.st_ino))
            elif not maker.made(str(found.st_ino)):
                raise _strange()

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return os.fstat(self._file.number).st_size

    def leave(self) -> None:
        """Let others go on with it."""
        fcntl.flock(self._file.number, fcntl.LOCK_UN)

    def keep(self) -> int:
        """Have what was written on the disk; how many bytes there are."""
        with refusals_told(self._root):
            os.fdatasync(self._file.number)
            return self.size


def _strange() -> StateConflict:
    return StateConflict("What was uploaded is something else by now.", hint="Begin again.")


def version_at(root: Path, path: str, name: str) -> Version | None:
    """What a file holds now; None where there is none. Raises as `Content` and `Draft` do."""
    try:
        return Content(root, f"{path}/{name}").version
    except RecordMissing:
        return None


def _version(found: os.stat_result) -> Version:
    # Whoever writes sets the time of change too, which nobody can set back.
    tag = f'"{found.st_ino:x}-{found.st_ctime_ns:x}-{found.st_size:x}"'
    return Version(size=found.st_size, modified=int(found.st_mtime), tag=tag)


def _no_such_file() -> RecordMissing:
    return RecordMissing("There is no such file.")
