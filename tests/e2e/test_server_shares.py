"""A server's link in practice: made when its owner asks, opened by others in a browser, and taken back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from stack.notebook import Notebook
from tests.e2e.people import Browser, Json, Member, until
from tests.stacks import Stack

BOB, CAROL = "bob@example.org", "carol@example.org"


class Lab:
    """A running server of Alice's, which nobody else may use as yet."""

    def __init__(self, stack: Stack, alice: Member, server: Json, hub: httpx.AsyncClient) -> None:
        self.stack, self.alice, self.server, self._hub = stack, alice, server, hub
        self.path = f"/servers/{server['_id']}/share"

    async def link(self, **query: str) -> str | None:
        """What who asks for the link is told."""
        found = await self.alice.call("GET", self.path, params=query)
        return found["url"]  # type: ignore[no-any-return]

    async def take_back(self, **query: str) -> None:
        operation = await self.alice.call("DELETE", self.path, params=query, expect=202)
        await self.alice.succeeded(operation)

    async def in_hub(self, what: str) -> int:
        """How many `shares` or `share-codes` of the server there are in JupyterHub."""
        found = await self._hub.get(f"/{what}/{await self.alice.hub_user()}/{self.server['name']}")
        # Of a server that JupyterHub does not know there are none.
        return 0 if found.status_code == 404 else len(found.raise_for_status().json()["items"])

    async def answers(self, email: str, *, token: str = "") -> int:
        """The status that somebody's request to the server gets, who comes with a new token or one given."""
        headers = {"Authorization": f"token {token or await self.stack.hub_token(email)}"}
        async with httpx.AsyncClient(headers=headers, timeout=30) as client:
            return (await client.get(f"{self.server['url']}api/status")).status_code


def hub_api(stack: Stack) -> httpx.AsyncClient:
    """What a worker asks JupyterHub with."""
    headers = {"Authorization": f"token {stack.secrets.worker_token}"}
    return httpx.AsyncClient(base_url=f"{stack.info.jupyterhub}/hub/api", headers=headers, timeout=30)


@asynccontextmanager
async def a_lab(stack: Stack, alice: Member, **template: object) -> AsyncIterator[Lab]:
    server = await alice.started(**template)
    async with hub_api(stack) as hub:
        yield Lab(stack, alice, server, hub)
    await alice.succeeded(await alice.delete(server))


@pytest.fixture
async def lab(stack: Stack, alice: Member) -> AsyncIterator[Lab]:
    async with a_lab(stack, alice) as lab:
        yield lab


async def test_a_start_and_a_look_make_no_link_and_two_who_ask_at_once_get_the_same(lab: Lab) -> None:
    assert await lab.link(look="true") is None
    assert await lab.in_hub("share-codes") == 0
    first, second = await asyncio.gather(lab.link(), lab.link())
    assert first
    assert first == second == await lab.link() == await lab.link(look="true")
    assert first.startswith(lab.stack.info.jupyterhub)
    assert await lab.in_hub("share-codes") == 1


async def test_whom_a_share_is_taken_from_is_refused_and_the_others_stay(lab: Lab, bob: Member) -> None:
    link = await lab.link()
    assert link
    async with AsyncExitStack() as open_browsers:
        bobs, carols = [await open_browsers.enter_async_context(Browser.of(lab.stack, email)) for email in (BOB, CAROL)]
        # Who has no link comes in by none of these ways.
        assert await bobs.opens(lab.server) in ("403", "404")
        assert await lab.answers(BOB) == 403
        for browser in (bobs, carols):
            assert await browser.accepts(link) == 302
            assert await browser.opens(lab.server) == "server"
        held = await lab.stack.hub_token(BOB)
        assert await lab.answers(BOB, token=held) == 200

        # A guest makes no links, lets nobody in, and is no owner here.
        token = {"Authorization": f"token {held}"}
        name = f"{await lab.alice.hub_user()}/{lab.server['name']}"
        async with httpx.AsyncClient(
            base_url=f"{lab.stack.info.jupyterhub}/hub/api", headers=token, timeout=30
        ) as client:
            for path in (f"/share-codes/{name}", f"/shares/{name}"):
                assert (await client.post(path, json={"user": await bob.hub_user()})).status_code in (403, 404)
        await bob.call("GET", lab.path, expect=404)
        await bob.call("DELETE", lab.path, expect=404)

        for _ in range(2):
            await lab.take_back(email=BOB)
            assert await lab.answers(BOB) == 403
            assert await lab.answers(CAROL) == 200
            assert (await lab.alice.call("GET", lab.path, params={"look": "true"}))["users"] == [CAROL]
        assert await bobs.accepts(link) in (400, 404)
        assert await carols.opens(lab.server) == "server"
        # The server takes JupyterHub's word for what it has just asked about, for as long as it is set to.
        await until(lambda: lab.answers(BOB, token=held), lambda status: status == 403, within=60, what="bob is out")
        assert await bobs.opens(lab.server) in ("403", "404")

        # A new link lets him in again, until there is none.
        other = await lab.link()
        assert other not in (None, link)
        assert await bobs.accepts(str(other)) == 302
        assert await lab.answers(BOB) == 200
        for _ in range(2):
            await lab.take_back()
            assert [await lab.answers(email) for email in (BOB, CAROL)] == [403, 403]
            assert (await lab.in_hub("shares"), await lab.in_hub("share-codes")) == (0, 0)
        assert await bobs.accepts(str(other)) in (400, 404)
    assert lab.server["_id"] not in {one["_id"] for one in await lab.alice.call("GET", "/servers/shares")}


