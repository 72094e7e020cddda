"""The arguments of the sandbox: an allow-list, and no capability to leave it."""

from pathlib import Path

from hub.bubblewrap import ENVIRONMENT, accounts, sandbox_arguments
from hub.redaction import redact
from hub.settings import HubSettings


def build(tmp_path: Path) -> tuple[str, ...]:
    return sandbox_arguments(
        home=Path("/data/homes/alice"),
        mounts=((Path("/data/d/1"), "/opt/datasets/one", True), (Path("/data/d/2"), "/opt/datasets/two", False)),
        files=accounts(tmp_path),
        readable=(Path("/srv/venv"), Path("/usr/local"), Path("/srv/venv")),
        memory_bytes=1024,
    )


def pairs(arguments: tuple[str, ...], option: str) -> list[tuple[str, str]]:
    return [(arguments[place + 1], arguments[place + 2]) for place, word in enumerate(arguments) if word == option]


def test_the_sandbox_cannot_be_left(tmp_path: Path) -> None:
    arguments = build(tmp_path)
    for flag in ("--unshare-user", "--disable-userns", "--unshare-pid", "--unshare-ipc", "--new-session"):
        assert flag in arguments
    assert "--die-with-parent" in arguments
    assert arguments[arguments.index("--cap-drop") + 1] == "ALL"
    assert arguments[arguments.index("--uid") + 1] == "1000"
    assert arguments[arguments.index("--remount-ro") + 1] == "/"


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


def test_the_only_account_is_the_sandboxs_own(tmp_path: Path) -> None:
    files = {inside: file.read_text() for file, inside in accounts(tmp_path)}
    assert files["/etc/passwd"] == "jovyan:x:1000:1000::/home/jovyan:/bin/bash\n"
    assert set(files) == {"/etc/passwd", "/etc/group"}


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
