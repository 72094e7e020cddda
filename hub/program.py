"""The program of a server on this machine: its command line and its part of the environment."""

import sys
from pathlib import Path, PurePosixPath

import msgspec

from hub.order import Order, OrderRefused, file_on_machine

# Where servers look for programs: the Python in use first.
SEARCH_PATH = ":".join((str(Path(sys.prefix) / "bin"), "/usr/local/bin", "/usr/bin", "/bin"))
DASHBOARD = Path(__file__).with_name("dashboard.py")
SINGLEUSER = Path(__file__).with_name("singleuser.py")
# How Python runs them: what lies in the home of a person is nothing for them to import.
ISOLATED = ("-I",)
# Where a sandbox shows these two files.
INSIDE = PurePosixPath("/opt/nbhub")
# Constant text; all that varies comes as arguments. `system`: not what the person saved as their default in the home.
# Of several modules Lmod loads all or none. One that does not load is said in the log, and neither fatal nor in the way
# of the others.
_LOAD_MODULES = """\
source "$1"
shift
if ! module --initial_load --no_redirect restore system; then
  IFS=: read -ra names <<<"$LMOD_SYSTEM_DEFAULT_MODULES"
  for name in "${names[@]}"; do
    module --no_redirect load "$name"
  done
fi
exec "$@"
"""


class Program(msgspec.Struct, frozen=True):
    """What is executed inside the server."""

    command: tuple[str, ...]
    environment: dict[str, str]


def program_for(order: Order, base_url: str, lmod: str, helpers: PurePosixPath = INSIDE) -> Program:
    """Return how the application of this order is run; `helpers` is where the server sees this package's scripts.

    `lmod` is Lmod's start-up file for bash. Raises `OrderRefused` for modules where it is missing.
    """
    values = {"base_url": base_url}
    if order.file_path:
        is_folder = file_on_machine(order).is_dir()
        values["file"] = order.file_path
        values["directory"] = order.file_path if is_folder else str(PurePosixPath(order.file_path).parent)
    command = order.command(values, (sys.executable, *ISOLATED, str(helpers / DASHBOARD.name)))
    if command[0] == "jupyterhub-singleuser":
        command = (sys.executable, *ISOLATED, str(helpers / SINGLEUSER.name), *command[1:])
    environment = order.environment(values)
    if "MODULEPATH" in environment:
        if not Path(lmod).exists():
            raise OrderRefused(
                "program-missing", "modules cannot be loaded here: Lmod is not installed on this machine"
            )
        command = load_modules(command, lmod)
        # Bash scripts, and commands that a notebook runs, have `module` too.
        environment["BASH_ENV"] = lmod
    return Program(command, environment)


def load_modules(command: tuple[str, ...], lmod: str) -> tuple[str, ...]:
    """Return a command that loads the modules of its environment first."""
    return ("bash", "-c", _LOAD_MODULES, "bash", lmod, *command)
