"""One stack to a directory: who runs it is known for sure, and a copy or a leftover file claims nothing."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from hub import processes
from hub.processes import Process
from stack.process import describe
from stack.state import MARK, Claim, StackFailed, State, processes_of, read_state, supervisor_of, write_state

HOLD = """
import sys
from pathlib import Path
from stack.process import describe
from stack.state import Claim
Claim(Path(sys.argv[1])).take()
print("held", flush=True)
sys.stdin.read()
"""
Hold = Callable[[Path], "subprocess.Popen[bytes]"]


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Another process that holds the claim to a directory."""
    begun: list[subprocess.Popen[bytes]] = []

    def hold(directory: Path) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        begun.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        return process

    yield hold
    for process in begun:
        process.kill()
        process.communicate()


def me() -> Process:
    found = processes.identify(os.getpid())
    assert found is not None
    return found


def test_a_second_claim_is_refused_by_the_pid_of_the_first(tmp_path: Path, hold: Hold) -> None:
    first = hold(tmp_path)
    with pytest.raises(StackFailed, match=rf"already \(pid {first.pid}\).*nbhub down.*--dir"):
        Claim(tmp_path).take()
    running = supervisor_of(tmp_path)
    assert running is not None
    assert running.pid == first.pid


def test_also_within_one_process(tmp_path: Path) -> None:
    with Claim(tmp_path), pytest.raises(StackFailed, match=rf"pid {os.getpid()}"):
        Claim(tmp_path).take()
    with Claim(tmp_path):
        assert supervisor_of(tmp_path) == me()
    assert supervisor_of(tmp_path) is None, "let go of while its process lives on"


def test_a_claim_ends_with_its_holder(tmp_path: Path, hold: Hold) -> None:
    first = hold(tmp_path)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert supervisor_of(tmp_path) is None
    with Claim(tmp_path):
        assert supervisor_of(tmp_path) == me()


def test_two_directories_are_two_claims(tmp_path: Path, hold: Hold) -> None:
    hold(tmp_path / "one")
    with Claim(tmp_path / "two"):
        assert supervisor_of(tmp_path / "two") == me()


def test_a_copy_of_the_directory_of_a_stack_that_runs_is_not_that_stack(tmp_path: Path, hold: Hold) -> None:
    hold(tmp_path / "stack")
    shutil.copytree(tmp_path / "stack", tmp_path / "copy")
    assert supervisor_of(tmp_path / "copy") is None
    Claim(tmp_path / "copy").take()


def test_a_claim_to_a_directory_that_was_removed_is_lost(tmp_path: Path) -> None:
    directory = tmp_path / "stack"
    with Claim(directory) as first:
        assert not first.lost()
        shutil.rmtree(directory)
        assert first.lost()
        with Claim(directory) as second:
            assert (first.lost(), second.lost()) == (True, False)


@pytest.mark.parametrize(
    "content", [b"", b'{"pid": 1, ', b"\xff\xfe", b"[]"], ids=["empty", "half", "bytes", "foreign"]
)
def test_files_that_make_no_sense_say_nothing(tmp_path: Path, content: bytes) -> None:
    for name in ("supervisor.lock", "state.json"):
        (tmp_path / name).write_bytes(content)
    assert supervisor_of(tmp_path) is None
    assert read_state(tmp_path) is None
    with Claim(tmp_path):
        assert supervisor_of(tmp_path) == me()


def test_a_later_process_of_the_same_pid_is_no_supervisor(tmp_path: Path) -> None:
    stale = {
        "directory": str(tmp_path),
        "supervisor": msgspec.to_builtins(msgspec.structs.replace(me(), start_ticks=me().start_ticks - 1)),
    }
    (tmp_path / "supervisor.lock").write_bytes(msgspec.json.encode(stale))
    assert supervisor_of(tmp_path) is None


def test_where_nothing_ever_ran_nothing_is_found(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "none", Path("/dev/null")):
        assert (supervisor_of(directory), read_state(directory), processes_of(directory)) == (None, None, [])


def test_what_was_written_down_is_read(tmp_path: Path) -> None:
    state = State(supervisor=me(), processes={"api": me()})
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state


def test_processes_are_found_by_their_mark_alone(tmp_path: Path) -> None:
    def marked(directory: Path) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(["cat"], stdin=subprocess.PIPE, env={**os.environ, MARK: str(directory)})

    with marked(tmp_path) as ours, marked(tmp_path / "other"):
        assert [one.pid for one in processes_of(tmp_path)] == [ours.pid]
        assert "cat" in describe(processes_of(tmp_path)[0])
