"""A real JupyterHub with its proxy and the spawner under test, as a process that tests may kill and start again."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from hub.limits import LimitsMissing, parents
from integrations.lmod import BINARIES, MODULEFILES, file_name, render
from models.domain.server_spec import Mount, ServerSpec, WrappedSecret, sign_spec
from models.domain.values import ModuleCall
from stack.notebook import Notebook
from tests.keys import key_pair
from tests.project import PROJECT
from tests.terminal import Terminal

USER, OTHER = "alice@example.org", "bob@example.org"


def free_ports(count: int) -> list[int]:
    """Ports where nobody listens yet, no two of them the same: each is held until all are found."""
    with contextlib.ExitStack() as held:
        found = [held.enter_context(socket.socket()) for _ in range(count)]
        for listener in found:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in found]


def cgroups_can_be_made() -> bool:
    try:
        return bool(parents())
    except LimitsMissing:
        return False


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Return the first true value of `condition`, looking often, or fail."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


class HubUnderTest:
    """One hub below one directory."""

    def __init__(
        self,
        directory: Path,
        programs: Mapping[str, str],
        spawner: str | None = "bubblewrap",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`programs` names the proxy and the sandbox; `settings` are further variables; no `spawner` names none."""
        self.directory = directory
        self.data_dir = directory / "hub"
        self.roots = {name: directory / "files" / name for name in ("notebooks", "datasets", "groups", "modules")}
        for root in self.roots.values():
            root.mkdir(parents=True)
        for user in (USER, OTHER):
            (self.roots["notebooks"] / user).mkdir()
        self.faults = directory / "faults"
        self.faults.mkdir()
        self._keys = directory / "keys"
        self._keys.mkdir()
        self.private_key = self.new_key("1")
        self.worker_token, self.admin_token = uuid.uuid4().hex, uuid.uuid4().hex
        public, hub, proxy, truth = free_ports(4)
        self.url = f"http://127.0.0.1:{public}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")},
            "PYTHONPATH": str(PROJECT),
            "NBHUB_HUB_BIND_URL": self.url,
            "NBHUB_HUB_PORT": str(hub),
            "NBHUB_HUB_PROXY_API_PORT": str(proxy),
            "NBHUB_HUB_TRUTH_PORT": str(truth),
            "NBHUB_HUB_DATA_DIR": str(self.data_dir),
            "NBHUB_HUB_WORKER_TOKEN": self.worker_token,
            "NBHUB_HUB_ADMIN_TOKEN": self.admin_token,
            "NBHUB_HUB_PROXY_TOKEN": uuid.uuid4().hex,
            "NBHUB_HUB_SPEC_KEYS": str(self._keys),
            **programs,
            "NBHUB_CRASH_POINTS": str(self.faults),
            "NBHUB_HUB_ALLOWED_ROOTS": ",".join(str(root) for root in self.roots.values()),
            **({"NBHUB_HUB_SPAWNER": spawner} if spawner else {}),
            # Where this machine makes no cgroups, all but the limits is tried.
            "NBHUB_HUB_LIMITS": "cgroup" if cgroups_can_be_made() else "none",
            **(settings or {}),
        }
        self.api = httpx.Client(
            base_url=f"{self.url}/hub/api/", headers={"Authorization": f"token {self.worker_token}"}, timeout=30
        )
        self.truth = httpx.Client(
            base_url=f"{self.url}/services/nbhub-truth/",
            headers={"Authorization": f"token {self.worker_token}"},
            timeout=30,
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.log_file = directory / "hub.log"

    def start(self) -> None:
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "hub"),
                    *("-f", str(Path(__file__).with_name("jupyterhub_test_config.py"))),
                ],
                env=self.environment,
                cwd=self.directory,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self._is_up, 60, "JupyterHub answers")

    def kill(self) -> None:
        """As a power cut would for this process; proxy and servers stay."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.api.close()
        self.truth.close()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        # A hub that was killed leaves its proxy.
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((self.data_dir / "proxy.pid").read_text().split()[0]), signal.SIGTERM)
        subprocess.run([sys.executable, "-m", "hub.machine", str(self.data_dir)], cwd=PROJECT, check=True)

    def spec(self, **changes: Any) -> ServerSpec:
        now = int(time.time())
        server_id = changes.pop("server_id", str(uuid.uuid4()))
        user = changes.get("hub_user", USER)
        values: dict[str, Any] = {
            "server_id": server_id,
            "hub_user": user,
            "hub_name": f"s-{server_id[-8:]}",
            "generation": 1,
            "person_id": "p",
            "application": "jupyterlab",
            "hardware": "cpuMedium",
            "home": str(self.roots["notebooks"] / user),
            "issued_at": now,
            "expires_at": now + 120,
        }
        return ServerSpec(**(values | changes))

    def dataset(self, name: str, read_only: bool = True) -> Mount:
        source = self.roots["datasets"] / uuid.uuid4().hex
        source.mkdir()
        (source / "data.txt").write_text("some data")
        return Mount(source=str(source), target=f"/opt/datasets/{name}", read_only=read_only)

    def module(self, owner: str, module: str, *calls: ModuleCall) -> tuple[Mount, Mount]:
        """A module on disk, as workers write it, and where servers see it; its binaries have a program `its-<name>`."""
        name, _, version = module.partition("/")
        identity = uuid.uuid4().hex
        programs = self.roots["modules"] / BINARIES / identity / "bin"
        programs.mkdir(parents=True)
        program = programs / f"its-{name}"
        program.write_text(f"#!/bin/sh\necho {name} runs\n")
        program.chmod(0o755)
        inside = f"/opt/modules/{BINARIES}/{identity}"
        file = self.roots["modules"] / MODULEFILES / owner / name / file_name(version)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(render([ModuleCall("prepend_path", ["PATH", f"{inside}/bin"]), *calls]))
        return (
            Mount(source=str(programs.parent), target=inside, read_only=True),
            Mount(
                source=str(file),
                target=f"/opt/modules/{MODULEFILES}/{owner}/{name}/{file.name}",
                read_only=True,
            ),
        )

    def order(
        self, spec: ServerSpec, private_key: bytes | None = None, wrapped: Sequence[WrappedSecret] = ()
    ) -> httpx.Response:
        token = sign_spec(spec, private_key or self.private_key, "1")
        return self.post(spec, {"spec": token, "wrapped_secrets": msgspec.to_builtins(wrapped)})

    def post(self, spec: ServerSpec, options: dict[str, Any], **arguments: Any) -> httpx.Response:
        self.api.post(f"users/{quote(spec.hub_user)}")
        return self.api.post(self.path(spec), json={"display_name": "", "user_options": options}, **arguments)

    def path(self, spec: ServerSpec) -> str:
        return f"users/{quote(spec.hub_user)}/servers/{spec.hub_name}"

    def url_of(self, spec: ServerSpec) -> str:
        return f"{self.url}/user/{spec.hub_user}/{spec.hub_name}"

    def log_of(self, spec: ServerSpec) -> Path:
        return self.data_dir / "logs" / f"{spec.server_id}.log"

    def model(self, spec: ServerSpec) -> dict[str, Any]:
        answer = self.api.get(f"users/{quote(spec.hub_user)}", params={"include_stopped_servers": 1})
        answer.raise_for_status()
        servers: dict[str, dict[str, Any]] = answer.json()["servers"]
        return servers.get(spec.hub_name, {})

    def spawn(self, spec: ServerSpec, wrapped: Sequence[WrappedSecret] = ()) -> float:
        """Order this server, wait until it is ready, and return how many seconds that took."""
        began = time.monotonic()
        answer = self.order(spec, wrapped=wrapped)
        assert answer.status_code in (201, 202), answer.text
        until(lambda: self._settled(spec), 60, "the server is ready")
        assert self.model(spec)["ready"], self.failure(spec)
        return time.monotonic() - began

    def end(self, spec: ServerSpec) -> None:
        """Stop this server, as far as it lives, and see that it is gone."""
        self.api.delete(self.path(spec))
        until(
            lambda: not self.model(spec).get("ready") and not self.model(spec).get("pending"),
            20,
            "the hub says stopped",
        )
        until(lambda: self.processes(spec) == [], 10, "no process lives")

    def failure(self, spec: ServerSpec) -> dict[str, Any]:
        answer = self.truth.get(f"failure/{spec.server_id}", params={"generation": spec.generation})
        return answer.json() if answer.status_code == 200 else {}

    def processes(self, spec: ServerSpec) -> list[dict[str, Any]]:
        answer = self.truth.get(f"servers/{spec.server_id}")
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["processes"]
        return found

    def user_token(self, user: str = USER) -> str:
        """A token of a user, with the rights of a browser session."""
        answer = httpx.post(
            f"{self.url}/hub/api/users/{quote(user)}/tokens",
            headers={"Authorization": f"token {self.admin_token}"},
            json={"expires_in": 600},
        )
        answer.raise_for_status()
        return str(answer.json()["token"])

    def user_client(self) -> httpx.Client:
        """A client with a token of the user."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"token {self.user_token()}"}, timeout=60)

    def notebook(self, spec: ServerSpec) -> Notebook:
        """A kernel in this server."""
        return Notebook(self.url_of(spec), self.user_token(spec.hub_user))

    def terminal(self, spec: ServerSpec) -> Terminal:
        """A terminal in this server."""
        return Terminal(self.url_of(spec), self.user_token(spec.hub_user))

    def _settled(self, spec: ServerSpec) -> bool:
        model = self.model(spec)
        return bool(model) and (model["ready"] or not model["pending"])

    def _is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log_file.read_text()[-4000:]
        try:
            return self.api.get("").status_code == 200
        except httpx.TransportError:
            return False

    def new_key(self, key_id: str) -> bytes:
        """A private key whose public one JupyterHub believes under this id."""
        private, public = key_pair()
        (self._keys / f"{key_id}.pem").write_bytes(public)
        return private
