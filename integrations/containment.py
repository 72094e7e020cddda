"""Opens what lies beneath a directory, and never anything else.

Names come from people, and a directory that people share may change at any moment: also into a symbolic link that
leads elsewhere. So a path is text of one accepted form (`components`), and it is resolved by the kernel in one step
that follows no link at any level (`openat2`) or, where there is none, one name after another (`walk`). Whoever
holds the descriptor then names everything relative to it. Every call blocks.
"""

import ctypes
import errno
import functools
import os
import stat
from collections.abc import Callable, Sequence

LONGEST_NAME = 255
LONGEST_PATH = 4096

Resolver = Callable[[int, Sequence[str], int], int]

# What is opened may be a FIFO or a terminal: neither may hold us up, nor become ours.
_ALWAYS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_OPENAT2 = 437  # the same number on every architecture
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08


def components(path: str) -> tuple[str, ...]:
    """The names along a relative path in normal form; none for the empty path. Raises ValueError with the reason."""
    if not path:
        return ()
    names = tuple(path.split("/"))
    for name in names:
        check_name(name)
    if len(path.encode()) > LONGEST_PATH:
        raise ValueError(f"must have at most {LONGEST_PATH} bytes")
    return names


def check_name(name: str) -> None:
    """Raise ValueError with the reason if `name` is not one name in a directory."""
    if name in ("", ".", "..") or "/" in name:
        raise ValueError("must be relative and hold no empty, `.` or `..` component")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        size = 0
    if not size or "\0" in name:
        raise ValueError("must not hold NUL or lone surrogates")
    if size > LONGEST_NAME:
        raise ValueError(f"must have components of at most {LONGEST_NAME} bytes")


def open_directory(directory: int, names: Sequence[str]) -> int:
    """A descriptor of the directory at a path beneath another; raises OSError, `ENOTDIR` or `ELOOP` for a link."""
    return resolver()(directory, names, os.O_RDONLY | os.O_DIRECTORY)


def open_file(directory: int, names: Sequence[str]) -> int:
    """A descriptor to read the regular file at a path beneath a directory; raises OSError, `EINVAL` for others."""
    descriptor = resolver()(directory, names, os.O_RDONLY)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "Not a regular file")
    return descriptor


@functools.cache
def resolver() -> Resolver:
    """How paths are resolved in this process: `openat2`, unless the kernel or a sandbox lacks or forbids it."""
    probe = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        os.close(call_openat2(probe, ".", os.O_PATH | os.O_DIRECTORY))
    except OSError:
        return walk
    finally:
        os.close(probe)
    return openat2


def openat2(directory: int, names: Sequence[str], flags: int) -> int:
    """Open a path beneath a directory in one system call that follows no link and does not leave it."""
    try:
        return call_openat2(directory, "/".join(names) or ".", flags | _ALWAYS)
    except OSError as error:
        # A rename went on meanwhile, or the path is longer than one call takes.
        if error.errno not in (errno.EAGAIN, errno.ENAMETOOLONG):
            raise
        return walk(directory, names, flags)


def walk(directory: int, names: Sequence[str], flags: int) -> int:
    """Open a path beneath a directory name by name; a link among them is `ENOTDIR` or `ELOOP`.

    What is no name of an entry is `EXDEV`, as for the other, which is this one now and then.
    """
    if any(name in ("", "..") or "/" in name for name in names):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    *parents, last = names or (".",)
    current = directory
    try:
        for name in parents:
            step = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=current)
            if current != directory:
                os.close(current)
            current = step
        return os.open(last, flags | _ALWAYS, dir_fd=current)
    finally:
        if current != directory:
            os.close(current)


class _How(ctypes.Structure):
    """The kernel's `struct open_how`."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def call_openat2(directory: int, path: str, flags: int) -> int:
    """The system call itself, which raises `OSError` as the kernel says; repeated when a signal cut it off."""
    how = _How(flags, 0, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)
    while True:
        descriptor: int = _libc.syscall(
            ctypes.c_long(_OPENAT2),
            ctypes.c_int(directory),
            ctypes.c_char_p(os.fsencode(path)),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if descriptor >= 0:
            return descriptor
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
