"""Secrets as a deployment makes them."""

import shutil
from pathlib import Path

import pytest

from tests.unit.deploy.deployment import DEPLOY, run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Secrets, just made."""
    directory = tmp_path_factory.mktemp("deploy") / "secrets"
    done = run(str(DEPLOY / "make-secrets.sh"), str(directory))
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture
def own_secrets(made: Path, tmp_path: Path) -> Path:
    """Secrets of one test, which changes them."""
    return shutil.copytree(made, tmp_path / "secrets")
