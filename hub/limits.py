"""What one server may use of this machine: by a cgroup where one is writable, else by limits of each process."""

import logging
import math
import os
import random
from contextlib import suppress
from pathlib import Path

import msgspec

from models.domain.profiles import Hardware

# Enough for JupyterLab with many kernels and terminals; stops a fork bomb or a leak of descriptors.
_PROCESSES = 4096
_OPEN_FILES = 65536
_CPU_PERIOD_MICROSECONDS = 100_000


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits as the launcher applies them; None sets none."""

    open_files: int = _OPEN_FILES
    processes: int = _PROCESSES
    data_bytes: int | None = None
    processors: tuple[int, ...] = ()
    cgroup: str = ""
    cgroup_settings: dict[str, str] = {}


def limits_for(hardware: Hardware, cgroup: str, log: logging.Logger | logging.LoggerAdapter[logging.Logger]) -> Limits:
    """Return the limits of this hardware option, by the cgroup directory `cgroup` if it can be used."""
    if cgroup and os.access(Path(cgroup, "cgroup.procs"), os.W_OK):
        return Limits(
            cgroup=cgroup,
            cgroup_settings={
                "memory.max": str(hardware.memory_bytes),
                "cpu.max": f"{int(hardware.cpu * _CPU_PERIOD_MICROSECONDS)} {_CPU_PERIOD_MICROSECONDS}",
                "pids.max": str(_PROCESSES),
            },
        )
    log.warning("No writable cgroup: memory is limited per process, processors by affinity")
    available = sorted(os.sched_getaffinity(0))
    wanted = math.ceil(hardware.cpu)
    processors = tuple(random.sample(available, wanted)) if wanted < len(available) else ()
    return Limits(data_bytes=hardware.memory_bytes, processors=processors)


def enter_cgroup(limits: Limits, server_id: str) -> None:
    """Move this process into the server's own cgroup, made on demand."""
    if not limits.cgroup:
        return
    group = Path(limits.cgroup, f"nbhub-{server_id}")
    group.mkdir(exist_ok=True)
    for name, value in limits.cgroup_settings.items():
        (group / name).write_text(value)
    (group / "cgroup.procs").write_text(str(os.getpid()))


def remove_cgroup(cgroup: str, server_id: str) -> None:
    """Remove the cgroup of a server that has no process any more."""
    if cgroup:
        # Busy or absent: there is nothing to gain from insisting on an empty directory.
        with suppress(OSError):
            Path(cgroup, f"nbhub-{server_id}").rmdir()
