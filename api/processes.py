"""Several processes of the API that share one port: the first keeps as many others, and serves nobody itself.

They take connections from one queue, which is there as long as the first process is: while one ends and another begins
in its place, nobody is turned away. So they can be replaced one after another, by SIGTERM to each.
"""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Set

import structlog

from models.domain.process import leave

log = structlog.get_logger(__name__)

WRONG, CANNOT = 2, 3
"""Exit codes: the settings are wrong; it cannot serve. Nor could another process in its place."""
# Who dies at once, again and again, does so once in so many seconds.
_APART = 1.0
# Connections that wait to be taken; the kernel may allow fewer.
_BACKLOG = 2048
_TOLD: Set[signal.Signals] = {signal.SIGTERM, signal.SIGINT}


Serve = Callable[[socket.socket, int, int], int]
"""Serves on a socket until told to stop, or until the process of this number is gone, which keeps it; the exit code.

The last number is its place among the others, from 0: that of a process whose place it takes.
"""


def run(number: int, host: str, port: int, serve: Serve) -> int:
    """Have `serve` run in so many processes, each replaced when it ends, until told to end; the exit code.

    Raises `OSError` where nobody can listen. There may be no thread yet: the others are forks of this process.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=_BACKLOG) as listening:
        awaited = _TOLD | {signal.SIGCHLD}
        signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
        begun: dict[int, tuple[int, float]] = {}
        while True:
            for place in set(range(number)) - {place for place, _ in begun.values()}:
                begun[_fork(serve, listening, place, awaited)] = place, time.monotonic()
            if signal.sigwait(awaited) in _TOLD:
                return _end(begun, 0)
            # As the first process of a container it is left with those of others, too.
            ended = [(process, code, begun.pop(process)) for process, code in _ended() if process in begun]
            if hopeless := {code for _, code, _ in ended} & {WRONG, CANNOT}:
                return _end(begun, min(hopeless))
            for process, code, (_, since) in ended:
                lived = time.monotonic() - since
                log.warning("process_replaced", process=process, code=code, lived=round(lived, 1))
                time.sleep(max(0.0, _APART - lived))


def _fork(serve: Serve, listening: socket.socket, place: int, blocked: Set[signal.Signals]) -> int:
    keeper = os.getpid()
    process = os.fork()
    if process == 0:
        # Whatever is raised: what comes after `run` is not for this process.
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
            leave(serve(listening, keeper, place))
        except SystemExit as ends:
            os._exit(ends.code if isinstance(ends.code, int) else 1)
        finally:
            os._exit(1)
    return process


def _ended() -> list[tuple[int, int]]:
    """Processes that have ended, with their exit codes; that of one which a signal ended is negative."""
    found: list[tuple[int, int]] = []
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if process == 0:
            return found
        found.append((process, os.waitstatus_to_exitcode(status)))


def _end(processes: Iterable[int], code: int) -> int:
    """Tell them all to end, and wait until they have."""
    for process in processes:
        os.kill(process, signal.SIGTERM)
    for process in processes:
        os.waitpid(process, 0)
    return code
