"""A part that dies is started again, less and less eagerly, until it is given up; whoever asks has it started at once.

The part is a PostgreSQL of its own: the smallest that is real.
"""

import asyncio
import errno
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from stack.control import ask_restart
from stack.process import ManagedProcess
from stack.progress import Progress
from stack.state import StackFailed, State, read_state
from stack.watch import Watch
from tests.stacks import Stack

PATIENCE = 120


class Told(Progress):
    """Keeps what is said, and knows when something was."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []
        self._changed = asyncio.Event()

    def say(self, text: str) -> None:
        self.lines.append(text)
        self._changed.set()

    async def until(self, words: str, times: int = 1) -> str:
        """What is said with these words, that many times."""
        async with asyncio.timeout(PATIENCE):
            while len(found := [line for line in self.lines if words in line]) < times:
                self._changed.clear()
                await self._changed.wait()
        return found[-1]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def stack(tmp_path: Path, told: Told) -> AsyncIterator[Stack]:
    async with Stack(tmp_path / "stack", only=("postgres",), progress=told) as stack:
        yield stack


@pytest.fixture
async def watching(stack: Stack) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(Watch(stack, pause=0.01).run())
    async with asyncio.timeout(PATIENCE):
        while not stack.layout.control_socket.exists():
            await asyncio.sleep(0.01)
    yield task
    task.cancel()
    await asyncio.wait([task])


def state_of(stack: Stack) -> State:
    state = read_state(stack.directory)
    assert state is not None
    return state


def break_it(stack: Stack) -> Path:
    """Make every further start fail; returns what has to be moved back."""
    control = stack.directory / "postgres" / "global" / "pg_control"
    return control.rename(control.with_name("pg_control.away"))


def mend(away: Path) -> None:
    away.rename(away.with_name("pg_control"))


@pytest.mark.usefixtures("watching")
async def test_a_part_that_was_killed_is_started_again_with_what_it_holds(stack: Stack, told: Told) -> None:
    connection = await asyncpg.connect(stack.info.database)
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    before = stack.info.pids["postgres"]
    # That process alone, as an out-of-memory killer would.
    os.kill(before, signal.SIGKILL)
    await told.until("postgres ended with -9")
    await told.until("postgres: ready again")
    assert stack.info.pids["postgres"] != before
    assert state_of(stack).ended == {}
    again = await asyncpg.connect(stack.info.database)
    assert await again.fetchval("SELECT answer FROM kept") == 42
    await again.close()
    connection.terminate()


async def test_a_part_of_a_stack_that_nobody_watches_stays_dead(stack: Stack) -> None:
    stack.kill("postgres")
    await stack.died("postgres")
    await asyncio.sleep(0)
    assert stack.ended("postgres")


@pytest.mark.usefixtures("watching")
async def test_a_part_that_dies_again_and_again_is_given_up_until_it_is_asked_for(stack: Stack, told: Told) -> None:
    away = break_it(stack)
    stack.kill("postgres")
    given_up = await told.until("given up")
    assert "5 times" in given_up
    assert "`nbhub restart postgres`" in given_up
    assert "pg_control" in given_up, "the log's end tells why"
    pauses = [line.rpartition("again in ")[2] for line in told.lines if "again in" in line]
    assert pauses == ["0.01 s", "0.02 s", "0.04 s", "0.08 s"]
    ended = state_of(stack).ended["postgres"]
    assert (ended.given_up, ended.exit_code) == (True, stack.process("postgres").exit_code)
    mend(away)
    await ask_restart(stack.layout.control_socket, "postgres")
    assert not stack.ended("postgres")
    assert state_of(stack).ended == {}


@pytest.mark.usefixtures("watching")
async def test_a_restart_is_a_new_process_and_no_death(stack: Stack, told: Told) -> None:
    before = stack.info.pids["postgres"]
    await ask_restart(stack.layout.control_socket, "postgres")
    assert stack.info.pids["postgres"] != before
    assert not [line for line in told.lines if "ended with" in line]


@pytest.mark.usefixtures("watching")
async def test_a_restart_that_fails_says_why(stack: Stack) -> None:
    away = break_it(stack)
    with pytest.raises(StackFailed, match="pg_control"):
        await ask_restart(stack.layout.control_socket, "postgres")
    mend(away)
    await ask_restart(stack.layout.control_socket, "postgres")


@pytest.mark.usefixtures("watching")
async def test_a_restart_of_what_is_no_part_names_the_parts(stack: Stack) -> None:
    for word in ("mysql", "", "x" * 100_000):
        with pytest.raises(StackFailed, match=r"there are postgres|ended meanwhile"):
            await ask_restart(stack.layout.control_socket, word)
    assert not stack.ended("postgres")


async def test_nobody_is_asked_in_vain(stack: Stack) -> None:
    with pytest.raises(StackFailed, match="does not take requests"):
        await ask_restart(stack.layout.control_socket, "postgres")


async def test_a_program_that_cannot_be_executed_any_more_is_a_sentence(
    stack: Stack, told: Told, watching: asyncio.Task[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: ManagedProcess) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/bin/postgres")

    monkeypatch.setattr(ManagedProcess, "start", refuse)
    with pytest.raises(StackFailed, match=r"postgres cannot be started: /bin/postgres: Permission denied"):
        await ask_restart(stack.layout.control_socket, "postgres")
    await told.until("given up")
    assert not watching.done()


async def test_a_stack_whose_directory_was_removed_ends(stack: Stack, watching: asyncio.Task[None]) -> None:
    shutil.rmtree(stack.directory)
    stack.kill("postgres")
    with pytest.raises(StackFailed, match="was removed"):
        await watching
