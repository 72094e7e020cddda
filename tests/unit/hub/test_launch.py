"""The launcher: a process that runs is one that a record names, and that no fence forbids."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hub import monitor, processes
from hub.launch import ARGUMENTS_FD, FILTER_FD, FIRST_FILE_FD, REPORTS_FD, LaunchPlan, encode_plan
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
        "arguments": ("sh", "-c", 'echo "$SECRET"; cat /dev/fd/13; ulimit -n; exec sleep 60'),
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


def seen_of(pid: int, what: str) -> bytes:
    return Path(f"/proc/{pid}/{what}").read_bytes()


def command_line(pid: int) -> str:
    return seen_of(pid, "cmdline").decode()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def test_a_launched_process_is_recorded_and_nobodys_child(tmp_path: Path) -> None:
    machine = Machine(Records(tmp_path))
    assert launch(tmp_path) == ""
    (record,) = machine.records.all_living()
    try:
        assert (record.generation, record.port, record.hub_name) == (3, 4321, "lab")
        assert processes.is_alive(record.process)
        assert "known" not in command_line(record.process.pid)
        assert seen_of(record.process.pid, "environ") == b""
        until(lambda: "500" in machine.records.log_file(ID).read_text())
        # One server, one process: the second waits for the first to end, and gives up.
        assert "still has a process" in launch(tmp_path, generation=4)
        assert [found.generation for found in machine.records.all_living()] == [3]
    finally:
        assert await machine.end(ID, grace=0) == []
    assert not processes.is_alive(record.process)
    assert machine.records.log_file(ID).read_text().split() == ["known", "--one\0two500"]


async def test_a_fence_holds_at_the_last_moment(tmp_path: Path) -> None:
    machine = Machine(Records(tmp_path))
    # Raised between the plug-in's decision and the launch.
    await machine.end(ID, up_to_generation=3)
    assert "later start or stop" in launch(tmp_path)
    # It says why, and is gone a moment later.
    until(lambda: not machine.records.is_alive(ID))
    assert machine.records.all_living() == []


@pytest.mark.parametrize("changes", [{"program": "/none"}, {"directory": "/none"}])
async def test_what_cannot_be_executed_leaves_nothing(tmp_path: Path, changes: dict[str, object]) -> None:
    assert "/none" in launch(tmp_path, **changes)
    machine = Machine(Records(tmp_path))
    until(lambda: not machine.records.is_alive(ID))
    assert machine.records.all_living() == []


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
    arguments = ("sh", "-c", 'exec "$0" -c "$1" "$2"', sys.executable, LOOK)
    hidden = ("--one", "two" * 200_000)
    assert launch(tmp_path, files=files, arguments=arguments, hidden_arguments=hidden, limits=Limits()) == ""
    records = Records(tmp_path)
    until(lambda: not records.is_alive(ID))
    descriptors, memory = json.loads(records.log_file(ID).read_text())
    expected = ["\0".join(hidden), "", *files]
    assert memory == {
        str(number): hashlib.sha256(content.encode()).hexdigest()
        for number, content in enumerate(expected, ARGUMENTS_FD)
    }
    assert [ARGUMENTS_FD + 1, ARGUMENTS_FD + 2] == [FILTER_FD, FIRST_FILE_FD]
    others = {int(name): path.partition(":")[0] for name, path in descriptors.items() if name not in memory}
    # Pipes that end in the monitor, and nothing that tells whether this program lives.
    assert others == {0: "/dev/null", 1: "pipe", 2: "pipe", REPORTS_FD: "pipe"}


def memory_of(pid: int) -> bytes:
    """What a process has written into its memory."""
    found = b""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            places, rights = line.split()[:2]
            begin, end = (int(place, 16) for place in places.split("-"))
            if rights.startswith("rw") and "[v" not in line:
                memory.seek(begin)
                found += memory.read(end - begin)
    return found


def contents(directory: Path) -> list[bytes]:
    return [file.read_bytes() for file in directory.rglob("*") if file.is_file()]


async def test_secrets_are_nowhere_but_in_memory(tmp_path: Path) -> None:
    machine = Machine(Records(tmp_path))
    hidden = ("--setenv", "KEY", "shh-variable")
    sleep = {"program": "/bin/sleep", "arguments": ("sleep", "60")}
    assert launch(tmp_path, hidden_arguments=hidden, files=("shh-file",), **sleep) == ""
    (record,) = machine.records.all_living()
    try:
        (program,) = processes.children(record.process.pid)
        for process in (record.process, program):
            for seen in ("cmdline", "environ", "comm"):
                assert b"shh" not in seen_of(process.pid, seen)
        # Nor in what the monitor remembers of having been the launcher.
        assert b"shh-" not in memory_of(record.process.pid)
        kept = contents(tmp_path)
        assert len(kept) == 5
        assert not [content for content in kept if b"shh" in content]
    finally:
        assert await machine.end(ID, grace=0) == []


async def test_no_argument_becomes_two(tmp_path: Path) -> None:
    said = launch(tmp_path, hidden_arguments=("--setenv", "KEY", "shh\0--bind\0/\0/mnt"))
    assert "NUL" in said
    assert "shh" not in said
    assert Records(tmp_path).all_living() == []
    assert not Records(tmp_path).log_file(ID).exists()


# Leaves everything behind that could lead to it: session, parent, environment, descriptors, program.
RUNAWAY = """
import os, signal, sys
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 1000)
        descriptor = os.memfd_create("runaway", 0)
        os.write(descriptor, open("/bin/sleep", "rb").read())
        os.execve(descriptor, ["%s", "60"], {})
    os._exit(0)
