"""What reads cost: of servers, and of each other kind, against a floor and against a peer."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from models.database import engine
from models.domain.settings import Settings
from tests.bench import judge
from tests.bench.filled import OTHERS, OWN, fill
from tests.bench.judge import FLOOR, OURS, PEER, Goals, Judge, Question, Subject
from tests.stacks import Stack
from tests.unit.api.processes import free_url

READS = (Question("one", "server", 0, 300),)
LISTS = (Question("list of 50", "server", 50, 150), Question("list of 1000", "server", 1000, 15))
OTHER_KINDS = ("dataset", "module", "secret", "template", "group", "operation")
KINDS = tuple(
    question
    for kind in OTHER_KINDS
    for question in (Question(f"one {kind}", kind, 0, 200), Question(f"50 {kind}s", kind, 50, 40))
)

GOALS: Goals = {
    ("one", "CPU", PEER): 0.15,
    ("one", "CPU", FLOOR): 3.0,
    ("one", "PostgreSQL", FLOOR): 3.0,
    ("list of 50", "CPU", PEER): 0.22,
    ("list of 50", "PostgreSQL", FLOOR): 4.5,
    ("list of 1000", "CPU", PEER): 0.15,
    ("list of 1000", "PostgreSQL", FLOOR): 7.0,
    **{(question.name, "CPU", PEER): 0.22 if question.limit else 0.15 for question in KINDS},
}


async def measure(stack: Stack, questions: tuple[Question, ...], rounds: int, *, short: bool = False) -> dict[str, Any]:
    """The ratios of each question, with the goals that are missed."""
    own, others = (60, 5) if short else (OWN, OTHERS)
    if short:
        questions = tuple(replace(one, times=2) for one in questions)
    address = stack.layout.database_url()
    async with engine.pool(Settings(database_url=address), patience=120):
        filled = await fill(own, others)
    environment = os.environ | {"NBHUB_BENCH_DATABASE": address, "NBHUB_BENCH_PERSON": str(filled.person)}
    with contextlib.ExitStack() as running:
        subjects = [
            Subject(OURS, stack.layout.ports["api"], stack.info.pids["api"]),
            *(running.enter_context(_served(name, environment, stack.directory)) for name in (PEER, FLOOR)),
        ]
        pace = running.enter_context(judge.kept_pace())
        running.enter_context(judge.elsewhere())
        found = Judge(subjects, filled.ids, stack.info.pids["postgres"], pace)
        return await asyncio.to_thread(found.run, questions, GOALS, rounds)


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
