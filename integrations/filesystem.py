"""Directories on the shared file system, named by ids and made so that a crash leaves them whole or absent."""

import contextlib
import os
import stat
from pathlib import Path
from uuid import UUID

from models.errors import VolumeUnavailable


class Volumes:
    """Makes directories below a root. Every call blocks: run it in a thread."""

    def __init__(self, *, uid: int = -1, gid: int = -1) -> None:
        """`uid` and `gid` become the owner of what is made; -1 leaves it."""
        self._uid, self._gid = uid, gid

    def make_directory(self, root: Path, identity: UUID) -> Path:
        """Make `root/identity` where it is missing; raises `VolumeUnavailable`.

        The root is opened first and all else is relative to it, so that nothing put in its place meanwhile is followed.
        """
        name = str(identity)
        try:
            descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, mode=0o750, dir_fd=descriptor)
                found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if not stat.S_ISDIR(found.st_mode):
                    raise VolumeUnavailable(f"{root.name}/{name} is not a directory.")
                # Also where it is there: whoever made it may not have come further.
                if self._uid != -1 or self._gid != -1:
                    os.chown(name, self._uid, self._gid, dir_fd=descriptor, follow_symlinks=False)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise VolumeUnavailable(f"The directory {root.name} cannot be used: {error.strerror}.") from None
        return root / name
