"""One real JupyterHub for all tests of its side; tests that kill it start it again."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from models.domain.profiles import SHIPPED
from models.domain.server_spec import ServerSpec
from stack import programs, tools
from stack.notebook import Notebook
from stack.progress import Progress
from tests.integration.hub.harness import HubUnderTest

# The shipped applications, and one whose file tests choose, which tells what reached it; hardware that is soon used up.
PROFILES = f"""{SHIPPED.read_text()}
[applications.probe]
title = "Probe"
kind = "web"
command = ["python", "{{file}}", "{{port}}", "--file={{file}}", "--braces={{}}"]
environment = {{ PROBE_PORT = "{{port}}" }}
file = "required"
file_suffixes = [".py"]

[hardware.tiny]
title = "Tiny (half a CPU, 600 MB RAM)"
cpu = 0.5
memory = "600M"
"""


@pytest.fixture(scope="session")
async def hub_programs() -> dict[str, str]:
    """The settings that name the stack's proxy and its sandbox."""
    modules = await tools.node_modules(Progress())
    proxy = modules / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"
    return {
        "NBHUB_HUB_PROXY_COMMAND": json.dumps([str((await programs.find("node")).path), str(proxy)]),
        "NBHUB_HUB_BUBBLEWRAP": str((await programs.find("bubblewrap")).path),
    }


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory, hub_programs: dict[str, str]) -> Iterator[HubUnderTest]:
    profiles = tmp_path_factory.mktemp("profiles") / "profiles.toml"
    profiles.write_text(PROFILES)
    settings = {
        "NBHUB_PROFILES_FILE": str(profiles),
        "NBHUB_UI_URL": "https://notebooks.example.org/",
        **hub_programs,
    }
    hub = HubUnderTest(tmp_path_factory.mktemp("hub"), settings)
    hub.start()
    try:
        yield hub
    finally:
        hub.close()


@pytest.fixture
def spec(hub: HubUnderTest) -> Iterator[ServerSpec]:
    """A small server that runs."""
    spec = hub.spec(hardware="cpuSmall")
    hub.spawn(spec)
    yield spec
    hub.truth.delete(f"servers/{spec.server_id}", params={"up_to_generation": spec.generation})


@pytest.fixture
async def kernel(hub: HubUnderTest, spec: ServerSpec) -> AsyncIterator[Notebook]:
    """A kernel of it."""
    async with hub.notebook(spec) as notebook:
        yield notebook


@pytest.fixture
def home(hub: HubUnderTest) -> Path:
    return Path(hub.spec().home)
