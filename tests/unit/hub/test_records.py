"""Records, locks and fences: what two processes may rely on, whenever one of them dies."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hub import processes
from hub.machine import LOG_BYTES, LOG_WITH_SECRETS, NO_LOG, Machine
from hub.records import Failure, GenerationFenced, Record, Records, ServerBusy
from tests.project import PROJECT

ID = "server-1"
HOLDER = """
import sys, time
from pathlib import Path
from hub.records import Records
descriptor = Records(Path(sys.argv[1])).claim(sys.argv[2])
print("held", flush=True)
time.sleep(60)
"""


def record(pid: int, **changes: object) -> Record:
    process = processes.identify(pid)
    assert process is not None
    values: dict[str, object] = {
        "server_id": ID,
        "hub_user": "alice@example.org",
        "hub_name": "lab",
        "generation": 3,
        "spawner": "local",
        "process": process,
        "port": 1,
        "started_at": time.time(),
    }
    return Record(**(values | changes))  # type: ignore[arg-type]


def hold(directory: Path) -> "subprocess.Popen[str]":
    """A process that holds the server's lock, as a launcher or a sandbox does."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory), ID],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        start_new_session=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.stdout.close()
    return holder


@contextmanager
def processes_of_a_test(number: int) -> Iterator[list[int]]:
    started = [subprocess.Popen(["sleep", "60"]) for _ in range(number)]
    try:
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def gone() -> processes.Process:
    """A process that ended a moment ago."""
    with processes_of_a_test(1) as (pid,):
        found = processes.identify(pid)
    assert found is not None
    return found


def test_a_server_has_one_process_at_a_time(tmp_path: Path) -> None:
    records = Records(tmp_path)
    holder = hold(tmp_path)
    try:
        assert records.is_alive(ID)
        with pytest.raises(ServerBusy):
            records.claim(ID, patience=0.05)
    finally:
        holder.kill()
        holder.wait()
    # A death releases it, however it came.
    assert not records.is_alive(ID)
    os.close(records.claim(ID))


def test_a_record_lives_as_long_as_its_process(tmp_path: Path) -> None:
    records = Records(tmp_path)
    holder = hold(tmp_path)
    written = record(holder.pid)
    records.write(written)
    assert records.living(ID) == written
    assert Records(tmp_path).all_living() == [written]
    assert records.living_of("alice@example.org", "lab") == written
    assert records.living_of("alice@example.org", "other") is None
    holder.kill()
    holder.wait()
    assert records.living(ID) is None
    assert records.all_living() == []
    records.forget(ID)
    assert not list((tmp_path / "records").glob("*.json"))


def test_a_record_of_a_living_process_is_not_forgotten(tmp_path: Path) -> None:
    records = Records(tmp_path)
    holder = hold(tmp_path)
    try:
        records.write(record(holder.pid))
        records.forget(ID)
        assert records.living(ID) is not None
    finally:
        holder.kill()
        holder.wait()


def test_a_damaged_record_is_none(records: Records, tmp_path: Path) -> None:
    (tmp_path / "hub" / "records" / f"{ID}.json").write_text('{"server_id": ')
    assert records.all_living() == []


def test_a_fence_rises_only(records: Records) -> None:
    with records.fence(ID) as fence:
        assert fence.lowest == 0
        fence.raise_to(12)
        fence.raise_to(3)
    with records.fence(ID) as fence:
        assert fence.lowest == 12
        fence.check(12)
        with pytest.raises(GenerationFenced):
            fence.check(11)


def test_what_the_monitor_notes_is_read(records: Records, tmp_path: Path) -> None:
    assert records.exit_code(ID) is None
    assert records.sandbox_init(ID) is None
    me = processes.identify(os.getpid())
    assert me is not None
    status = tmp_path / "hub" / "records" / f"{ID}.status"
    status.write_text(f'{{ "child-pid": {me.pid}, "start-ticks": {me.start_ticks} }}\n')
    assert records.sandbox_init(ID) == me
    assert records.exit_code(ID) is None
    # The same number, used again by another process.
    status.write_text(f'{{ "child-pid": {me.pid}, "start-ticks": {me.start_ticks - 1} }}\n')
    assert records.sandbox_init(ID) is None
    status.write_text('{ "child-pid": 1 }\n{ "exit-code": 7 }\n{ "exi')
    assert records.exit_code(ID) == 7
    os.close(records.open_status(ID))
    assert records.exit_code(ID) is None


