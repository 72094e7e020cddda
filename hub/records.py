"""Durable records of server processes, and the locks that keep them true.

Everything lives in files under one directory, because three processes share it and each may be killed at
any moment: the hub, the launcher of a server, the truth service. Nothing of it can be reached from inside a sandbox.
Per server id:

`records/<id>.json`    who runs: written durably before the server's program is executed
`records/<id>.lock`    held (flock) by the launcher, which stays as the server's monitor for as long as anything of it
                       lives. It is why one server never has two processes, and the first of what tells alive from dead;
                       the others: the monitor itself, the first process of the sandbox, what is in the cgroups
`records/<id>.status`  what the monitor noted: the first process of the sandbox, later the exit code
`fences/<id>`          the lowest generation that may still be started
`failures/<id>.json`   why the last start failed or the server ended, with its last log lines
`logs/<id>.log`        output of the server's process
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from hub import processes
from hub.limits import members
from hub.processes import Process


class ServerBusy(Exception):
    """A process of this server still lives."""


class GenerationFenced(Exception):
    """A later generation of this server was already asked for."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One process of one server."""

    server_id: str
    hub_user: str
    hub_name: str
    generation: int
    spawner: str
    process: Process
    port: int
    started_at: float
    # Whether it was given secrets, which its log may quote.
    secrets: bool = False
    # Directories of the cgroups that are this server's alone.
    cgroups: tuple[str, ...] = ()


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a server did not start or is gone."""

    generation: int
    reason: str
    log: str
    # Of the server's program, if it is known.
    exit_code: int | None = None
    # JupyterHub was asked to stop it.
    stopped: bool = False


class Records:
    """The records below one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for name in ("records", "fences", "failures", "logs"):
            (directory / name).mkdir(parents=True, exist_ok=True, mode=0o700)

    # Processes

    def claim(self, server_id: str, patience: float = 2.0) -> int:
        """Return a descriptor that holds this server's lock; raise `ServerBusy` while anything of the server lives."""
        descriptor = os.open(self._lock(server_id), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not self._seen_alive(server_id):
                    return descriptor
            except BlockingIOError:
                pass
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise ServerBusy(f"server {server_id} still has a process")
            time.sleep(0.01)

    def is_alive(self, server_id: str) -> bool:
        """Say whether anything of this server lives (or is just being launched)."""
        return self._is_held(server_id) or self._seen_alive(server_id)

    def _seen_alive(self, server_id: str) -> bool:
        """Say whether something lives that a record leads to, whoever holds the lock."""
        record = self.last(server_id)
        found = record is not None and (processes.is_alive(record.process) or bool(members(record.cgroups)))
        return found or self.sandbox_init(server_id) is not None

    def _is_held(self, server_id: str) -> bool:
        try:
            descriptor = os.open(self._lock(server_id), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that two who look at the same time do not take each other for the server.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def write(self, record: Record) -> None:
        """Write the record durably; the caller holds the server's lock."""
        _write_durably(self._record(record.server_id), msgspec.json.encode(record))

    def living(self, server_id: str) -> Record | None:
        """Return the record of this server's process if it lives."""
        record = self.last(server_id)
        return record if record is not None and self.is_alive(server_id) else None

    def last(self, server_id: str) -> Record | None:
        """Return the record of this server's last process, alive or not, unless it was dropped."""
        return _read(self._record(server_id), Record)

    def all_living(self) -> list[Record]:
        """Return the records of all living processes."""
        ids = sorted(file.stem for file in (self._directory / "records").glob("*.json"))
        return [record for server_id in ids if (record := self.living(server_id)) is not None]

    def living_of(self, hub_user: str, hub_name: str) -> Record | None:
        """Return the record of the living process of JupyterHub's server of this name."""
        for record in self.all_living():
            if record.hub_user == hub_user and record.hub_name == hub_name:
                return record
        return None

    def forget(self, server_id: str) -> None:
        """Drop the record of a process that is proven gone."""
        with suppress(ServerBusy):
            descriptor = self.claim(server_id, patience=0)
            try:
                self._record(server_id).unlink(missing_ok=True)
            finally:
                os.close(descriptor)

    # What the monitor notes

    def open_status(self, server_id: str) -> int:
        """Return a descriptor of an emptied status file."""
        return _open_emptied(self._status(server_id))

    def sandbox_init(self, server_id: str) -> Process | None:
        """Return the first process of the server's sandbox, if it lives."""
        pid, started = self._noted(server_id, "child-pid"), self._noted(server_id, "start-ticks")
        found = None if pid is None else processes.identify(pid)
        return found if found is not None and found.start_ticks == started else None

    def exit_code(self, server_id: str) -> int | None:
        """Return the exit code of the server's program, once it ended."""
        return self._noted(server_id, "exit-code")

    # Fences

    @contextmanager
    def fence(self, server_id: str) -> Iterator["Fence"]:
        """Hold this server's fence: nobody else reads or raises it meanwhile."""
        fences = self._directory / "fences"
        descriptor = os.open(fences / server_id, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield Fence(descriptor, fences)
        finally:
            os.close(descriptor)

    # Failures and logs

    def log_file(self, server_id: str) -> Path:
        """Return the file that takes the output of this server's process."""
        return self._directory / "logs" / f"{server_id}.log"

    def open_log(self, server_id: str) -> int:
        """Return a descriptor of this server's emptied log file."""
        return _open_emptied(self.log_file(server_id))

    def tidy(self, older_than: float) -> None:
        """Remove logs and failures that nobody wrote to for so many seconds. Fences stay: they are small and final."""
        for directory in ("logs", "failures"):
            for file in (self._directory / directory).iterdir():
                if time.time() - file.stat().st_mtime > older_than and not self.is_alive(file.stem):
                    file.unlink(missing_ok=True)

    def write_failure(self, server_id: str, failure: Failure) -> None:
        """Keep why this server's last process failed."""
        _write_durably(self._failure(server_id), msgspec.json.encode(failure))

    def failure(self, server_id: str, generation: int | None = None) -> Failure | None:
        """Return why this server's last process failed, if one did and, where one is named, was of this generation."""
        noted = _read(self._failure(server_id), Failure)
        return None if noted is None or generation not in (None, noted.generation) else noted

    def _record(self, server_id: str) -> Path:
        return self._directory / "records" / f"{server_id}.json"

    def _lock(self, server_id: str) -> Path:
        return self._directory / "records" / f"{server_id}.lock"

    def _status(self, server_id: str) -> Path:
        return self._directory / "records" / f"{server_id}.status"

    def _failure(self, server_id: str) -> Path:
        return self._directory / "failures" / f"{server_id}.json"

    def _noted(self, server_id: str, name: str) -> int | None:
        try:
            lines = self._status(server_id).read_bytes().splitlines()
        except FileNotFoundError:
            return None
        for line in lines:
            with suppress(msgspec.DecodeError):
                value = msgspec.json.decode(line, type=dict[str, int]).get(name)
                if value is not None:
                    return value
        return None


class Fence:
    """The lowest generation of one server that may be started; held while this object is in use."""

    # A fixed width, so that raising it is one overwrite in place.
    _WIDTH = 20

    def __init__(self, descriptor: int, directory: Path) -> None:
        self._descriptor = descriptor
        self._directory = directory

    @property
    def lowest(self) -> int:
        return int(os.pread(self._descriptor, self._WIDTH, 0) or b"0")

    def raise_to(self, generation: int) -> None:
        """Refuse everything below `generation` from now on, durably. A fence is never lowered."""
        if generation > self.lowest:
            os.pwrite(self._descriptor, b"%0*d" % (self._WIDTH, generation), 0)
            os.fsync(self._descriptor)
            _sync_directory(self._directory)

    def check(self, generation: int) -> None:
        """Raise `GenerationFenced` if this generation may not be started any more."""
        if generation < self.lowest:
            raise GenerationFenced("a later start or stop of this server was already asked for")


_T = TypeVar("_T")


def _read(path: Path, kind: type[_T]) -> _T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _open_emptied(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)


def _write_durably(path: Path, content: bytes) -> None:
    """Replace a file so that a crash leaves the old content or the new, and success survives a power cut."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
