"""Becomes a server's process: `python -m hub.launch` reads a `LaunchPlan` on its standard input.

It leaves the hub's process tree, takes the server's lock, writes the record durably and only then executes
the program. So whoever dies meanwhile, a process that runs is one that a record names. What goes wrong is
written to standard output; nothing there, and its end, means that the program was executed.
"""

import fcntl
import os
import resource
import signal
import sys
import time
from pathlib import Path

import msgspec

from hub import processes
from hub.limits import Limits, enter_cgroup
from hub.records import GenerationFenced, Record, Records, ServerBusy

# Where the program finds what it inherits; bubblewrap is told these numbers. Files begin at the last.
LOCK_FD, STATUS_FD, ARGUMENTS_FD, FIRST_FILE_FD = 10, 11, 12, 13


class LaunchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the launcher needs.

    Tokens are in `environment`, which no other user can read. Secrets of people are in `hidden_arguments` and `files`,
    which exist in memory only: no process outside of the sandbox has them in its environment or on its command line.
    """

    data_dir: Path
    server_id: str
    hub_user: str
    hub_name: str
    generation: int
    spawner: str
    port: int
    program: str
    arguments: tuple[str, ...]
    # Arguments that bubblewrap reads from `ARGUMENTS_FD`, so that no process list shows paths of the machine.
    hidden_arguments: tuple[str, ...] = ()
    # Contents that the program finds at `FIRST_FILE_FD` and the numbers after it.
    files: tuple[str, ...] = ()
    # Whether any of these are people's.
    secrets: bool = False
    environment: dict[str, str]
    directory: str
    limits: Limits

    def __repr__(self) -> str:
        return f"LaunchPlan({self.server_id!r}, generation {self.generation})"


def encode_plan(plan: LaunchPlan) -> bytes:
    """Return the plan as the launcher reads it."""
    return msgspec.json.encode(plan, enc_hook=str)


def _launch(plan: LaunchPlan) -> None:
    if any("\0" in argument for argument in plan.hidden_arguments):
        # It would end there, and the rest of it be the next option.
        raise ValueError("an argument of the sandbox holds a NUL character")
    records = Records(plan.data_dir)
    above = FIRST_FILE_FD + len(plan.files)
    lock = _above(above, records.claim(plan.server_id))
    # The fence is held until the record is written: who raises it afterwards sees the record, so nothing slips by.
    with records.fence(plan.server_id) as fence:
        fence.check(plan.generation)
        fence.raise_to(plan.generation)
        status = _above(above, records.open_status(plan.server_id))
        process = processes.identify(os.getpid())
        if process is None:
            raise OSError("/proc does not show this process")
        records.write(
            Record(
                server_id=plan.server_id,
                hub_user=plan.hub_user,
                hub_name=plan.hub_name,
                generation=plan.generation,
                spawner=plan.spawner,
                process=process,
                port=plan.port,
                started_at=time.time(),
                secrets=plan.secrets,
            )
        )
    enter_cgroup(plan.limits, plan.server_id)
    _limit_this_process(plan.limits)
    os.chdir(plan.directory)
    _redirect_output(records.log_file(plan.server_id))
    arguments = _memory_file(above, "\0".join(plan.hidden_arguments).encode())
    files = [_memory_file(above, content.encode()) for content in plan.files]
    for source, target in ((lock, LOCK_FD), (status, STATUS_FD), (arguments, ARGUMENTS_FD)):
        os.dup2(source, target, inheritable=True)
    for target, source in enumerate(files, FIRST_FILE_FD):
        os.dup2(source, target, inheritable=True)
    # Python ignores it for itself, and a program would inherit that.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execve(plan.program, plan.arguments, plan.environment)  # noqa: S606 -- what this module is for


def _limit_this_process(limits: Limits) -> None:
    for kind, value in (
        (resource.RLIMIT_DATA, limits.data_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_CORE, 0),
    ):
        if value is not None:
            hard = resource.getrlimit(kind)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (value, value))
    if limits.processors:
        os.sched_setaffinity(0, limits.processors)


def _redirect_output(log_file: Path) -> None:
    # Appending, so that the hub may cut the file while the server writes to it.
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target, inheritable=True)


def _memory_file(above: int, content: bytes) -> int:
    descriptor = _above(above, os.memfd_create("launch", os.MFD_CLOEXEC))
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _above(lowest: int, descriptor: int) -> int:
    """Return a copy that none of the fixed numbers below overwrites, closed by the execution of the program."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=LaunchPlan, dec_hook=lambda kind, value: kind(value))
    parent = os.getpid()
    # The child's parent ends at once, so the server belongs to the machine's init and not to the hub.
    if os.fork():
        os._exit(0)
    # A sandbox that is to die with its parent must not take the one that is just ending for it.
    while os.getppid() == parent:
        time.sleep(0.001)
    os.setsid()
    # Closed by the execution of the program: that end of output is the sign of success.
    report = _above(FIRST_FILE_FD + len(plan.files), 1)
    try:
        _launch(plan)
    except (OSError, ValueError, ServerBusy, GenerationFenced) as problem:
        os.write(report, str(problem).encode())
        os._exit(1)


if __name__ == "__main__":
    main()
