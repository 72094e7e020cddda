"""Which processes really serve a server: read from /proc, past everything that the system says of itself."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.people import Json

_PROC = Path("/proc")


@dataclass(frozen=True)
class ServerProcess:
    """The first process of a server; `started` in clock ticks tells it from a later one of the same pid."""

    pid: int
    started: int

    def kill(self) -> None:
        """End it as an out-of-memory killer would."""
        os.kill(self.pid, signal.SIGKILL)


def processes_of(server: Json) -> list[ServerProcess]:
    """Processes that JupyterHub's environment marks as this server's and whose parents are not marked so."""
    # Names of servers are unique to the end of their record's id.
    marked = {pid: _parent_and_start(pid) for pid in _pids() if _serves(pid, server["name"])}
    alive = {pid: found for pid, found in marked.items() if found is not None}
    return [ServerProcess(pid, started) for pid, (parent, started) in sorted(alive.items()) if parent not in alive]


def living(process: ServerProcess) -> bool:
    """Whether that very process still lives."""
    found = _parent_and_start(process.pid)
    return found is not None and found[1] == process.started


def _pids() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def _serves(pid: int, name: str) -> bool:
    try:
        environment = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(
        variable.startswith(b"JUPYTERHUB_SERVICE_PREFIX=") and variable.rstrip(b"/").endswith(b"/" + name.encode())
        for variable in environment
    )


def _parent_and_start(pid: int) -> tuple[int, int] | None:
    try:
        # The name in parentheses may hold anything; what follows it is numbers.
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else (int(fields[1]), int(fields[19]))
