"""One real JupyterHub for all tests of its side; tests that kill it start it again."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import tools
from stack.progress import Progress
from tests.integration.hub.harness import HubUnderTest


@pytest.fixture(scope="session")
async def proxy_command() -> list[str]:
    """The stack's proxy."""
    modules = await tools.node_modules(Progress())
    return [
        str(tools.node()),
        str(modules / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"),
    ]


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory, proxy_command: list[str]) -> Iterator[HubUnderTest]:
    assert shutil.which("bwrap"), "bubblewrap is missing: apt-get install bubblewrap"
    hub = HubUnderTest(tmp_path_factory.mktemp("hub"), proxy_command)
    hub.start()
    try:
        yield hub
    finally:
        hub.close()


@pytest.fixture
def home(hub: HubUnderTest) -> Path:
    return Path(hub.spec().home)
