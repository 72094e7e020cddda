"""The same life of a server on JupyterHub 5."""

from collections.abc import AsyncIterator

import httpx
import pytest

from stack.notebook import Notebook
from tests.e2e.people import Browser, Member
from tests.e2e.processes import processes_of
from tests.stacks import Stack


@pytest.fixture(scope="module")
async def stack5(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with Stack(tmp_path_factory.mktemp("stack5"), jupyterhub_major=5) as stack:
        yield stack


@pytest.fixture(scope="module")
async def alice5(stack5: Stack) -> AsyncIterator[Member]:
    email = "alice@example.org"
    async with Member.signed_in(stack5.info.api, email, await stack5.token(email)) as member:
        yield member


async def test_start_run_restart_stop_and_delete(alice5: Member, stack5: Stack) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        about = await client.get(f"{stack5.info.jupyterhub}/hub/api/")
    assert about.json()["version"].startswith("5.")
    server = await alice5.started()
    async with Notebook(server["url"], await stack5.hub_token(alice5.email)) as notebook:
        assert (await notebook.run("print(6 * 7)")).strip() == "42"
    (before,) = processes_of(server)
    stop, start = await alice5.wish(server, "stop"), await alice5.wish(server, "start")
    await alice5.succeeded(stop)
    await alice5.succeeded(start)
    (after,) = processes_of(server)
    assert after.pid != before.pid
    await alice5.succeeded(await alice5.delete(server))
    assert processes_of(server) == []


async def test_a_link_lets_somebody_in_until_it_is_taken_back(alice5: Member, stack5: Stack) -> None:
    server, email = await alice5.started(), "bob@example.org"
    path = f"/servers/{server['_id']}/share"
    assert (await alice5.call("GET", path, params={"look": "true"}))["url"] is None
    link = (await alice5.call("GET", path))["url"]
    async with Browser.of(stack5, email) as browser:
        assert await browser.accepts(link) == 302
        assert await browser.opens(server) == "server"
        await alice5.succeeded(await alice5.call("DELETE", path, expect=202, params={"email": email}))
        assert await browser.accepts(link) in (400, 404)
    async with httpx.AsyncClient(
        headers={"Authorization": f"token {await stack5.hub_token(email)}"}, timeout=30
    ) as client:
        assert (await client.get(f"{server['url']}api/status")).status_code == 403
    await alice5.succeeded(await alice5.delete(server))


async def test_stop_while_starting(alice5: Member) -> None:
    server = await alice5.make_server()
    start = await alice5.wish(server, "start")
    stop = await alice5.wish(server, "stop")
    await alice5.succeeded(stop)
    assert (await alice5.ended(start))["status"] == "cancelled"
    assert processes_of(server) == []


async def test_a_spawn_that_fails_tells_why(alice5: Member) -> None:
    server = await alice5.make_server(applicationType="rstudio")
    operation = await alice5.ended(await alice5.wish(server, "start"))
    assert operation["status"] == "failed"
    assert "rserver" in operation["error"]["message"], operation["error"]


async def test_a_release_stops_servers_and_removes_the_user(alice5: Member, stack5: Stack) -> None:
    chief = "admin@example.org"
    server, name = await alice5.started(), await alice5.hub_user()
    async with Member.signed_in(stack5.info.api, chief, await stack5.token(chief)) as admin:
        release = await admin.call("POST", "/persons/release", params={"email": alice5.email}, expect=202)
        await admin.succeeded(release)
    assert processes_of(server) == []
    headers = {"Authorization": f"token {stack5.secrets.worker_token}"}
    async with httpx.AsyncClient(headers=headers, timeout=30) as client:
        assert (await client.get(f"{stack5.info.jupyterhub}/hub/api/users/{name}")).status_code == 404
