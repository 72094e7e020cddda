"""An admitted order: the verified spec together with the profiles it names, ready for a spawner.

Also what every spawner asks of an order: the command of its application, and where a path inside the server
lies outside it.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from hub.secrets import OpenedSecrets
from models.domain.profiles import HOME, Application, Hardware
from models.domain.server_spec import Mount, ServerSpec

# Below these a mount may appear inside a server.
_TARGET_ROOTS = tuple(PurePosixPath(root) for root in ("/opt/datasets", "/opt/groups", "/opt/modules"))
NOT_VISIBLE = "is not inside a directory that servers may see: an administrator can set NBHUB_HUB_ALLOWED_ROOTS"
MODULE_FILES = PurePosixPath("/opt/modules/modulefiles")
# `{port}` is filled in by `hub.dashboard`, where the program runs.
_PLACEHOLDER = re.compile(r"\{(file|directory|base_url)\}")
_PORT = "{port}"


class OrderRefused(Exception):
    """An order that is not carried out; `code` for programs, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One start of one server, admitted."""

    spec: ServerSpec
    application: Application
    hardware: Hardware
    # The application's file or folder inside the server; empty when it opens none.
    file_path: str = ""
    # What hands the spec's secrets over, and, where the hub itself opens them, what came out.
    handed_over: list[dict[str, Any]] = []
    secrets: OpenedSecrets = OpenedSecrets()
    # So long the server lets somebody in by what JupyterHub said before. Who loses a share, or is removed there, comes
    # in for as long; each server in use asks as often.
    let_in_seconds: int

    def __repr__(self) -> str:
        return f"Order({self.spec.server_id!r}, generation {self.spec.generation})"

    def command(self, values: Mapping[str, str], dashboard: tuple[str, ...]) -> tuple[str, ...]:
        """Return the application's command with its placeholders filled in.

        `dashboard` is the command of `hub.dashboard` where the server runs: a web program is started by it.
        """
        if self.application.kind == "jupyter":
            command = (expand(argument, values) for argument in self.application.command)
            return (*command, f"--HubOAuth.cache_max_age={self.let_in_seconds}")
        options = [f"--let-in-seconds={self.let_in_seconds}"]
        options += [] if self.application.strip_prefix else ["--keep-prefix"]
        options += [f"--port-variable={name}" for name, value in self.application.environment.items() if value == _PORT]
        command = (_format_of_port(argument, values) for argument in self.application.command)
        return (*dashboard, *options, self.application.ready_path, *command)

    def environment(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return the environment variables of the application and of its modules."""
        environment = {name: expand(value, values) for name, value in self.application.environment.items()}
        # A directory to an owner, in the order of the mounts: what is found first is loaded.
        directories = [
            str(MODULE_FILES / PurePosixPath(mount.target).relative_to(MODULE_FILES).parts[0])
            for mount in self.spec.mounts
            if MODULE_FILES in PurePosixPath(mount.target).parents
        ]
        if directories:
            environment["MODULEPATH"] = ":".join(dict.fromkeys(directories))
            # Tells Lmod's own start-up files that the path is complete.
            environment["MODULEPATH_ROOT"] = str(MODULE_FILES)
            # The entry that stands for the system's manual pages: without it those of modules would hide them.
            environment["MANPATH"] = ":"
            # Terminals scroll; a pager would wait for a key after a list of two.
            environment["LMOD_PAGER"] = "none"
            # Its cache is in the home, which servers with other modules share.
            environment["LMOD_IGNORE_CACHE"] = "yes"
        if self.spec.modules:
            environment["LMOD_SYSTEM_DEFAULT_MODULES"] = ":".join(self.spec.modules)
        return environment


def expand(text: str, values: Mapping[str, str]) -> str:
    """Fill in `{file}`, `{directory}` and `{base_url}`; other braces stay."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)


def _format_of_port(argument: str, values: Mapping[str, str]) -> str:
    """Return the argument with its placeholders filled in, as a format string of the port alone.

    So a file whose name holds `{port}` keeps it.
    """
    parts = (expand(part, values).replace("{", "{{").replace("}", "}}") for part in argument.split(_PORT))
    return _PORT.join(parts)


def check_mount_targets(mounts: Sequence[Mount]) -> None:
    """Refuse mounts that would hide something else inside the server."""
    targets = [PurePosixPath(mount.target) for mount in mounts]
    for target in targets:
        if ".." in target.parts or not any(root in target.parents for root in _TARGET_ROOTS):
            raise OrderRefused("mount-refused", f"nothing may be mounted at {target}")
    if len(set(targets)) != len(targets) or any(other in target.parents for target in targets for other in targets):
        raise OrderRefused("mount-refused", "two mounts of this server overlap")


def resolve_source(source: str, target: PurePosixPath | str, allowed_roots: Sequence[str]) -> Path:
    """Return where `source` really is, or refuse it: it must exist, be no link, and lie inside an allowed root.

    People are told of the `target`, which they know; where things are on this machine is in no message.
    """
    try:
        resolved = Path(source).resolve(strict=True)
    except OSError as problem:
        raise OrderRefused(
            "mount-missing",
            f"What belongs at {target} is missing on the machine of JupyterHub ({problem.strerror}): ask an "
            "administrator to restore or mount it there",
        ) from None
    if Path(source).is_symlink():
        raise OrderRefused(
            "mount-refused",
            f"What belongs at {target} is a symbolic link, which is not followed: ask an administrator to put the "
            "directory itself there, or to mount it there",
        )
    if not any(resolved.is_relative_to(Path(root).resolve()) for root in allowed_roots):
        raise OrderRefused("mount-refused", f"What belongs at {target} {NOT_VISIBLE}")
    return resolved


def file_on_machine(order: Order) -> Path:
    """Return the application's file or folder as this machine sees it, or refuse what leads out of its directory."""
    path = PurePosixPath(order.file_path)
    directories = [
        (HOME, order.spec.home),
        *((PurePosixPath(mount.target), mount.source) for mount in order.spec.mounts),
    ]
    for target, source in directories:
        if path.is_relative_to(target):
            root = Path(source).resolve()
            found = Path(os.path.realpath(root / path.relative_to(target)))
            if not found.is_relative_to(root):
                raise OrderRefused("file-refused", f"{path} leads out of the directory it lies in")
            return _openable(found, order)
    raise OrderRefused("file-missing", f"{path} lies in no directory of this server")


def _openable(found: Path, order: Order) -> Path:
    application = order.application
    if found.is_dir():
        if not application.opens_folders:
            raise OrderRefused("file-refused", f"{order.file_path} is a folder; {application.title} opens a file")
    elif not found.is_file():
        raise OrderRefused("file-missing", f"{order.file_path} does not exist")
    elif not application.opens_file(PurePosixPath(order.file_path).name):
        raise OrderRefused("file-refused", f"{order.file_path} is a file that {application.title} cannot open")
    return found
