"""Imports go one way: the contracts of `pyproject.toml` hold."""

import os
import subprocess
import sys
from pathlib import Path

from tests.project import PROJECT


def test_the_import_contracts_hold() -> None:
    # In a process of its own: here it would turn off all logging that was set up before.
    checked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
