"""One process of the stack: started in a session of its own, known by pid and start time, ended with proof."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from hub import processes
from hub.processes import Process

_LOOK_AGAIN = 0.02


def describe(process: Process) -> str:
    """Its program and pid, for people."""
    try:
        name = Path(f"/proc/{process.pid}/comm").read_text(errors="replace").strip()
    except OSError:
        name = "a process"
    return f"{name} ({process.pid})"


def send_group(process: Process, number: signal.Signals) -> None:
    """Send a signal to it and, if it leads a group, to those of its children that are still in it."""
    with suppress(ProcessLookupError):
        if processes.is_alive(process):
            leads = os.getpgid(process.pid) == process.pid
            os.killpg(process.pid, number) if leads else os.kill(process.pid, number)


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
        self.identity: Process | None = None

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
        self.identity = processes.identify(self._popen.pid)

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
            processes.send(self.identity, number)

    def kill(self) -> None:
        """End it and its group at once, as a power failure would."""
        if self._popen is not None and self.running and self.identity is not None:
            send_group(self.identity, signal.SIGKILL)
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


async def end_leftover(identity: Process, *, grace: float = 5) -> None:
    """End a process of an earlier stack, if it still lives."""
    deadline = time.monotonic() + grace
    processes.send(identity, signal.SIGCONT)
    processes.send(identity, signal.SIGTERM)
    while processes.is_alive(identity):
        if time.monotonic() > deadline:
            send_group(identity, signal.SIGKILL)
        await asyncio.sleep(_LOOK_AGAIN)
