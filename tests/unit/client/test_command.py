"""The command `nbhub` against a documented API: what it prints where, how it ends, and how its help reads."""

import functools
import json
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import httpx2
import pytest

import nbhub.cli.files
import nbhub.cli.options
import nbhub.cli.servers
import nbhub.cli.watching
import nbhub.synchronous.following
import nbhub.synchronous.transport
from nbhub import Hub
from nbhub.cli import sign_in
from nbhub.cli.application import MORE, NOUNS, SIGN_IN
from nbhub.cli.exits import MEANINGS, Exit, exit_of
from nbhub.cli.output import amount
from nbhub.cli.program import main
from nbhub.profiles import FILE, Profile, Profiles
from tests.project import PROJECT
from tests.unit.client.documented import ID, MOMENT, SCHEMAS, URL, Documented, operations, sample

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
    "whoami": "whoAmI",
    "usage": "getUsage",
    "health": "checkHealth",
    "health --email bob@example.org": "getVersion",
    "servers list": "listServers",
    "servers show {id}": "getServer",
    "servers create lab --dataset {id} --tag ice": "createServer",
    "servers edit {id} --hardware cpuSmall": "updateTemplate",
    "servers restart {id}": "stopServer",
    "servers applications": "listApplications",
    "servers hardware": "listHardwareOptions",
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
    "templates edit {id} --add-dataset {id} --drop-dataset text --public yes": "updateTemplate",
    "templates tags": "listTemplateTags",
    "templates delete {id} -y": "deleteTemplate",
    "datasets list --limit 1": "listDatasets",
    "datasets create ice": "createDataset",
    "datasets show {id}": "getDataset",
    "datasets edit {id} --rename snow": "updateDataset",
    "datasets share {id} --with bob@example.org,@glaciers --until 2027-01-31": "shareDataset",
    "datasets unshare {id} --with org:chemistry": "revokeDataset",
    "datasets access {id}": "getDatasetAccess",
    "datasets access {id} --explain bob@example.org": "explainDatasetAccess",
    "datasets restore {id}": "restoreDataset",
    "datasets delete {id} --yes": "deleteDataset",
    "modules list --name gdal --sort name": "listModules",
    "modules show {id}": "getModule",
    "modules create gdal 3.9": "createModule",
    "modules edit {id} --version 3.10 --call setenv": "updateModule",
    "modules functions": "listLuaFunctions",
    "modules share {id} --with bob@example.org": "shareModule",
    "modules unshare {id} --with bob@example.org": "revokeModule",
    "modules access {id}": "getModuleAccess",
    "modules access {id} --explain bob@example.org": "explainModuleAccess",
    "modules restore {id}": "restoreModule",
    "modules delete {id} --yes": "deleteModule",
    "secrets list --type raw": "listSecrets",
    "secrets show {id}": "getSecret",
    "secrets create API_KEY --file key={file}": "createSecret",
    "secrets edit {id} --description key": "updateSecret",
    "secrets replace {id} --file key={file}": "updateSecret",
    "secrets share {id} --with bob@example.org --write": "shareSecretById",
    "secrets unshare {id} --with bob@example.org": "revokeSecret",
    "secrets access {id}": "getSecretAccess",
    "secrets access {id} --explain bob@example.org": "explainSecretAccess",
    "secrets delete {id} --yes": "deleteSecret",
    "groups list": "listGroups",
    "groups show {id}": "getGroup",
    "groups create glaciers": "createGroup",
    "groups rename {id} ice": "renameGroup",
    "groups delete {id} --yes": "deleteGroup",
    "groups members {id}": "listGroupMembers",
    "groups add {id} bob@example.org": "addGroupMember",
    "groups remove {id} bob@example.org": "removeGroupMember",
    "groups promote {id} bob@example.org": "updateGroupMember",
    "groups demote {id} bob@example.org": "updateGroupMember",
    "groups mount {id}": "updateGroupMember",
    "groups unmount {id} --no-wait": "updateGroupMember",
    "people find bob": "findPeople",
    "people organisations": "listOrganisations",
    "ops list --status failed": "listOperations",
    "ops show {id}": "getOperation",
    "ops watch {id}": "followOperation",
    "ops results {id}": "listOperationResults",
    "ops cancel {id}": "cancelOperation",
    "admin servers --status running": "listServers",
    "admin stop --owner bob@example.org --yes": "stopServer",
    "admin ops --kind server.start": "listOperations",
    "admin audit list --action server.start --since 2026-01-01": "listAudit",
    "admin audit export --form jsonl": "listAudit",
    "admin audit head": "listAuditSeals",
    "admin prepare bob@example.org": "initialize",
    "admin release bob@example.org --yes": "releaseEmail",
    "api GET /version": "getVersion",
    "trash list": "listTrash",
    "servers log {id}": "getServerLog",
    "files ls": "listFiles",
    "files cat home:ice": "readFile",
    "files mv home:ice home:snow": "moveFile",
    "files cp home:ice home:snow/": "copyFile",
    "files rm home:ice --yes": "deleteFile",
    "files mkdir home:ice": "createFile",
    "files put {file} home:": "writeFile",
}
# Which are tried by tests of their own.
ELSEWHERE = {
    "login": {"beginSignIn", "completeSignIn"},
    "login --device": {"beginSignInOnDevice", "completeSignInOnDevice"},
    "logout": {"signOut"},
    "files put": {"beginUpload", "continueUpload", "getUpload"},
    "events": {"followEvents"},
    "any, with a token that has expired": {"refreshTokens"},
}
# Reviewed: what nobody types. `nbhub api` has it.
LEFT_TO_API = {
    "endUpload": "an upload that was given up ends by itself",
    "isSignedIn": "whoami says more",
    "listHardware": "the bare list of servers hardware",
    "resumeSession": "for pages: the cookie of a browser",
    "shareSecret": "the other path of shareSecretById",
    "whoAmIInJupyterHub": "what JupyterHub calls one is for programs",
}


