"""The arguments of the sandbox: an allow-list, and no capability to leave it."""

import base64
import html
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from hub.bubblewrap import ENVIRONMENT, files_of_etc, sandbox_arguments
from hub.launch import FIRST_FILE_FD
from hub.redaction import redact
from hub.settings import HubSettings


def build(tmp_path: Path) -> tuple[str, ...]:
    return sandbox_arguments(
        home=Path("/data/homes/alice"),
        mounts=((Path("/data/d/1"), "/opt/datasets/one", True), (Path("/data/d/2"), "/opt/datasets/two", False)),
        files=files_of_etc(tmp_path),
        readable=(Path("/srv/venv"), Path("/usr/local"), Path("/srv/venv")),
        memory_bytes=1024,
        variables={"API_KEY": "shh"},
        secret_files=("/opt/secret/a", "/opt/secret/b/c"),
        own_network=True,
    )


def pairs(arguments: tuple[str, ...], option: str) -> list[tuple[str, str]]:
    return [(arguments[place + 1], arguments[place + 2]) for place, word in enumerate(arguments) if word == option]


def test_the_sandbox_cannot_be_left(tmp_path: Path) -> None:
    arguments = build(tmp_path)
    for flag in (
        "--unshare-user",
        "--disable-userns",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-net",
        "--new-session",
    ):
        assert flag in arguments
    assert "--die-with-parent" in arguments
    assert arguments[arguments.index("--cap-drop") + 1] == "ALL"
    assert arguments[arguments.index("--uid") + 1] == "1000"
    closed = [arguments[place + 1] for place, word in enumerate(arguments) if word == "--remount-ro"]
    assert closed == ["/dev", "/"]


def test_only_what_was_named_is_visible(tmp_path: Path) -> None:
    arguments = build(tmp_path)
    assert pairs(arguments, "--bind") == [
        ("/data/homes/alice", "/home/jovyan"),
        ("/data/d/2", "/opt/datasets/two"),
    ]
    read_only = pairs(arguments, "--ro-bind")
    assert ("/data/d/1", "/opt/datasets/one") in read_only
    assert read_only.count(("/srv/venv", "/srv/venv")) == 1
    assert ("/usr/local", "/usr/local") not in read_only
    assert not {"/", "/etc", "/home", "/root", "/var", "/run"} & {source for source, _ in read_only}
    etc = {source for source, _ in pairs(arguments, "--ro-bind-try")}
    assert all(source.startswith("/etc/") for source in etc)
    assert not etc & {"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/sudoers", "/etc/ssh"}
    assert "--dev-bind" not in arguments


def test_secrets_are_put_in_before_the_root_is_closed(tmp_path: Path) -> None:
    arguments = build(tmp_path)
    assert pairs(arguments, "--setenv") == [("API_KEY", "shh")]
    assert pairs(arguments, "--file") == [
        (str(FIRST_FILE_FD), "/opt/secret/a"),
        (str(FIRST_FILE_FD + 1), "/opt/secret/b/c"),
    ]
    places = [place for place, word in enumerate(arguments) if word == "--file"]
    for place in places:
        # A mode is that of the next operation alone.
        assert arguments[place - 2 : place] == ("--perms", "0400")
    binds = [place for place, word in enumerate(arguments) if word in ("--bind", "--ro-bind", "--ro-bind-try")]
    # After what is mounted, which would hide them; before the root is closed, which would refuse them.
    assert max(binds) < min(places)
    assert max(places) < arguments.index("--remount-ro")
    assert arguments.count("--perms") == arguments.count("--file") == 2


def test_without_secrets_there_is_nothing_of_them(tmp_path: Path) -> None:
    arguments = sandbox_arguments(
        home=Path("/h"),
        mounts=(),
        files=(),
        readable=(),
        memory_bytes=1,
        variables={},
        secret_files=(),
        own_network=True,
    )
    assert not {"--setenv", "--perms", "--file"} & set(arguments)


def test_the_only_account_is_the_sandboxs_own(tmp_path: Path) -> None:
    files = {inside: file.read_text() for file, inside in files_of_etc(tmp_path)}
    assert files["/etc/passwd"] == "jovyan:x:1000:1000::/home/jovyan:/bin/bash\n"
    assert set(files) == {"/etc/passwd", "/etc/group", "/etc/profile"}


