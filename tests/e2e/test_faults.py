"""Any part may die at any moment of a start: the operation ends, and one process serves the server."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from stack.notebook import Notebook
from tests.e2e.people import Json, Member, until
from tests.e2e.processes import processes_of
from tests.stacks import Stack
from tests.turns import TURNS, of_this_turn

# Where in a start the fault strikes, as a crash point of the worker.
BEFORE_THE_HUB_IS_ASKED = "spawn_server.before"
AFTER_IT_WAS_ASKED = "spawn_server.effect"
BEFORE_THE_RESULT_IS_RECORDED = "spawn_server.after"
POINTS = [BEFORE_THE_HUB_IS_ASKED, AFTER_IT_WAS_ASKED, BEFORE_THE_RESULT_IS_RECORDED]
VICTIMS = ["worker", "api", "temporal", "jupyterhub"]


async def ends_well(alice: Member, server: Json, start: Json, *, within: float = 150) -> None:
    """The start succeeds with one process; the server can be used and leaves nothing behind."""
    await alice.succeeded(start, within=within)
    assert len(processes_of(server)) == 1
    await alice.succeeded(await alice.delete(server), within=within)
    assert processes_of(server) == []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "victim" in metafunc.fixturenames:
        # In each turn every victim and every point.
        kills = [
            (victim, POINTS[(number + turn) % TURNS]) for number, victim in enumerate(VICTIMS) for turn in range(TURNS)
        ]
        metafunc.parametrize(("victim", "point"), of_this_turn(kills, metafunc.config))


async def test_kill_9_during_a_start_loses_nothing(alice: Member, stack: Stack, victim: str, point: str) -> None:
    server = await alice.make_server()
    # The worker dies at the point itself. Another victim dies while the worker is held there.
    stack.arm(point)
    start = await alice.wish(server, "start")
    await stack.died("worker")
    if victim != "worker":
        stack.kill(victim)
        await stack.start_part(victim)
    await stack.start_part("worker")
    await ends_well(alice, server, start)


async def test_the_hub_dies_with_a_process_that_only_it_knew(alice: Member, stack: Stack) -> None:
    server = await alice.make_server()
    stack.arm("spawn.launched")
    start = await alice.wish(server, "start")
    await stack.died("jupyterhub")
    await stack.start_part("jupyterhub")
    end = await alice.ended(start, within=150)
    # Either outcome is honest; a process that nobody knows of is not.
    assert end["status"] in ("succeeded", "failed"), end
    assert len(processes_of(server)) == (1 if end["status"] == "succeeded" else 0)
    await alice.succeeded(await alice.delete(server), within=150)
    assert processes_of(server) == []


async def test_the_api_dies_between_its_commit_and_the_wake_up(alice: Member, stack: Stack) -> None:
    server = await alice.make_server()
    stack.arm("api.committed")
    with pytest.raises(Exception):  # noqa: B017, PT011 - the connection ends in one of several ways
        await alice.wish(server, "start", **{"Idempotency-Key": server["_id"]})
    await stack.died("api")
    await stack.start_part("api")
    # Whoever repeats the request learns what became of it.
    start = await alice.wish(server, "start", **{"Idempotency-Key": server["_id"]})
    await ends_well(alice, server, start)


async def test_the_same_kernel_answers_after_the_hub_was_killed(
    alice: Member, stack: Stack, hub_token: Callable[[str], Awaitable[str]]
) -> None:
    server = await alice.started()
    token = await hub_token(alice.email)
    async with Notebook(server["url"], token) as notebook:
        await notebook.run("memory = 42")
        kernel = notebook.kernel_id
    before = processes_of(server)
    stack.kill("jupyterhub")
    await stack.start_part("jupyterhub")
    async with Notebook(server["url"], token, kernel_id=kernel) as notebook:
        assert (await notebook.run("print(memory)")).strip() == "42"
    assert processes_of(server) == before
    assert (await alice.see(server))["status"] == "running"
    await alice.succeeded(await alice.delete(server))
    assert processes_of(server) == []


async def test_a_stop_that_cannot_kill_does_not_say_stopped(alice: Member, stack: Stack) -> None:
    """The hub records a server as stopped whatever its spawner's stop did; the process tells the truth."""
    server = await alice.started()
    (process,) = processes_of(server)
    stack.arm("stop.raises")
    operation = await alice.wish(server, "stop")
    await alice.succeeded(operation)
    assert not stack.armed("stop.raises")
    assert processes_of(server) == [], f"said stopped while {process} lives"
    assert (await alice.see(server))["status"] == "stopped"
    await alice.succeeded(await alice.delete(server))


