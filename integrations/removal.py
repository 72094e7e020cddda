"""Removes a whole directory: however deep, whatever is in it, and nothing outside of it.

Names are only ever given to `unlink`, `rename` and `rmdir`, which follow no link, and directories are opened so that
a link in their place is refused. Instead of going down a tree, which may be deeper than there are descriptors, the
directories in it are lifted up: each comes to lie right beneath the top, is emptied and removed. Every call blocks.
"""

import contextlib
import ctypes
import errno
import itertools
import os
import secrets
import stat

from integrations import containment

_libc = ctypes.CDLL(None, use_errno=True)
_NOREPLACE = 1
_BATCH = 1000
"""How many names of a directory are held at once."""


def remove(parent: int, name: str) -> None:
    """Remove whatever has a name in a directory, with all that is in it; raises OSError, `EBUSY` at a mount point.

    After an interruption it goes on where it was. What others remove meanwhile is no problem.
    """
    if _unlink(parent, name):
        return
    top = _open(parent, name)
    try:
        _admit(top)
        while names := _some_names(top):
            for inner in names:
                # Only what can be renamed is opened: a mount point cannot, so nothing that is mounted is emptied.
                lifted = None if _unlink(top, inner) else _lift(top, inner, top)
                if lifted is not None:
                    _remove_lifted(top, lifted)
    finally:
        os.close(top)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(name, dir_fd=parent)


def _remove_lifted(top: int, name: str) -> None:
    """Remove a directory right beneath the top; the directories in it are lifted to the top and are left there."""
    try:
        directory = _open(top, name)
    except (FileNotFoundError, NotADirectoryError):
        return  # Something else by now: the next look at the top shows what.
    try:
        _admit(directory)
        while names := _some_names(directory):
            for inner in names:
                if not _unlink(directory, inner):
                    _lift(directory, inner, top)
    finally:
        os.close(directory)
    try:
        os.rmdir(name, dir_fd=top)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.ENOTDIR):
            raise


def _some_names(directory: int) -> list[str]:
    with os.scandir(directory) as entries:
        return [entry.name for entry in itertools.islice(entries, _BATCH)]


def _unlink(directory: int, name: str) -> bool:
    """Remove what is not a directory; whether nothing is left of it."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass
    except IsADirectoryError:
        return False
    return True


def _lift(directory: int, name: str, top: int) -> str | None:
    """Move a directory right beneath the top, under a new name; None if it is gone."""
    lifted = secrets.token_hex(16)
    try:
        move(directory, name, top, lifted)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return lifted


def move(source: int, name: str, target: int, to: str) -> None:
    """Move a directory from one directory into another of the same file system, also one whose mode keeps us out."""
    try:
        os.rename(name, to, src_dir_fd=source, dst_dir_fd=target)
    except PermissionError:
        # To move it is to write in it: its `..` changes.
        directory = _open(source, name)
        try:
            _admit(directory)
        finally:
            os.close(directory)
        os.rename(name, to, src_dir_fd=source, dst_dir_fd=target)


def name_anew(directory: int, name: str, to: str) -> None:
    """Give a directory that was just made another name in the same directory; raises `FileExistsError`, never replaces.

    Where the file system cannot do that in one step, as NFS, it is made under that name.
    """
    if _renamed_anew(directory, name, directory, to):
        return
    try:
        _give_place(directory, name, directory, to)
    except OSError as error:
        # Somebody has put something into it already.
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise


def move_anew(source: int, name: str, target: int, to: str) -> None:
    """Move a file or directory; raises `FileExistsError`, never replaces.

    Where the file system cannot do that in one step, as NFS, a file has both names for a moment, and of a directory an
    empty one has the new name.
    """
    try:
        done = _renamed_anew(source, name, target, to)
    except PermissionError:
        # To move a directory is to write in it: its `..` changes.
        directory = _open(source, name)
        try:
            _admit(directory)
        finally:
            os.close(directory)
        done = _renamed_anew(source, name, target, to)
    if done:
        return
    if stat.S_ISDIR(os.stat(name, dir_fd=source, follow_symlinks=False).st_mode):
        _give_place(source, name, target, to)
    else:
        os.link(name, to, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        os.unlink(name, dir_fd=source)


def _renamed_anew(source: int, name: str, target: int, to: str) -> bool:
    """Rename unless the name is taken; False where that is no single step, or a directory would come into itself."""
    number = errno.ENOSYS
    if hasattr(_libc, "renameat2"):
        if _libc.renameat2(source, os.fsencode(name), target, os.fsencode(to), _NOREPLACE) == 0:
            return True
        number = ctypes.get_errno()
    if number not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(number, os.strerror(number))
    return False


def _give_place(source: int, name: str, target: int, to: str) -> None:
    """Rename a directory by replacing an empty one, which is made first."""
    about = os.stat(name, dir_fd=source, follow_symlinks=False)
    os.mkdir(to, mode=stat.S_IMODE(about.st_mode), dir_fd=target)
    try:
        os.rename(name, to, src_dir_fd=source, dst_dir_fd=target)
    except OSError as error:
        if error.errno == errno.EINVAL:
            os.rmdir(to, dir_fd=target)
        raise


def _open(directory: int, name: str) -> int:
    """Open a directory, also one whose mode keeps us out; a link is `ENOTDIR`."""
    try:
        return containment.walk(directory, (name,), os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    try:
        # The one way to change the mode of exactly what was opened, whatever has its name now.
        os.chmod(f"/proc/self/fd/{handle}", stat.S_IRWXU)
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=handle)
    finally:
        os.close(handle)


def _admit(directory: int) -> None:
    """Let the owner of a directory change it."""
    mode = stat.S_IMODE(os.fstat(directory).st_mode)
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        os.fchmod(directory, mode | stat.S_IRWXU)
