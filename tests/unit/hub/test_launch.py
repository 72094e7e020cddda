"""The launcher: a process that runs is one that a record names, and that no fence forbids."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from hub import processes
from hub.launch import LaunchPlan, encode_plan
from hub.limits import Limits
from hub.machine import Machine
from hub.records import Records

ID = "server-1"
PROJECT = Path(__file__).resolve().parents[3]


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


def wait_for_output(log_file: Path) -> None:
    deadline = time.monotonic() + 5
    while "500" not in log_file.read_text():
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
        wait_for_output(machine.records.log_file(ID))
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
