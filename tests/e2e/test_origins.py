"""What a page of somebody's server gets to see, with everything on one origin and with one for each person."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, expect

from stack.notebook import Notebook
from stack.supervisor import Stack
from tests.e2e.people import Json, Member, sign_in, until

_SECONDS = 60_000
STREAMLIT = "import streamlit\nstreamlit.title('Of somebody else')\nstreamlit.button('Again')\n"
VOILA = """{"cells": [{"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": null,
"source": ["print(6 * 7)"]}], "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python",
"name": "python3"}}, "nbformat": 4, "nbformat_minor": 5}"""
# What a page that means ill tries, to ask an API as its visitor: straight, and by a window of the page that may.
_ASK = """async ([page, api]) => {
    const found = {}
    const tried = async (way, act) => { try { found[way] = await act() } catch (error) { found[way] = error.name } }
    await tried("straight", async () => (await fetch(api, {credentials: "include"})).status)
    await tried("by a window", async () => {
        const opened = window.open(page)
        try {
            while (opened.location.href === "about:blank" || opened.document.readyState !== "complete")
                await new Promise(done => setTimeout(done, 50))
            const token = opened.jhdata?.xsrf_token ?? /_xsrf=([^;]+)/.exec(opened.document.cookie)[1]
            return (await fetch(api, {credentials: "include", headers: {"X-XSRFToken": token}})).status
        } finally { opened.close() }
    })
    return found
}"""


@pytest.fixture(scope="module")
async def named(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with Stack(tmp_path_factory.mktemp("named"), subdomains=True) as stack:
        yield stack


@asynccontextmanager
async def member(stack: Stack, email: str) -> AsyncIterator[Member]:
    async with Member.signed_in(stack.info.api, email, await stack.token(email)) as found:
        yield found


@asynccontextmanager
async def opened(browser: Browser) -> AsyncIterator[Page]:
    """A page of a browser that nobody is signed in to."""
    context = await browser.new_context()
    page = await context.new_page()
    page.set_default_timeout(_SECONDS)
    yield page
    await context.close()


async def visit(who: Member, page: Page, url: str) -> None:
    """Open an address for the first time, which leads through the provider's forms."""
    await page.goto(url)
    await sign_in(page, who.email)
    await page.wait_for_url(f"{url.rstrip('/')}**")


async def dashboard(owner: Member, application: str, file: str, content: str) -> Json:
    """A running dashboard."""
    wait = {"Prefer": "wait=30"}
    await owner.call("PUT", "/initialize", params={"email": owner.email}, headers=wait)
    made = {"root": "notebooks", "name": file, "type": "file", "content": content}
    await owner.call("POST", "/volume/file", json=made, expect=(200, 201))
    return await owner.started(applicationType=application, filePath=file)


async def accept(owner: Member, server: Json, page: Page) -> None:
    """Have somebody who is signed in to JupyterHub take the share link of a server, which leads to it."""
    share = await until(
        lambda: owner.call("GET", f"/servers/{server['_id']}/share"),
        lambda seen: seen["url"] is not None,
        within=30,
        what="a share link",
    )
    await page.goto(share["url"])
    await page.get_by_role("button", name="Accept invitation").click()
    await page.get_by_role("button", name="Authorize").click()
    await page.wait_for_url(f"{server['url']}**")


async def asked_by_a_strangers_page(stack: Stack, browser: Browser, alice: Member, bob: Member) -> tuple[Json, Json]:
    """What a dashboard of bob's gets of JupyterHub and of alice's own server, in alice's browser."""
    own, strange = await alice.started(), await dashboard(bob, "streamlit", "strange.py", STREAMLIT)
    async with opened(browser) as page:
        await visit(alice, page, own["url"])
        await accept(bob, strange, page)
        await expect(page.get_by_text("Of somebody else")).to_be_visible(timeout=_SECONDS)
        hub = stack.info.jupyterhub
        of_hub = await page.evaluate(_ASK, [f"{hub}/hub/home", f"{hub}/hub/api/user"])
        of_server = await page.evaluate(_ASK, [f"{own['url']}lab", f"{own['url']}api/contents"])
    for owner, server in ((alice, own), (bob, strange)):
        await owner.succeeded(await owner.delete(server))
    return of_hub, of_server


async def test_a_strangers_page_gets_nothing_of_its_visitors_where_each_has_an_origin(
    named: Stack, browser: Browser
) -> None:
    async with member(named, "alice@example.org") as alice, member(named, "bob@example.org") as bob:
        refused = {"straight": "TypeError", "by a window": "SecurityError"}
        assert await asked_by_a_strangers_page(named, browser, alice, bob) == (refused, refused)


async def test_a_strangers_page_does_what_its_visitor_may_where_all_have_one_origin(
    stack: Stack, browser: Browser, alice: Member, bob: Member
) -> None:
    """What is lost without origins, as deploy/README.md says."""
    for got in await asked_by_a_strangers_page(stack, browser, alice, bob):
        assert got["by a window"] == 200


async def test_servers_work_on_origins_of_their_own(named: Stack, browser: Browser) -> None:
    async with member(named, "alice@example.org") as alice, opened(browser) as page:
        server, port = await alice.started(), named.layout.ports["hub_proxy"]
        origin = f"http://{await alice.hub_user()}.hub.localhost:{port}"
        assert server["url"].startswith(f"{origin}/user/")
        await visit(alice, page, server["url"])
        assert page.url.startswith(f"{origin}/")
        await page.locator(".jp-LauncherCard[data-category=Notebook]").first.click()
        await expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=_SECONDS)
        async with Notebook(server["url"], await named.hub_token(alice.email)) as notebook:
            assert (await notebook.run("print(6 * 7)")).strip() == "42"
        hub = named.info.jupyterhub
        await page.goto(f"{hub}/hub/home")
        assert (await page.evaluate(_ASK, [f"{hub}/hub/home", f"{hub}/hub/api/user"]))["by a window"] == 200
        plate = await dashboard(alice, "voila", "plate.ipynb", VOILA)
        await page.goto(plate["url"])
        await expect(page.get_by_text("42")).to_be_visible(timeout=_SECONDS)
        for one in (server, plate):
            await alice.succeeded(await alice.delete(one))
