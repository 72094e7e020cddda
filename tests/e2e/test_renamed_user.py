"""An operator renames a user in JupyterHub while a server of theirs runs: start, stop and delete end all the same."""

from collections.abc import AsyncIterator

import httpx
import pytest

from stack import secrets
from tests.e2e.people import Member
from tests.e2e.processes import processes_of
from tests.stacks import Stack


@pytest.fixture
async def hub(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """JupyterHub's API, as an operator uses it."""
    token = secrets.load_or_make(stack.layout.keys).hub_admin_token
    async with httpx.AsyncClient(
        base_url=f"{stack.info.jupyterhub}/hub/api", headers={"Authorization": f"token {token}"}, timeout=30
    ) as client:
        yield client


@pytest.fixture
async def carol(stack: Stack) -> AsyncIterator[Member]:
    email = "carol@example.org"
    async with Member.signed_in(stack.info.api, email, await stack.token(email)) as member:
        yield member


@pytest.mark.parametrize("comes_back", [False, True], ids=["user gone", "user made anew"])
async def test_a_user_renamed_in_jupyterhub_can_restart_and_delete(
    carol: Member, hub: httpx.AsyncClient, comes_back: bool
) -> None:
    server = await carol.started()
    (before,) = processes_of(server)
    renamed = await hub.patch(f"/users/{await carol.hub_user()}", json={"name": f"renamed-{server['_id'][-12:]}"})
    assert renamed.status_code == 200, renamed.text
    if comes_back:
        # As when the person signs in again.
        assert (await hub.post(f"/users/{await carol.hub_user()}")).status_code == 201
    stop, start = await carol.wish(server, "stop"), await carol.wish(server, "start")
    await carol.succeeded(stop)
    await carol.succeeded(start)
    (after,) = processes_of(server)
    assert after != before
    await carol.succeeded(await carol.delete(server))
    assert processes_of(server) == []


async def test_a_server_whose_user_was_renamed_is_stopped_and_started(carol: Member, hub: httpx.AsyncClient) -> None:
    server = await carol.started()
    await hub.patch(f"/users/{await carol.hub_user()}", json={"name": f"renamed-{server['_id'][-12:]}"})
    await carol.succeeded(await carol.wish(server, "stop"))
    assert processes_of(server) == []
    await carol.succeeded(await carol.wish(server, "start"))
    assert len(processes_of(server)) == 1
    await carol.succeeded(await carol.delete(server))


async def test_a_server_that_is_killed_says_how_it_ended(carol: Member) -> None:
    """By the system, as when memory runs out."""
    server = await carol.started()
    for process in processes_of(server):
        process.kill()
    seen = await carol.becomes(server, "stopped")
    assert seen["last_error"]["code"] == "SERVER_ENDED"
    assert seen["last_error"]["message"] == "The server ended by itself (exit code 137, as when memory runs out)"
    assert seen["last_error"]["log"]
    await carol.succeeded(await carol.delete(server))