os.wait()
print("left", flush=True)
%s
"""


def runaways(name: str) -> list[str]:
    return [
        directory.name
        for directory in Path("/proc").glob("[0-9]*")
        if command_line_if_alive(directory).startswith(name) and processes.identify(int(directory.name)) is not None
    ]


def command_line_if_alive(directory: Path) -> str:
    try:
        return (directory / "cmdline").read_text(errors="replace")
    except OSError:
        return ""


@pytest.mark.parametrize("then", ["os._exit(7)", "signal.pause()"], ids=["the program ends", "the program is ended"])
async def test_what_a_program_leaves_behind_ends_with_it(then: str, tmp_path: Path) -> None:
    machine = Machine(Records(tmp_path))
    name = f"runaway-{tmp_path.name}"
    runaway = (sys.executable, "-c", RUNAWAY % (name, then))
    assert launch(tmp_path, program=sys.executable, arguments=runaway, limits=Limits()) == ""
    until(lambda: machine.records.log_file(ID).read_text() == "left\n")
    if "exit" in then:
        # Nobody asked for its end: the monitor sees it.
        until(lambda: not machine.records.is_alive(ID))
        assert machine.records.exit_code(ID) == 7
    else:
        until(lambda: len(runaways(name)) == 1)
        assert machine.records.living(ID) is not None
        assert await machine.end(ID, grace=0.05) == []
    assert runaways(name) == []


async def test_a_server_ends_with_its_monitor(tmp_path: Path) -> None:
    machine = Machine(Records(tmp_path))
    assert launch(tmp_path, program="/bin/sleep", arguments=("sleep", "60")) == ""
    (record,) = machine.records.all_living()
    (program,) = processes.children(record.process.pid)
    processes.send(record.process, signal.SIGKILL)
    until(lambda: not processes.is_alive(program))
    assert machine.records.all_living() == []


ASK_KEYRING = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
add, ask, session = {"x86_64": (248, 249, -3)}.get(__import__("platform").machine(), (217, 218, -3))
if sys.argv[1] == "add":
    print(libc.syscall(add, b"user", b"nbhub-test", b"of one server", 13, session) > 0, flush=True)
    __import__("signal").pause()
print(libc.syscall(ask, b"user", b"nbhub-test", None, session) > 0, flush=True)
"""


async def test_no_server_finds_the_keys_of_another(tmp_path: Path) -> None:
    """Without the filter of system calls, which refuses keys altogether."""
    machine = Machine(Records(tmp_path))
    for server_id, word in (("server-1", "add"), ("server-2", "ask")):
        arguments = (sys.executable, "-c", ASK_KEYRING, word)
        assert launch(tmp_path, server_id=server_id, program=sys.executable, arguments=arguments) == ""
        log = machine.records.log_file(server_id)
        until(lambda log=log: log.read_text() != "")  # type: ignore[misc]
    try:
        assert machine.records.log_file("server-1").read_text() == "True\n"
        assert machine.records.log_file("server-2").read_text() == "False\n"
    finally:
        assert await machine.end("server-1", grace=0) == []


async def test_output_is_kept_whole_up_to_what_a_log_takes(tmp_path: Path) -> None:
    machine = Machine(Records(tmp_path))
    # More at once than a log takes, in whole lines; then nothing, and a last word without an end of line.
    lines = (monitor.LOG_BYTES_AT_ONCE + 3_000_000) // 100
    flood = f"yes {'x' * 99} | head -n {lines}; echo '  '; printf 'the end'"
    assert launch(tmp_path, arguments=("sh", "-c", f"echo begins; {flood}"), limits=Limits()) == ""
    until(lambda: not machine.records.is_alive(ID))
    text = machine.records.log_file(ID).read_text()
    assert text.startswith("begins\n" + "x" * 99 + "\n")
    assert text.endswith("the end")
    assert "bytes are left out: more was written than a log takes" in text
    assert len(text) < monitor.LOG_BYTES_AT_ONCE + 1_000_000
    # None of them cut.
    assert {len(line) for line in text.splitlines() if line.startswith("x")} == {99}