def test_a_server_that_lost_its_lock_is_alive_while_its_processes_are(records: Records, tmp_path: Path) -> None:
    """Whatever let go of it: the monitor and the first process of the sandbox each prove the server alive."""
    with processes_of_a_test(2) as (monitor, init):
        written = record(monitor)
        records.write(written)
        assert records.living(ID) == written
        with pytest.raises(ServerBusy):
            records.claim(ID, patience=0.05)
        records.forget(ID)
        assert records.living(ID) == written
        first = processes.identify(init)
        assert first is not None
        status = tmp_path / "hub" / "records" / f"{ID}.status"
        status.write_text(f'{{ "child-pid": {init}, "start-ticks": {first.start_ticks} }}\n')
        end(monitor)
        assert records.living(ID) == written
        end(init)
        assert records.living(ID) is None
        os.close(records.claim(ID))


def test_old_logs_are_removed_and_fences_never(records: Records, tmp_path: Path) -> None:
    records.log_file(ID).write_text("old")
    os.utime(records.log_file(ID), (0, 0))
    records.log_file("other").write_text("new")
    with records.fence(ID) as fence:
        fence.raise_to(2)
    records.tidy(older_than=3600)
    assert not records.log_file(ID).exists()
    assert records.log_file("other").exists()
    assert (tmp_path / "hub" / "fences" / ID).exists()


def test_failures_are_kept_without_secrets(records: Records) -> None:
    records.log_file(ID).write_text("\n".join([*(f"line {n}" for n in range(100)), "the key is s3cret-value", "end"]))
    failure = Machine(records).keep_failure(ID, 3, "broke with s3cret-value", secrets=["s3cret-value"])
    assert records.failure(ID) == failure
    assert failure == Failure(generation=3, reason="broke with ***", log=failure.log)
    assert failure.log.startswith("line 62\n")
    assert failure.log.endswith("the key is ***\nend")


def test_the_exit_code_of_another_program_is_no_starts(records: Records) -> None:
    os.write(descriptor := records.open_status(ID), b'{"exit-code": 3}')
    os.close(descriptor)
    assert Machine(records).keep_failure(ID, 4, "there is no such program").exit_code is None
    assert Machine(records).keep_failure(ID, 3, "it ended", ended=True).exit_code == 3


def test_a_log_that_may_quote_forgotten_secrets_is_not_shown(records: Records) -> None:
    records.log_file(ID).write_text("it quotes a secret")
    assert Machine(records).keep_failure(ID, 3, "broke", log=False).log == NO_LOG
    assert records.failure(ID) == Failure(generation=3, reason="broke", log=NO_LOG)


@pytest.mark.parametrize(
    ("status", "how", "code"),
    [
        ('{"exit-code": 1}', "exit code 1", 1),
        ('{"exit-code": 137}', "exit code 137, as when memory runs out", 137),
        ("", "it was killed", None),
    ],
)
def test_an_end_that_no_hub_was_there_to_note_is_noted_when_it_is_asked_for(
    records: Records, status: str, how: str, code: int | None
) -> None:
    """As when the container goes in which the hub and its servers run."""
    records.write(record(os.getpid(), process=gone()))
    os.write(descriptor := records.open_status(ID), status.encode())
    os.close(descriptor)
    records.log_file(ID).write_text(f"the last line\ntoken={'0f' * 16}")
    ending = Machine(records).ending(ID, 3)
    reason = f"The server ended by itself ({how})"
    assert ending == Failure(generation=3, reason=reason, log="the last line\ntoken=***", exit_code=code)
    assert records.failure(ID, 3) == ending
    # Nothing is known of other generations, and nothing is made up.
    assert Machine(records).ending(ID, 2) is None
    assert Machine(records).ending(ID, 4) is None


@pytest.mark.parametrize("change", [{"boot_id": "another"}, {"start_ticks": -1}], ids=["machine", "container"])
def test_an_end_together_with_jupyterhubs_machine_or_container_is_said_to_be_one(
    change: dict[str, Any], records: Records
) -> None:
    process = processes.identify(os.getpid())
    assert process is not None
    records.write(record(os.getpid(), process=msgspec.structs.replace(process, **change)))
    ending = Machine(records).ending(ID, 3)
    assert ending is not None
    assert ending.reason == (
        "The server ended with the machine or the container that JupyterHub runs in, which was started anew"
    )


