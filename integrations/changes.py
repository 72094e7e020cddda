"""Entries that people rename, move and remove, each in one step that others see as a whole.

Names are looked up beneath directories that are open (`integrations.containment`) and never followed: what is neither
file nor directory is as if it were not there. Nothing is replaced. Every call blocks: run it in a thread.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from integrations import removal
from integrations.filesystem import (
    REMOVED,
    UNFINISHED,
    EntryType,
    Maker,
    directory_at,
    identity_of,
    naming,
    opened,
    require_free,
    require_name,
    type_of,
)
from models.domain.errors import RecordMissing, RequestInvalid, StateConflict


def move_entry(root: Path, source: tuple[str, str], target: tuple[str, str], maker: Maker) -> EntryType:
    """Give an entry another directory or name; both are a path beneath the root, and a name. What it is.

    Raises `RecordMissing`, `StateConflict` where the name is taken, or `RequestInvalid` for `/path` or `/to`. What the
    maker has moved before stays where it is.
    """
    (path, name), (to_path, to) = source, target
    with opened(root) as descriptor, directory_at(descriptor, path) as directory, _about_target():
        require_name(to)
        with directory_at(descriptor, to_path) as to_directory, naming(to):
            try:
                kind, identity = _looked_up(directory, name)
            except RecordMissing:
                return _moved_before(to_directory, to, maker)
            if _same(directory, to_directory) and name == to:
                return kind
            require_free(to_directory, to)
            maker.note(identity)
            with _tree_kept():
                removal.move_anew(directory, name, to_directory, to)
            os.fsync(to_directory)
            os.fsync(directory)
            return kind


def hide_entry(root: Path, path: str, name: str, maker: Maker, leftovers: str) -> EntryType | None:
    """Put an entry out of sight, for good: what is left of it is found by the mark `leftovers`. What it was.

    None: the maker has done so before. Raises `RecordMissing`, or `RequestInvalid` for `/path`.
    """
    with opened(root) as descriptor, directory_at(descriptor, path) as directory:
        try:
            kind, _ = _looked_up(directory, name)
        except RecordMissing:
            if maker.made(REMOVED):
                return None
            raise
        maker.note(REMOVED)
        with contextlib.suppress(FileNotFoundError):
            removal.move(directory, name, directory, f"{UNFINISHED}{leftovers}-0")
        os.fsync(directory)
        return kind


def remove_hidden(root: Path, path: str, leftovers: str) -> None:
    """Remove what is left of what was hidden: however deep, whatever is in it, and nothing outside of it."""
    with opened(root) as descriptor, directory_at(descriptor, path) as directory:
        removal.remove(directory, f"{UNFINISHED}{leftovers}-0")


def _looked_up(directory: int, name: str) -> tuple[EntryType, str]:
    """What an entry is, and what tells it from another that has its name later."""
    kind = None
    with contextlib.suppress(FileNotFoundError):
        kind = type_of(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    if kind is None or name.startswith(UNFINISHED):
        raise RecordMissing("There is no such file or directory.")
    return kind, identity_of(directory, name)


def _moved_before(directory: int, name: str, maker: Maker) -> EntryType:
    kind, identity = _looked_up(directory, name)
    if not maker.made(identity):
        raise RecordMissing("There is no such file or directory.")
    return kind


def _same(one: int, other: int) -> bool:
    return os.path.samestat(os.fstat(one), os.fstat(other))


@contextlib.contextmanager
def _about_target() -> Iterator[None]:
    """What is wrong with where something is to be is so with `/to`."""
    try:
        yield
    except RequestInvalid as refusal:
        raise RequestInvalid.of("/to", "format", refusal.details[0].message) from None


@contextlib.contextmanager
def _tree_kept() -> Iterator[None]:
    """Nothing comes to lie in itself, nor on another file system."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise RequestInvalid.of("/to", "format", "lies in what is to be moved") from None
        if error.errno == errno.EXDEV:
            raise StateConflict("It lies on another file system.", hint="Copy it, and delete it here.") from None
        raise
