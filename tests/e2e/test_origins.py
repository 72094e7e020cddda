"""What a page of somebody's server gets to see, with everything on one origin and with one for each person."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote, urlsplit

import pytest
from playwright.async_api import Browser, Page, Route, expect
from websockets import Origin
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from models.domain.origins import page_origin
from stack.notebook import Notebook
from stack.supervisor import Stack
from tests.e2e.people import Json, Member, sign_in, until
from tests.elsewhere import ELSEWHERE

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

# Whether a websocket opens to the page in which this runs.
_OPENS = """url => new Promise(done => {
    const socket = new WebSocket(url)
    socket.onopen = () => { socket.close(); done(true) }
    socket.onerror = () => done(false)
})"""
# What leads browsers away by itself, or would if a part of it were taken off.
LEADING_AWAY = (
    *(f"https://{ELSEWHERE}/", f"//{ELSEWHERE}/", f"///{ELSEWHERE}/", f"https:{ELSEWHERE}", f"http:///{ELSEWHERE}/"),
    *(f"/\\{ELSEWHERE}/", f"\\\\{ELSEWHERE}/", f"/\t/{ELSEWHERE}/", f" //{ELSEWHERE}/", f"/.//{ELSEWHERE}/"),
    *("{hub}@" + ELSEWHERE, "{hub}//" + ELSEWHERE, "{hub}/\\" + ELSEWHERE, "javascript:location='//" + ELSEWHERE + "'"),
)


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


@asynccontextmanager
async def some_page() -> AsyncIterator[int]:
    """The port of a page that has nothing to do with us, under every name of this machine."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\nConnection: close\r\n\r\nSome page"
        )
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def refusal(page: Page, socket: str) -> int | None:
    """What a server answers to the websocket of a page, with all cookies that its browser has."""
    cookies = "; ".join(f"{one['name']}={one['value']}" for one in await page.context.cookies(socket))
    origin = Origin(page_origin(page.url))
    try:
        async with connect(
            socket.replace("http", "ws", 1), host="127.0.0.1", origin=origin, additional_headers={"Cookie": cookies}
        ):
            return None
    except InvalidStatus as refused:
        return refused.response.status_code


async def sockets_by_page(stack: Stack, browser: Browser, alice: Member, pages: dict[str, str]) -> Json:
    """What becomes of websockets to alice's JupyterLab and to a dashboard of hers, by pages in her browser."""
    lab, shown = await alice.started(), await dashboard(alice, "streamlit", "sockets.py", STREAMLIT)
    sockets = {"lab": f"{lab['url']}api/events/subscribe", "dashboard": f"{shown['url']}_stcore/stream"}
    found: Json = {}
    async with opened(browser) as page:
        await visit(alice, page, lab["url"])
        for url in (shown["url"], f"{stack.info.jupyterhub}/hub/home"):
            await page.goto(url)
            await page.wait_for_url(f"{url}**")
        for name, url in {"own": f"{lab['url']}lab", **pages}.items():
            await page.goto(url, wait_until="domcontentloaded")
            found[name] = {}
            for what, socket in sockets.items():
                opens = await page.evaluate(_OPENS, socket.replace("http", "ws", 1))
                found[name][what] = "open" if opens else await refusal(page, socket)
    for server in (lab, shown):
        await alice.succeeded(await alice.delete(server))
    return found


_OPEN, _REFUSED = dict.fromkeys(("lab", "dashboard"), "open"), dict.fromkeys(("lab", "dashboard"), 403)


async def test_websockets_open_to_pages_of_the_persons_own_origin_alone(named: Stack, browser: Browser) -> None:
    hub = named.info.jupyterhub
    async with member(named, "alice@example.org") as alice, some_page() as port:
        foreign = {
            "JupyterHub": f"{hub}/hub/home",
            # The browser sends the person's cookies with what these ask for, as they are of the same site.
            "another's server": f"http://somebody-0a1b2c3d4e5f.hub.localhost:{port}/",
            "another port": f"http://hub.localhost:{port}/",
            "another site": f"http://evil.localhost:{port}/",
        }
        found = await sockets_by_page(named, browser, alice, foreign)
    assert found == {"own": _OPEN, **dict.fromkeys(foreign, _REFUSED)}


async def test_websockets_open_to_no_page_elsewhere_where_all_have_one_origin(
    stack: Stack, browser: Browser, alice: Member
) -> None:
    async with some_page() as port:
        foreign = {"another port": f"http://127.0.0.1:{port}/", "another site": f"http://evil.localhost:{port}/"}
        found = await sockets_by_page(stack, browser, alice, foreign)
    assert found == {"own": _OPEN, **dict.fromkeys(foreign, _REFUSED)}


async def led_by(stack: Stack, browser: Browser, alice: Member, bob: Member) -> None:
    """Follow, as alice in a browser, every address of JupyterHub that is told where to lead on."""
    hub = stack.info.jupyterhub
    own, shared = await alice.started(), await bob.started()
    link = await until(
        lambda: bob.call("GET", f"/servers/{shared['_id']}/share"),
        lambda seen: seen["url"] is not None,
        within=30,
        what="a share link",
    )
    reached = list[str]()

    async def elsewhere(route: Route) -> None:
        reached.append(route.request.url)
        await route.fulfill(body="Elsewhere")

    ways = {
        "login": f"{hub}/hub/login?next=",
        "sign-in": f"{hub}/hub/oauth_login?next=",
        "start": f"{hub}/hub/spawn-pending/{await alice.hub_user()}/{own['name']}?next=",
        "link": f"{link['url']}&next=",
        "server": f"{own['url']}login?next=",
    }
    async with opened(browser) as page:
        await visit(alice, page, own["url"])
        await page.route(lambda url: ELSEWHERE in (urlsplit(url).hostname or ""), elsewhere)

        async def led(way: str, target: str) -> str:
            await page.goto(ways[way] + quote(target, safe=""), wait_until="domcontentloaded")
            if way == "link":
                await page.get_by_role("button", name="Accept invitation").click()
                await page.wait_for_url(lambda url: "/accept-share" not in url)
            return page.url

        # The ways lead somewhere.
        for way in ("login", "sign-in", "start", "link"):
            assert await led(way, "/hub/home?led=here") == f"{hub}/hub/home?led=here", way
        for target in LEADING_AWAY:
            for way in ways:
                at = await led(way, target.format(hub=hub))
                assert reached == [], (way, target, at)
                assert at.startswith((hub, own["url"], shared["url"])) or "/hub/api/oauth2/" in at, (way, target, at)
    for owner, server in ((alice, own), (bob, shared)):
        await owner.succeeded(await owner.delete(server))


async def test_no_address_of_jupyterhub_leads_a_browser_elsewhere(named: Stack, browser: Browser) -> None:
    async with member(named, "alice@example.org") as alice, member(named, "bob@example.org") as bob:
        await led_by(named, browser, alice, bob)


async def test_no_address_of_jupyterhub_leads_a_browser_elsewhere_where_all_have_one_origin(
    stack: Stack, browser: Browser, alice: Member, bob: Member
) -> None:
    await led_by(stack, browser, alice, bob)
