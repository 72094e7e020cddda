"""Compiles, once, the modules that every server imports: `python -m hub.warm`, in the background of a hub's start.

Inside a sandbox the Python in use is read-only, so what is not compiled yet would be compiled again at every
start of a server: 1.5 of 4 seconds. Does nothing where the modules are compiled, or not ours to write.
"""

import contextlib
import importlib
import os
import subprocess
import sys
from pathlib import Path

_MODULES = (
    "jupyterhub.singleuser",
    "jupyter_server.serverapp",
    "jupyterlab.labapp",
    "notebook.app",
    "jupyter_lsp",
    "jupyter_server_terminals",
    "notebook_shim",
    "nbconvert",
    "ipykernel.ipkernel",
    "ipykernel.kernelapp",
)


def start_warming() -> None:
    """Start it as a process of low priority that nobody waits for."""
    if os.access(sys.prefix, os.W_OK):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)
        subprocess.Popen(
            [sys.executable, "-m", "hub.warm"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


if __name__ == "__main__":
    os.nice(15)
    for module in _MODULES:
        # What is not installed needs no warming.
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
