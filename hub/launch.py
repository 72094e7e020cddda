"""Becomes a server's process: `python -m hub.launch` reads a `LaunchPlan` on its standard input.

It leaves the hub's process tree, takes the server's lock, writes the record durably and only then starts the program,
as its child: it stays outside, as `hub.monitor`, and keeps the lock. So whoever dies meanwhile, a process that runs is
one that a record names. Where the server has a network of its own, `hub.relay` is started beside the program. What goes
wrong is written to standard output; nothing there, and its end, means that the program was executed.
"""

import ctypes
import errno
import fcntl
import os
import platform
import resource
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

import msgspec

from hub import monitor, processes, relay
from hub.limits import Limits, enter_cgroups, make_cgroups
from hub.network import Network
from hub.records import GenerationFenced, Record, Records, ServerBusy

# Where the program finds what it inherits; bubblewrap is told these numbers. Files begin at the last.
REPORTS_FD, INFO_FD, READY_FD, ARGUMENTS_FD, FILTER_FD, FIRST_FILE_FD = 10, 11, 12, 13, 14, 15
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
# `keyctl(2)`, which the C library has no function for: its number, and the operation.
_KEYCTL = {"x86_64": 250, "s390x": 280, "ppc64le": 271}.get(platform.machine(), 219)
_JOIN_SESSION_KEYRING = 1
_LONGEST_PROBLEM = 4096
# With the standard library alone: small, and quick to start.
_PYTHON = (sys.executable, "-I", "-S")
_FIRST_VICTIM = 900


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
    # The filter of system calls, compiled, that bubblewrap reads from `FILTER_FD`.
    system_calls: bytes = b""
    # Contents that the program finds at `FIRST_FILE_FD` and the numbers after it.
    files: tuple[str, ...] = ()
    # Whether any of these are people's.
    secrets: bool = False
    environment: dict[str, str]
    directory: str
    limits: Limits
    # Its own; else the machine's.
    network: Network | None = None

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
    above = _above_all(plan)
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
                cgroups=tuple(plan.limits.cgroups),
            )
        )
    make_cgroups(plan.limits)
    log = _above(above, records.open_log(plan.server_id))
    (output, written), (reports, reported), (executed, problems) = (_pipe(above) for _ in range(3))
    programs = {1: written, 2: written, REPORTS_FD: reported}
    relays = {1: written, 2: written}
    if plan.network is not None:
        (info, informed), (begins, ready) = (_pipe(above) for _ in range(2))
        programs |= {INFO_FD: informed, READY_FD: begins}
        listener = relay.listening((relay.LOOPBACK, plan.port)).detach()
        relays |= {relay.LISTENER_FD: _above(above, listener), relay.INFO_FD: info, relay.READY_FD: ready}
    # What the program leaves behind when it ends becomes a child of this process.
    _control(_PR_SET_CHILD_SUBREAPER, 1)
    here = os.getpid()
    program = os.fork()
    if program == 0:
        try:
            _become_program(plan, here, programs)
        except (OSError, ValueError) as problem:
            os.write(problems, str(problem).encode())
        os._exit(1)
    os.close(problems)
    if told := os.read(executed, _LONGEST_PROBLEM):
        os.waitpid(program, 0)
        raise OSError(told.decode())
    relaying = 0
    if plan.network is not None:
        relaying = os.fork()
        if relaying == 0:
            try:
                _become_relay(plan, plan.network, here, program, relays)
            except OSError as problem:
                os.write(written, f"{problem}\n".encode())
            os._exit(1)
    _become_monitor(plan, program, relaying, lock=lock, status=status, log=log, output=output, reports=reports)


def _become_program(plan: LaunchPlan, monitored_by: int, inherited: dict[int, int]) -> NoReturn:
    """Execute the program, which ends with the process that is to be its monitor."""
    _end_with(monitored_by)
    os.setsid()
    above = _above_all(plan)
    _join_keyring_of_its_own()
    enter_cgroups(plan.limits)
    _limit_this_process(plan.limits)
    os.chdir(plan.directory)
    inherited |= {
        ARGUMENTS_FD: _memory_file(above, "\0".join(plan.hidden_arguments).encode()),
        FILTER_FD: _memory_file(above, plan.system_calls),
    }
    for number, content in enumerate(plan.files, FIRST_FILE_FD):
        inherited[number] = _memory_file(above, content.encode())
    _inherit(above, inherited)
    # Python ignores it for itself, and a program would inherit that.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execve(plan.program, plan.arguments, plan.environment)  # noqa: S606 -- what this module is for