# What a program of the server can read of all that run beside it.
TOKENS = """
import pathlib, re
found = set()
for process in pathlib.Path("/proc").glob("[0-9]*"):
    for name in ("environ", "cmdline"):
        try:
            found.update(re.findall(rb"TOKEN=([^\\0]+)", (process / name).read_bytes()))
        except OSError:
            pass
print(*(one.decode() for one in sorted(found)))
"""

# The processes that let people in, and those of them that it can read the memory of.
MEMORIES = """
import pathlib
serving = [one for one in pathlib.Path("/proc").glob("[0-9]*") if b"--serve" in (one / "cmdline").read_bytes()]
def readable(process):
    try:
        return bool((process / "mem").open("rb"))
    except OSError:
        return False
print(len(serving), *(one.name for one in serving if readable(one)))
"""


async def test_what_a_guest_has_found_in_the_server_lets_nobody_back_in(lab: Lab) -> None:
    link = await lab.link()
    assert link
    async with Browser.of(lab.stack, BOB) as browser:
        assert await browser.accepts(link) == 302
    async with Notebook(lab.server["url"], await lab.stack.hub_token(BOB)) as notebook:
        found = (await notebook.run(TOKENS)).split()
        assert (await notebook.run(MEMORIES)).split() == ["1"], "what others show to the server is in its memory"
    assert found, "a server has a token to say to JupyterHub that it is used"
    await lab.take_back(email=BOB)
    assert [await lab.answers(BOB, token=token) for token in found] == [403] * len(found)
    assert await lab.answers(lab.alice.email) == 200


async def test_an_admin_sees_who_shares_a_server_and_takes_it_back(lab: Lab, bob: Member, admin: Member) -> None:
    assert (await admin.call("GET", lab.path))["url"] is None, "only its owner's wish makes a link"
    assert await lab.in_hub("share-codes") == 0
    link = await lab.link()
    assert link in {one.get("url") for one in await admin.call("GET", "/servers/shares")}
    assert link not in {one.get("url") for one in await bob.call("GET", "/servers/shares")}
    await admin.succeeded(await admin.call("DELETE", lab.path, expect=202))
    assert await lab.in_hub("share-codes") == 0


async def test_who_loses_a_dataset_loses_the_server_that_shows_it(stack: Stack, alice: Member) -> None:
    dataset = await alice.call("POST", "/datasets", json={"name": "shown"}, headers={"Prefer": "wait=30"})
    path, people = f"/datasets/{dataset['_id']}", {"relation": "read", "userArray": [BOB, CAROL]}
    await alice.succeeded(await alice.call("POST", f"{path}/share", expect=202, json=people))
    async with a_lab(stack, alice, datasets=[dataset["_id"]]) as lab:
        link = str(await lab.link())
        for email in (BOB, CAROL):
            async with Browser.of(stack, email) as browser:
                assert await browser.accepts(link) == 302
            assert await lab.answers(email) == 200
        lost = await alice.call("POST", f"{path}/revoke", expect=202, json=people | {"userArray": [BOB]})
        await alice.succeeded(lost)
        assert [await lab.answers(email) for email in (BOB, CAROL)] == [403, 200]
        assert await lab.in_hub("share-codes") == 0, "bob could come back by the link"
        assert (await alice.see(lab.server))["status"] == "running"
    await alice.call("DELETE", path, expect=(202, 204))


