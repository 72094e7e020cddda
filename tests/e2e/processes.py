"""Which processes really serve a server: read from /proc, past everything that the system says of itself."""

import os
import signal
from collections.abc import Iterator, Mapping
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
    """Processes that JupyterHub's environment marks as this server's and that come of none that is marked so."""
    living = {pid: found for pid in _pids() if (found := _parent_and_start(pid)) is not None}
    # Names of servers are unique to the end of their record's id.
    marked = {pid for pid in living if _serves(pid, server["name"])}
    return [ServerProcess(pid, living[pid][1]) for pid in sorted(marked) if marked.isdisjoint(_ancestors(pid, living))]


def living(process: ServerProcess) -> bool:
    """Whether that very process still lives."""
    found = _parent_and_start(process.pid)
    return found is not None and found[1] == process.started


def _ancestors(pid: int, living: Mapping[int, tuple[int, int]]) -> Iterator[int]:
    # Past those between them whose environment only root may read: bubblewrap's own.
    while (pid := living.get(pid, (0, 0))[0]) in living:
        yield pid


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
