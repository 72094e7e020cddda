"""Without a sandbox, because a setting says so: plain servers run and end, and what would need one is refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.machine import SERVER_ID_VARIABLE
from hub.processes import with_environment
from models.domain.server_spec import SecretMount, WrappedSecret
from stack.notebook import Notebook
from tests.integration.hub.harness import USER, HubUnderTest, until


@pytest.fixture(scope="module")
def local_hub(tmp_path_factory: pytest.TempPathFactory, hub_programs: dict[str, str]) -> Iterator[HubUnderTest]:
    hub = HubUnderTest(tmp_path_factory.mktemp("local"), hub_programs, spawner="local")
    hub.start()
    try:
        yield hub
    finally:
        hub.close()


async def test_a_server_and_its_kernels_end_together(local_hub: HubUnderTest) -> None:
    spec = local_hub.spec()
    local_hub.spawn(spec)
    with local_hub.user_client() as user:
        token = user.headers["Authorization"].removeprefix("token ")
    async with Notebook(f"{local_hub.url}/user/{USER}/{spec.hub_name}", token) as notebook:
        assert (await notebook.run("import os; print(os.getcwd())")).strip() == spec.home
    marked = f"{SERVER_ID_VARIABLE}={spec.server_id}"
    assert len(with_environment(marked)) >= 2
    assert local_hub.truth.get("servers").json()["spawner"] == "local"
    local_hub.api.delete(local_hub.path(spec))
    until(lambda: local_hub.processes(spec) == [], 10, "no process lives")
    until(lambda: with_environment(marked) == [], 5, "no kernel lives")


def test_a_hub_that_has_no_sandbox_starts_nothing_and_says_what_to_do(
    tmp_path: Path, hub_programs: dict[str, str]
) -> None:
    """`local` is what an administrator chooses, and nothing that a missing package leads to."""
    hub = HubUnderTest(tmp_path, {**hub_programs, "NBHUB_HUB_BUBBLEWRAP": "no-bwrap"}, spawner=None)
    hub.start()
    try:
        spec = hub.spec()
        answer = hub.order(spec)
        assert answer.status_code == 422
        for said in ("no sandbox", "no-bwrap", "install bubblewrap", "NBHUB_HUB_BUBBLEWRAP", "NBHUB_HUB_SPAWNER=local"):
            assert said in answer.json()["message"]
        assert hub.processes(spec) == []
        assert "no sandbox" in hub.failure(spec)["reason"]
    finally:
        hub.close()


def test_a_hub_that_cannot_limit_its_servers_starts_nothing_and_says_what_to_do(
    tmp_path: Path, hub_programs: dict[str, str]
) -> None:
    """Limits of each process are what an administrator chooses: a server may have thousands of them."""
    nowhere = {**hub_programs, "NBHUB_HUB_LIMITS": "cgroup", "NBHUB_HUB_CGROUP": str(tmp_path / "no-cgroup")}
    hub = HubUnderTest(tmp_path, hub_programs, settings=nowhere)
    hub.start()
    try:
        spec = hub.spec()
        answer = hub.order(spec)
        assert answer.status_code == 422
        for said in ("no-cgroup", "NBHUB_HUB_CGROUP", "NBHUB_HUB_LIMITS=none"):
            assert said in answer.json()["message"]
        assert hub.processes(spec) == []
    finally:
        hub.close()


def test_a_hub_that_is_told_to_do_without_limits_starts_servers(tmp_path: Path, hub_programs: dict[str, str]) -> None:
    hub = HubUnderTest(tmp_path, hub_programs, settings={"NBHUB_HUB_LIMITS": "none"})
    hub.start()
    try:
        spec = hub.spec()
        hub.spawn(spec)
        hub.end(spec)
        assert "NBHUB_HUB_LIMITS=none" in hub.log_file.read_text()
    finally:
        hub.close()


def test_what_needs_a_sandbox_is_refused(local_hub: HubUnderTest) -> None:
    for changes in (
        {"mounts": (local_hub.dataset("d"),)},
        {"modules": ("tool/1.0",), "mounts": local_hub.module(USER, "tool/1.0")},
        {"application": "streamlit", "file_path": "app.py"},
    ):
        answer = local_hub.order(local_hub.spec(**changes))
        assert answer.status_code == 422
        assert "bubblewrap" in answer.json()["message"]


def test_secrets_are_refused_unopened(local_hub: HubUnderTest) -> None:
    secret = SecretMount(id="1", kind="env_var", name="API_KEY", path="secret/data/secrets/1", version=1)
    spec = local_hub.spec(secrets=(secret,))
    answer = local_hub.order(spec, wrapped=[WrappedSecret(id="1", token="hvs.token")])
    assert answer.status_code == 422
    assert "hands no secrets to servers" in answer.json()["message"]
    assert "hands no secrets to servers" in local_hub.failure(spec)["reason"]
    assert local_hub.processes(spec) == []
