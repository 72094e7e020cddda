"""What a read costs: CPU time of the process that answers and of PostgreSQL, against a floor and against a peer.

All three answer the same questions of the same table, each on the same core and one after the other in blocks A B C C B
A, so that whatever else the machine does weighs on all alike. The time of a block is divided by how long a fixed piece
of work took beside it (`tests.bench.pace`); a block during which that was unsteady is dropped.
"""

import asyncio
import contextlib
import http.client
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from models.database import engine
from models.database.sql import row, rows
from models.domain.ids import new_id
from models.domain.settings import Settings
from models.records.sessions import digest
from stack.supervisor import Stack
from tests.people import make_person
from tests.unit.api.processes import free_url

TOKEN = "a-token-of-the-bench"
OURS, PEER, FLOOR = "ours", "peer", "floor"
MOST_SPREAD = 0.35
# More servers of one person than the framework remembers routes.
OWN, OTHERS = 1_500, 8_000

GOALS = {
    ("one", "CPU", PEER): 0.15,
    ("one", "CPU", FLOOR): 3.0,
    ("one", "PostgreSQL", FLOOR): 3.0,
    ("list of 50", "CPU", PEER): 0.22,
    ("list of 50", "PostgreSQL", FLOOR): 4.5,
    ("list of 1000", "CPU", PEER): 0.15,
    ("list of 1000", "PostgreSQL", FLOOR): 7.0,
}
"""The most that a question may cost, by what is measured and against whom."""


@dataclass(frozen=True)
class Question:
    """What is asked, and how often in a block."""

    name: str
    limit: int
    times: int

    def path(self, servers: list[UUID]) -> str:
        """The address; of one server always another."""
        return f"/servers?limit={self.limit}" if self.limit else f"/servers/{random.choice(servers)}"


READS = (Question("one", 0, 300),)
LISTS = (Question("list of 50", 50, 150), Question("list of 1000", 1000, 15))


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

    def ask(self, connection: http.client.HTTPConnection, path: str) -> int:
        """Bytes of the answer."""
        connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, f"{self.name}: {answer.status} {body[:500]!r}"
        return len(body)

    def cpu(self) -> int:
        """Nanoseconds of CPU so far."""
        return sum(_on_cpu(self._pid, task) for task in _tasks(self._pid))


_CORES = sorted(os.sched_getaffinity(0))
_FIRST, _LAST = _CORES[0], _CORES[-1]


def _tasks(pid: int) -> list[int]:
    return [int(one) for one in os.listdir(f"/proc/{pid}/task")]


def _on_cpu(pid: int, task: int) -> int:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    return 0


def _backends(postgres: int) -> dict[int, int]:
    """Nanoseconds of CPU of each of PostgreSQL's processes, by its id."""
    children = Path(f"/proc/{postgres}/task/{postgres}/children").read_text().split()
    return {int(pid): _on_cpu(int(pid), int(pid)) for pid in children}


async def measure(
    directory: Path, questions: tuple[Question, ...], rounds: int, *, own: int = OWN, others: int = OTHERS
) -> dict[str, Any]:
    """The ratios of each question, with the goals that are missed; a table is printed."""
    async with Stack(directory, only=("postgres", "api")) as stack:
        address = stack.layout.database_url()
        async with engine.pool(Settings(database_url=address), patience=120):
            person, servers = await _fill(own, others)
        environment = os.environ | {"NBHUB_BENCH_DATABASE": address, "NBHUB_BENCH_PERSON": str(person)}
        with contextlib.ExitStack() as running:
            subjects = [
                Subject(OURS, stack.layout.ports["api"], stack.info.pids["api"]),
                *(running.enter_context(_served(name, environment, directory)) for name in (PEER, FLOOR)),
            ]
            pace = running.enter_context(_pace())
            os.sched_setaffinity(0, {_LAST})
            running.callback(os.sched_setaffinity, 0, set(_CORES))
            judge = _Judge(subjects, servers, stack.info.pids["postgres"], pace)
            return await asyncio.to_thread(judge.run, questions, rounds)


class _Judge:
    def __init__(
        self, subjects: list[Subject], servers: list[UUID], postgres: int, pace: "subprocess.Popen[str]"
    ) -> None:
        self._subjects, self._servers = subjects, servers
        self._postgres, self._pace = postgres, pace

    def run(self, questions: tuple[Question, ...], rounds: int) -> dict[str, Any]:
        results: dict[str, Any] = {}
        print("| question | measure | against | ratio | interval | goal | |\n|---|---|---|---|---|---|---|")
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
            results[question.name] = _judged(question, costs) | {"blocks": 6 * rounds, "dropped": dropped}
        return results

    def _block(self, subject: Subject, question: Question) -> tuple[float, float, int, bool]:
        """Cost of a request here and in PostgreSQL, bytes of an answer, and whether the machine was steady."""
        with subject.connected() as connection:
            subject.ask(connection, question.path(self._servers))
            self._asked_pace()
            mine, theirs = subject.cpu(), _backends(self._postgres)
            for _ in range(question.times):
                size = subject.ask(connection, question.path(self._servers))
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