async def test_a_terminated_workflow_is_taken_up_again(alice: Member, stack: Stack) -> None:
    server = await alice.make_server()
    stack.arm(AFTER_IT_WAS_ASKED)
    start = await alice.wish(server, "start")
    await stack.died("worker")
    client = await stack.temporal_client()
    await client.get_workflow_handle(f"server-{server['_id']}").terminate("a test")
    await stack.start_part("worker")
    await ends_well(alice, server, start)


async def test_writes_are_accepted_and_done_later_while_temporal_is_away(alice: Member, stack: Stack) -> None:
    await stack.stop_part("temporal")
    server = await alice.make_server()
    start = await alice.wish(server, "start")
    assert start["status"] == "queued"
    assert (await alice.see(server))["status"] == "starting"
    health = (await alice.api.get("/healthcheck")).json()
    assert health["checks"]["temporal"]["status"] == "failed"
    assert health["checks"]["database"]["status"] == "ok"
    await stack.start_part("temporal")
    await ends_well(alice, server, start)


async def test_health_and_operations_say_that_the_only_worker_died(alice: Member, stack: Stack) -> None:
    async def workers() -> str:
        status: str = (await alice.api.get("/healthcheck")).json()["checks"]["workers"]["status"]
        return status

    assert await workers() == "ok"
    stack.kill("worker")
    server = await alice.make_server()
    start = await alice.wish(server, "start")
    await until(workers, lambda seen: seen == "failed", within=25, what="the health misses the worker")
    assert "No worker" in (await alice.call("GET", f"/operations/{start['_id']}"))["waits_for"]
    await stack.start_part("worker")
    await ends_well(alice, server, start)


async def test_nothing_is_done_twice_when_temporals_database_is_lost(alice: Member, stack: Stack) -> None:
    running = await alice.started()
    before = processes_of(running)
    server = await alice.make_server()
    stack.arm(BEFORE_THE_RESULT_IS_RECORDED)
    start = await alice.wish(server, "start")
    await stack.died("worker")
    await stack.lose("temporal")
    await stack.start_part("temporal")
    await stack.start_part("worker")
    await alice.succeeded(start, within=150)
    assert len(processes_of(server)) == 1
    assert processes_of(running) == before
    for one in (running, server):
        await alice.succeeded(await alice.delete(one), within=150)
        assert processes_of(one) == []


@pytest.mark.parametrize("part", ["worker", "jupyterhub"])
async def test_writes_are_accepted_while_a_part_is_away(alice: Member, stack: Stack, part: str) -> None:
    await stack.stop_part(part)
    server = await alice.make_server()
    start = await alice.wish(server, "start")
    assert (await alice.call("GET", "/servers", params={"name": server["name"]}))[0]["_id"] == server["_id"]
    await stack.start_part(part)
    await ends_well(alice, server, start)


async def test_a_frozen_workers_late_call_does_nothing(alice: Member, stack: Stack) -> None:
    """While one worker is frozen another does its work; what the frozen one does on waking is fenced."""
    server = await alice.make_server()
    start = await alice.wish(server, "start")
    await alice.becomes(server, "starting")
    stack.freeze("worker")
    await asyncio.sleep(6)  # longer than a heartbeat may be late: Temporal gives the work to somebody else
    stack.thaw("worker")
    await until(
        lambda: alice.ended(start), lambda seen: seen["status"] == "succeeded", within=150, what="the start succeeds"
    )
    assert len(processes_of(server)) == 1
    await alice.succeeded(await alice.delete(server))


def test_no_token_is_logged(stack: Stack) -> None:
    """The stack's own secrets are nowhere in what any part has logged, whatever failed."""
    for log in Path(stack.info.log_dir).glob("*.log"):
        text = log.read_text(errors="replace")
        for name in stack.secrets.__struct_fields__:
            value = getattr(stack.secrets, name).rpartition(":")[2]
            assert value not in text, f"{name} is in {log.name}"