def _become_relay(
    plan: LaunchPlan, network: Network, monitored_by: int, program: int, inherited: dict[int, int]
) -> NoReturn:
    """Execute the relay, whose work counts as the server's, and which ends with the monitor."""
    _end_with(monitored_by)
    enter_cgroups(plan.limits)
    os.chdir("/")
    _inherit(_above_all(plan), inherited)
    command = [*_PYTHON, str(relay.__file__), str(program), str(plan.port), network.hub_host, str(network.hub_port)]
    if network.slirp4netns:
        command += [network.slirp4netns, " ".join(network.name_servers), " ".join(network.closed)]
    os.execve(command[0], command, {})  # noqa: S606 -- what this module is for


def _become_monitor(
    plan: LaunchPlan, program: int, relaying: int, *, lock: int, status: int, log: int, output: int, reports: int
) -> NoReturn:
    """Keep what tells of the server's life, and nothing else of what this process was told: secrets are not kept."""
    nothing = os.open(os.devnull, os.O_RDWR)
    kept = {0: nothing, 1: nothing, 2: nothing, monitor.LOCK_FD: lock, monitor.STATUS_FD: status}
    kept |= {monitor.LOG_FD: log, monitor.OUTPUT_FD: output, monitor.REPORTS_FD: reports}
    for target, source in kept.items():
        os.dup2(source, target, inheritable=True)
    os.chdir("/")
    command = [*_PYTHON, str(monitor.__file__), str(program), str(relaying), *plan.limits.cgroups]
    os.execve(command[0], command, {})  # noqa: S606 -- what this module is for


def _end_with(parent: int) -> None:
    """Have this process killed when its parent ends."""
    _control(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise OSError("the launcher was ended")


def _inherit(above: int, inherited: dict[int, int]) -> None:
    """Leave these open, by their numbers, for the program that this process becomes; it reads no input."""
    for target, source in {0: _above(above, os.open(os.devnull, os.O_RDONLY)), **inherited}.items():
        os.dup2(source, target, inheritable=True)


def _control(option: int, value: int) -> None:
    """`prctl(2)` of this process."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value):
        raise OSError(ctypes.get_errno(), "prctl is refused")


def _join_keyring_of_its_own() -> None:
    """Leave the hub's keyring, in which servers would find each other's keys."""
    if ctypes.CDLL(None, use_errno=True).syscall(_KEYCTL, _JOIN_SESSION_KEYRING, None) < 0:
        problem = ctypes.get_errno()
        # Where the kernel has none, or refuses them to all that runs here, the server has none either.
        if problem not in (errno.ENOSYS, errno.EPERM):
            raise OSError(problem, f"no keyring for the server: {os.strerror(problem)}")


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
    # When the machine's memory ends, a server's programs go first, and never the hub.
    adjustment = Path("/proc/self/oom_score_adj")
    adjustment.write_text(str(max(_FIRST_VICTIM, int(adjustment.read_text()))))


def _memory_file(above: int, content: bytes) -> int:
    descriptor = _above(above, os.memfd_create("launch", os.MFD_CLOEXEC))
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _above_all(plan: LaunchPlan) -> int:
    """Return a number above all those that have a meaning here."""
    return max(FIRST_FILE_FD + len(plan.files), monitor.REPORTS_FD + 1, relay.READY_FD + 1)


def _pipe(above: int) -> list[int]:
    ends = os.pipe()
    moved = [_above(above, end) for end in ends]
    for end in ends:
        os.close(end)
    return moved


def _above(lowest: int, descriptor: int) -> int:
    """Return a copy that none of the fixed numbers below overwrites, closed by the execution of the program."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=LaunchPlan, dec_hook=lambda kind, value: kind(value))
    # The child's parent ends at once, so the server belongs to the machine's init and not to the hub.
    if os.fork():
        os._exit(0)
    os.setsid()
    # Closed by the execution of the program: that end of output is the sign of success.
    report = _above(_above_all(plan), 1)
    try:
        _launch(plan)
    except (OSError, ValueError, ServerBusy, GenerationFenced) as problem:
        os.write(report, str(problem).encode())
        os._exit(1)


if __name__ == "__main__":
    main()
