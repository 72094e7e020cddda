"""Processes of the stack: told apart from later ones of the same pid, and ended with proof, however stubborn."""

import os
import select
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub import processes
from hub.processes import Process
from stack.process import ManagedProcess, end_leftover, send_group

# Far more than anything here takes: reached only by a test that fails.
PATIENCE = 20
STUBBORN = 'trap "" TERM; echo ready >ready; exec sleep 1000'


class Signpost:
    """A pipe that a script writes to once it is where the test wants it."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def read(self) -> str:
        """What the script wrote; waits for it."""
        assert select.select([self._descriptor], [], [], PATIENCE)[0], "the script did not get there"
        return os.read(self._descriptor, 1000).decode().strip()

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._descriptor)


@pytest.fixture
def ready(tmp_path: Path) -> Iterator[Signpost]:
    signpost = Signpost(tmp_path / "ready")
    yield signpost
    signpost.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., ManagedProcess]]:
    """Makes processes of shell scripts, and ends them after the test."""
    made: list[ManagedProcess] = []

    def make(script: str, **environment: str) -> ManagedProcess:
        process = ManagedProcess(
            "part",
            ["/bin/sh", "-c", script],
            environment={"PATH": os.environ["PATH"], **environment},
            log=tmp_path / "logs" / "part.log",
            directory=tmp_path,
        )
        made.append(process)
        return process

    yield make
    for process in made:
        process.kill()


Make = Callable[..., ManagedProcess]


async def test_a_process_has_a_log_an_environment_and_a_directory(make: Make, tmp_path: Path) -> None:
    process = make('echo "$NAME in $PWD"; echo "$HOME" >&2; cat; exit 3', NAME="hub")
    assert (process.running, process.exit_code, process.identity) == (False, None, None)
    for _ in range(2):
        process.start()
        assert await process.gone(within=PATIENCE)
        assert (process.running, process.exit_code) == (False, 3)
    # The second start added to it; nothing of our own environment came along.
    assert process.log.read_text() == f"hub in {tmp_path}\n\n" * 2


async def test_a_process_leads_a_session_of_its_own(make: Make, ready: Signpost) -> None:
    process = make("echo $$ >ready; exec sleep 1000")
    process.start()
    pid = int(ready.read())
    assert process.identity is not None
    assert (process.identity.pid, os.getsid(pid), os.getpgid(pid)) == (pid, pid, pid)
    assert os.getsid(0) != pid
    assert process.running
    assert not await process.gone(within=0)


@pytest.mark.parametrize(
    ("script", "frozen", "code"),
    [
        ("echo ready >ready; exec sleep 1000", False, -signal.SIGTERM),
        ("echo ready >ready; exec sleep 1000", True, -signal.SIGTERM),
        ('trap "exit 7" TERM; echo ready >ready; while :; do read -r _ <block || :; done', False, 7),
    ],
    ids=["plain", "frozen", "tidies up"],
)
async def test_a_stop_is_gentle(
    make: Make, ready: Signpost, tmp_path: Path, script: str, frozen: bool, code: int
) -> None:
    os.mkfifo(tmp_path / "block")
    process = make(script)
    process.start()
    ready.read()
    if frozen:
        process.send(signal.SIGSTOP)
    await process.stop(grace=PATIENCE)
    assert (process.running, process.exit_code) == (False, code)


async def test_a_stop_of_what_does_not_listen_is_a_kill(make: Make, ready: Signpost) -> None:
    process = make(STUBBORN)
    process.start()
    ready.read()
    await process.stop(grace=0)
    assert process.exit_code == -signal.SIGKILL


async def test_a_stop_of_what_has_ended_or_never_began_is_nothing(make: Make) -> None:
    process = make("exit 0")
    await process.stop()
    process.kill()
    process.send(signal.SIGTERM)
    assert process.exit_code is None
    process.start()
    assert await process.gone(within=PATIENCE)
    await process.stop()
    process.kill()
    assert process.exit_code == 0


async def test_a_kill_takes_the_children_along(make: Make, ready: Signpost) -> None:
    process = make("sleep 1000 & echo $! >ready; wait")
    process.start()
    child = processes.identify(int(ready.read()))
    assert child is not None
    assert processes.is_alive(child)
    # Readable once it is dead, whoever reaps it.
    watch = os.pidfd_open(child.pid)
    try:
        process.kill()
        assert select.select([watch], [], [], PATIENCE)[0], "the child outlives its parent"
    finally:
        os.close(watch)
    assert not processes.is_alive(child)
    assert not process.running


async def test_a_process_can_be_started_at_once_after_a_kill(make: Make, ready: Signpost) -> None:
    process = make("echo ready >ready; exec sleep 1000")
    process.start()
    ready.read()
    first = process.identity
    process.kill()
    assert first is not None
    assert not processes.is_alive(first)
    process.start()
    assert process.running
    assert process.identity != first


def test_an_identity_is_more_than_a_pid() -> None:
    me = processes.identify(os.getpid())
    assert me is not None
    assert processes.is_alive(me)
    later = Process(me.pid, me.start_ticks + 1, me.boot_id)
    assert not processes.is_alive(later)
    # Were it sent, this test would end here.
    processes.send(later, signal.SIGKILL)
    send_group(later, signal.SIGKILL)


def test_who_waits_to_be_reaped_is_dead() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        found = processes.identify(child.pid)
        assert found is not None
        assert processes.is_alive(found)
        assert child.stdin is not None
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert processes.identify(child.pid) is None
        assert not processes.is_alive(found)
    assert processes.identify(child.pid) is None, "reaped"


def test_a_process_whose_name_looks_like_numbers_is_read(tmp_path: Path) -> None:
    program = tmp_path / "x) S 1 1 (y"
    program.symlink_to("/bin/cat")
    with subprocess.Popen([program], stdin=subprocess.PIPE) as child:
        found = processes.identify(child.pid)
        me = processes.identify(os.getpid())
        assert found is not None
        assert me is not None
        assert found.start_ticks >= me.start_ticks


@pytest.mark.parametrize("grace", [PATIENCE, 0])
async def test_what_an_earlier_stack_left_is_ended(make: Make, ready: Signpost, grace: float) -> None:
    process = make("echo ready >ready; exec sleep 1000" if grace else STUBBORN)
    process.start()
    ready.read()
    assert process.identity is not None
    await end_leftover(process.identity, grace=grace)
    assert not processes.is_alive(process.identity)
    assert process.exit_code == (-signal.SIGTERM if grace else -signal.SIGKILL)


async def test_another_process_of_a_leftover_pid_is_left_alone(make: Make, ready: Signpost) -> None:
    process = make("echo ready >ready; exec sleep 1000")
    process.start()
    ready.read()
    assert process.identity is not None
    await end_leftover(
        Process(process.identity.pid, process.identity.start_ticks - 1, process.identity.boot_id), grace=0
    )
    assert process.running


def test_the_last_lines_of_a_log(make: Make) -> None:
    process = make("exit 0")
    assert process.last_lines() == "", "there is no log yet"
    process.log.parent.mkdir()
    process.log.write_bytes(b"".join(b"line %d\n" % number for number in range(30)) + b"caf\xe9\n")
    assert process.last_lines(2) == "    line 29\n    caf\ufffd"
    assert len(process.last_lines().splitlines()) == 15


async def test_no_socket_of_ours_is_inherited(make: Make, ready: Signpost) -> None:
    """A port that a supervisor held must not stay taken by its children when it dies."""
    with socket.socket() as ours:
        ours.set_inheritable(True)
        process = make("ls -l /proc/$$/fd >ready; exec sleep 1000")
        process.start()
        opened = ready.read()
    assert "/dev/null" in opened
    assert "socket:" not in opened
