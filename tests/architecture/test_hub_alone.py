"""JupyterHub's image has `hub/` and `models/domain/` of ours, and no database driver: that is enough."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.project import PROJECT

# Executed by JupyterHub, which gives it a configuration; all that it imports is among the others.
_CONFIGURATION = "hub.jupyterhub_config"

IMPORT_ALL = """
import importlib, pathlib, sys

here, *modules = sys.argv[1:]
sys.path[:] = [here, *(one for one in sys.path if not pathlib.Path(one, "worker.py").exists())]
for absent in ("piccolo", "asyncpg", "litestar", "temporalio"):
    sys.modules[absent] = None
for module in modules:
    importlib.import_module(module)
ours = [one for name, one in sys.modules.items() if name.partition(".")[0] in ("hub", "models")]
assert all(pathlib.Path(one.__file__).is_relative_to(here) for one in ours), "of the copy alone"
"""


def copied(image: Path) -> None:
    """Put into `image` what the hub's image has of ours, as its Dockerfile says."""
    dockerfile = (PROJECT / "deploy" / "jupyterhub.Dockerfile").read_text()
    for source in re.findall(r"^COPY ((?:hub|models)\S*) ", dockerfile, re.MULTILINE):
        if (PROJECT / source).is_dir():
            shutil.copytree(PROJECT / source, image / source)
        else:
            (image / source).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / source, image / source)


def imported(image: Path, *modules: str) -> str:
    """Import modules where nothing else of ours is; what went wrong."""
    command = [sys.executable, "-c", IMPORT_ALL, str(image), *modules]
    return subprocess.run(command, cwd=image, capture_output=True, text=True).stderr


def test_jupyterhubs_side_is_imported_without_the_rest_of_ours(tmp_path: Path) -> None:
    copied(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hub", "models"]
    modules = [
        ".".join(path.relative_to(tmp_path).with_suffix("").parts).removesuffix(".__init__")
        for path in tmp_path.rglob("*.py")
    ]
    assert {"hub.plugin", "models.domain.server_spec"} <= set(modules)
    assert imported(tmp_path, *sorted(set(modules) - {_CONFIGURATION})) == ""


def test_the_rest_of_ours_is_not_there(tmp_path: Path) -> None:
    copied(tmp_path)
    for module in ("api", "models.database.engine", "piccolo.table"):
        assert "ModuleNotFoundError" in imported(tmp_path, module), module
