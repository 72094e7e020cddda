"""A server's link in practice: made when its owner asks, opened by others in a browser, and taken back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from stack.notebook import Notebook
from stack.supervisor import Stack
from tests.e2e.people import Browser, Json, Member, until

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
        return len(found.raise_for_status().json()["items"])

    async def answers(self, email: str, *, token: str = "") -> int:
        """The status that somebody's request to the server gets, who comes with a new token or one given."""
        headers = {"Authorization": f"token {token or await self.stack.hub_token(email)}"}
        async with httpx.AsyncClient(headers=headers) as client:
            return (await client.get(f"{self.server['url']}api/status")).status_code


@asynccontextmanager
async def a_lab(stack: Stack, alice: Member, **template: object) -> AsyncIterator[Lab]:
    headers = {"Authorization": f"token {stack.secrets.worker_token}"}
    server = await alice.started(**template)
    async with httpx.AsyncClient(base_url=f"{stack.info.jupyterhub}/hub/api", headers=headers, timeout=30) as hub:
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
        async with httpx.AsyncClient(base_url=f"{lab.stack.info.jupyterhub}/hub/api", headers=token) as client:
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
