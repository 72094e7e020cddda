"""The command `nbhub` against a documented API: what it prints where, how it ends, and how its help reads."""

import json
import sys
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import httpx2
import pytest

import nbhub.cli.files
import nbhub.cli.options
from nbhub import Hub
from nbhub.cli.application import MORE, NOUNS, SIGN_IN
from nbhub.cli.exits import MEANINGS, Exit, exit_of
from nbhub.cli.program import main
from nbhub.profiles import FILE, Profile, Profiles
from tests.project import PROJECT
from tests.unit.client.documented import ID, SCHEMAS, URL, Documented, sample

Handler = Callable[[httpx2.Request], httpx2.Response]
SERVER: dict[str, Any] = sample(SCHEMAS["ServerView"])
ONE = "00000000-0000-7000-8000-000000000001"


class Terminal(StringIO):
    """A text that passes for a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def signed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profiles:
    for variable in ("NBHUB_URL", "NBHUB_TOKEN", "NBHUB_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NBHUB_CONFIG_DIR", str(tmp_path / "config"))
    profiles = Profiles()
    profiles.keep(Profile(name="default", url=URL, store=FILE))
    return profiles


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[Handler], None]:
    """Have requests answered by a handler."""

    def by(handler: Handler) -> None:
        def made(*given: Any, **more: Any) -> Hub:
            return Hub(*given, **{**more, "max_retries": 0}, transport=httpx2.MockTransport(handler))

        monkeypatch.setattr(nbhub.cli.options, "Hub", made)

    return by


class Working(Documented):
    """Of which every operation is at work when it is asked for, and succeeds once it is followed."""

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        response = super().handle(request)
        if "steps" in response.text and response.headers["content-type"] == "application/json":
            body = response.json()
            for one in body if isinstance(body, list) else [body]:
                one["status"] = "running"
            return httpx2.Response(response.status_code, json=body)
        return response


@pytest.fixture
def documented(answer: Callable[[Handler], None]) -> Documented:
    api = Working()
    answer(api.handle)
    return api


def refusing(status: int, **more: Any) -> Handler:
    error = {"statusCode": status, "name": "AnError", "code": "A_CODE", "message": "It is so.", **more}
    return lambda _: httpx2.Response(status, json={"error": error})


COMMANDS = {
    "whoami --json": "getMe",
    "servers list": "listServers",
    "servers show {id}": "getServer",
    "servers create lab": "createServer",
    "servers create --template {id}": "launchServer",
    "servers start {id}": "startServer",
    "servers stop {id}": "stopServer",
    "servers share {id}": "getServerShare",
    "servers unshare {id} --email bob@example.org": "unshareServer",
    "servers shares": "listServerShares",
    "servers delete {id} --yes": "deleteServer",
    "templates list": "listTemplates",
    "templates show {id}": "getTemplate",
    "templates create lab --tag ice": "createTemplate",
    "templates delete {id} -y": "deleteTemplate",
    "datasets list --limit 1": "listDatasets",
    "datasets create ice": "createDataset",
    "datasets share {id} --with bob@example.org,@glaciers --until 2027-01-31": "shareDataset",
    "datasets unshare {id} --with org:chemistry": "revokeDataset",
    "datasets access {id}": "getDatasetAccess",
    "datasets access {id} --explain bob@example.org": "explainDatasetAccess",
    "datasets restore {id}": "restoreDataset",
    "datasets delete {id} --yes": "deleteDataset",
    "modules create gdal 3.9": "createModule",
    "groups members {id}": "listGroupMembers",
    "groups add {id} bob@example.org": "addGroupMember",
    "groups remove {id} bob@example.org": "removeGroupMember",
    "ops list --status failed": "listOperations",
    "ops show {id}": "getOperation",
    "ops watch {id}": "followOperation",
    "ops cancel {id}": "cancelOperation",
    "api GET /version": "getVersion",
    "trash list": "listTrash",
    "servers log {id}": "getServer",
    "files ls": "listFiles",
    "files cat home:ice": "readFile",
    "files mv home:ice home:snow": "moveFile",
    "files cp home:ice home:snow/": "copyFile",
    "files rm home:ice --yes": "deleteFile",
    "files mkdir home:ice": "createFile",
}


@pytest.mark.parametrize(("command", "operation"), COMMANDS.items())
def test_a_command_asks_for_what_it_says(command: str, operation: str, documented: Documented) -> None:
    assert main(command.format(id=ID).split()) == Exit.DONE
    assert operation in documented.asked


def test_results_alone_are_on_stdout(documented: Documented, capsys: pytest.CaptureFixture[str]) -> None:
    main(["servers", "start", ID, "--json"])
    out, err = capsys.readouterr()
    assert json.loads(out)["_id"] == ID
    assert err, "the steps"
    main(["servers", "list", "--json"])
    assert json.loads(capsys.readouterr().out)[0]["_id"] == ID


def test_an_empty_list_is_no_result_but_json(
    answer: Callable[[Handler], None], capsys: pytest.CaptureFixture[str]
) -> None:
    answer(lambda _: httpx2.Response(200, json=[]))
    assert main(["servers", "list"]) == Exit.DONE
    assert capsys.readouterr() == ("", "nothing here\n")
    assert main(["servers", "list", "--json"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out) == []


def test_a_table_fits_the_terminal_and_is_whole_elsewhere(
    answer: Callable[[Handler], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    long = {**SERVER, "name": "n" * 200, "url": "http://hub.test/" + "u" * 200}
    answer(lambda _: httpx2.Response(200, json=[long]))
    main(["servers", "list"])
    assert "n" * 200 in capsys.readouterr().out
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "70")
    main(["servers", "list"])
    lines = terminal.getvalue().splitlines()
    assert max(map(len, lines)) <= 70
    assert "…" in lines[1]


def test_nothing_that_others_wrote_reaches_the_terminal_as_an_order(
    answer: Callable[[Handler], None], capsys: pytest.CaptureFixture[str]
) -> None:
    answer(lambda _: httpx2.Response(200, json=[{**SERVER, "name": "\x1b]0;owned\x07\x9b31m\r\nx"}]))
    main(["servers", "list"])
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 2
    assert not {"\x1b", "\x07", "\x9b", "\r"} & set(out)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, Exit.USAGE),
        (401, Exit.SIGN_IN),
        (403, Exit.FORBIDDEN),
        (404, Exit.NOT_FOUND),
        (409, Exit.CONFLICT),
        (412, Exit.CONFLICT),
        (422, Exit.USAGE),
        (429, Exit.UNAVAILABLE),
        (500, Exit.FAILED),
        (503, Exit.UNAVAILABLE),
    ],
)
def test_a_refusal_is_a_sentence_and_an_exit_code(
    status: int, code: Exit, answer: Callable[[Handler], None], capsys: pytest.CaptureFixture[str]
) -> None:
    answer(refusing(status, hint="Do otherwise."))
    assert main(["servers", "show", ID]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("nbhub: It is so.\n")
    assert ("nbhub login" if status == 401 else "Do otherwise.") in err


def test_an_api_that_does_not_answer_may_be_tried_again(answer: Callable[[Handler], None]) -> None:
    def down(_: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("down")

    answer(down)
    assert main(["servers", "list"]) == Exit.UNAVAILABLE


def test_who_is_not_signed_in_is_told_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NBHUB_CONFIG_DIR", str(tmp_path / "nobody"))
    assert main(["servers", "list"]) == Exit.SIGN_IN
    assert "nbhub login" in capsys.readouterr().err


def test_a_name_of_several_does_nothing(documented: Documented, capsys: pytest.CaptureFixture[str]) -> None:
    twins = [{**SERVER, "_id": one, "name": "lab"} for one in (ID, ONE)]

    def handle(request: httpx2.Request) -> httpx2.Response:
        assert request.method == "GET"
        return httpx2.Response(200, json=twins)

    documented.handle = handle  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(nbhub.cli.options, "Hub", lambda **_: Hub(URL, "token", transport=httpx2.MockTransport(handle)))
        assert main(["servers", "stop", "lab"]) == Exit.USAGE
    err = capsys.readouterr().err
    assert ID in err
    assert ONE in err


def test_nothing_is_deleted_without_being_asked_for_by_its_name(
    documented: Documented, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for stdin in (StringIO(), Terminal("other\n")):
        monkeypatch.setattr(sys, "stdin", stdin)
        assert main(["datasets", "delete", ID]) == Exit.USAGE
    assert "deleteDataset" not in documented.asked
    monkeypatch.setattr(sys, "stdin", Terminal("text\n"))
    assert main(["datasets", "delete", ID]) == Exit.DONE
    assert "deleteDataset" in documented.asked


def test_a_share_that_some_did_not_get_says_so(answer: Callable[[Handler], None]) -> None:
    results = [{"entity": "bob@example.org", "type": "user", "outcome": "refused", "detail": "so it is"}]
    api = Working()

    def handle(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/results"):
            return httpx2.Response(200, json=results)
        return api.handle(request)

    answer(handle)
    assert main(["datasets", "share", ID, "--with", "bob@example.org"]) == Exit.PARTLY


def test_a_file_goes_there_and_back(documented: Documented, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ice.bin").write_bytes(b"ice")
    monkeypatch.chdir(tmp_path)
    assert main(["files", "put", "ice.bin", "home:"]) == Exit.DONE
    assert documented.requests[-1].url.params["path"] == "ice.bin"
    assert main(["files", "get", "home:dir/back.bin"]) == Exit.DONE
    assert (tmp_path / "back.bin").read_bytes() == b"bytes"
    assert main(["files", "cp", "home:back.bin", "other.bin"]) == Exit.DONE
    assert (tmp_path / "other.bin").exists()
    for words in (["cp", "ice.bin", "snow.bin"], ["mv", "home:ice", "datasets:"], ["rm", "home:ice"]):
        monkeypatch.setattr(sys, "stdin", StringIO())
        assert main(["files", *words]) == Exit.USAGE
    assert main(["files", "put", "none.bin", "home:"]) == Exit.FAILED
    assert main(["files", "put", "ice.bin", "nowhere:x"]) == Exit.NOT_FOUND


def test_a_large_file_that_is_cut_off_goes_on_from_there(
    answer: Callable[[Handler], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(nbhub.cli.files, "_AT_ONCE", 3)
    (tmp_path / "ice.bin").write_bytes(b"0123456789")
    upload = {**sample(SCHEMAS["UploadView"]), "_id": ID, "offset": 0, "complete": False}
    sent: list[bytes] = []
    asked: list[str] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.method)
        if request.method == "PATCH":
            if asked.count("PATCH") == 1:
                raise httpx2.WriteError("cut off")
            sent.append(request.read())
            return httpx2.Response(200, json={**upload, "offset": 10, "complete": True})
        # The half of it arrived.
        return httpx2.Response(200, json={**upload, "offset": 4 if request.method == "GET" else 0})

    answer(handle)
    words = ["files", "put", str(tmp_path / "ice.bin"), "home:ice.bin"]
    assert main(words) == Exit.UNAVAILABLE
    assert f"nbhub files put {tmp_path}/ice.bin home:ice.bin --resume {ID}" in capsys.readouterr().err
    assert main([*words, "--resume", ID]) == Exit.DONE
    assert sent == [b"456789"]
    assert asked.count("POST") == 1


def test_a_list_that_is_watched_is_shown_when_it_changes(
    answer: Callable[[Handler], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = iter(["lab", "lab", "ice"])

    def handle(_: httpx2.Request) -> httpx2.Response:
        try:
            return httpx2.Response(200, json=[{**SERVER, "name": next(names)}])
        except StopIteration:
            raise KeyboardInterrupt from None

    answer(handle)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    assert main(["servers", "list", "--watch"]) == Exit.DETACHED
    lines = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["NAME", "lab", "NAME", "ice"]


def test_profiles_are_listed_and_chosen(signed_in: Profiles, capsys: pytest.CaptureFixture[str]) -> None:
    signed_in.keep(Profile(name="staging", url="http://staging.test", store=FILE))
    assert main(["profiles", "--use", "default", "--json"]) == Exit.DONE
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == ["default", "staging"]
    assert signed_in.current() == "default"
    assert main(["profiles", "--use", "nowhere"]) == Exit.USAGE
    assert main(["servers", "list", "--profile", "nowhere"]) == Exit.USAGE


def test_a_value_of_a_secret_comes_from_stdin(documented: Documented, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO("a value\n"))
    assert main(["secrets", "create", "API_KEY"]) == Exit.DONE
    (sent,) = [one for one in documented.requests if one.method == "POST"]
    assert json.loads(sent.content)["value"] == "a value"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("servres list", "is it servers?"),
        ("servers lst", "is it list?"),
        ("servers list --jsno", "is it --json?"),
        ("servers show", "SERVER"),
        ("servers show a b", "b is not understood here"),
        ("servers list --limit many", "--limit"),
        ("servers list --limit 0", "at least 1"),
        ("servers create", "either a NAME"),
        ("servers create lab --template lab", "either a NAME"),
        ("datasets share ice", "--with"),
        ("datasets share ice --with ,", "nobody"),
        ("datasets share ice --with bob@example.org --until later", "--until"),
        ("api GET version", "/version"),
        ("completion tcsh", "tcsh"),
        ("--json servers list", "--json"),
    ],
)
def test_what_cannot_be_understood_is_said_in_a_sentence(
    typed: str, told: str, documented: Documented, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed.split()) == Exit.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert "Traceback" not in err
    assert not documented.requests


def test_the_page_of_commands_has_their_help_as_it_is() -> None:
    sys.path.insert(0, str(PROJECT / "client"))
    try:
        import write_commands
    finally:
        sys.path.pop(0)
    page = write_commands.PAGE.read_text()
    assert page == write_commands.generate(page), "make client"
    assert max(len(line) for line in page.partition(write_commands.MARK)[2].splitlines()) <= 80


def test_every_command_tells_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    for noun in NOUNS:
        assert main([noun, "--help"]) == Exit.DONE
        for verb in NOUNS[noun].load().commands:
            assert main([noun, verb, "--help"]) == Exit.DONE
    for name in (*SIGN_IN, *MORE):
        assert main([name, "-h"]) == Exit.DONE
    assert main(["--version"]) == Exit.DONE
    assert capsys.readouterr().err == ""


def test_every_exit_code_is_explained() -> None:
    assert set(MEANINGS) == set(Exit)
    assert exit_of(RuntimeError()) == Exit.FAILED


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == Exit.DONE
    script = capsys.readouterr().out
    for noun in NOUNS.values():
        for verb in noun.load().commands:
            assert verb in script


def test_starting_takes_no_more_than_is_needed() -> None:
    """What is imported decides how long a start takes; the benchmarks measure it."""
    import subprocess

    script = "import sys; from nbhub.cli.program import main; main(['--version']); print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    loaded = set(printed.split())
    assert "nbhub.cli.program" in loaded
    assert not loaded & {"httpx2", "msgspec", "argparse", "importlib.metadata", "nbhub.models"}
    script = "import sys; from nbhub.cli.program import main; main(['servers', '--help']); print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert not set(printed.split()) & {"keyring", "nbhub.cli.records", "http.server", "asyncio"}
