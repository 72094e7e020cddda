"""The launcher: a process that runs is one that a record names, and that no fence forbids."""

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hub import processes
from hub.launch import ARGUMENTS_FD, FIRST_FILE_FD, LOCK_FD, STATUS_FD, LaunchPlan, encode_plan
from hub.limits import Limits
from hub.machine import Machine
from hub.records import Records
from tests.project import PROJECT

ID = "server-1"


# Says what it inherited: where its descriptors lead, and what is in those of memory.
LOOK = """
import hashlib, json, os, sys
descriptors = {}
for name in os.listdir("/proc/self/fd"):
    try:
        descriptors[name] = os.readlink("/proc/self/fd/" + name)
    except FileNotFoundError:
        continue
read = lambda number: hashlib.sha256(open(number, "rb").read()).hexdigest()
memory = {name: read(int(name)) for name, path in descriptors.items() if path.startswith("/memfd:")}
os.write(int(sys.argv[1]), b"the status")
print(json.dumps([descriptors, memory]))
"""


def launch(data_dir: Path, **changes: object) -> str:
    values: dict[str, object] = {
        "data_dir": data_dir,
        "server_id": ID,
        "hub_user": "alice@example.org",
        "hub_name": "lab",
        "generation": 3,
        "spawner": "local",
        "port": 4321,
        "program": "/bin/sh",
        "arguments": ("sh", "-c", 'echo "$SECRET"; cat /dev/fd/12; ulimit -n; exec sleep 60'),
        "hidden_arguments": ("--one", "two"),
        "environment": {"SECRET": "known", "PATH": "/usr/bin:/bin"},
        "directory": "/",
        "limits": Limits(open_files=500),
    }
    plan = LaunchPlan(**(values | changes))  # type: ignore[arg-type]
    launcher = subprocess.run(
        [sys.executable, "-m", "hub.launch"],
        input=encode_plan(plan),
        capture_output=True,
        cwd=PROJECT,
        env={"PYTHONPATH": str(PROJECT)},
        check=False,
        timeout=20,
    )
    return launcher.stdout.decode() + launcher.stderr.decode()


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def test_a_launched_process_is_recorded_and_nobodys_child(tmp_path: Path) -> None:
    machine = Machine(Records(tmp_path))
    assert launch(tmp_path) == ""
    (record,) = await machine.living()
    try:
        assert (record.generation, record.port, record.hub_name) == (3, 4321, "lab")
        assert processes.is_alive(record.process)
        assert "known" not in command_line(record.process.pid)
        until(lambda: "500" in machine.records.log_file(ID).read_text())
        # One server, one process: the second waits for the first to end, and gives up.
        assert "still has a process" in launch(tmp_path, generation=4)
        assert [found.generation for found in await machine.living()] == [3]
    finally:
        assert await machine.end(ID, grace=0) == []
    assert not processes.is_alive(record.process)
    assert machine.records.log_file(ID).read_text().split() == ["known", "--one\0two500"]


async def test_a_fence_holds_at_the_last_moment(tmp_path: Path) -> None:
    machine = Machine(Records(tmp_path))
    # Raised between the plug-in's decision and the launch.
    await machine.end(ID, up_to_generation=3)
    assert "later start or stop" in launch(tmp_path)
    assert await machine.living() == []


@pytest.mark.parametrize("changes", [{"program": "/none"}, {"directory": "/none"}])
async def test_what_cannot_be_executed_leaves_nothing(tmp_path: Path, changes: dict[str, object]) -> None:
    assert "/none" in launch(tmp_path, **changes)
    assert await Machine(Records(tmp_path)).living() == []


@pytest.mark.parametrize(
    "files",
    [
        (),
        ("",),
        ("of several\nlines\0 and a NUL, é", "", "x" * 3_000_000),
        tuple(f"file {number}" for number in range(512)),
    ],
)
def test_a_program_finds_its_files_in_order(tmp_path: Path, files: tuple[str, ...]) -> None:
    arguments = ("sh", "-c", 'exec "$0" -c "$1" "$2"', sys.executable, LOOK, str(STATUS_FD))
    hidden = ("--one", "two" * 200_000)
    assert launch(tmp_path, files=files, arguments=arguments, hidden_arguments=hidden, limits=Limits()) == ""
    records = Records(tmp_path)
    until(lambda: not records.is_held(ID))
    descriptors, memory = json.loads(records.log_file(ID).read_text())
    expected = ["\0".join(hidden), *files]
    assert memory == {
        str(number): hashlib.sha256(content.encode()).hexdigest()
        for number, content in enumerate(expected, ARGUMENTS_FD)
    }
    assert ARGUMENTS_FD + 1 == FIRST_FILE_FD
    log, lock, status = (
        str(tmp_path / name) for name in (f"logs/{ID}.log", f"records/{ID}.lock", f"records/{ID}.status")
    )
    others = {int(name): path for name, path in descriptors.items() if name not in memory}
    assert others == {0: "/dev/null", 1: log, 2: log, LOCK_FD: lock, STATUS_FD: status}
    assert Path(status).read_text() == "the status"


def contents(directory: Path) -> list[bytes]:
    return [file.read_bytes() for file in directory.rglob("*") if file.is_file()]


async def test_secrets_are_nowhere_but_in_memory(tmp_path: Path) -> None:
    machine = Machine(Records(tmp_path))
    hidden = ("--setenv", "KEY", "shh-variable")
    program = {"program": "/bin/sleep", "arguments": ("sleep", "60")}
    assert launch(tmp_path, hidden_arguments=hidden, files=("shh-file",), **program) == ""
    (record,) = await machine.living()
    try:
        process = Path(f"/proc/{record.process.pid}")
        for seen in ("cmdline", "environ", "comm"):
            assert b"shh" not in (process / seen).read_bytes()
        kept = contents(tmp_path)
        assert len(kept) == 5
        assert not [content for content in kept if b"shh" in content]
    finally:
        assert await machine.end(ID, grace=0) == []


async def test_no_argument_becomes_two(tmp_path: Path) -> None:
    said = launch(tmp_path, hidden_arguments=("--setenv", "KEY", "shh\0--bind\0/\0/mnt"))
    assert "NUL" in said
    assert "shh" not in said
    assert await Machine(Records(tmp_path)).living() == []
    assert not Records(tmp_path).log_file(ID).exists()
