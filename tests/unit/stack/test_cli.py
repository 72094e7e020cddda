"""The commands as they are typed, where no stack need run: what they say, and with which code they end."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub import processes
from hub.processes import Process
from stack import cli
from stack.layout import Layout, layout_of
from stack.state import Claim, Ended, Info, State, write_state
from tests.project import PROJECT

PROGRAM = Path(sys.executable).with_name("nbhub")
COMMANDS = [
    *(["up"], ["up", "--detach"], ["down"], ["status"], ["restart", "api"], ["token", "bob@example.org"]),
    *(["hub-token", "bob@example.org"], ["rotate-keys"], ["demo", "--exit"]),
]


def nbhub(*words: str | Path, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, cwd=cwd, check=False)


def me() -> Process:
    found = processes.identify(os.getpid())
    assert found is not None
    return found


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Layout]:
    """A stack that is up, as far as can be told from outside: its supervisor is this process, nothing listens."""
    with Claim(tmp_path):
        layout = layout_of(tmp_path)
        say(layout)
        yield layout


def say(layout: Layout, **ended: Ended) -> None:
    info = Info(
        api=layout.url("api"),
        jupyterhub=layout.url("hub_proxy"),
        temporal="127.0.0.1:1",
        temporal_ui=layout.url("temporal_ui"),
        vault=layout.url("vault"),
        issuer=layout.url("oidc"),
        database=layout.database_url(),
        data_root=str(layout.data_root),
        log_dir=str(layout.logs),
        pids={},
        programs={},
    )
    write_state(layout.directory, State(supervisor=me(), processes={"vault": me()}, ended=ended, info=info))


def test_status_of_a_stack_that_runs_succeeds(up: Layout) -> None:
    ran = nbhub("status", "--dir", up.directory)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "not running" not in ran.stdout


def test_status_fails_while_a_part_is_dead_and_says_since_when(up: Layout) -> None:
    dies = Ended(since=time.time() - 30, exit_code=-9, given_up=False)
    dead = Ended(since=time.time() - 600, exit_code=1, given_up=True)
    say(up, api=dies, worker=dead)
    ran = nbhub("status", "--dir", up.directory)
    assert ran.returncode == 1
    api, worker = [line for line in ran.stdout.splitlines() if line.startswith("not running")]
    assert "not running: api, since 20" in api
    assert "exit code -9; it is being started again; its log is" in api
    assert f"`nbhub restart worker` tries again; its log is {up.logs}/worker.log" in worker
    shown = nbhub("status", "--json", "--dir", up.directory)
    assert shown.returncode == 1
    assert '"given_up": true' in shown.stdout
    again = nbhub("up", "--detach", "--dir", up.directory)
    assert (again.returncode, "not running: worker" in again.stderr) == (1, True), "up, but not all of it"


def test_a_part_that_does_not_answer_is_named_with_its_log(up: Layout) -> None:
    for command in ("token", "hub-token"):
        ran = nbhub(command, "bob@example.org", "--dir", up.directory)
        assert (ran.returncode, ran.stdout) == (1, "")
        assert f"api does not answer (ConnectError); its log is {up.logs}/api.log" in ran.stderr


def test_a_restart_of_a_part_of_a_stack_that_takes_no_requests_is_a_sentence(up: Layout) -> None:
    ran = nbhub("restart", "api", "--dir", up.directory)
    assert (ran.returncode, ran.stderr) == (
        1,
        "nbhub: the stack does not take requests: it is starting or ending\n",
    )


@pytest.mark.parametrize(
    "words", [["status"], ["status", "--json"], ["--help"]], ids=["status", "for programs", "help"]
)
def test_a_reader_that_has_seen_enough_is_no_traceback(up: Layout, words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    directory = [] if "--help" in words else ["--dir", str(up.directory)]
    ran = subprocess.run([PROGRAM, *words, *directory], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (141, b"")


def test_who_looks_at_where_nothing_runs_leaves_nothing_behind(tmp_path: Path) -> None:
    directory = tmp_path / "none"
    for command in (["status"], ["restart", "api"], ["token", "bob@example.org"], ["hub-token", "x"], ["rotate-keys"]):
        ran = nbhub(*command, "--dir", directory)
        assert (ran.returncode, ran.stderr.count("\n")) == (1, 1), ran.stderr
    assert nbhub("down", "--dir", directory).returncode == 0
    assert not directory.exists()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_directory_that_cannot_be_one_is_a_sentence(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "file").touch()
    ran = nbhub(*command, "--dir", tmp_path / "file")
    assert "Traceback" not in ran.stderr
    assert ran.stderr.startswith("nbhub: ")


@pytest.mark.parametrize("number", ["0", "-1", "33", "many"])
def test_a_number_of_workers_that_makes_no_sense_is_refused(
    number: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.parse(["up", "--workers", number, "--dir", str(tmp_path)])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "--workers" in said
    assert number in said


@pytest.mark.parametrize("number", ["1", "32"])
def test_a_number_of_workers_that_makes_sense_is_taken(number: str) -> None:
    assert cli.parse(["up", "--workers", number]).workers == int(number)


def test_the_projects_stack_is_found_from_anywhere_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for here in (PROJECT, PROJECT / "docs"):
        monkeypatch.chdir(here)
        assert cli.parse(["status"]).directory == PROJECT / ".nbhub"
    monkeypatch.chdir(tmp_path)
    assert cli.parse(["status"]).directory == tmp_path / ".nbhub"


def test_a_command_that_only_looks_imports_nothing_heavy() -> None:
    heavy = "{'httpx', 'temporalio', 'asyncpg', 'cryptography'}"
    code = f"import sys; from stack import cli; print({heavy} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