def test_the_end_of_a_server_with_secrets_shows_no_log(records: Records) -> None:
    records.write(record(os.getpid(), process=gone(), secrets=True))
    records.log_file(ID).write_text("it quotes a secret")
    ending = Machine(records).ending(ID, 3)
    assert ending is not None
    assert ending.log == NO_LOG


def test_a_server_that_lives_has_no_end(records: Records, tmp_path: Path) -> None:
    holder = hold(tmp_path / "hub")
    try:
        records.write(record(holder.pid))
        assert Machine(records).ending(ID, 3) is None
    finally:
        holder.kill()
        holder.wait()
    assert Machine(records).ending(ID, 3) is not None


def test_a_secret_that_the_kept_lines_cut_is_not_shown(records: Records) -> None:
    """The last bytes of a log may begin in the middle of one."""
    secret = "s3cret-" + "x" * (2 * LOG_BYTES)
    records.log_file(ID).write_text(f"the key is {secret}\nthe end")
    assert Machine(records).keep_failure(ID, 3, "broke", secrets=[secret]).log == "the end"


async def test_ending_a_server_that_does_not_live_fences_all_the_same(records: Records) -> None:
    assert await Machine(records).end(ID, up_to_generation=5) == []
    with records.fence(ID) as fence:
        assert fence.lowest == 6


async def test_the_cgroups_of_a_server_whose_monitor_was_killed_are_removed(records: Records, tmp_path: Path) -> None:
    left = tmp_path / "cgroup"
    left.mkdir()
    records.write(record(os.getpid(), process=gone(), cgroups=(str(left),)))
    assert records.living(ID) is None
    assert await Machine(records).end(ID, up_to_generation=3) == []
    assert not left.exists()


async def test_what_lives_without_a_record_is_not_taken_for_gone(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.machine._PROOF_SECONDS", 0.1)
    holder = hold(tmp_path / "hub")
    try:
        with pytest.raises(ServerBusy, match="no record"):
            await Machine(records).end(ID, up_to_generation=3, grace=0)
    finally:
        holder.kill()
        holder.wait()
    assert await Machine(records).end(ID, up_to_generation=3, grace=0) == []


async def test_a_later_generation_is_left_alone(tmp_path: Path) -> None:
    records = Records(tmp_path)
    holder = hold(tmp_path)
    try:
        records.write(record(holder.pid, generation=9))
        assert await Machine(records).end(ID, up_to_generation=8) == []
        assert holder.poll() is None
        assert await Machine(records).end(ID, up_to_generation=9, grace=0) == []
    finally:
        assert holder.wait(5) < 0
    assert records.living(ID) is None


def test_a_process_is_more_than_its_number() -> None:
    me = processes.identify(os.getpid())
    assert me is not None
    assert processes.is_alive(me)
    assert not processes.is_alive(processes.Process(me.pid, me.start_ticks + 1, me.boot_id))
    assert not processes.is_alive(processes.Process(me.pid, me.start_ticks, "another boot"))
    child = subprocess.Popen(["sleep", "60"])
    found = processes.identify(child.pid)
    assert found in processes.children(os.getpid())
    child.kill()
    while child.returncode is None and processes.identify(child.pid) is not None:
        time.sleep(0.01)
    # A zombie is dead.
    assert processes.identify(child.pid) is None
    child.wait()


def test_the_log_of_a_living_server_is_shown_without_secrets(records: Records) -> None:
    assert Machine(records).log(ID) is None
    records.write(record(os.getpid()))
    records.log_file(ID).write_text("x\n" * LOG_BYTES + f"serving\npassword=hunter2-of-alice\ntoken {'0f' * 16}\n")
    shown = Machine(records).log(ID)
    assert shown is not None
    assert shown.endswith("serving\npassword=***\ntoken ***")
    assert len(shown) <= LOG_BYTES
    # What people's secrets are is not known here.
    records.write(record(os.getpid(), secrets=True))
    records.log_file(ID).write_text("the value of a secret")
    assert Machine(records).log(ID) == LOG_WITH_SECRETS
    # Of a process that is gone its end tells, see `ending`.
    records.write(record(os.getpid(), process=gone()))
    assert Machine(records).log(ID) is None
