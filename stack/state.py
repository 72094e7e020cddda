"""What runs in the directory of a stack: its supervisor's claim, what that writes down, and what one left behind.

Imports little: the command line reads this at every call.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct

from hub import processes
from hub.processes import Process
from stack.isolation import Isolation

# In the environment of every process of a stack, with its directory: so it is found, whatever became of the files.
MARK = "NBHUB_STACK"
_LET_GO_SECONDS = 5.0
_LOOK_AGAIN = 0.02


class StackFailed(Exception):
    """The stack cannot do what was asked; the message says which part it was and why."""


class RunProgram(Struct, frozen=True, kw_only=True):
    """A program that the stack runs."""

    version: str
    origin: str
    path: str


class Info(Struct, frozen=True, kw_only=True):
    """Where everything is: what `nbhub status --json` prints."""

    api: str
    jupyterhub: str
    temporal: str
    temporal_ui: str
    vault: str
    issuer: str
    database: str
    data_root: str
    log_dir: str
    pids: dict[str, int]
    programs: dict[str, RunProgram]
    isolation: Isolation | None = None
    """None: no JupyterHub was started."""


class Ended(Struct, frozen=True, kw_only=True):
    """A part that does not run, although it should."""

    since: float
    """Seconds since 1970."""
    exit_code: int | None
    given_up: bool
    """Whether nobody starts it again unless asked to."""


class State(Struct, frozen=True, kw_only=True):
    """What the supervisor writes down while it runs."""

    supervisor: Process
    processes: dict[str, Process]
    """Those that run."""
    ended: dict[str, Ended] = {}
    info: Info | None = None


class _Holder(Struct, frozen=True):
    """Who holds a claim, and to what: a copy of the directory is another."""

    directory: str
    supervisor: Process


class Claim:
    """The right to run the stack of a directory. A lock, which ends with its holder, however that ends."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock: int | None = None

    def __enter__(self) -> Self:
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def take(self) -> None:
        """Take it, making the directory if need be; raises `StackFailed` while another has it."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(_lock_file(self._directory), os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + _LET_GO_SECONDS
        while not _locked(lock):
            running = supervisor_of(self._directory)
            # Held by nobody who says so: it is being let go of, or was taken this moment.
            if running is not None or time.monotonic() > deadline:
                os.close(lock)
                raise StackFailed(
                    f"a stack runs in {self._directory} already{f' (pid {running.pid})' if running else ''}: "
                    "end it with `nbhub down`, or start another one with --dir"
                )
            time.sleep(_LOOK_AGAIN)
        own = processes.identify(os.getpid())
        assert own is not None
        os.ftruncate(lock, 0)
        os.pwrite(lock, msgspec.json.encode(_Holder(str(self._directory), own)), 0)
        self._lock = lock

    def lost(self) -> bool:
        """Whether the directory was removed, so that another may have a claim to one of the same name."""
        assert self._lock is not None, "the claim was not taken"
        try:
            return not os.path.samestat(os.fstat(self._lock), _lock_file(self._directory).stat())
        except FileNotFoundError:
            return True

    def release(self) -> None:
        """Let go of it, if it was taken."""
        if self._lock is not None:
            # The file stays: who waits for another one of the same name would not wait for us.
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None


def supervisor_of(directory: Path) -> Process | None:
    """The living supervisor of the stack in `directory`, also while it starts or ends."""
    try:
        holder = msgspec.json.decode(_lock_file(directory).read_bytes(), type=_Holder)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None
    return holder.supervisor if holder.directory == str(directory) and processes.is_alive(holder.supervisor) else None


def read_state(directory: Path) -> State | None:
    """What the supervisor in `directory` wrote down; None when none did, or what stands there is of no use."""
    try:
        return msgspec.json.decode((directory / "state.json").read_bytes(), type=State)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None


def write_state(directory: Path, state: State) -> None:
    """Write down what runs; who reads finds the old or the new."""
    partial = directory / "state.json.new"
    partial.write_bytes(msgspec.json.encode(state))
    partial.rename(directory / "state.json")


def processes_of(directory: Path) -> list[Process]:
    """The living processes of the stack in `directory`, of whichever supervisor; not the servers of people."""
    return [one for one in processes.with_environment(f"{MARK}={directory}") if _shares_our_files(one.pid)]


def _shares_our_files(pid: int) -> bool:
    """Whether a path means the same to a process as to us: in a container of this machine it does not."""
    try:
        return Path(f"/proc/{pid}/root").samefile("/")
    except OSError:
        return False


def _locked(lock: int) -> bool:
    """Whether the lock is ours now."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_file(directory: Path) -> Path:
    return directory / "supervisor.lock"
