"""Where a stack keeps things, and at which ports its parts listen."""

import fcntl
import hashlib
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from models.domain.origins import TRUTH_SERVICE, origin_of
from stack import tools
from stack.state import StackFailed

# Each with the part that listens there.
PORTS = {
    "api": "api",
    "hub_proxy": "jupyterhub",
    "temporal_ui": "temporal",
    "oidc": "oidc",
    "vault": "vault",
    "temporal": "temporal",
    "hub": "jupyterhub",
    "hub_proxy_api": "jupyterhub",
    "hub_truth": "jupyterhub",
    "vault_cluster": "vault",
}
_FIRST, _APART = 8002, 10


class Layout(Struct, frozen=True):
    """The directories and ports of one stack, and whether each person's servers have an origin of their own."""

    directory: Path
    ports: dict[str, int]
    subdomains: bool = False

    @property
    def logs(self) -> Path:
        """One log to a part."""
        return self.directory / "logs"

    @property
    def data_root(self) -> Path:
        """The shared file system: datasets, modules, notebooks, groups."""
        return self.directory / "data"

    @property
    def keys(self) -> Path:
        """Secrets and keys."""
        return self.directory / "keys"

    @property
    def hub_data(self) -> Path:
        """JupyterHub's database and the records of servers."""
        return self.directory / "jupyterhub"

    @property
    def database_socket(self) -> Path:
        """The directory of PostgreSQL's socket: short, because the path of a socket has to be."""
        digest = hashlib.sha256(str(self.directory).encode()).hexdigest()[:12]
        return Path("/tmp") / f"nbhub-{digest}"  # noqa: S108 - of mode 0700, and of no other name

    @property
    def control_socket(self) -> Path:
        """Where the supervisor takes requests."""
        return self.database_socket / "control"

    def url(self, port: str) -> str:
        """The address of a part."""
        return f"http://127.0.0.1:{self.ports[port]}"

    @property
    def browser_hub_url(self) -> str:
        """JupyterHub as browsers reach it: by a name, if other names are to lie beneath it."""
        return f"http://hub.localhost:{self.ports['hub_proxy']}" if self.subdomains else self.url("hub_proxy")

    @property
    def truth_host(self) -> str:
        """The name by which the proxy knows the truth service, if it goes by names."""
        return urlsplit(origin_of(self.browser_hub_url, TRUTH_SERVICE, "service")).netloc if self.subdomains else ""

    def part_at(self, port: int | None) -> str | None:
        """The part that listens at a port of this stack."""
        return next((PORTS[name] for name, own in self.ports.items() if own == port), None)

    def database_url(self, name: str = "nbhub") -> str:
        """The address of a database."""
        return f"postgresql://nbhub@/{name}?host={self.database_socket}"


def layout_of(directory: Path, *, running: bool = False) -> Layout:
    """The layout of the stack in `directory`. Its ports are chosen once: sign-ins are bound to the provider's.

    Raises `StackFailed` when it is another version's or, unless the stack is `running`, when one of the ports is in use
    by another program.
    """
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / "ports.json"
    if path.exists() and path.stat().st_size:
        try:
            ports = msgspec.json.decode(path.read_bytes(), type=dict[str, int])
        except msgspec.DecodeError:
            raise StackFailed(f"{path} cannot be read: remove it, and the stack gets other ports") from None
        if ports.keys() != set(PORTS):
            raise StackFailed(
                f"another version of the stack made {directory}, whose databases this one cannot read: remove that "
                f"directory, with all that is in it, or start another stack with --dir"
            )
        for name, port in () if running else ports.items():
            if not is_free(port):
                raise StackFailed(
                    f"port {port}, which this stack uses for {name}, is in use: end that program, "
                    f"or start another stack with --dir"
                )
    else:
        ports = _choose(directory)
    return Layout(directory, ports)


def usual(ports: Mapping[str, int]) -> bool:
    """Whether these are the ports that a stack has where nothing else is."""
    return min(ports.values()) == _FIRST


def _choose(directory: Path) -> dict[str, int]:
    """A block of ports that no other stack of ours has, running or not, and at which no program listens."""
    file = tools.cache() / "ports.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    # One chooses at a time, and what was chosen is known before the next one does: nothing listens there yet.
    with file.with_name("ports.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        chosen = _chosen(file)
        taken = set(chosen.values())
        for first in _blocks(directory):
            ports = {name: first + number for number, name in enumerate(PORTS)}
            if first not in taken and all(is_free(port) for port in ports.values()):
                _write(directory / "ports.json", ports)
                _write(file, chosen | {str(directory): first})
                return ports
    raise StackFailed(f"no {len(PORTS)} ports in a row are free on this machine")


def _chosen(file: Path) -> dict[str, int]:
    """The first port of each stack, by its directory, of those that still exist."""
    try:
        chosen = msgspec.json.decode(file.read_bytes(), type=dict[str, int])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}
    return {directory: first for directory, first in chosen.items() if (Path(directory) / "ports.json").exists()}


def _blocks(directory: Path) -> list[int]:
    """The first ports that may be chosen, the best one first."""
    lowest, highest = ephemeral_ports()
    every = range(_FIRST, 65536 - _APART, _APART)
    fixed = [first for first in every if first + len(PORTS) <= lowest or first > highest]
    # Those of a directory that is gone tomorrow come from the other end: the usual ones are for one that stays.
    passing = directory.is_relative_to(Path(tempfile.gettempdir()).resolve())
    return sorted(fixed or every, reverse=passing)


def ephemeral_ports() -> tuple[int, int]:
    """The ports that any program may be given for a connection, so that they are taken at random."""
    lowest, highest = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    return int(lowest), int(highest)


def is_free(port: int) -> bool:
    """Whether no program listens at a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _write(path: Path, ports: Mapping[str, int]) -> None:
    """Whole or not at all: a stack that was cut off here must start again."""
    partial = path.with_name(f"{path.name}.new")
    partial.write_bytes(msgspec.json.encode(ports))
    partial.rename(path)
