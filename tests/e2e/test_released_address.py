"""An address is released and given to somebody else: nothing of the one is the other's, in JupyterHub either.

The provider has the same accounts all the time. That an account is another one, or had another address before, is
written into the database: what browsers and JupyterHub hold by then is real.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from stack.notebook import Notebook
from tests.e2e.people import Browser, Json, Member, until
from tests.e2e.processes import processes_of
from tests.stacks import Stack

DAVE, JUERGEN = "dave@elsewhere.org", "jürgen.o'neil@bücher.example"
_numbers = itertools.count(1)


class Place:
    """The stack as an operator sees it."""

    def __init__(self, stack: Stack, hub: httpx.AsyncClient, admin: Member) -> None:
        self.stack, self.hub, self.admin = stack, hub, admin

    async def person(self, email: str) -> Member:
        """Somebody who signs in now."""
        headers = {"Authorization": f"Bearer {await self.stack.token(email)}"}
        return Member(email, httpx.AsyncClient(base_url=self.stack.info.api, headers=headers, timeout=30))

    async def write(self, statement: str, *arguments: str) -> None:
        connection = await asyncpg.connect(self.stack.info.database)
        try:
            await connection.execute(statement, *arguments)
        finally:
            await connection.close()

    async def release(self, email: str) -> Json:
        """The operation of a release, once it has succeeded."""
        operation = await self.admin.call("POST", "/persons/release", expect=202, params={"email": email})
        return await self.admin.succeeded(operation)

    async def users_of(self, path: str) -> set[str]:
        """Who is in a group, or with whom a server is shared, in JupyterHub."""
        found = (await self.hub.get(path)).raise_for_status().json()
        return set(found.get("users", [])) | {one["user"]["name"] for one in found.get("items", [])}


@pytest.fixture
async def place(stack: Stack, admin: Member) -> AsyncIterator[Place]:
    headers = {"Authorization": f"token {stack.secrets.worker_token}"}
    async with httpx.AsyncClient(base_url=f"{stack.info.jupyterhub}/hub/api", headers=headers, timeout=30) as hub:
        yield Place(stack, hub, admin)


async def give_away(place: Place, alice: Member, email: str) -> None:
    """Release an address and give it to somebody else, while its holder uses everything that one can."""
    number = next(_numbers)
    former = await place.person(email)
    name, token = await former.hub_user(), await place.stack.hub_token(email)
    own, shared = await former.started(), await alice.started()
    # What is theirs here and in JupyterHub: a dataset, a group, another's server.
    wait = {"Prefer": "wait=30"}
    dataset = await former.call("POST", "/datasets", json={"name": f"private{number}"}, headers=wait)
    group = await alice.call("POST", "/groups", json={"name": f"friends{number}"}, headers=wait)
    await alice.call(
        "POST", f"/groups/{group['_id']}/members", params={"memberEmail": email}, headers=wait, expect=(200, 202)
    )
    shares = f"/shares/{await alice.hub_user()}/{shared['name']}"
    (await place.hub.post(shares, json={"user": name})).raise_for_status()
    members = f"/groups/nbhub-{group['_id']}"

    async def reaches_shared() -> int:
        async with httpx.AsyncClient(headers={"Authorization": f"token {token}"}, timeout=30) as client:
            return (await client.get(f"{shared['url']}api/status")).status_code

    assert await reaches_shared() == 200
    await until(lambda: place.users_of(members), lambda found: name in found, within=40, what="the group is mirrored")
    async with Browser.of(place.stack, email) as browser:
        assert await browser.opens(own) == "server"

        await place.write("UPDATE person SET subject = 'before-' || id WHERE hub_user = $1", name)
        operation = await place.release(email)
        assert [step["name"] for step in operation["steps"]] == [
            "Stop the person's servers",
            "Remove the JupyterHub user",
        ]
        assert (await place.hub.get(f"/users/{name}")).status_code == 404
        assert processes_of(own) == []
        assert (await former.api.get("/whoami")).status_code == 401

        other = await place.person(email)
        assert await other.hub_user() != name
        assert await other.call("GET", "/datasets") == []
        await other.call("GET", f"/groups/{group['_id']}/members", expect=403)
        server = await other.started()
        async with Browser.of(place.stack, email) as theirs:
            assert await theirs.opens(server) == "server"
            assert await theirs.opens(shared) in ("403", "404")
            assert await theirs.opens(own) in ("403", "404")
        assert await browser.opens(server) == "sign-in"
        assert await browser.opens(own) == "sign-in"
        async with httpx.AsyncClient(headers={"Authorization": f"token {token}"}, timeout=30) as client:
            assert (await client.get(f"{server['url']}api/status")).status_code == 403
            assert (await client.get(f"{place.stack.info.jupyterhub}/hub/api/user")).status_code == 403
        assert not await place.users_of(members) & {name, await other.hub_user()}
        assert await place.users_of(shares) == set()
        # The other's server asks JupyterHub again by then.
        await until(reaches_shared, lambda status: status == 403, within=60, what="the share ends")
        async with Notebook(server["url"], await place.stack.hub_token(email)) as notebook:
            assert (await notebook.run("print(6 * 7)")).strip() == "42"
    await other.succeeded(await other.delete(server))
    await place.admin.succeeded(await place.admin.delete(own))
    await place.admin.call("DELETE", f"/datasets/{dataset['_id']}", headers=wait, expect=(202, 204))
    await alice.succeeded(await alice.delete(shared))
    await alice.call("DELETE", f"/groups/{group['_id']}", headers=wait, expect=(202, 204))
    for one in (former, other):
        await one.api.aclose()


async def test_the_former_holder_of_an_address_opens_nothing_of_the_new_one(place: Place, alice: Member) -> None:
    """Two addresses at once, and each given away twice."""
    for _ in range(2):
        await asyncio.gather(*(give_away(place, alice, email) for email in (DAVE, JUERGEN)))


async def test_who_has_another_address_keeps_servers_shares_and_data(place: Place, alice: Member) -> None:
    number = next(_numbers)
    dave = await place.person(DAVE)
    name, server = await dave.hub_user(), await dave.started()
    async with Notebook(server["url"], await place.stack.hub_token(DAVE)) as notebook:
        await notebook.run("open('/home/jovyan/kept.txt', 'w').write('mine')")
    wait = {"Prefer": "wait=30"}
    dataset = await alice.call("POST", "/datasets", json={"name": f"shared{number}"}, headers=wait)
    share = {"relation": "read", "userArray": [DAVE]}
    await alice.succeeded(await alice.call("POST", f"/datasets/{dataset['_id']}/share", json=share, expect=(200, 202)))
    # The provider says another address from now on.
    before = f"dave{number}-before@elsewhere.org"
    await place.write("UPDATE person SET email = $2 WHERE hub_user = $1", name, before)
    operation = await place.release(before)
    assert operation["kind"] == "person.release"
    await dave.api.aclose()

    dave = await place.person(DAVE)
    assert await dave.hub_user() == name
    assert dataset["_id"] in {one["_id"] for one in await dave.call("GET", "/datasets")}
    seen = await dave.see(server)
    assert (seen["status"], seen["owner"], seen["url"]) == ("stopped", DAVE, server["url"])
    assert seen["last_error"]["code"] == "OWNER_RELEASED"
    await dave.succeeded(await dave.wish(server, "start"))
    async with Browser.of(place.stack, DAVE) as browser:
        assert await browser.opens(server) == "server"
    async with Notebook(server["url"], await place.stack.hub_token(DAVE)) as notebook:
        assert (await notebook.run("print(open('/home/jovyan/kept.txt').read())")).strip() == "mine"
    await dave.succeeded(await dave.delete(server))
    await alice.call("DELETE", f"/datasets/{dataset['_id']}", headers=wait, expect=(202, 204))
    await dave.api.aclose()
