"""Files that only this service writes, in a directory of its own: what is empty in there goes.

Nothing of people's may be near it: `OwnFiles` does not work where directories of homes or records are. Every call
blocks: run it in a thread. A file system that fails raises `VolumeUnavailable`.
"""

import contextlib
import hashlib
import itertools
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from integrations import containment
from integrations.filesystem import UNFINISHED, Volumes, opened, removed_if_empty

_ATTEMPTS = 5


class OwnFiles:
    """Puts and removes files beneath `top`, which is made where it is missing and never removed."""

    def __init__(self, top: Path, volumes: Volumes, *, roots: Iterable[Path]) -> None:
        """`roots` hold people's directories: raises ValueError where `top` is one of them, is in one or holds one."""
        for root in roots:
            one, other = Path(os.path.abspath(top)), Path(os.path.abspath(root))
            if one.is_relative_to(other) or other.is_relative_to(one):
                raise ValueError(f"{top} is for files of this service alone, {root} for people's: keep them apart.")
        self._top, self._volumes = top, volumes

    def put(self, directories: tuple[str, ...], name: str, content: bytes) -> None:
        """Put a file into directories, which are made where they are missing, in place of an earlier one.

        Whoever looks sees the old file or the new one, whole, and what was put survives a power cut.
        """
        self._volumes.make_root(self._top)
        with opened(self._top) as top:
            for attempt in itertools.count(1):
                try:
                    self._put(top, directories, name, content)
                    return
                except FileNotFoundError:
                    # The last file beside it was just removed, and an empty directory with it.
                    if attempt == _ATTEMPTS:
                        raise

    def _put(self, top: int, directories: tuple[str, ...], name: str, content: bytes) -> None:
        unfinished = f"{_unfinished(name)}{secrets.token_hex(8)}"
        with contextlib.ExitStack() as closing:
            chain = [top]
            for directory in directories:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(directory, mode=0o755, dir_fd=chain[-1])
                chain.append(containment.open_directory(chain[-1], (directory,)))
                closing.callback(os.close, chain[-1])
                self._volumes.own(chain[-1])
            _clear_unfinished(chain[-1], name)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(unfinished, flags, mode=0o644, dir_fd=chain[-1]), "wb") as file:
                try:
                    self._volumes.own(file.fileno())
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                    os.rename(unfinished, name, src_dir_fd=chain[-1], dst_dir_fd=chain[-1])
                except BaseException:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(unfinished, dir_fd=chain[-1])
                    raise
            for descriptor in reversed(chain):
                os.fsync(descriptor)

    def remove(self, directories: tuple[str, ...], name: str, header: bytes) -> None:
        """Remove a file that begins with `header`, and the directories that are empty then; either may be gone.

        A file with another beginning is somebody else's by now, and stays.
        """
        self._volumes.make_root(self._top)
        with opened(self._top) as top, contextlib.ExitStack() as closing:
            chain = [top]
            with contextlib.suppress(FileNotFoundError):
                for directory in directories:
                    chain.append(containment.open_directory(chain[-1], (directory,)))
                    closing.callback(os.close, chain[-1])
                _clear_unfinished(chain[-1], name)
                with os.fdopen(containment.open_file(chain[-1], (name,)), "rb") as file:
                    ours = file.read(len(header)) == header
                if ours:
                    os.unlink(name, dir_fd=chain[-1])
                    os.fsync(chain[-1])
            for parent, directory in reversed(list(zip(chain, directories, strict=False))):
                if not removed_if_empty(parent, directory):
                    break
                os.fsync(parent)


def _unfinished(name: str) -> str:
    """How the names of what is to become a file begin."""
    return f"{UNFINISHED}{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}-"


def _clear_unfinished(directory: int, name: str) -> None:
    """Remove what an earlier try left of a file. One that is still at it fails with FileNotFoundError."""
    for left in os.listdir(directory):
        if left.startswith(_unfinished(name)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(left, dir_fd=directory)
