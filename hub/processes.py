"""Linux processes by identity: a process id alone may be used again, so its start time and the boot belong to it."""

import os
import signal
from pathlib import Path

import msgspec

PROC = Path("/proc")
# Fields of /proc/<pid>/stat counted after the command name, which may itself contain anything.
_STATE, _PARENT, _START_TICKS = 0, 1, 19
_DEAD_STATES = {"Z", "X", "x"}


class Process(msgspec.Struct, frozen=True):
    """One process of one boot of this machine."""

    pid: int
    start_ticks: int
    boot_id: str


def boot_id() -> str:
    """Return the id of the machine's current boot."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> Process | None:
    """Return the living process of this id; zombies count as dead."""
    fields = _stat(pid)
    if fields is None or fields[_STATE] in _DEAD_STATES:
        return None
    return Process(pid, int(fields[_START_TICKS]), boot_id())


def is_alive(process: Process) -> bool:
    """Say whether exactly this process still runs."""
    return identify(process.pid) == process


def is_of_an_earlier_start(process: Process) -> bool:
    """Say whether this machine, or the container that this runs in, was started after this process was."""
    first = identify(1)
    return process.boot_id != boot_id() or (first is not None and process.start_ticks < first.start_ticks)


def send(process: Process, number: signal.Signals) -> None:
    """Send a signal to exactly this process; one that is gone needs none."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        # From here on the handle cannot come to mean another process: if it is ours now, it is ours when signalled.
        if is_alive(process):
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


def children(pid: int) -> list[Process]:
    """Return the living children of a process."""
    return [
        process
        for candidate in _pids()
        if (fields := _stat(candidate)) is not None
        and int(fields[_PARENT]) == pid
        and (process := identify(candidate)) is not None
    ]


def with_environment(entry: str) -> list[Process]:
    """Return the living processes that were started with this `NAME=value` in their environment."""
    wanted = entry.encode()
    found = []
    for pid in _pids():
        try:
            entries = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if wanted in entries and (process := identify(pid)) is not None:
            found.append(process)
    return found


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir(PROC) if entry.isdigit()]


def _stat(pid: int) -> list[str] | None:
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
