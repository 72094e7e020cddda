"""One real JupyterHub for all tests of its side; tests that kill it start it again."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.hub.harness import HubUnderTest

PROXY = "configurable-http-proxy@5.3.0"


@pytest.fixture(scope="session")
def proxy_command(pytestconfig: pytest.Config) -> list[str]:
    """The proxy of PATH, else one that is installed once and kept."""
    found = shutil.which("configurable-http-proxy")
    if found is None:
        assert pytestconfig.cache is not None
        directory = pytestconfig.cache.mkdir("configurable-http-proxy")
        program = directory / "node_modules" / ".bin" / "configurable-http-proxy"
        if not program.exists():
            subprocess.run(["npm", "install", "--silent", "--prefix", str(directory), PROXY], check=True)
        found = str(program)
    return [found]


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory, proxy_command: list[str]) -> Iterator[HubUnderTest]:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    hub = HubUnderTest(tmp_path_factory.mktemp("hub"), proxy_command)
    hub.start()
    try:
        yield hub
    finally:
        hub.close()


@pytest.fixture
def home(hub: HubUnderTest) -> Path:
    return Path(hub.spec().home)
