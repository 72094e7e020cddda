"""`nbhub files`. A place is `home:dir/file`, or `datasets:NAME/dir/file`, and so for groups and modules."""

import sys
from pathlib import Path

from nbhub.cli.exits import UsageProblem
from nbhub.cli.grammar import Commands
from nbhub.cli.options import COMMON, Common, Limit
from nbhub.synchronous.files import ROOTS

files = Commands("files", "Files: home:dir/file, or datasets:NAME/file, and so for groups and modules.")


def _is_there(text: str) -> bool:
    """Whether a text names a place of Notebooks Hub, and no file of this machine."""
    return ":" in text and text.partition(":")[0] in ROOTS


@files.command("ls")
def ls(place: str = "home:", /, *, limit: Limit = None, common: Common = COMMON) -> None:
    """List a directory."""
    with common.hub() as hub:
        common.list(hub.files.list(*hub.files.place(place)), "name type title", limit)


@files.command("cat")
def cat(place: str, /, *, common: Common = COMMON) -> None:
    """Print a file."""
    with common.hub() as hub, hub.files.open(*hub.files.place(place)) as parts:
        for part in parts:
            sys.stdout.buffer.write(part)


@files.command("cp")
def cp(source: str, target: str, /, *, common: Common = COMMON) -> None:
    """Copy a file from this machine, or to it."""
    if _is_there(source) == _is_there(target):
        raise UsageProblem("one of both is a file of this machine, the other a place such as home:dir/file")
    with common.hub() as hub:
        if _is_there(target):
            root, path = hub.files.place(target)
            if target.endswith(("/", ":")):
                path = f"{path}/{Path(source).name}".lstrip("/")
            hub.files.upload(Path(source), root, path)
        else:
            root, path = hub.files.place(source)
            local = Path(target)
            hub.files.download(root, path, local / Path(path).name if local.is_dir() else local)


@files.command("mkdir")
def mkdir(place: str, /, *, common: Common = COMMON) -> None:
    """Make a directory."""
    with common.hub() as hub:
        hub.files.make_directory(*hub.files.place(place))
