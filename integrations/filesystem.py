"""Directories and files on the shared file system, made and removed so that a crash leaves them whole or absent.

A record's directory is named by its id, right beneath the root of its kind, or in the root's `.trash`. Below it
everything belongs to people: see `integrations.containment` for how it is opened. Every call blocks: run it in a
thread. A file system that fails raises `VolumeUnavailable`, whose message names no path of the host.
"""

import contextlib
import errno
import heapq
import itertools
import os
import secrets
import stat
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from integrations import containment, removal
from integrations.entries import Found, entries_of
from models.domain.errors import DomainError, RecordMissing, RequestInvalid, StateConflict, VolumeUnavailable

TRASH = ".trash"
UNFINISHED = ".nbhub-unfinished-"
"""How the names of files begin that are still being written. Only a crash leaves one."""

REMOVED = "removed"
"""What a maker writes down of something that goes."""

MOST_SORTED = 10_000
"""Entries that are read at most for one part of a directory."""

_HINTS = {
    errno.ENOSPC: "There is no space left: delete files, or ask an administrator for more space.",
    errno.EDQUOT: "The quota is used up: delete files, or ask an administrator for a larger one.",
    errno.EACCES: "This service has no permission there: correct the mode of the directory, or ask an administrator.",
    errno.EPERM: "This service has no permission there: correct the mode of the directory, or ask an administrator.",
    errno.EROFS: "The file system is read-only: ask an administrator.",
    errno.EBUSY: "Something is mounted there: ask an administrator to unmount it.",
}


class EntryType(StrEnum):
    """What an entry of a directory is. Nothing else is shown or made."""

    FILE = "file"
    DIRECTORY = "directory"


class Entry(Struct, frozen=True, order=True):
    """An entry of a directory."""

    name: str
    type: EntryType
    size: int | None = None
    """Bytes of a file; None where nobody could look at it."""
    modified: datetime | None = None


class Listing(Struct, frozen=True):
    """A part of what is in a directory."""

    entries: list[Entry]
    after: tuple[str, ...] | None
    """After what the next part comes; None: there is no more."""


class Maker(Protocol):
    """Who makes something in a directory, and knows it again: one that was cut off is gone on with by another."""

    @property
    def mark(self) -> str:
        """A word by which what it left unfinished is found."""

    def note(self, identity: str) -> None:
        """Write down, durably, what is about to get its name."""

    def made(self, identity: str) -> bool:
        """Whether it was written down."""


