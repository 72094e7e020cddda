"""What one server may use of this machine: memory, processors and processes, by a cgroup of its own.

A cgroup counts what all of a server's processes use together; limits of each process are all that there is where an
operator gave up cgroups. Groups are made below the hub's own, or below a directory that a setting names, in version 1
or 2 of the kernel's hierarchies.
"""

import logging
import math
import os
import random
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from hub import processes
from models.domain.profiles import Hardware

# Enough for JupyterLab with many kernels and terminals; stops a fork bomb or a leak of descriptors.
_PROCESSES = 4096
_OPEN_FILES = 65536
_CPU_PERIOD_MICROSECONDS = 100_000
# Only where the kernel accounts for swap.
_NOT_EVERYWHERE = ("memory.swap.max", "memory.memsw.limit_in_bytes")
_CONTROLLERS = ("memory", "cpu", "pids")


class LimitsMissing(Exception):
    """No cgroup can be made for a server; the message says what an administrator can do."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits as the launcher applies them; None sets none."""

    open_files: int = _OPEN_FILES
    processes: int = _PROCESSES
    data_bytes: int | None = None
    processors: tuple[int, ...] = ()
    # The server's own cgroups, and what is written into each: the names of files and their contents, in this order.
    cgroups: dict[str, dict[str, str]] = {}


def limits_for(
    hardware: Hardware,
    server_id: str,
    by_cgroup: bool,
    directory: str,
    log: logging.Logger | logging.LoggerAdapter[logging.Logger],
) -> Limits:
    """Return the limits of this hardware option for a server; `directory` is a delegated cgroup, or empty.

    Raises `LimitsMissing`, unless limits of each process are to be enough.
    """
    if by_cgroup:
        name = f"nbhub-{server_id}"
        return Limits(cgroups={str(parent / name): _settings(parent, hardware) for parent in parents(directory)})
    log.warning("NBHUB_HUB_LIMITS=none: memory is limited per process, processors by affinity")
    available = sorted(os.sched_getaffinity(0))
    wanted = math.ceil(hardware.cpu)
    processors = tuple(random.sample(available, wanted)) if wanted < len(available) else ()
    return Limits(data_bytes=hardware.memory_bytes, processors=processors)


def parents(directory: str = "") -> list[Path]:
    """Return the cgroups below which a server's can be made: one, or one to each hierarchy. Raises `LimitsMissing`."""
    found = _delegated(Path(directory)) if directory else _of_this_process()
    if not found:
        where = directory or "the hub's own cgroup"
        raise LimitsMissing(
            f"No server is started, because nothing would limit its memory, processors and processes: in {where} no "
            f"cgroups with {', '.join(_CONTROLLERS)} can be made. An administrator can delegate a cgroup to the hub "
            "and name it by NBHUB_HUB_CGROUP, or give up these limits by NBHUB_HUB_LIMITS=none"
        )
    return found


def make_cgroups(limits: Limits) -> None:
    """Make the server's own cgroups and set their limits."""
    left = {name for settings in limits.cgroups.values() for name in settings if name not in _NOT_EVERYWHERE}
    for directory, settings in limits.cgroups.items():
        group = Path(directory)
        group.mkdir(exist_ok=True)
        for name, value in settings.items():
            if (group / name).exists():
                (group / name).write_text(value)
                left.discard(name)
    if left:
        raise OSError(f"the server's cgroup takes no {', '.join(sorted(left))}")


def enter_cgroups(limits: Limits) -> None:
    """Move this process into the server's own cgroups."""
    for directory in limits.cgroups:
        Path(directory, "cgroup.procs").write_text(str(os.getpid()))


def members(cgroups: Iterable[str]) -> set[int]:
    """Return the ids of all processes in these cgroups; none is the proof that nothing of a server lives."""
    found: set[int] = set()
    for directory in cgroups:
        with suppress(OSError):
            found |= {int(pid) for pid in Path(directory, "cgroup.procs").read_text().split()}
    return found


def kill_members(cgroups: Iterable[str]) -> None:
    """Kill all processes in these cgroups: at once where the kernel does it, else those that are there now."""
    for directory in cgroups:
        try:
            # Not made where it is missing.
            with open(os.open(Path(directory, "cgroup.kill"), os.O_WRONLY), "w") as order:
                order.write("1")
        except OSError:
            for pid in members([directory]):
                process = processes.identify(pid)
                if process is not None and pid in members([directory]):
                    processes.send(process, signal.SIGKILL)


def remove_cgroups(cgroups: Iterable[str]) -> None:
    """Remove the cgroups of a server that has no process any more."""
    for directory in cgroups:
        # Busy or absent: there is nothing to gain from insisting on an empty directory.
        with suppress(OSError):
            Path(directory).rmdir()


def _settings(parent: Path, hardware: Hardware) -> dict[str, str]:
    memory, period = str(hardware.memory_bytes), str(_CPU_PERIOD_MICROSECONDS)
    quota = str(int(hardware.cpu * _CPU_PERIOD_MICROSECONDS))
    if (parent / "cgroup.controllers").exists():
        # No swap, which is not the server's to have.
        settings = {"memory.max": memory, "memory.swap.max": "0", "cpu.max": f"{quota} {period}"}
    else:
        # Of version 1: each file is in one of the hierarchies. Memory before memory with swap, which is never less.
        settings = {"memory.limit_in_bytes": memory, "memory.memsw.limit_in_bytes": memory}
        settings |= {"cpu.cfs_period_us": period, "cpu.cfs_quota_us": quota}
    return settings | {"pids.max": str(_PROCESSES)}


def _delegated(directory: Path) -> list[Path]:
    """Return a cgroup of version 2 whose children have the controllers, as far as they can be had."""
    try:
        wanted = set(_CONTROLLERS)
        if not wanted <= set((directory / "cgroup.controllers").read_text().split()):
            return []
        control = directory / "cgroup.subtree_control"
        if missing := wanted - set(control.read_text().split()):
            control.write_text(" ".join(f"+{name}" for name in sorted(missing)))
    except OSError:
        # Absent, not ours, or with processes of its own.
        return []
    return [directory] if os.access(directory, os.W_OK) and os.access(directory / "cgroup.procs", os.W_OK) else []


def _of_this_process() -> list[Path]:
    """Return this process's own cgroups with the controllers, as far as children can be made there."""
    places = _places()
    if "" in places and (found := _delegated(places[""])):
        return found
    own = [places[name] for name in _CONTROLLERS if name in places]
    if len(own) < len(_CONTROLLERS) or not all(os.access(place, os.W_OK) for place in own):
        return []
    # Two controllers may share a hierarchy.
    return list(dict.fromkeys(own))


def _places() -> dict[str, Path]:
    """Return where each controller's hierarchy shows this process's cgroup; that of version 2 has the empty name."""
    mounted: dict[str, tuple[str, Path]] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, (kind, _, options) = line.partition(" - ")[0].split(), line.partition(" - ")[2].split()[:3]
        if kind in ("cgroup", "cgroup2"):
            for name in [""] if kind == "cgroup2" else options.split(","):
                mounted[name] = (fields[3], Path(fields[4]))
    places = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, own = line.split(":", 2)
        for name in names.split(","):
            if name in mounted:
                root, place = mounted[name]
                # A container sees its own part of a hierarchy as the whole.
                places[name] = place / own.removeprefix(root).lstrip("/")
    return places
