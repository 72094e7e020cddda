"""A Docker engine of its own, apart from any other of this machine, and Docker Compose as its client's plugin."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType

# Of their own, so that neither this machine's network nor another engine's is in the way.
_BRIDGE, _NETWORKS = "172.30.255.1/24", "base=172.31.0.0/16,size=24"
_PATIENCE = 60.0


class EngineFailed(Exception):
    """The engine does not start or does not end; the message says where to look."""


class Engine:
    """Everything of it (images, containers, volumes, its log) is beneath one directory; it ends with the context."""

    def __init__(self, root: Path, client: str) -> None:
        self.root = root
        self._client = client
        self._pid = root / "dockerd.pid"
        self.environment = {
            "DOCKER_HOST": f"unix://{root / 'docker.sock'}",
            # Its `cli-plugins` has Docker Compose.
            "DOCKER_CONFIG": str(root / "client"),
            # Debian's client has it built in.
            "DOCKER_BUILDKIT": "1",
        }

    def install_compose(self, program: Path) -> None:
        """Make `docker compose` this program."""
        plugins = self.root / "client" / "cli-plugins"
        plugins.mkdir(parents=True, exist_ok=True)
        shutil.copy2(program, plugins / "docker-compose")

    def docker(self, *words: str, check: bool = True) -> str:
        """What a command of the client prints."""
        done = subprocess.run(
            [self._client, *words], env=os.environ | self.environment, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise EngineFailed(f"docker {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def __enter__(self) -> "Engine":
        # One that a killed run left behind.
        self._end()
        for directory in ("data", "exec"):
            (self.root / directory).mkdir(parents=True, exist_ok=True)
        _mount_cgroups()
        # No configuration of this machine's engine.
        (self.root / "daemon.json").write_text("{}")
        with (self.root / "dockerd.log").open("wb") as log:
            command = [
                *("dockerd", "--config-file", str(self.root / "daemon.json"), "--pidfile", str(self._pid)),
                *("--data-root", str(self.root / "data"), "--exec-root", str(self.root / "exec")),
                *("-H", self.environment["DOCKER_HOST"], "--bip", _BRIDGE, "--default-address-pool", _NETWORKS),
            ]
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        until = time.monotonic() + _PATIENCE
        while not self.docker("version", "--format", "{{.Server.Version}}", check=False):
            if time.monotonic() > until:
                self._end()
                raise EngineFailed(f"the engine does not answer; see {self.root / 'dockerd.log'}")
            time.sleep(0.2)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        """End it with everything in it, by its process id."""
        try:
            pid = int(self._pid.read_text())
            if "dockerd" not in Path(f"/proc/{pid}/cmdline").read_text():
                return
        except (OSError, ValueError):
            return
        containers = self.docker("ps", "--quiet", check=False).split()
        if containers:
            self.docker("stop", "--time", "5", *containers, check=False)
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + _PATIENCE
        while Path(f"/proc/{pid}/cmdline").exists() and _alive(pid):
            if time.monotonic() > until:
                raise EngineFailed(f"the engine, process {pid}, does not end")
            time.sleep(0.2)


def _alive(pid: int) -> bool:
    """Whether a process runs; one that ended and that nobody asked for yet does not."""
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    except ChildProcessError:
        pass
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _mount_cgroups() -> None:
    """As systemd does, where it does not run: version 1, which engine 20.10 knows."""
    place = Path("/sys/fs/cgroup")
    if os.path.ismount(place):
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "cgroup", str(place)], check=True)
    for line in Path("/proc/cgroups").read_text().splitlines()[1:]:
        name, _, _, enabled = line.split()
        at = place / name
        if enabled == "1":
            at.mkdir()
            if subprocess.run(["mount", "-t", "cgroup", "-o", name, "cgroup", str(at)], check=False).returncode:
                at.rmdir()
