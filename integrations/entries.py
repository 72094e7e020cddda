"""What is in a directory, read in parts: from a position on, and no more of it than is asked for.

A position stands for a place in the directory's own order. It is good for later, also for another process: what is
there all the time is read once, whatever comes and goes meanwhile. Every call blocks.
"""

import ctypes
import os
import stat
import struct
from collections.abc import Iterator

from msgspec import Struct

_FILE, _DIRECTORY, _UNKNOWN = 8, 4, 0
# The kernel's `struct linux_dirent64`: inode, position of the next, length, kind; then the name, and NULs.
_HEAD = struct.Struct("=QqHB")
_BUFFER = 65_536

_libc = ctypes.CDLL(None, use_errno=True)
_libc.getdents64.restype = ctypes.c_ssize_t
_libc.getdents64.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)


class Found(Struct, frozen=True):
    """An entry that was found."""

    name: bytes
    next: int
    """The position after it."""
    is_file: bool
    is_directory: bool


def entries_of(directory: int, position: int = 0) -> Iterator[Found]:
    """The entries of an open directory from a position on, 0 being the beginning; raises OSError."""
    os.lseek(directory, position, os.SEEK_SET)
    buffer = ctypes.create_string_buffer(_BUFFER)
    while size := _fill(directory, buffer):
        part, at = memoryview(buffer)[:size].tobytes(), 0
        while at < size:
            _, following, length, kind = _HEAD.unpack_from(part, at)
            name = part[at + _HEAD.size : at + length].partition(b"\0")[0]
            at += length
            if name in (b".", b".."):
                continue
            if kind == _UNKNOWN:
                yield _looked_at(directory, name, following)
            else:
                yield Found(name, following, kind == _FILE, kind == _DIRECTORY)


def _fill(directory: int, buffer: "ctypes.Array[ctypes.c_char]") -> int:
    size: int = _libc.getdents64(directory, buffer, len(buffer))
    if size < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return size


def _looked_at(directory: int, name: bytes, following: int) -> Found:
    """For file systems that do not say what an entry is."""
    try:
        mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    except FileNotFoundError:
        mode = 0
    return Found(name, following, stat.S_ISREG(mode), stat.S_ISDIR(mode))
