"""Servers outlive the hub, and no death of it leaves a process that nobody knows."""

import uuid

from hub.processes import identify
from stack.notebook import Notebook
from tests.integration.hub.harness import USER, HubUnderTest, until


async def test_the_same_kernel_answers_after_the_hub_was_killed(hub: HubUnderTest) -> None:
    spec = hub.spec()
    hub.spawn(spec)
    with hub.user_client() as user:
        token = user.headers["Authorization"].removeprefix("token ")
    url = f"{hub.url}/user/{USER}/{spec.hub_name}"
    async with Notebook(url, token) as notebook:
        await notebook.run("memory = 42")
        kernel = notebook.kernel_id
    before = hub.processes(spec)

    hub.kill()
    assert identify(before[0]["pid"]) is not None
    hub.start()
    until(lambda: hub.model(spec).get("ready"), 20, "the hub found its server again")
    async with Notebook(url, token, kernel_id=kernel) as notebook:
        assert (await notebook.run("print(memory)")).strip() == "42"
    assert hub.processes(spec) == before
    hub.api.delete(hub.path(spec))
    until(lambda: hub.processes(spec) == [], 10, "no process lives")


def test_a_hub_killed_in_mid_spawn_finds_its_server_again(hub: HubUnderTest) -> None:
    spec = hub.spec()
    (hub.faults / "spawn.launched").touch()
    hub.order(spec)
    assert hub.process is not None
    assert hub.process.wait(20) == 137
    hub.start()
    until(lambda: hub.model(spec).get("ready"), 30, "the hub adopted what it had been starting")
    (process,) = hub.processes(spec)
    assert hub.model(spec)["ready"]
    assert process["generation"] == 1
    hub.api.delete(hub.path(spec))
    until(lambda: hub.processes(spec) == [], 10, "no process lives")
    assert identify(process["pid"]) is None


def test_a_repeated_order_replaces_the_process(hub: HubUnderTest) -> None:
    """The hub says stopped although the process lives: a start of the next generation ends it first."""
    server_id = str(uuid.uuid4())
    spec = hub.spec(server_id=server_id)
    hub.spawn(spec)
    (old,) = hub.processes(spec)
    (hub.faults / "stop.raises").touch()
    hub.api.delete(hub.path(spec))
    until(lambda: not hub.model(spec).get("ready"), 10, "the hub says stopped")
    hub.spawn(hub.spec(server_id=server_id, generation=2))
    (new,) = hub.processes(spec)
    assert new["generation"] == 2
    assert identify(old["pid"]) is None
    hub.api.delete(hub.path(spec))
    until(lambda: hub.processes(spec) == [], 10, "no process lives")