@pytest.mark.parametrize(("command", "operation"), COMMANDS.items())
def test_a_command_asks_for_what_it_says(command: str, operation: str, documented: Documented, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    assert main(command.format(id=ID, file=tmp_path / "file").split()) == Exit.DONE
    assert operation in documented.asked


DRY = (
    "servers create lab",
    "servers create --template {id}",
    "servers start {id}",
    "servers stop {id}",
    "servers unshare {id}",
    "servers delete {id}",
    "templates delete {id}",
    "datasets share {id} --with bob@example.org",
    "modules unshare {id} --with @glaciers --write",
    "secrets delete {id}",
    "groups remove {id} bob@example.org",
)


@pytest.mark.parametrize("command", DRY)
def test_what_is_dry_is_asked_for_as_such_alone(
    command: str, documented: Documented, answer: Callable[[Handler], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a question, too: nothing is done that would take one."""
    writes: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        if request.method != "GET":
            writes.append(request)
        return documented.handle(request)

    answer(handle)
    assert main([*command.format(id=ID).split(), "--dry-run", "--json"]) == Exit.DONE
    assert [one.url.params["dry_run"] for one in writes] == ["true"]
    assert json.loads(capsys.readouterr().out) == sample(SCHEMAS["PreviewView"])


def preview(**more: Any) -> dict[str, Any]:
    """What the API says of a write that comes to nothing but this."""
    nothing = {"servers": 0, "own_servers": [], "results": [], "inside": [], "left_out": []}
    return {"kind": "dataset.revoke", "status": "queued", **nothing, **more}


def test_a_preview_reads_as_what_would_happen(
    answer: Callable[[Handler], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*words: str, **more: Any) -> tuple[int, str]:
        record = {**sample(SCHEMAS["DatasetView"]), "_id": ID, "name": "ice"}
        answer(lambda asked: httpx2.Response(200, json=record if asked.method == "GET" else preview(**more)))
        code = main([*words, "--dry-run"])
        return code, capsys.readouterr().out

    bob = {"entity": "bob@example.org", "type": "user", "outcome": "revoked"}
    unshare = ("datasets", "unshare", ID, "--with", "bob@example.org")
    assert told(*unshare, results=[bob], servers=2, own_servers=[ONE], stops_at="2027-01-31T10:00:00Z") == (
        Exit.DONE,
        f"""dataset.revoke would begin, and be followed to its end

for:
ENTITY           TYPE  OUTCOME  DETAIL
bob@example.org  user  revoked  -

2 servers would be stopped, the first at 2027-01-31 10:00:00Z
of which you see: {ONE}
""",
    )
    refused = {**bob, "outcome": "refused", "detail": "nobody has it"}
    code, out = told(*unshare, kind="dataset.share", status="succeeded", results=[refused])
    assert (code, out.splitlines()[0]) == (Exit.PARTLY, "dataset.share would be done at once")
    inside = {"kind": "dataset", "_id": ONE, "name": "ice\x1b", "write": True, "owner": "alice@example.org"}
    left = {"kind": "secret", "_id": ONE, "reason": "expired"}
    _, out = told("datasets", "delete", ID, kind="server.start", inside=[inside], left_out=[left], servers=1)
    assert out.splitlines() == [
        "server.start would begin, and be followed to its end",
        "",
        "the server would have:",
        "KIND     NAME  VERSION  WRITE  OWNER",
        "dataset  ice   -        yes    alice@example.org",
        "",
        "the server would not have:",
        "KIND    ID                                    REASON",
        f"secret  {ONE}  expired",
        "",
        "1 server would be stopped",
    ]


def test_every_operation_has_a_command_or_is_left_to_nbhub_api_knowingly() -> None:
    covered = {*COMMANDS.values(), *(one for some in ELSEWHERE.values() for one in some)}
    assert not covered & LEFT_TO_API.keys()
    missing = operations().keys() - covered - LEFT_TO_API.keys()
    assert not missing, f"give {missing} a command in client/nbhub/cli, or the reason why not in LEFT_TO_API"
    assert covered | LEFT_TO_API.keys() <= operations().keys(), "which is no operation any more"


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


def test_what_is_near_to_a_wrong_name_is_asked_and_few_of_many_are_told(
    answer: Callable[[Handler], None], capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = sample(SCHEMAS["DatasetView"])
    answer(lambda _: httpx2.Response(200, json=[{**dataset, "name": "glaciers"}]))
    assert main(["datasets", "show", "glasiers"]) == Exit.NOT_FOUND
    assert capsys.readouterr().err == "nbhub: there is no dataset glasiers\n  Is it glaciers?\n"
    answer(lambda _: httpx2.Response(200, json=[{**dataset, "name": f"ice-{number}"} for number in range(500)]))
    assert main(["datasets", "show", "ice"]) == Exit.USAGE
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "nbhub: ice may be any of 500; an id says which:"
    assert lines[-1] == "  and 490 more"
    assert len(lines) == 12


@pytest.mark.parametrize(
    ("status", "more", "told"),
    [
        (401, {}, "Sign in: nbhub login"),
        (412, {}, "Look at what it is now"),
        (429, {"Retry-After": "90"}, "Try again in 90 s"),
        (503, {}, "nbhub health"),
        (500, {"X-Request-Id": "r-1"}, "r-1"),
    ],
)
def test_what_to_do_next_is_said(
    status: int,
    more: dict[str, str],
    told: str,
    answer: Callable[[Handler], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def handle(request: httpx2.Request) -> httpx2.Response:
        response = refusing(status)(request)
        response.headers.update(more)
        return response

    answer(handle)
    main(["servers", "show", ID])
    assert told in capsys.readouterr().err
    monkeypatch.setenv("NBHUB_TOKEN", "old")
    main(["servers", "show", ID])
    assert ("NBHUB_TOKEN has the token" in capsys.readouterr().err) is (status == 401)


def test_a_pause_that_somebody_notices_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waits = iter([429, 503, 200])

    def handle(_: httpx2.Request) -> httpx2.Response:
        status = next(waits)
        return httpx2.Response(status, json=[], headers={"Retry-After": "12" if status == 429 else "1"})

    made = functools.partial(Hub, URL, "token", transport=httpx2.MockTransport(handle), max_retries=3)
    monkeypatch.setattr(nbhub.cli.options, "Hub", lambda **_: made())
    monkeypatch.setattr(nbhub.synchronous.transport, "sleep", lambda _: None)
    assert main(["servers", "list"]) == Exit.DONE
    assert f"nbhub: {URL} wants fewer requests: trying again in 12 s\n" in capsys.readouterr().err


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


EVENT = {"kind": "server", "_id": ID, "change": "changed", "at": MOMENT}


def stream_of(*events: dict[str, Any]) -> httpx2.Response:
    told = "".join(f"event: change\nid: {number}\ndata: {json.dumps(one)}\n\n" for number, one in enumerate(events))
    return httpx2.Response(200, text=told, headers={"Content-Type": "text/event-stream"})


class Watched:
    """Servers that change each time when somebody has looked, and whose API is away now and then."""

    def __init__(self, *answers: str | int) -> None:
        self.answers = iter(answers)
        self.looked = threading.Event()
        self.since: list[str | None] = []

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/events":
            self.since.append(request.headers.get("last-event-id"))
            self.looked.wait(5)
            self.looked.clear()
            return stream_of(EVENT)
        self.looked.set()
        try:
            answer = next(self.answers)
        except StopIteration:
            raise KeyboardInterrupt from None
        if isinstance(answer, int):
            return refusing(answer)(request)
        return httpx2.Response(200, json=[{**SERVER, "name": answer}])


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long."""
    monkeypatch.setattr(nbhub.cli.watching, "_TOGETHER_SECONDS", 0.0)
    monkeypatch.setattr(nbhub.cli.watching, "_AWAY_SECONDS", 0.0)
    monkeypatch.setattr(nbhub.synchronous.following, "_BREATH_SECONDS", 0.0)


@pytest.mark.usefixtures("hurried")
def test_a_list_that_is_watched_is_shown_when_an_event_says_so(
    answer: Callable[[Handler], None], capsys: pytest.CaptureFixture[str]
) -> None:
    api = Watched("lab", "lab", 503, 503, "ice")
    answer(api.handle)
    assert main(["servers", "list", "--watch"]) == Exit.DETACHED
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["NAME", "lab", "NAME", "ice"]
    assert err.count("Looking again until it is back") == 1
    assert api.since[:2] == [None, "0"], "it goes on where it was"


@pytest.mark.usefixtures("hurried")
def test_events_are_a_line_each(answer: Callable[[Handler], None], capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        if len(asked) > 1:
            raise KeyboardInterrupt
        return stream_of({**EVENT, "status": "running\x1b[31m"}, EVENT)

    answer(handle)
    assert main(["events"]) == Exit.DETACHED
    out = capsys.readouterr().out
    assert [line.split("Z  ")[1] for line in out.splitlines()] == [
        f"server {ID}  changed  running [31m",
        f"server {ID}  changed",
    ]
    assert set(asked) == {"/events"}


STOPPED = {
    **SERVER,
    "status": "stopped",
    "last_error": {**SERVER["last_error"], "message": "It has crashed.", "log": "c"},
}


@pytest.mark.parametrize(
    ("logs", "told"),
    [
        (["a\nb", 409], "a\nb\nc\n"),
        (["a\nb", "a\nb", "b\nc", 409], "a\nb\nc\n"),
        ([409], "c\n"),
        (["x", 404], "x\n"),
    ],
)
def test_a_log_is_followed_to_the_end_of_its_server(
    logs: list[str | int],
    told: str,
    answer: Callable[[Handler], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    written = iter(logs)

    def handle(request: httpx2.Request) -> httpx2.Response:
        if not request.url.path.endswith("/log"):
            return httpx2.Response(200, json=STOPPED)
        one = next(written)
        return refusing(one)(request) if isinstance(one, int) else httpx2.Response(200, json={"log": one})

    answer(handle)
    monkeypatch.setattr(nbhub.cli.servers, "_LOOK_SECONDS", 0.0)
    gone = 404 in logs
    assert main(["servers", "log", ID, "--watch"]) == (Exit.NOT_FOUND if gone else Exit.DONE)
    out, err = capsys.readouterr()
    assert out == told
    assert gone or "It has crashed." in err


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


def test_a_browser_that_is_gone_says_nothing_and_leaves_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(sign_in._Handler, "_answer", gone)
    with sign_in._Listener() as listener, socket.create_connection(("127.0.0.1", listener.server_port)) as browser:
        listener.state = "s"
        browser.sendall(b"GET /callback?state=s&code=c HTTP/1.0\r\n\r\n")
        assert listener.code(time.monotonic() + 60, pasted=False) == "c"
    assert capsys.readouterr() == ("", "")


def test_a_secret_without_a_value_is_not_asked_for(
    documented: Documented, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO("\n"))
    assert main(["secrets", "create", "API_KEY"]) == Exit.USAGE
    assert "no value on stdin" in capsys.readouterr().err
    assert not documented.requests


@pytest.mark.parametrize(
    ("details", "told"),
    [
        ([("/hardware", "must be one of: a, b")], "nbhub: hardware: must be one of: a, b\n"),
        ([("/groupArray/0", "'x' is no group")], "nbhub: group: 'x' is no group\n"),
        ([("", "is no object")], "nbhub: is no object\n"),
        (
            [("/applicationType", "is wrong"), ("/mount_path", "too")],
            "nbhub: this is not valid:\n  application type: is wrong\n  mount path: too\n",
        ),
    ],
)
def test_what_is_not_valid_is_said_once_and_in_words(
    details: list[tuple[str, str]], told: str, answer: Callable[[Handler], None], capsys: pytest.CaptureFixture[str]
) -> None:
    problems = [{"path": path, "code": "enum", "message": message, "info": {}} for path, message in details]
    message = f"The request is not valid: {details[0][0]} {details[0][1]}"
    answer(refusing(422, message=message, details=problems, hint="Do otherwise."))
    assert main(["datasets", "create", "ice"]) == Exit.USAGE
    assert capsys.readouterr().err == f"{told}  Do otherwise.\n"


def test_what_is_in_the_trash_is_restored_by_its_name(
    answer: Callable[[Handler], None], capsys: pytest.CaptureFixture[str]
) -> None:
    moment = "2026-11-20T09:30:00Z"
    trash = [
        {"kind": kind, "_id": identity, "name": name, "trashed_at": moment, "purged_at": moment}
        for kind, identity, name in (("module", ONE, "ice"), ("dataset", ID, "ice"), ("dataset", ONE, "snow"))
    ]
    asked: list[str] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        asked.append(f"{request.method} {request.url.path}")
        return httpx2.Response(200, json=trash if request.method == "GET" else sample(SCHEMAS["DatasetView"]))

    answer(handle)
    assert main(["datasets", "restore", "ice"]) == Exit.DONE
    assert main(["datasets", "restore", ID]) == Exit.DONE
    assert asked == ["GET /trash", *[f"POST /datasets/{ID}/restore"] * 2]
    assert main(["datasets", "restore", "rain"]) == Exit.NOT_FOUND
    assert "there is no dataset rain in the trash" in capsys.readouterr().err
    trash.append({**trash[1], "_id": ONE})
    assert main(["datasets", "restore", "ice"]) == Exit.USAGE
    err = capsys.readouterr().err
    assert ID in err
    assert ONE in err


def test_who_has_no_access_is_said_to_have_none(
    answer: Callable[[Handler], None], capsys: pytest.CaptureFixture[str]
) -> None:
    explained = {"email": "bob@example.org", "via": []}
    answer(
        lambda request: httpx2.Response(
            200, json=explained if "explain" in request.url.path else sample(SCHEMAS["DatasetView"])
        )
    )
    assert main(["datasets", "access", ID, "--explain", "bob@example.org"]) == Exit.DONE
    assert "bob@example.org has no access" in capsys.readouterr().err


def test_a_write_whose_answer_was_lost_may_be_done(
    answer: Callable[[Handler], None], capsys: pytest.CaptureFixture[str]
) -> None:
    for error, command, perhaps in (
        (httpx2.ReadError("cut off"), "create", True),
        (httpx2.ConnectError("down"), "create", False),
        (httpx2.ReadError("cut off"), "show", False),
    ):

        def handle(_: httpx2.Request, error: Exception = error) -> httpx2.Response:
            raise error

        answer(handle)
        assert main(["datasets", command, ID]) == Exit.UNAVAILABLE
        assert ("may be done all the same" in capsys.readouterr().err) is perhaps


def test_amounts_are_told_as_people_say_them(documented: Documented, capsys: pytest.CaptureFixture[str]) -> None:
    for size, told in (
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.977 KiB"),
        (1_048_000, "0.999 MiB"),
        (2 * 2**30, "2 GiB"),
        (7680 * 2**20, "7.5 GiB"),
        (5 * 2**50, "5120 TiB"),
    ):
        assert amount(size) == told
    assert main(["servers", "hardware"]) == Exit.DONE
    assert " B " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("servres list", "is it servers?"),
        ("servers lst", "is it list?"),
        ("admin audit verfy", "is it audit verify?"),
        ("servers list --jsno", "is it --json?"),
        ("servers show", "SERVER"),
        ("servers show a b", "b is not understood here"),
        ("servers list --limit many", "--limit: many is no whole number"),
        ("servers start lab --timeout soon", "--timeout: soon is no number of seconds"),
        ("servers list --limit 0", "at least 1"),
        ("servers create", "either a NAME"),
        ("servers create lab --template lab", "either a NAME"),
        ("datasets share ice", "--with"),
        ("datasets share ice --with ,", "nobody"),
        ("datasets share ice --with bob@example.org --until later", "--until: later is no date such as 2027-01-31"),
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
            assert main([noun, *verb.split(), "--help"]) == Exit.DONE
        for group in NOUNS[noun].load().groups:
            assert main([noun, group]) == Exit.DONE
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
            assert all(word in script for word in verb.split())


class Shell:
    """A bash that completes, with a program `nbhub` that knows some names."""

    def __init__(self, script: str) -> None:
        self.script = script

    def completed(self, *words: str) -> list[str]:
        """What the last of these words may become."""
        typed = " ".join(map(shlex.quote, words))
        asked = f"COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _nbhub; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        fake = "nbhub() { printf 'asked %s\\nlab\\nmy data\\n$(echo owned)\\n' \"$2\"; }"
        command = ["bash", "--norc", "-c", f"{self.script}\n{fake}\n{asked}"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_a_shell_completes_commands_options_and_names(capsys: pytest.CaptureFixture[str]) -> None:
    main(["completion", "bash"])
    it = Shell(capsys.readouterr().out)
    assert it.completed("nbhub", "ser") == ["servers"]
    assert it.completed("nbhub", "servers", "res") == ["restart"]
    assert it.completed("nbhub", "servers", "list", "--wa") == ["--watch"]
    assert it.completed("nbhub", "admin", "au") == ["audit"]
    assert it.completed("nbhub", "admin", "audit", "ver") == ["verify"]
    assert it.completed("nbhub", "admin", "audit", "verify", "--he") == ["--head", "--help"]
    assert it.completed("nbhub", "datasets", "share", "asked") == ["asked\\ datasets"]
    assert it.completed("nbhub", "servers", "start", "my\\ d") == ["my\\ data"]
    assert it.completed("nbhub", "templates", "create", "new", "--dataset", "la") == ["lab"]
    assert it.completed("nbhub", "servers", "start", "$") == ["\\$\\(echo\\ owned\\)"], "and nothing is run"


def test_names_are_asked_for_and_none_are_no_error(
    answer: Callable[[Handler], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def named(name: str, template: str) -> dict[str, Any]:
        return {**SERVER, "name": name, "templateData": {**SERVER["templateData"], "name": template}}

    answer(lambda _: httpx2.Response(200, json=[named("a-1", "lab"), named("b-2", "lab"), named("c-3", "my data\x1b")]))
    assert main(["__names", "servers"]) == Exit.DONE
    assert capsys.readouterr() == ("a-1\nb-2\n", "")
    answer(refusing(503))
    for noun in ("servers", "nothing"):
        assert main(["__names", noun]) == Exit.DONE
        assert capsys.readouterr() == ("", "")


def loaded(*words: str) -> set[str]:
    """The modules that a command has imported."""
    script = "import sys; from nbhub.cli.program import main; main(sys.argv[1:]); print('', *sys.modules)"
    told = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True).stdout
    return set(told.splitlines()[-1].split())


def test_starting_takes_no_more_than_is_needed() -> None:
    """What is imported decides how long a start takes; the benchmarks measure it."""
    version = loaded("--version")
    assert "nbhub.cli.program" in version
    ours = {name for name in version if name.startswith("nbhub")}
    assert ours == {"nbhub", "nbhub.cli", "nbhub.cli.program", "nbhub.version"}
    slow = {"httpx2", "msgspec", "argparse", "inspect", "dataclasses", "nbhub.models", "nbhub.cli.grammar"}
    assert not version & (slow | {"typing", "importlib.metadata"})
    assert not loaded("--help") & slow
    assert not loaded("servers", "--help") & {"keyring", "nbhub.cli.records", "http.server", "asyncio", "webbrowser"}


def test_what_is_printed_is_whole_though_the_program_leaves_at_once() -> None:
    program = [sys.executable, "-c", "from nbhub.cli.program import run; run()", "--help"]
    whole = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert whole.endswith("Each tells more: nbhub COMMAND --help\n")
    wrong = subprocess.run([*program[:-1], "serverz"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (Exit.USAGE, "")
    assert "is it servers?" in wrong.stderr
