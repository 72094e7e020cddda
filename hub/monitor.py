"""Stays outside of a server for as long as anything of it lives, and holds the lock that says so.

`monitor.py PID RELAY CGROUP…`: `hub.launch` becomes this once it has started the server's program as its child PID, in
cgroups of the server's own, and beside it the RELAY of its network, if it has one, else 0. The lock, and whatever else
tells whether the server lives, is here and not in the server: nobody lets go of it from inside. What the server leaves
behind when its program ends becomes a child of this process, which ends only when it has none. A server whose relay has
ended can be reached by nobody, and is ended too.

SIGTERM ends all of the server at once. This file runs with the standard library alone, so that it is small, and holds
nothing of what the launcher was told.
"""

import contextlib
import json
import os
import select
import signal
import sys
import time

# What the launcher leaves open here: the lock, the files of status and log, the server's output, bubblewrap's reports.
LOCK_FD, STATUS_FD, LOG_FD, OUTPUT_FD, REPORTS_FD = 10, 11, 12, 13, 14
# A log takes so much in a second on average, and so much at once; the rest is left out. It is read at a
# pace at which nobody's output keeps this process busy: what writes faster waits.
LOG_BYTES_PER_SECOND, LOG_BYTES_AT_ONCE = 64 * 1024, 4 * 1024 * 1024
LARGEST_LOG_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_PAUSE_SECONDS = 0.01
_LAST_CHUNKS = 32
_KILLED = 128 + signal.SIGKILL


class Log:
    """The server's log: whole lines, at a bounded rate, in a file of a bounded size."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._line = b""
        self._left_out = 0
        self._room = float(LOG_BYTES_AT_ONCE)
        self._since = time.monotonic()

    def take(self, output: bytes) -> None:
        """Take what the server wrote, as far as there is room for it."""
        now = time.monotonic()
        self._room = min(LOG_BYTES_AT_ONCE, self._room + (now - self._since) * LOG_BYTES_PER_SECOND)
        self._since = now
        text = self._line + output
        # Lines are left out whole: the rest of one could be that of a secret, which nobody would recognise.
        end = len(text) if len(text) > _CHUNK_BYTES and b"\n" not in text else text.rfind(b"\n") + 1
        lines, self._line = text[:end], text[end:]
        if len(lines) > self._room:
            self._left_out += len(lines)
        elif lines:
            self._room -= len(lines)
            self._tell_what_was_left_out()
            self._write(lines)

    def close(self) -> None:
        """Write what is left."""
        self._tell_what_was_left_out()
        self._write(self._line)

    def _tell_what_was_left_out(self) -> None:
        if self._left_out:
            self._write(b"[%d bytes are left out: more was written than a log takes]\n" % self._left_out)
            self._left_out = 0

    def _write(self, text: bytes) -> None:
        # A full disk ends no server.
        with contextlib.suppress(OSError):
            if os.fstat(self._descriptor).st_size > LARGEST_LOG_BYTES:
                os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, text)


class Monitor:
    """Watches over one program and whatever it starts."""

    def __init__(self, pid: int, relay: int, cgroups: list[str]) -> None:
        self._pid = pid
        self._relay = relay
        self._cgroups = cgroups
        self._log = Log(LOG_FD)
        self._report = b""
        self._code: int | None = None
        self._asked_to_end = False

    def run(self) -> None:
        """Return when the program has ended, and everything that it started."""
        told, tell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._ask_to_end)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        sources = {told: lambda: bool(os.read(told, _CHUNK_BYTES)), OUTPUT_FD: self._pass_on, REPORTS_FD: self._listen}
        polled = select.poll()
        for descriptor in sources:
            os.set_blocking(descriptor, False)
            polled.register(descriptor, select.POLLIN)
        # It may have ended before anybody was told of it.
        while not self._reap():
            for descriptor, _ in polled.poll():
                if not sources[descriptor]():
                    polled.unregister(descriptor)
        self._end_all()
        # Whoever was handed its output may write to it forever.
        for _ in range(_LAST_CHUNKS):
            self._pass_on()
        self._log.close()
        _note({"exit-code": _KILLED if self._code is None else self._code})

    def _ask_to_end(self, *_: object) -> None:
        self._asked_to_end = True

    def _reap(self) -> bool:
        """Wait for all that ended; say whether the program did, or is to."""
        with contextlib.suppress(ChildProcessError):
            while True:
                reaped, status = os.waitpid(-1, os.WNOHANG)
                if reaped == 0:
                    break
                if reaped == self._pid:
                    code = os.waitstatus_to_exitcode(status)
                    self._code = code if code >= 0 else 128 - code
                elif reaped == self._relay and not self._asked_to_end and self._code is None:
                    # It said why, if it could.
                    self._code = 1
        return self._asked_to_end or self._code is not None

    def _end_all(self) -> None:
        """Kill and wait for what there is, until there is nothing: whatever it started meanwhile is here by then."""
        while left := _children() | _members(self._cgroups):
            for child in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            time.sleep(_PAUSE_SECONDS)
            self._reap()
        for directory in self._cgroups:
            with contextlib.suppress(OSError):
                os.rmdir(directory)

    def _pass_on(self) -> bool:
        """Take what there is of output; say whether more may come."""
        try:
            output = os.read(OUTPUT_FD, _CHUNK_BYTES)
        except BlockingIOError:
            return True
        if output:
            self._log.take(output)
            time.sleep(_PAUSE_SECONDS)
        return bool(output)

    def _listen(self) -> bool:
        """Note the first process of the sandbox, which must be the program's child: nothing else is believed."""
        try:
            said = os.read(REPORTS_FD, _CHUNK_BYTES)
        except BlockingIOError:
            return True
        self._report += said
        if said and b"\n" not in self._report:
            return True
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            first = json.loads(self._report.splitlines()[0])["child-pid"]
            parent, started = _parent_and_start(first)
            if parent == self._pid:
                _note({"child-pid": first, "start-ticks": started})
        return False


def _note(facts: dict[str, int]) -> None:
    with contextlib.suppress(OSError):
        os.write(STATUS_FD, json.dumps(facts).encode() + b"\n")


def _parent_and_start(pid: int) -> tuple[int, int]:
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[1]), int(fields[19])


def _members(cgroups: list[str]) -> set[int]:
    """Return the processes in these cgroups; what has no number here cannot be meant."""
    found = set()
    for directory in cgroups:
        with contextlib.suppress(OSError), open(f"{directory}/cgroup.procs") as file:
            found |= set(map(int, file.read().split())) - {0}
    return found


def _children() -> set[int]:
    """Return the children of this process, also those that nobody waited for yet."""
    with contextlib.suppress(FileNotFoundError), open(f"/proc/self/task/{os.getpid()}/children") as file:
        return {int(child) for child in file.read().split()}
    # A kernel without that file.
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if _parent_and_start(int(name))[0] == os.getpid():
                found.add(int(name))
    return found


if __name__ == "__main__":
    Monitor(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]).run()
