"""Compares what questions cost: CPU time of the process that answers and of PostgreSQL, against others that answer.

All answer the same questions of the same tables, each on the same core and one after the other in blocks A B C C B A,
so that whatever else the machine does weighs on all alike. The time of a block is divided by how long a fixed piece of
work took beside it (`tests.bench.pace`); a block during which that was unsteady is dropped.
"""

import contextlib
import http.client
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.bench.verdicts import told, verdict

TOKEN = "a-token-of-the-bench"
OURS, PEER, FLOOR = "ours", "peer", "floor"
MOST_SPREAD = 0.35

_CORES = sorted(os.sched_getaffinity(0))
_FIRST, _LAST = _CORES[0], _CORES[-1]

Goals = dict[tuple[str, str, str], float]
"""The most that a question may cost, by its name, by what is measured and against whom."""

_ONE = {"template": "/template?templateId={}", "secret": "/secret/{}"}


@dataclass(frozen=True)
class Question:
    """What is asked of a kind, one record or a list of `limit`, and how often in a block."""

    name: str
    kind: str
    limit: int
    times: int

    def path(self, ids: dict[str, list[UUID]]) -> str:
        """The address; of one record always another."""
        if self.limit:
            return f"/{self.kind}s?limit={self.limit}"
        return _ONE.get(self.kind, f"/{self.kind}s/{{}}").format(random.choice(ids[self.kind]))


@dataclass
class Costs:
    """What a question costs somebody: units of the calibrating work for each request, and the bytes of an answer."""

    cpu: list[float] = field(default_factory=list)
    postgres: list[float] = field(default_factory=list)
    size: int = 0


class Subject:
    """A server that answers, pinned to the first core."""

    def __init__(self, name: str, port: int, pid: int) -> None:
        self.name, self._port, self._pid = name, port, pid
        for task in _tasks(pid):
            os.sched_setaffinity(task, {_FIRST})

    def connected(self) -> "contextlib.closing[http.client.HTTPConnection]":
        """The connection of a block."""
        return contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=60))

    def ask(self, connection: http.client.HTTPConnection, path: str, token: str = TOKEN, method: str = "GET") -> int:
        """Bytes of the answer."""
        connection.request(method, path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status in (200, 202), f"{self.name}: {answer.status} {path} {body[:500]!r}"
        return len(body)

    def cpu(self) -> int:
        """Nanoseconds of CPU so far."""
        return cpu_of(self._pid)


def cpu_of(pid: int) -> int:
    """Nanoseconds of CPU of a process so far."""
    return sum(on_cpu(pid, task) for task in _tasks(pid))


def _tasks(pid: int) -> list[int]:
    return [int(one) for one in os.listdir(f"/proc/{pid}/task")]


def on_cpu(pid: int, task: int) -> int:
    """Nanoseconds of CPU of a thread so far; 0 if it is gone."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    return 0


def _backends(postgres: int) -> dict[int, int]:
    """Nanoseconds of CPU of each of PostgreSQL's processes, by its id."""
    children = Path(f"/proc/{postgres}/task/{postgres}/children").read_text().split()
    return {int(pid): on_cpu(int(pid), int(pid)) for pid in children}


@contextlib.contextmanager
def elsewhere() -> Iterator[None]:
    """Who asks does so from another core than that of who answers."""
    os.sched_setaffinity(0, {_LAST})
    try:
        yield
    finally:
        os.sched_setaffinity(0, set(_CORES))


@contextlib.contextmanager
def kept_pace() -> Iterator["subprocess.Popen[str]"]:
    """The fixed piece of work, beside who answers."""
    command = [sys.executable, "-m", "tests.bench.pace"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        os.sched_setaffinity(process.pid, {_FIRST})
        yield process


class Judge:
    """Asks the subjects, the first of which is compared with the others."""

    def __init__(
        self, subjects: list[Subject], ids: dict[str, list[UUID]], postgres: int, pace: "subprocess.Popen[str]"
    ) -> None:
        """`ids` are those of the records that are asked for, by their kind."""
        self._subjects, self._ids = subjects, ids
        self._postgres, self._pace = postgres, pace

    def run(self, questions: tuple[Question, ...], goals: Goals, rounds: int) -> dict[str, Any]:
        """The ratios of each question; they are printed."""
        results: dict[str, Any] = {}
        for question in questions:
            costs = {one.name: Costs() for one in self._subjects}
            for subject in self._subjects:  # not counted
                costs[subject.name].size = self._block(subject, question)[2]
            dropped = 0
            for _ in range(rounds):
                for subject in (*self._subjects, *reversed(self._subjects)):
                    cpu, postgres, _, steady = self._block(subject, question)
                    dropped += not steady
                    if steady:
                        costs[subject.name].cpu.append(cpu)
                        costs[subject.name].postgres.append(postgres)
            blocks = verdict(dropped, beside={"of": 2 * len(self._subjects) * rounds})
            results[question.name] = _judged(question, costs, goals) | {"dropped blocks": blocks}
        return results

    def _block(self, subject: Subject, question: Question) -> tuple[float, float, int, bool]:
        """Cost of a request here and in PostgreSQL, bytes of an answer, and whether the machine was steady."""
        with subject.connected() as connection:
            subject.ask(connection, question.path(self._ids))
            self._asked_pace()
            mine, theirs = subject.cpu(), _backends(self._postgres)
            for _ in range(question.times):
                size = subject.ask(connection, question.path(self._ids))
            mine = subject.cpu() - mine
        spent = sum(now - theirs.get(pid, now) for pid, now in _backends(self._postgres).items())
        pace, spread = self._asked_pace()
        each = pace * question.times
        return mine / each, spent / each, size, spread <= MOST_SPREAD

    def _asked_pace(self) -> tuple[float, float]:
        assert self._pace.stdin is not None
        assert self._pace.stdout is not None
        self._pace.stdin.write("\n")
        self._pace.stdin.flush()
        median, spread = self._pace.stdout.readline().split()
        return float(median), float(spread)


def _judged(question: Question, costs: dict[str, Costs], goals: Goals) -> dict[str, Any]:
    sizes = {name: cost.size for name, cost in costs.items()}
    result: dict[str, Any] = {"bytes": verdict(sizes.pop(OURS), beside=sizes)}
    for measure in ("CPU", "PostgreSQL"):
        samples = {name: cost.cpu if measure == "CPU" else cost.postgres for name, cost in costs.items()}
        for against in (PEER, FLOOR):
            name = f"{measure} ÷ {against}"
            if not samples[OURS] or not samples[against]:
                print(f"  {question.name}, {name}: all blocks were dropped", flush=True)
                continue
            ratio, low, high = _ratio(samples[OURS], samples[against])
            goal = goals.get((question.name, measure, against))
            result[name] = told(f"{question.name}, {name}", ratio, goal, beside={"low": low, "high": high})
    return result


def _ratio(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """The ratio of the medians, and its interval."""
    low, high = interval(lambda: _median_of(ours) / _median_of(theirs))
    return statistics.median(ours) / statistics.median(theirs), low, high


def median_and_interval(samples: list[float]) -> tuple[float, float, float]:
    """The median and its interval."""
    return statistics.median(samples), *interval(lambda: _median_of(samples))


def interval(draw: Callable[[], float]) -> tuple[float, float]:
    """Between what 95 of 100 are of what is drawn anew."""
    drawn = sorted(draw() for _ in range(1000))
    return drawn[25], drawn[974]


def _median_of(samples: list[float]) -> float:
    return statistics.median(random.choices(samples, k=len(samples)))
