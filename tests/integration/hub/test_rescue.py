"""What a person leaves in the home does not keep the person out of it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from models.domain.server_spec import ServerSpec
from tests.integration.hub.harness import USER, HubUnderTest


class Session:
    """A running server of a home, as its owner uses it."""

    def __init__(self, hub: HubUnderTest, spec: ServerSpec) -> None:
        self.user = httpx.Client(
            base_url=f"{hub.url}/user/{USER}/{spec.hub_name}/",
            headers={"Authorization": f"token {hub.user_token()}"},
            timeout=60,
        )

    @property
    def why(self) -> str:
        """Why it is a rescue session; nothing if it is none."""
        answer = self.user.get("api/contents/Rescue.md")
        return str(answer.json()["content"]) if answer.status_code == 200 else ""

    def names(self, directory: str) -> list[str]:
        answer = self.user.get(f"api/contents/{directory}")
        assert answer.status_code == 200, answer.text
        return sorted(entry["name"] for entry in answer.json()["content"])


@contextmanager
def session(hub: HubUnderTest, home: Path) -> Iterator[Session]:
    spec = hub.spec(home=str(home))
    hub.spawn(spec)
    session = Session(hub, spec)
    try:
        yield session
    finally:
        session.user.close()
        hub.end(spec)


@pytest.fixture
def home(hub: HubUnderTest, request: pytest.FixtureRequest) -> Path:
    home = hub.roots["notebooks"] / f"home-{abs(hash(request.node.name))}"
    home.mkdir()
    (home / "mine.txt").write_text("mine")
    return home


def config(home: Path, text: str) -> None:
    (home / ".jupyter").mkdir()
    (home / ".jupyter" / "jupyter_server_config.py").write_text(text)


def own_site(home: Path, name: str, text: str) -> None:
    """What `pip install --user` would put there."""
    site = home / ".local" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    site.mkdir(parents=True)
    (site / name).write_text(text)


def large_workspace(home: Path) -> None:
    workspaces = home / ".jupyter" / "lab" / "workspaces"
    workspaces.mkdir(parents=True)
    with (workspaces / "default.jupyterlab-workspace").open("wb") as file:
        file.truncate(1024**3)


def unreadable(home: Path) -> None:
    config(home, "")
    (home / ".jupyter").chmod(0)


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "root_dir is gone": (lambda home: config(home, "c.ServerApp.root_dir = '/home/jovyan/gone'"), "gone"),
    "config ends Jupyter": (lambda home: config(home, "import os\nos._exit(3)"), "exit code 3"),
    "a workspace is huge": (large_workspace, "default.jupyterlab-workspace"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_session_without_what_is_in_the_way(hub: HubUnderTest, home: Path, case: str) -> None:
    spoil, why = CASES[case]
    spoil(home)
    with session(hub, home) as rescue:
        assert why in rescue.why
        assert rescue.names("home") == ["mine.txt"]
        # And the person can mend it.
        answer = rescue.user.put("api/contents/home/new.txt", json={"type": "file", "format": "text", "content": "new"})
        assert answer.status_code == 201, answer.text
    assert (home / "new.txt").read_text() == "new"


BEARABLE: dict[str, Callable[[Path], object]] = {
    "a config of one's own": lambda home: config(home, "c.ServerApp.websocket_ping_interval = 20000"),
    "an error in the config": lambda home: config(home, "this is no Python"),
    "settings that cannot be read": unreadable,
    "settings that are no directory": lambda home: (home / ".jupyter").write_text(""),
    "data that are no directory": lambda home: (home / ".local").write_text(""),
    "a package of one's own": lambda home: own_site(home, "traitlets.py", "raise ImportError('mine')"),
    "shell": lambda home: [(home / name).write_text("exit 1\n") for name in (".bashrc", ".profile", ".bash_profile")],
    "address": lambda home: config(
        home, "c.ServerApp.port = 1\nc.ServerApp.ip = '10.1.1.1'\nc.ServerApp.base_url = '/x'"
    ),
}


@pytest.mark.parametrize("case", BEARABLE)
def test_what_jupyter_bears_needs_no_rescue(hub: HubUnderTest, home: Path, case: str) -> None:
    BEARABLE[case](home)
    with session(hub, home) as own:
        assert own.why == ""
        assert own.names("") == ["mine.txt"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
def test_a_home_that_was_filled_in_the_first_session(hub: HubUnderTest) -> None:
    home = hub.roots["notebooks"] / "full"
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", str(home)], check=True)
    try:
        with session(hub, home) as first:
            assert first.why == ""
            # What a kernel leaves there, and what made Jupyter look for more of it.
            (home / ".ipython").mkdir(exist_ok=True)
            with pytest.raises(OSError, match="No space left"):
                (home / "data.bin").write_bytes(bytes(2 * 1024**2))
        with session(hub, home) as rescue:
            assert "No space left" in rescue.why
            assert rescue.user.delete("api/contents/home/data.bin").status_code == 204
        with session(hub, home) as again:
            assert again.why == ""
            assert "data.bin" not in again.names("")
    finally:
        subprocess.run(["umount", "--lazy", str(home)], check=True)