def test_files_that_running_sandboxes_show_are_left_alone(tmp_path: Path) -> None:
    files = [file for file, _ in files_of_etc(tmp_path)]
    right = [file.read_text() for file in files]
    for file in files:
        os.utime(file, (1, 1))
    files_of_etc(tmp_path)
    assert [file.stat().st_mtime for file in files] == [1, 1, 1]
    files[0].write_text("of an older version")
    files_of_etc(tmp_path)
    assert [file.read_text() for file in files] == right


@pytest.mark.parametrize("shell", [("bash",), ("bash", "--posix"), ("sh",)])
def test_a_login_shell_keeps_the_servers_environment(tmp_path: Path, shell: tuple[str, ...]) -> None:
    """Sourced, as by a login shell: nothing of it may fail, say something, or change what the modules set."""
    profile = next(file for file, inside in files_of_etc(tmp_path) if inside == "/etc/profile")
    start = tmp_path / "start"
    start.write_text("told() { echo told; }")
    environment = {
        "HOME": str(tmp_path),
        "USER": "jovyan",
        "PATH": "/opt/modules/tool/bin:/usr/bin:/bin",
        "MODULEPATH": "/opt/modules/modulefiles/alice@example.org",
        "MODULEPATH_ROOT": "/opt/modules/modulefiles",
        "BASH_ENV": str(start),
    }
    script = '. "$1"; echo "$PATH|$MODULEPATH|${file-unset}"; [ -z "${BASH_VERSION-}" ] || told'
    ran = subprocess.run((*shell, "-uc", script, "x", profile), env=environment, capture_output=True, check=True)
    assert ran.stderr == b""
    line, *rest = ran.stdout.decode().splitlines()
    assert line == f"{environment['PATH']}|{environment['MODULEPATH']}|unset"
    # What bash scripts start with, its terminals do, too.
    assert rest == ([] if shell == ("sh",) else ["told"])


def test_the_environment_is_made_from_nothing() -> None:
    assert ENVIRONMENT["HOME"] == "/home/jovyan"
    assert not [name for name in ENVIRONMENT if name.startswith("NBHUB_")]


def test_redaction() -> None:
    text = (
        "token=abcd1234 Authorization: token 0123456789 url?token=xyz&next=1 "
        "eyJhbGciOiJFZDI1NTE5In0.eyJhIjoxfQ.c2ln hvs.CAESIJabcdefgh 0123456789abcdef0123456789abcdef plain my-own"
    )
    hidden = redact(text, ["my-own", "ab"])
    for secret in ("abcd1234", "0123456789", "xyz", "eyJhbGci", "CAESIJ", "my-own"):
        assert secret not in hidden
    assert "next=1" in hidden
    assert "plain" in hidden


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "repr": repr,
    "repr with both quotes": lambda secret: repr(f"{secret}'\""),
    "ascii": ascii,
    "bytes": lambda secret: repr(secret.encode()),
    "JSON": json.dumps,
    "JSON in UTF-8": lambda secret: json.dumps(secret, ensure_ascii=False),
    "address": quote,
    "page": html.escape,
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "hexadecimal": lambda secret: secret.encode().hex(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_secret_is_hidden_however_a_program_writes_it(spelling: str) -> None:
    for secret in ("core-é\n\"x'&y core", "core-'é core", "core \\ core"):
        assert "core" not in redact(f"before {SPELLINGS[spelling](secret)} after", [secret]), secret
        assert redact(f"before {SPELLINGS[spelling](secret)} after", [secret]).startswith("before ")


def test_settings_show_no_secret_and_name_mistakes(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-a-file\n")
    settings = HubSettings.from_environment(
        {
            "NBHUB_HUB_DATA_DIR": str(tmp_path),
            "NBHUB_HUB_WORKER_TOKEN_FILE": str(tmp_path / "token"),
            "NBHUB_HUB_PROXY_COMMAND": '["node", "a proxy.js"]',
            "NBHUB_HUB_ALLOWED_ROOTS": "/a, /b",
            "NBHUB_HUB_PORT": "8101",
            "NBHUB_API_URL": "http://api",
        }
    )
    assert settings.worker_token == "from-a-file"
    assert settings.proxy_command == ("node", "a proxy.js")
    assert settings.allowed_roots == ("/a", "/b")
    assert settings.port == 8101
    assert settings.api_url == "http://api"
    assert "from-a-file" not in repr(settings)