async def test_who_loses_a_group_while_accepting_a_link_is_not_in_the_server_afterwards(
    stack: Stack, alice: Member, admin: Member
) -> None:
    wait = {"Prefer": "wait=60"}
    group = await admin.call("POST", "/groups", json={"name": "accepting"}, headers=wait)
    path = f"/groups/{group['_id']}"
    for email in (alice.email, BOB, CAROL):
        added = {"memberEmail": email}
        await admin.call("POST", f"{path}/members", params=added, headers=wait, expect=(200, 202))
    async with (
        a_lab(stack, alice) as lab,
        Browser.of(stack, BOB) as bobs,
        Browser.of(stack, CAROL) as carols,
    ):
        link = str(await lab.link())
        assert await carols.accepts(link) == 302
        await until(
            lambda: alice.call("GET", lab.path, params={"look": "true"}),
            lambda seen: seen["users"] == [CAROL],
            within=40,
            what="carol is seen",
        )
        await admin.call("PATCH", path, json={"name": "renamed"}, headers=wait, expect=(200, 202))
        assert await lab.link(look="true") == link, "a new name takes nothing from anybody"

        taken = asyncio.create_task(
            admin.call("DELETE", f"{path}/members/{BOB}", headers=wait, expect=(202, 204)), name="taken"
        )
        seen = {await bobs.accepts(link)}
        while not taken.done():
            seen.add(await bobs.accepts(link))
        await taken
        assert seen <= {302, 400, 404}
        assert await bobs.accepts(link) in (400, 404)
        assert [await lab.answers(email) for email in (BOB, CAROL)] == [403, 200]
        assert (await lab.in_hub("share-codes"), await lab.in_hub("shares")) == (0, 1)
        # Whom her server is shown to is the owner's to say: she asks for another link.
        assert await bobs.accepts(str(await lab.link())) == 302
        assert await lab.answers(BOB) == 200
    await admin.call("DELETE", path, headers=wait, expect=(202, 204))


@asynccontextmanager
async def while_a_link_is_made(stack: Stack, lab: Lab) -> AsyncIterator[None]:
    """JupyterHub stands still at the moment when it is asked for the link."""
    stack.freeze("jupyterhub")
    try:
        assert await lab.link() is None
        yield
    finally:
        stack.thaw("jupyterhub")


async def leads_nobody_in(lab: Lab) -> None:
    """Fail unless what was asked for has ended, and neither link nor share is in JupyterHub."""
    asked = await lab.alice.call("GET", "/operations", params={"kind": "server.share", "limit": 1})
    await lab.alice.ended(asked[0])
    for what in ("shares", "share-codes"):
        assert await lab.in_hub(what) == 0
    shared = await lab.alice.call("GET", "/servers/shares")
    assert lab.server["_id"] not in {one["_id"] for one in shared}


async def test_a_link_that_is_made_while_its_server_is_deleted_leads_nobody_in(stack: Stack, alice: Member) -> None:
    async with hub_api(stack) as hub:
        for ends in (False, True):
            lab = Lab(stack, alice, await alice.started(), hub)
            async with while_a_link_is_made(stack, lab):
                deleted = await alice.delete(lab.server) if ends else None
            if deleted is None:
                await until(lab.link, lambda url: url is not None, within=60, what="the link is made after all")
                deleted = await alice.delete(lab.server)
            await alice.succeeded(deleted)
            await leads_nobody_in(lab)


async def test_a_link_that_is_made_while_its_owner_is_released_leads_nobody_in(stack: Stack, admin: Member) -> None:
    email = "dave@elsewhere.org"
    async with hub_api(stack) as hub, AsyncExitStack() as signed_in:

        async def signs_in() -> Member:
            token = await stack.token(email)
            return await signed_in.enter_async_context(Member.signed_in(stack.info.api, email, token))

        dave = await signs_in()
        lab = Lab(stack, dave, await dave.started(), hub)
        bobs = await signed_in.enter_async_context(Browser.of(stack, BOB))
        assert await bobs.accepts(str(await lab.link())) == 302
        assert await bobs.opens(lab.server) == "server"
        await lab.take_back(email=CAROL)
        async with while_a_link_is_made(stack, lab):
            released = await admin.call("POST", "/persons/release", expect=202, params={"email": email})
        await admin.succeeded(released)
        assert await bobs.opens(lab.server) in ("403", "404")
        # The same account has what is its own again, and nothing of what it was in JupyterHub.
        lab.alice = await signs_in()
        await leads_nobody_in(lab)
        await lab.alice.succeeded(await lab.alice.wish(lab.server, "start"))
        assert await bobs.opens(lab.server) in ("403", "404")
        assert await lab.in_hub("shares") == 0
        await lab.alice.succeeded(await lab.alice.delete(lab.server))
