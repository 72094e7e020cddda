"""Flame graphs of the API while it answers: `make profile` writes one of each hot question into docs/profiles/.

py-spy looks from outside at what the API's thread does, so what is seen is the API as it is. The widths are shares of
the time in which it did anything.
"""

import argparse
import asyncio
import itertools
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from models.database import engine
from models.domain.process import leave
from models.domain.settings import Settings
from tests.bench import sizes
from tests.bench.another_api import environment_of_api
from tests.bench.filled import fill
from tests.bench.judge import TOKEN, Question, Subject
from tests.bench.reads import LISTS, READS
from tests.bench.writes import servers_of
from tests.project import PROJECT
from tests.stacks import Stack
from tests.unit.api.processes import free_url, running

DIRECTORY = PROJECT / "docs" / "profiles"
SECONDS, EACH_SECOND = 8, 250
_PERSONS, _SERVERS = 100, 40
"""Of the starts: more than are answered meanwhile."""

Requests = Iterator[tuple[str, str, str]]
"""Method, address and token, one after the other."""


async def main(directory: Path, seconds: int) -> None:
    """Write the graphs."""
    with tempfile.TemporaryDirectory(prefix="nbhub-profile-") as place:
        async with Stack(Path(place), only=("postgres", "api", "temporal"), durable=True) as stack:
            address, url = await sizes.new_database(stack), free_url()
            async with engine.pool(Settings(database_url=address), patience=120):
                ids = (await fill()).ids
                starts = await servers_of(_PERSONS, _SERVERS)
            questions: dict[str, Requests] = {
                question.name.replace(" ", "-"): again_and_again(question, ids) for question in (*READS, *LISTS)
            }
            questions["start"] = (
                ("PUT", f"/servers/{server}/start", token) for token, servers in starts.items() for server in servers
            )
            async with running(await environment_of_api(stack, url, NBHUB_DATABASE_URL=address), url) as process:
                subject = Subject("ours", int(url.rpartition(":")[2]), process.pid)
                for name, requests in questions.items():
                    picture = directory / f"{name}.svg"
                    await asyncio.to_thread(profile, subject, process.pid, requests, picture, seconds)


def again_and_again(question: Question, ids: dict[str, list[UUID]]) -> Requests:
    """The same question without end."""
    while True:
        yield "GET", question.path(ids), TOKEN


def profile(subject: Subject, pid: int, requests: Requests, picture: Path, seconds: int) -> None:
    """Ask all the while that py-spy looks."""
    program = str(Path(sys.executable).with_name("py-spy"))
    options = ["--duration", str(seconds), "--rate", str(EACH_SECOND), "--function", "--output", str(picture)]
    with subject.connected() as connection:
        for method, path, token in itertools.islice(requests, 50):
            subject.ask(connection, path, token, method)
        looking = subprocess.Popen([program, "record", "--pid", str(pid), *options], stdout=subprocess.DEVNULL)
        while looking.poll() is None:
            method, path, token = next(requests)
            subject.ask(connection, path, token, method)
    if looking.returncode != 0:
        raise SystemExit("py-spy may not look into another process: run this as root")
    print(f"{picture}: {picture.stat().st_size // 1024} kB", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="where the graphs are written")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of each question")
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(given.directory, given.seconds))
    leave(0)
