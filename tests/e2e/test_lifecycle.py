"""A server's life as its owner sees it, on the whole stack: every order of intents, and what each leaves behind."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from stack.notebook import CodeFailed, Notebook
from tests.e2e.people import Member, until
from tests.e2e.processes import living, processes_of
from tests.stacks import Stack


async def test_start_twice_is_one_operation(alice: Member) -> None:
    server = await alice.make_server()
    first, second = await asyncio.gather(alice.wish(server, "start"), alice.wish(server, "start"))
    assert first["_id"] == second["_id"]
    operation = await alice.succeeded(first)
    assert [step["status"] for step in operation["steps"]] == ["succeeded"] * len(operation["steps"])
    assert (await alice.see(server))["status"] == "running"
    assert len(processes_of(server)) == 1
    again = await alice.wish(server, "start")
    assert again["status"] == "succeeded", "what runs already is not started again"
    await alice.succeeded(await alice.wish(server, "stop"))


async def test_stop_while_starting_cancels_the_start(alice: Member) -> None:
    server = await alice.make_server()
    start = await alice.wish(server, "start")
    await alice.becomes(server, "starting")
    stop = await alice.wish(server, "stop")
    await alice.succeeded(stop)
    start = await alice.ended(start)
    assert (start["status"], start["superseded_by"]) == ("cancelled", stop["_id"])
    assert (await alice.see(server))["status"] == "stopped"
    assert processes_of(server) == []


async def test_start_while_stopping_runs_after_it(alice: Member) -> None:
    server = await alice.started()
    (before,) = processes_of(server)
    stop = await alice.wish(server, "stop")
    start = await alice.wish(server, "start")
    await alice.succeeded(stop)
    await alice.succeeded(start)
    (after,) = processes_of(server)
    assert after.pid != before.pid, "a restart is a new process"
    assert not living(before)
    await alice.succeeded(await alice.wish(server, "stop"))


@pytest.mark.parametrize("state", ["running", "starting"])
async def test_delete_in_any_state_leaves_nothing(alice: Member, state: str) -> None:
    server = await alice.make_server()
    start = await alice.wish(server, "start")
    await alice.becomes(server, state)
    delete = await alice.delete(server)
    await alice.succeeded(delete)
    await alice.gone(server)
    assert (await alice.ended(start))["status"] == ("succeeded" if state == "running" else "cancelled")
    assert processes_of(server) == []
    await alice.call("GET", "/template", params={"templateId": server["templateId"]}, expect=404)
    await alice.call("PUT", f"/servers/{server['_id']}/start", expect=404)
    # The operation outlives its subject.
    assert (await alice.call("GET", f"/operations/{delete['_id']}"))["status"] == "succeeded"


async def test_a_quick_launch_is_deleted_and_its_template_stays(alice: Member, bob: Member) -> None:
    template = await alice.make_template(public=True, type="quick-launch")
    server = await bob.launch(template["_id"])
    assert server["owner"] == bob.email
    await bob.succeeded(await bob.wish(server, "start"))
    await alice.call("PUT", f"/servers/{server['_id']}/stop", expect=404)
    await bob.succeeded(await bob.delete(server))
    await bob.gone(server)
    assert (await alice.call("GET", "/template", params={"templateId": template["_id"]}))["creator"] == alice.email
    await alice.call("DELETE", "/template", params={"id": template["_id"]}, expect=204)


async def test_three_servers_of_one_template_at_once(alice: Member) -> None:
    template = await alice.make_template()
    servers = [await alice.launch(template["_id"]) for _ in range(3)]
    await asyncio.gather(*[alice.wish(server, "start") for server in servers])
    for server in servers:
        await alice.becomes(server, "running", within=120)
        assert len(processes_of(server)) == 1
    await asyncio.gather(*[alice.delete(server) for server in servers])
    for server in servers:
        await alice.gone(server)


async def test_a_spawn_that_fails_tells_why(alice: Member) -> None:
    server = await alice.make_server(applicationType="rstudio")
    operation = await alice.ended(await alice.wish(server, "start"))
    assert operation["status"] == "failed"
    assert "rserver" in operation["error"]["message"], operation["error"]
    assert operation["error"]["hint"]
    seen = await alice.see(server)
    assert seen["status"] == "stopped"
    assert seen["last_error"]["message"] == operation["error"]["message"]
    assert processes_of(server) == []


async def test_a_server_killed_from_outside_shows_stopped_and_stays_so(alice: Member) -> None:
    server = await alice.started()
    (process,) = processes_of(server)
    process.kill()
    seen = await alice.becomes(server, "stopped", within=30)
    assert "operation" not in seen
    # Longer than the next look at what runs: nobody starts it again.
    with pytest.raises(AssertionError):
        await until(
            lambda: alice.see(server), lambda seen: seen["status"] != "stopped", within=20, what="another status"
        )
    assert processes_of(server) == []
    await alice.succeeded(await alice.wish(server, "start"))
    await alice.succeeded(await alice.delete(server))


async def test_one_idempotency_key_makes_one_server(alice: Member) -> None:
    template = await alice.make_template()
    headers = {"Idempotency-Key": f"launch-{template['_id']}"}
    query = {"templateId": template["_id"]}
    first, second = await asyncio.gather(
        *(alice.call("PUT", "/servers", params=query, headers=headers) for _ in range(2))
    )
    assert first == second
    made = await alice.call("GET", "/servers", params={"name": first["name"]})
    assert [server["_id"] for server in made] == [first["_id"]]
    other = await alice.make_template(name="Another lab")
    await alice.call("PUT", "/servers", params={"templateId": other["_id"]}, headers=headers, expect=422)


async def test_code_runs_in_the_servers_kernel(
    alice: Member, stack: Stack, hub_token: Callable[[str], Awaitable[str]]
) -> None:
    server = await alice.started()
    async with Notebook(server["url"], await hub_token(alice.email)) as notebook:
        assert (await notebook.run("print(6 * 7)")).strip() == "42"
        with pytest.raises(CodeFailed, match="ZeroDivisionError"):
            await notebook.run("1 / 0")
    await alice.succeeded(await alice.delete(server))
