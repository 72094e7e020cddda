"""One process of the stack: started in a session of its own, known by pid and start time, ended with proof."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

_LOOK_AGAIN = 0.02


class ProcessIdentity(Struct, frozen=True):
    """A pid with the clock tick at which it began: a later process of the same pid is another."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity | None":
        """The process that has this pid now; None when there is none, or only what waits to be reaped."""
        try:
            # The name in parentheses may hold anything; what follows it is numbers.
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] == "Z" else cls(pid, int(fields[19]))

    def alive(self) -> bool:
        """Whether this very process lives."""
        return ProcessIdentity.of(self.pid) == self

    def describe(self) -> str:
        """Its program and pid, for people."""
        try:
            name = Path(f"/proc/{self.pid}/comm").read_text(errors="replace").strip()
        except OSError:
            name = "a process"
        return f"{name} ({self.pid})"

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this process, if it lives."""
        with suppress(ProcessLookupError):
            if self.alive():
                os.kill(self.pid, number)

    def send_group(self, number: signal.Signals) -> None:
        """Send a signal to it and, if it leads a group, to those of its children that are still in it."""
        with suppress(ProcessLookupError):
            if self.alive():
                leads = os.getpgid(self.pid) == self.pid
                os.killpg(self.pid, number) if leads else os.kill(self.pid, number)


class ManagedProcess:
    """A program with its log. It leads a session, so that a Ctrl-C at the terminal reaches the supervisor alone."""

    def __init__(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str], log: Path, directory: Path
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._environment = dict(environment)
        self._directory = directory
        self._popen: subprocess.Popen[bytes] | None = None
        self.identity: ProcessIdentity | None = None

    def start(self) -> None:
        """Start it; its output is added to the log. Raises `OSError` when the program cannot be executed."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.identity = ProcessIdentity.of(self._popen.pid)

    @property
    def running(self) -> bool:
        """Whether it was started and lives."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it lives or before it was started."""
        return None if self._popen is None else self._popen.poll()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        if self.running and self.identity is not None:
            self.identity.send(number)

    def kill(self) -> None:
        """End it and its group at once, as a power failure would."""
        if self._popen is not None and self.running and self.identity is not None:
            self.identity.send_group(signal.SIGKILL)
            # The kernel takes no time over it; whoever starts it again must find it gone.
            self._popen.wait(10)

    async def stop(self, grace: float = 15) -> None:
        """End it, gently first; returns when it is gone."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        if not await self.gone(within=grace):
            self.kill()
            await self.gone(within=10)

    async def gone(self, *, within: float) -> bool:
        """Whether it has ended, waiting for that a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self.until_ended()
        return not self.running

    async def until_ended(self) -> None:
        """Return once it does not run: at once when it was not started."""
        if self._popen is None or not self.running:
            return
        # Readable once it is dead, and its own until it is reaped, which only we do.
        handle = os.pidfd_open(self._popen.pid)
        dead = asyncio.Event()
        asyncio.get_running_loop().add_reader(handle, dead.set)
        try:
            await dead.wait()
        finally:
            asyncio.get_running_loop().remove_reader(handle)
            os.close(handle)

    def last_lines(self, count: int = 15) -> str:
        """The end of its log."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(f"    {line}" for line in lines[-count:])


async def end_leftover(identity: ProcessIdentity, *, grace: float = 5) -> None:
    """End a process of an earlier stack, if it still lives."""
    deadline = time.monotonic() + grace
    identity.send(signal.SIGCONT)
    identity.send(signal.SIGTERM)
    while identity.alive():
        if time.monotonic() > deadline:
            identity.send_group(signal.SIGKILL)
        await asyncio.sleep(_LOOK_AGAIN)