def _judged(question: Question, costs: dict[str, Costs]) -> dict[str, Any]:
    sizes = {name: cost.size for name, cost in costs.items()}
    result: dict[str, Any] = {"bytes": sizes}
    for measure in ("CPU", "PostgreSQL"):
        samples = {name: cost.cpu if measure == "CPU" else cost.postgres for name, cost in costs.items()}
        for against in (PEER, FLOOR):
            if not samples[OURS] or not samples[against]:
                continue
            ratio, low, high = _ratio(samples[OURS], samples[against])
            goal = GOALS.get((question.name, measure, against))
            missed = goal is not None and ratio > goal
            told = f"{question.name} ({sizes[OURS]:,} bytes) | {measure} | {against} ({sizes[against]:,})"
            print(
                f"| {told} | {ratio:.3g} | {low:.3g} to {high:.3g} | {'' if goal is None else f'≤ {goal:g}'} "
                f"| {'' if goal is None else 'missed' if missed else 'met'} |",
                flush=True,
            )
            result[f"{measure} ÷ {against}"] = {"ratio": round(ratio, 3), "low": round(low, 3), "high": round(high, 3)}
            if goal is not None:
                result[f"{measure} ÷ {against}"] |= {"goal": goal, "missed": missed}
    return result


def _ratio(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """The ratio of the medians, and between what it is in 95 of 100 samples drawn anew."""
    drawn = sorted(_median_of(ours) / _median_of(theirs) for _ in range(1000))
    return statistics.median(ours) / statistics.median(theirs), drawn[25], drawn[974]


def _median_of(samples: list[float]) -> float:
    return statistics.median(random.choices(samples, k=len(samples)))


@contextlib.contextmanager
def _served(name: str, environment: dict[str, str], directory: Path) -> Iterator[Subject]:
    url = free_url()
    port = int(url.rpartition(":")[2])
    command = [sys.executable, "-m", "uvicorn", f"tests.bench.{name}:app", "--port", str(port)]
    if name == FLOOR:  # The peer has its access log, as it comes; we have ours.
        command.append("--no-access-log")
    with (directory / f"{name}.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        with httpx.Client(transport=httpx.HTTPTransport(retries=8)) as client:
            client.get(f"{url}/servers?limit=1")
        yield Subject(name, port, process.pid)
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def _pace() -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "tests.bench.pace"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        os.sched_setaffinity(process.pid, {_FIRST})
        yield process


async def _fill(own: int, others: int) -> tuple[UUID, list[UUID]]:
    """A person with a session and servers of theirs among others', with operations and mounts as in life."""
    asks, other = await make_person("asks"), await make_person("other")
    await row(
        """INSERT INTO session (token_hash, person, orgs, expires_at, id_token_hash)
           VALUES (:token, :person, ARRAY['org1', 'org2'], now() + interval '1 day', :token)""",
        token=digest(TOKEN),
        person=asks.id,
    )
    for owner, number in ((other, others), (asks, own)):
        await row(
            """INSERT INTO server (id, owner, name, template, template_data)
               SELECT gen_random_uuid(), :owner, 'server-' || n, :template::uuid,
                      jsonb_build_object(
                        '_id', :template::uuid::text, 'name', 'Template ' || n % 1000, 'description', 'What it is for.',
                        'type', 'user',
                        'applicationType', 'jupyterlab', 'hardware', 'small', 'public', false, 'creator', 'p@x.org',
                        'serverName', 'template', 'timestamp', '2026-01-01T00:00:00Z', 'featuredImage', null,
                        'filePath', null, 'datasets', jsonb_build_array(:template::uuid::text), 'modules', '[]'::jsonb,
                        'secrets', '[]'::jsonb, 'tags', '["a", "b"]'::jsonb)
                 FROM generate_series(1, :number::int) n""",
            owner=owner.id,
            template=new_id(),
            number=number,
        )
    await row(
        """INSERT INTO operation (id, kind, subject, subject_kind, subject_owner, status, ended_at)
           SELECT gen_random_uuid(), 'server.start', s.id, 'server', s.owner, 'succeeded', now()
             FROM server s, generate_series(1, 3)"""
    )
    await row(
        """INSERT INTO server_mount (id, server, object, kind, generation)
           SELECT gen_random_uuid(), s.id, :object, 'dataset', 1 FROM server s WHERE s.name LIKE '%7'""",
        object=new_id(),
    )
    await row("ANALYZE")
    servers = await rows("SELECT id FROM server WHERE owner = :owner", owner=asks.id)
    return asks.id, [one["id"] for one in servers]
