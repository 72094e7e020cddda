"""The program of a server on this machine: its command line and its part of the environment."""

import sys
from pathlib import Path, PurePosixPath

import msgspec

from hub.order import Order, file_on_machine

# Where servers look for programs: the Python in use first.
SEARCH_PATH = ":".join((str(Path(sys.prefix) / "bin"), "/usr/local/bin", "/usr/bin", "/bin"))
DASHBOARD = Path(__file__).with_name("dashboard.py")
SINGLEUSER = Path(__file__).with_name("singleuser.py")
# Where a sandbox shows these two files.
INSIDE = PurePosixPath("/opt/nbhub")
_LMOD = Path("/usr/share/lmod/lmod/init/bash")
# Constant text; all that varies comes as arguments. A module that does not load is said in the log and not fatal.
_LOAD_MODULES = 'source "$1"; shift; module --initial_load --no_redirect restore; exec "$@"'


class Program(msgspec.Struct, frozen=True):
    """What is executed inside the server."""

    command: tuple[str, ...]
    environment: dict[str, str]


def program_for(order: Order, base_url: str, helpers: PurePosixPath = INSIDE) -> Program:
    """Return how the application of this order is run; `helpers` is where the server sees this package's scripts."""
    values = {"base_url": base_url}
    if order.file_path:
        is_folder = file_on_machine(order).is_dir()
        values["file"] = order.file_path
        values["directory"] = order.file_path if is_folder else str(PurePosixPath(order.file_path).parent)
    command = order.command(values, (sys.executable, str(helpers / DASHBOARD.name)))
    if command[0] == "jupyterhub-singleuser":
        command = (sys.executable, str(helpers / SINGLEUSER.name), *command[1:])
    environment = order.environment(values)
    if "MODULEPATH" in environment and _LMOD.exists():
        command = ("bash", "-c", _LOAD_MODULES, "bash", str(_LMOD), *command)
    return Program(command, environment)
