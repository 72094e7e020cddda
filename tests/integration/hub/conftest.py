"""One real JupyterHub for all tests of its side; tests that kill it start it again."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import programs, tools
from stack.progress import Progress
from tests.integration.hub.harness import HubUnderTest


@pytest.fixture(scope="session")
async def hub_programs() -> dict[str, str]:
    """The settings that name the stack's proxy and its sandbox."""
    modules = await tools.node_modules(Progress())
    proxy = modules / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"
    return {
        "NBHUB_HUB_PROXY_COMMAND": json.dumps([str((await programs.node()).path), str(proxy)]),
        "NBHUB_HUB_BUBBLEWRAP": str((await programs.bubblewrap()).path),
    }


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory, hub_programs: dict[str, str]) -> Iterator[HubUnderTest]:
    hub = HubUnderTest(tmp_path_factory.mktemp("hub"), hub_programs)
    hub.start()
    try:
        yield hub
    finally:
        hub.close()


@pytest.fixture
def home(hub: HubUnderTest) -> Path:
    return Path(hub.spec().home)
