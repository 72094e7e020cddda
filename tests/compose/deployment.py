"""The deployment of deploy/README.md, in a fresh copy of this project: what the document says is what is run."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from tests.compose.engine import Engine
from tests.project import PROJECT

API, KEYCLOAK = "http://localhost:8002", "http://keycloak.localhost:8180"
VOLUMES = "notebooks-hub_"
_PATIENCE = 300.0
# A build, or a start of everything.
_LONGEST = 1800


class DeploymentFailed(Exception):
    """The deployment does not do what its documents say; the message says which of it."""


class Deployment:
    """A copy of the project with its own secrets, brought up on an engine."""

    def __init__(self, engine: Engine, client: str, directory: Path) -> None:
        self._engine = engine
        self._programs = directory / "bin"
        self.directory = directory / "project"
        for path in (self._programs, self.directory):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True)
        (self._programs / "docker").symlink_to(client)
        (self._programs / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
        (self._programs / "sudo").chmod(0o755)
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (PROJECT / name).exists():
                (self.directory / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(PROJECT / name, self.directory / name)
        git = subprocess.run(
            ["git", "rev-parse", "--absolute-git-dir"], cwd=PROJECT, capture_output=True, text=True, check=True
        )
        self._environment = {
            "PATH": f"{self._programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": os.environ.get("HOME", "/root"),
            "GIT_DIR": git.stdout.strip(),
            **engine.environment,
            "COMPOSE_ENV_FILES": "deploy/.env",
        }
        blocks = re.findall(r"```sh\n(.*?)```", (PROJECT / "deploy" / "README.md").read_text(), re.DOTALL)
        self._documented = {
            re.sub(r"\s+#.*", "", line).strip() for block in blocks for line in block.splitlines() if line.strip()
        }

    # Commands

    def documented(self, command: str, *typed: str, **environment: str) -> str:
        """Run a command that deploy/README.md has, word by word; `typed` is what its operator types, line by line."""
        if command not in self._documented:
            raise DeploymentFailed(f"deploy/README.md has no such command: {command}")
        return self._typed(command, typed, environment) if typed else self._run(["bash", "-c", command], environment)

    def compose(self, *words: str) -> str:
        """What a command of Docker Compose prints."""
        return self._run(["docker", "compose", *words], {})

    def _run(self, command: Sequence[str], environment: dict[str, str]) -> str:
        done = subprocess.run(
            command,
            cwd=self.directory,
            env=self._environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LONGEST,
            check=False,
        )
        if done.returncode:
            said = "\n".join((done.stdout + done.stderr).splitlines()[-40:])
            raise DeploymentFailed(f"{' '.join(command)} ends with {done.returncode}:\n{said}")
        return done.stdout

    def _typed(self, command: str, lines: Sequence[str], environment: dict[str, str]) -> str:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.directory,
            env=self._environment | environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        said, left = b"", list(lines)
        with os.fdopen(ours, "r+b", buffering=0) as terminal, suppress(OSError):
            while read := terminal.read(4096):
                said += read
                if left and said.rstrip().endswith(b":"):
                    terminal.write(f"{left.pop(0)}\n".encode())
        text = said.decode(errors="replace")
        if process.wait(timeout=60):
            raise DeploymentFailed(f"{command} ends with {process.returncode}:\n{text}")
        return text

    # Containers

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers that run."""
        return self.compose("ps", "--quiet", service).split()

    def services(self) -> list[str]:
        """What runs."""
        return sorted(set(self.compose("ps", "--services", "--status", "running").split()))

    def kill(self, container: str) -> float:
        """End what runs in a container as a power failure would; the seconds until it is back and healthy."""
        before = self._state(container)
        os.kill(before["Pid"], signal.SIGKILL)
        begun = time.monotonic()

        def back() -> bool:
            state = self._state(container)
            return bool(
                state["StartedAt"] != before["StartedAt"]
                and state["Running"]
                and state["Health"]["Status"] == "healthy"
            )

        until(back, f"container {container} is healthy again")
        return time.monotonic() - begun

    def _state(self, container: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._engine.docker("inspect", "--format", "{{json .State}}", container))
        return answer

    def cut_off_first_initialisation(self) -> None:
        """Start PostgreSQL on an empty volume, and kill it as soon as there is something in it."""
        self.compose("up", "--detach", "--no-build", "postgres")
        (container,) = self.containers("postgres")
        volume = self._engine.root / "data" / "volumes" / f"{VOLUMES}postgres" / "_data"
        version = volume / "18" / "docker" / "PG_VERSION"
        until(version.exists, "PostgreSQL initialises", every=0.01)
        os.kill(self._state(container)["Pid"], signal.SIGKILL)
        until(
            lambda: bool(self._state(container)["Health"]["Status"] == "healthy"), "PostgreSQL began again, to the end"
        )
        if (volume / "initialisation-unfinished").exists():
            raise DeploymentFailed("PostgreSQL is healthy before its first initialisation is done")

    # Vault

    def init_vault(self) -> tuple[list[str], str]:
        """Initialise it; its unseal keys and its root token."""
        said = self.documented("docker compose exec vault vault operator init")
        keys = re.findall(r"Unseal Key \d: (\S+)", said)
        token = re.search(r"Initial Root Token: (\S+)", said)
        if len(keys) != 5 or token is None:
            raise DeploymentFailed("Vault shows no keys and no token")
        return keys, token[1]

    def unseal_vault(self, keys: Sequence[str]) -> None:
        """Unseal it with three of its keys."""
        for key in keys[:3]:
            self.documented("docker compose exec vault vault operator unseal", key)

    # Answers

    def health(self) -> httpx.Response:
        """What the API thinks of its dependencies."""
        return httpx.get(f"{API}/healthcheck", timeout=30)

    def version(self, port: int = 8002) -> dict[str, str]:
        """What an API says of itself."""
        answer: dict[str, str] = httpx.get(f"http://localhost:{port}/version", timeout=30).json()
        return answer

    def well(self) -> None:
        """Wait until the API says that all is well."""

        def all_well() -> bool:
            with suppress(httpx.TransportError):
                return self.health().status_code == 200
            return False

        until(all_well, "/healthcheck answers 200")


def until(true: Callable[[], bool], what: str, every: float = 0.5) -> None:
    """Wait for something; raises `DeploymentFailed` when it does not come."""
    limit = time.monotonic() + _PATIENCE
    while not true():
        if time.monotonic() > limit:
            raise DeploymentFailed(f"in {_PATIENCE:.0f} s it did not come true that {what}")
        time.sleep(every)
