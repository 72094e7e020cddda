"""Where a stack keeps things, and at which ports its parts listen."""

import hashlib
import socket
from pathlib import Path

import msgspec
from msgspec import Struct

PORTS = (
    "api",
    "hub_proxy",
    "hub",
    "hub_proxy_api",
    "hub_truth",
    "temporal",
    "temporal_ui",
    "vault",
    "vault_cluster",
    "oidc",
)


class PortTaken(Exception):
    """A port of the earlier start is another program's now; the message says what to do."""


class MadeByAnotherVersion(Exception):
    """What the directory holds is not what this version would use; the message says what to do."""


class Layout(Struct, frozen=True):
    """The directories and ports of one stack."""

    directory: Path
    ports: dict[str, int]

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
    def state(self) -> Path:
        """What runs: written by the supervisor, read by the command line."""
        return self.directory / "state.json"

    @property
    def hub_data(self) -> Path:
        """JupyterHub's database and the records of servers."""
        return self.directory / "jupyterhub"

    @property
    def database_socket(self) -> Path:
        """The directory of PostgreSQL's socket: short, because the path of a socket has to be."""
        digest = hashlib.sha256(str(self.directory).encode()).hexdigest()[:12]
        return Path("/tmp") / f"nbhub-{digest}"  # noqa: S108 - of mode 0700, and of no other name

    def url(self, port: str) -> str:
        """The address of a part."""
        return f"http://127.0.0.1:{self.ports[port]}"

    def database_url(self, name: str = "nbhub") -> str:
        """The address of a database."""
        return f"postgresql://nbhub@/{name}?host={self.database_socket}"


def layout_of(directory: Path, *, running: bool = False) -> Layout:
    """The layout of the stack in `directory`. Its ports are chosen once: sign-ins are bound to the provider's.

    Raises `MadeByAnotherVersion` when it is another version's; unless the stack is `running`, `PortTaken` when one of
    the ports is in use by another program.
    """
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / "ports.json"
    if path.exists() and path.stat().st_size:
        ports = msgspec.json.decode(path.read_bytes(), type=dict[str, int])
        if ports.keys() != set(PORTS):
            raise MadeByAnotherVersion(
                f"another version of the stack made {directory}, whose databases this one cannot read: remove that "
                f"directory, with all that is in it, or start another stack with --dir"
            )
        for name, port in () if running else ports.items():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    raise PortTaken(
                        f"port {port}, which this stack uses for {name}, is in use: end that program, "
                        f"or start another stack with --dir"
                    ) from None
    else:
        ports = _free_ports()
        # Whole or not at all: a stack that was cut off here must start again.
        partial = path.with_name("ports.json.new")
        partial.write_bytes(msgspec.json.encode(ports))
        partial.rename(path)
    return Layout(directory, ports)


def _free_ports() -> dict[str, int]:
    sockets = {name: socket.socket() for name in PORTS}
    try:
        for one in sockets.values():
            one.bind(("127.0.0.1", 0))
        return {name: one.getsockname()[1] for name, one in sockets.items()}
    finally:
        for one in sockets.values():
            one.close()