class Volumes:
    """Makes, fills, lists and removes directories below a root."""

    def __init__(self, *, uid: int = -1, gid: int = -1) -> None:
        """`uid` and `gid` become the owner of what is made; -1 leaves it."""
        self._uid, self._gid = uid, gid

    def make_root(self, root: Path) -> None:
        """Make a root where it is missing, right beneath a directory that an operator has made."""
        with opened(root.parent) as parent, contextlib.suppress(FileExistsError):
            os.mkdir(root.name, mode=0o755, dir_fd=parent)
            os.fsync(parent)

    def make_directory(self, root: Path, identity: UUID, what: str = "directory") -> Path:
        """Make `root/identity` where it is missing; raises `VolumeUnavailable`, also where something else is there.

        The root is opened first and all else is relative to it, so that nothing put in its place meanwhile is followed.
        """
        name = str(identity)
        with opened(root) as descriptor:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, mode=0o750, dir_fd=descriptor)
            problem = _trouble(descriptor, name, what)
            if problem is not None:
                # An administrator may mend it, and the next try succeed.
                raise VolumeUnavailable(problem.message)
            # Also where it is there: whoever made it may not have come further.
            if self._uid != -1 or self._gid != -1:
                os.chown(name, self._uid, self._gid, dir_fd=descriptor, follow_symlinks=False)
            os.fsync(descriptor)
        return root / name

    def require_directory(self, root: Path, identity: UUID, what: str) -> None:
        """Refuse (`RecordMissing`, `StateConflict`) unless `root/identity` is a directory itself.

        `what` it is, as in "home directory", makes the sentence that people are told, alike wherever they meet it.
        """
        with opened(root) as descriptor:
            problem = _trouble(descriptor, str(identity), what)
            if problem is not None:
                raise problem

    def trash_directory(self, root: Path, identity: UUID) -> None:
        """Move `root/identity` to the trash. It may be there already, or have never been made."""
        name = str(identity)
        with opened(root) as live, _trash_of(root, live) as trash:
            if _is_directory(live, name):
                if not _is_directory(trash, name):
                    removal.move(live, name, trash, name)
                elif not removed_if_empty(live, name):
                    raise _twice(root, name)
            elif _exists(live, name):
                raise VolumeUnavailable(f"{root.name}/{name} is not a directory.")
            # Also where it is there: whoever moved it may not have come further.
            os.fsync(trash)
            os.fsync(live)

    def restore_directory(self, root: Path, identity: UUID) -> None:
        """Move `root/identity` back from the trash; it is made where there is none. It may be back already."""
        name = str(identity)
        with opened(root) as live:
            if _exists(live, TRASH):
                with _trash_of(root, live) as trash:
                    if _is_directory(trash, name):
                        if _is_directory(live, name) and not removed_if_empty(live, name):
                            raise _twice(root, name)
                        removal.move(trash, name, live, name)
                    os.fsync(live)
                    os.fsync(trash)
        self.make_directory(root, identity)

    def purge_directory(self, root: Path, identity: UUID) -> None:
        """Remove `root/identity` and what the trash holds of it, for good. Either may be gone already."""
        name = str(identity)
        with opened(root) as live, _trash_of(root, live) as trash:
            removal.remove(trash, name)
            # Out of sight at once, and only then piece by piece.
            with contextlib.suppress(FileNotFoundError):
                removal.move(live, name, trash, name)
            removal.remove(trash, name)
            os.fsync(trash)
            os.fsync(live)

    def list_entries(self, root: Path, path: str, *, after: tuple[str, ...] | None, limit: int) -> Listing:
        """At most `limit` files and directories of a directory, `after` those of an earlier listing.

        They come by name in byte order; a directory of more than `MOST_SORTED` entries comes in its own order, because
        to sort it all of it would be read for each part. Links and all that is neither file nor directory are not
        shown, nor are names that are not UTF-8: no request could say them. Raises `RecordMissing`, or `RequestInvalid`
        for `/path`, or for `cursor` if the earlier listing was sorted, and the directory is too large for it by now.
        """
        with opened(root) as descriptor, directory_at(descriptor, path) as directory:
            part = _part_of(directory, after, limit)
            return Listing([_looked_at(directory, entry) for entry in part.entries], part.after)

    def create_file(self, root: Path, path: str, name: str, content: bytes, maker: Maker | None = None) -> None:
        """Make a file in a directory. It is complete, durable and its owner's from the moment that it has its name.

        Raises `RecordMissing`, `StateConflict` if the name is taken, unless by what the `maker` has made before, or
        `RequestInvalid` for `/path` or `/name`.
        """
        require_name(name)
        unfinished = unfinished_name(maker)
        with opened(root) as descriptor, directory_at(descriptor, path) as directory, naming(name):
            require_free(directory, name)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(unfinished, flags, mode=0o640, dir_fd=directory), "wb") as file:
                try:
                    self.own(file.fileno())
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                    if maker is not None:
                        maker.note(identity_of(directory, unfinished))
                    with _unless_made(maker, directory, name):
                        # Unlike a rename, a link never replaces.
                        os.link(unfinished, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
                finally:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(unfinished, dir_fd=directory)
            os.fsync(directory)

    def create_directory(self, root: Path, path: str, name: str, maker: Maker | None = None) -> None:
        """Make a directory in a directory; raises as `create_file` does."""
        require_name(name)
        unfinished = unfinished_name(maker)
        with opened(root) as descriptor, directory_at(descriptor, path) as directory, naming(name):
            require_free(directory, name)
            os.mkdir(unfinished, mode=0o750, dir_fd=directory)
            try:
                # Owned by descriptor: what has the name by now may be a link to something else.
                made = containment.open_directory(directory, (unfinished,))
                try:
                    self.own(made)
                finally:
                    os.close(made)
                if maker is not None:
                    maker.note(identity_of(directory, unfinished))
                with _unless_made(maker, directory, name):
                    removal.name_anew(directory, unfinished, name)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.rmdir(unfinished, dir_fd=directory)
            os.fsync(directory)

    def clear_unfinished(self, root: Path, path: str, name: str, maker: Maker) -> bool:
        """Remove what a maker that was cut off left unfinished; whether something that it made has the name.

        Raises `RecordMissing` where the directory is gone, or `RequestInvalid` where it is something else by now.
        """
        with opened(root) as descriptor, directory_at(descriptor, path) as directory:
            with os.scandir(directory) as entries:
                left = [entry.name for entry in entries if entry.name.startswith(f"{UNFINISHED}{maker.mark}-")]
            for one in left:
                removal.remove(directory, one)
            try:
                return maker.made(identity_of(directory, name))
            except FileNotFoundError:
                return maker.made(REMOVED)

    def own(self, descriptor: int) -> None:
        """Give what was made its owner."""
        if self._uid != -1 or self._gid != -1:
            os.fchown(descriptor, self._uid, self._gid)


@contextlib.contextmanager
def opened(root: Path) -> Iterator[int]:
    """A descriptor of a root; what the file system refuses within becomes `VolumeUnavailable`."""
    with refusals_told(root):
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def refusals_told(root: Path) -> Iterator[None]:
    """What the file system refuses beneath a root becomes `VolumeUnavailable`."""
    try:
        yield
    except OSError as error:
        raise VolumeUnavailable(
            f"The directory {root.name} cannot be used: {error.strerror}.", hint=_HINTS.get(error.errno or 0, "")
        ) from None


@contextlib.contextmanager
def _trash_of(root: Path, live: int) -> Iterator[int]:
    """A descriptor of a root's trash, made where it is missing."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(TRASH, mode=0o700, dir_fd=live)
    if not _is_directory(live, TRASH):
        raise VolumeUnavailable(f"{root.name}/{TRASH} is not a directory.")
    descriptor = containment.open_directory(live, (TRASH,))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def directory_at(root: int, path: str) -> Iterator[int]:
    """A descriptor of the directory at a path that a request named."""
    try:
        descriptor = containment.open_directory(root, containment.components(path))
    except FileNotFoundError:
        raise _missing() from None
    except ValueError as error:
        raise RequestInvalid.of("/path", "format", str(error)) from None
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ENAMETOOLONG):
            raise
        raise RequestInvalid.of("/path", "format", "is not a directory, or leads through a link") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """What keeps a new name out of a directory, as an error of the request."""
    try:
        yield
    except FileExistsError:
        shown = name.encode("unicode_escape").decode()[:64]
        raise StateConflict(f"There is something named '{shown}' already.", hint="Choose another name.") from None
    except FileNotFoundError:
        raise _missing() from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise RequestInvalid.of("/name", "maxLength", "is too long for this file system") from None


@contextlib.contextmanager
def _unless_made(maker: Maker | None, directory: int, name: str) -> Iterator[None]:
    """Pass over that a name is taken, if what has it was made for the same request."""
    try:
        yield
    except FileExistsError:
        if maker is None or not maker.made(identity_of(directory, name)):
            raise


def identity_of(directory: int, name: str) -> str:
    """What tells an entry of a directory from another that has its name later."""
    return str(os.stat(name, dir_fd=directory, follow_symlinks=False).st_ino)


def unfinished_name(maker: Maker | None) -> str:
    """A new name for what a maker has not finished."""
    return f"{UNFINISHED}{maker.mark if maker else ''}-{secrets.token_hex(8)}"


def _missing() -> DomainError:
    return RecordMissing(
        "There is no such directory.",
        hint="Make it first; that of a new record or person is there once its operation has succeeded.",
    )


def check_new_name(name: str) -> None:
    """Raise ValueError with the reason if nothing may be made under a name by a request."""
    containment.check_name(name)
    if name.startswith(UNFINISHED):
        raise ValueError(f"must not begin with '{UNFINISHED}': such files are being written, and never shown")


def require_name(name: str) -> None:
    """Refuse (`RequestInvalid` for `/name`) what `check_new_name` does."""
    try:
        check_new_name(name)
    except ValueError as error:
        raise RequestInvalid.of("/name", "format", str(error)) from None


def require_free(directory: int, name: str) -> None:
    """Refuse a name that is there in the other form of Unicode: to people, and on a Mac, the two are one."""
    for form in ("NFC", "NFD"):
        other = unicodedata.normalize(form, name)
        # A form that is too long for a name is nobody's.
        if other != name and len(os.fsencode(other)) <= containment.LONGEST_NAME and _exists(directory, other):
            raise FileExistsError


def _part_of(directory: int, after: tuple[str, ...] | None, limit: int) -> Listing:
    if after is not None and len(after) > 1:
        return _in_its_own_order(directory, int(after[1]), limit)
    found = list(itertools.islice(entries_of(directory), MOST_SORTED + 1))
    if len(found) <= MOST_SORTED:
        return _sorted(found, "" if after is None else after[0], limit)
    if after is not None:
        message = "the directory has become too large to be sorted: list it from its beginning"
        raise RequestInvalid.of("cursor", "cursor", message, **{"in": "query"})
    return _in_its_own_order(directory, 0, limit)


def _looked_at(directory: int, entry: Entry) -> Entry:
    """An entry with its size and time; without them where it has gone, or become something else."""
    try:
        about = os.stat(entry.name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return entry
    if type_of(about.st_mode) is not entry.type:
        return entry
    size = about.st_size if entry.type is EntryType.FILE else None
    return Entry(entry.name, entry.type, size, moment(about.st_mtime))


def moment(seconds: float) -> datetime | None:
    """A time that a file system tells, to the second; None: no calendar has it, and anybody may set it."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (OverflowError, ValueError, OSError):
        return None


def type_of(mode: int) -> EntryType | None:
    """What something is; None: nothing that is shown."""
    if stat.S_ISDIR(mode):
        return EntryType.DIRECTORY
    return EntryType.FILE if stat.S_ISREG(mode) else None


def _sorted(found: list[Found], after: str, limit: int) -> Listing:
    entries = (entry for entry in map(_entry_of, found) if entry is not None and entry.name > after)
    shown = heapq.nsmallest(limit + 1, entries)
    return Listing(shown[:limit], (shown[limit - 1].name,) if len(shown) > limit else None)


def _in_its_own_order(directory: int, position: int, limit: int) -> Listing:
    shown: list[Entry] = []
    for number, found in enumerate(entries_of(directory, position)):
        entry = _entry_of(found)
        # Also where nothing is to be shown for long: a part has its end.
        if (entry is not None and len(shown) == limit) or number == MOST_SORTED:
            return Listing(shown, ("", str(position)))
        if entry is not None:
            shown.append(entry)
        position = found.next
    return Listing(shown, None)


def _entry_of(found: Found) -> Entry | None:
    """The entry as it is shown, or None."""
    try:
        name = found.name.decode()
    except UnicodeDecodeError:
        return None
    if name.startswith(UNFINISHED):
        return None
    if found.is_directory:
        return Entry(name, EntryType.DIRECTORY)
    return Entry(name, EntryType.FILE) if found.is_file else None


def _trouble(directory: int, name: str, what: str) -> DomainError | None:
    """Why a record's or a person's directory cannot be used, with what to do about it; None if it can."""
    mode = _mode(directory, name)
    if mode is None:
        return RecordMissing(
            f"The {what} is missing: that of a new record or person is there once its operation has succeeded; "
            "a lost one is an administrator's to restore.",
            code="DIRECTORY_MISSING",
        )
    if stat.S_ISDIR(mode):
        return None
    found = "a symbolic link, which is not followed" if stat.S_ISLNK(mode) else "a file or the like"
    return StateConflict(
        f"The {what} is {found}: ask an administrator to put the directory itself there, or to mount it there.",
        code="DIRECTORY_UNUSABLE",
    )


def _mode(directory: int, name: str) -> int | None:
    """What an entry of a directory is, links not followed; None: there is none."""
    with contextlib.suppress(FileNotFoundError):
        return os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    return None


def _exists(directory: int, name: str) -> bool:
    return _mode(directory, name) is not None


def _is_directory(directory: int, name: str) -> bool:
    return stat.S_ISDIR(_mode(directory, name) or 0)


def removed_if_empty(directory: int, name: str) -> bool:
    """Remove a directory if nothing is in it: then it was only made again by somebody who came late."""
    try:
        os.rmdir(name, dir_fd=directory)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise
        return error.errno == errno.ENOENT
    return True


def _twice(root: Path, name: str) -> VolumeUnavailable:
    return VolumeUnavailable(
        f"{root.name}/{name} is in place and in the trash.", hint="Ask an administrator to move one of them away."
    )
