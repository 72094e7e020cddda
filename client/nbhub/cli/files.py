"""`nbhub files`. A place is `home:dir/file`, or `datasets:NAME/dir/file`, and so for groups and modules."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

from nbhub.cli.exits import UsageProblem
from nbhub.cli.grammar import Commands, Option
from nbhub.cli.options import COMMON, Common, Limit, Yes
from nbhub.cli.working import require_yes
from nbhub.errors import NotebooksHubError
from nbhub.synchronous.files import HOME, ROOTS

files = Commands("files", "Files: home:dir/file, or datasets:NAME/file, and so for groups and modules.")

_AT_ONCE = 16 * 2**20
"""Bytes that are sent in one request."""


def _is_there(text: str) -> bool:
    """Whether a text names a place of Notebooks Hub, and no file of this machine."""
    return ":" in text and text.partition(":")[0] in ROOTS


@files.command("ls")
def ls(place: str = "home:", /, *, limit: Limit = None, common: Common = COMMON) -> None:
    """List a directory."""
    with common.hub() as hub:
        root, path = hub.files.place(place)
        # Beneath most roots first what has a directory there, whose name is its id.
        columns = "name title" if root != HOME and not path else "name type size modified_at"
        common.list(hub.files.list(root, path), columns, limit)


@files.command("cat")
def cat(place: str, /, *, common: Common = COMMON) -> None:
    """Print a file."""
    with common.hub() as hub, hub.files.open(*hub.files.place(place)) as parts:
        for part in parts:
            sys.stdout.buffer.write(part)


@files.command("get")
def get(place: str, target: str = ".", /, *, common: Common = COMMON) -> None:
    """Fetch a file to this machine, whole or not at all; by default into the current directory."""
    with common.hub() as hub:
        root, path = hub.files.place(place)
        local = Path(target)
        hub.files.download(root, path, local / Path(path).name if local.is_dir() else local)


@files.command("put")
def put(
    source: str,
    place: str,
    /,
    *,
    resume: Annotated[str | None, Option("go on with the upload of this id, which was cut off")] = None,
    keep: Annotated[bool, Option("replace nothing: a file that is there already is an error")] = False,
    common: Common = COMMON,
) -> None:
    """Send a file of this machine, whole or not at all.

    A large one goes in parts. If that is cut off, the command says how it goes on from there.
    """
    local = Path(source)
    with common.hub() as hub:
        root, path = hub.files.place(place)
        if place.endswith(("/", ":")):
            path = f"{path}/{local.name}".lstrip("/")
        size = local.stat().st_size
        if resume is None and size <= _AT_ONCE:
            hub.files.upload(local, root, path, replace=not keep)
            return
        identity = resume or hub.files.begin_upload(root, path, size).id
        try:
            hub.files.upload_in_parts(local, root, path, resume=identity, replace=not keep)
        except (KeyboardInterrupt, NotebooksHubError):
            words = shlex.join(["nbhub", "files", "put", source, place, "--resume", identity])
            print(f"nbhub: cut off; it goes on with: {words}", file=sys.stderr)
            raise


@files.command("mv")
def move(source: str, target: str, /, *, common: Common = COMMON) -> None:
    """Rename or move a file or directory, within one dataset, group, module or home. Nothing is replaced."""
    with common.hub() as hub:
        root, path = hub.files.place(source)
        to_root, to = hub.files.place(target)
        if root != to_root:
            raise UsageProblem(f"{source} is moved within {root} only: nbhub files cp, and then rm")
        hub.files.move(root, path, to)


@files.command("cp")
def copy(source: str, target: str, /, *, common: Common = COMMON) -> None:
    """Copy a file there, or from this machine or to it, as `put` and `get` do."""
    if not _is_there(source) and not _is_there(target):
        raise UsageProblem("both are files of this machine: a place is written as home:dir/file")
    if not _is_there(source):
        put(source, target, common=common)
    elif not _is_there(target):
        get(source, target, common=common)
    else:
        with common.hub() as hub:
            root, path = hub.files.place(source)
            to_root, to = hub.files.place(target)
            if target.endswith(("/", ":")):
                to = f"{to}/{Path(path).name}".lstrip("/")
            hub.files.copy(root, path, to, to_root=to_root)


@files.command("rm")
def remove(place: str, /, *, yes: Yes = False, common: Common = COMMON) -> None:
    """Delete a file, or a directory with all that is in it, for good."""
    with common.hub() as hub:
        root, path = hub.files.place(place)
        require_yes(Path(path).name, yes=yes)
        hub.files.delete(root, path)


@files.command("mkdir")
def mkdir(place: str, /, *, common: Common = COMMON) -> None:
    """Make a directory."""
    with common.hub() as hub:
        hub.files.make_directory(*hub.files.place(place))
