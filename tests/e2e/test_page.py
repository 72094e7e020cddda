"""The page in a real browser: from its address to code that runs, under a strict policy, for everybody."""

import asyncio
import gzip
import re

import httpx
import pytest
from playwright.async_api import Browser, expect

from tests.e2e.people import Member
from tests.e2e.visitors import SECONDS, barriers, visiting
from tests.project import PROJECT
from tests.stacks import Stack

PICTURES = PROJECT / "docs" / "page"
FIRST_BYTES, ALL_BYTES = 170_000, 280_000


async def test_a_person_signs_in_launches_a_template_and_runs_code(
    admin: Member, stack: Stack, browser: Browser, request: pytest.FixtureRequest
) -> None:
    api = stack.info.api
    template = await admin.make_template(name="Image analysis", type="featured", public=True)
    async with visiting(browser, api) as carol:
        page = carol.page
        await carol.sign_in("carol@example.org")
        await expect(page.get_by_role("heading", name="Start something")).to_be_visible()
        kept = {cookie["name"]: cookie for cookie in await page.context.cookies() if "nbhub" in cookie["name"]}
        assert [cookie["path"] for cookie in kept.values()] == ["/auth"]
        assert kept["nbhub_browser"]["httpOnly"]
        assert await page.evaluate("[...Object.values(localStorage), ...Object.values(sessionStorage)]") == []

        await page.get_by_role("button", name="Start Image analysis").click()
        # The page says how far it is, and turns into the server by itself.
        await expect(page.get_by_role("heading", name="Image analysis", exact=True)).to_be_visible()
        await expect(page.get_by_text("Wait for its first answer")).to_be_visible(timeout=SECONDS)
        await page.wait_for_url(f"{stack.info.jupyterhub}/user/**/lab**", timeout=SECONDS, wait_until="commit")
        # Whatever an earlier visit left open.
        await page.goto(f"{page.url.partition('?')[0]}?reset", wait_until="commit")
        await page.locator(".jp-LauncherCard[data-category=Notebook]").first.click()
        await expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=SECONDS)
        cell = page.locator(".jp-Notebook .cm-content").first
        await cell.click()
        await cell.press_sequentially("print(6 * 7)")
        await expect(cell).to_have_text("print(6 * 7)")
        await cell.press("Shift+Enter")
        await expect(page.locator(".jp-OutputArea-output").first).to_have_text("42", timeout=SECONDS)

        await page.goto(f"{api}/ui")
        row = page.get_by_role("row", name="Image analysis")
        await expect(row.get_by_role("link", name="Open Image analysis")).to_be_visible()
        if request.config.getoption("--screenshots"):
            PICTURES.mkdir(exist_ok=True)
            await carol.picture(PICTURES / "home")
        await row.get_by_role("button", name="Stop Image analysis").click()
        await expect(row.get_by_text("Stopped", exact=True)).to_be_visible(timeout=SECONDS)
        await row.get_by_role("button", name="More for Image analysis").click()
        await page.get_by_role("menuitem", name="Delete").click()
        await page.get_by_role("alertdialog").get_by_role("button", name="Delete server").click()
        await expect(row).to_have_count(0, timeout=SECONDS)
        assert all(url.startswith((api, stack.info.issuer, stack.info.jupyterhub, "data:")) for url in carol.asked)
    await admin.call("DELETE", "/template", params={"id": template["_id"]}, expect=204)


async def test_the_sign_in_lands_where_one_wanted_to_be_and_a_reload_stays_there(
    bob: Member, stack: Stack, browser: Browser
) -> None:
    server = await bob.make_server(name="Glaciers")
    address = f"/ui/servers/{server['_id']}"
    async with visiting(browser, stack.info.api) as visitor:
        page = visitor.page
        await visitor.sign_in(bob.email, address)
        await expect(page.get_by_role("heading", name="Glaciers", exact=True)).to_be_visible()
        assert page.url == stack.info.api + address
        await page.reload()
        await expect(page.get_by_role("heading", name="Glaciers", exact=True)).to_be_visible()
        # Three pages of one browser ask for a token at once, again and again: each gets one.
        others = [await page.context.new_page() for _ in range(2)]
        for _ in range(3):
            await asyncio.gather(*(one.goto(stack.info.api + address) for one in (page, *others)))
            for one in (page, *others):
                await expect(one.get_by_role("heading", name="Glaciers", exact=True)).to_be_visible(timeout=SECONDS)
        await page.goto(f"{stack.info.api}/ui/servers/0190f3a2-1111-7222-8333-444455556666")
        await expect(page.get_by_text("There is nothing at this address")).to_be_visible()
        await page.get_by_role("button", name="Account").click()
        await page.get_by_role("menuitem", name="Sign out").click()
        await page.get_by_role("button", name=re.compile("yes|sign|log", re.IGNORECASE)).first.click()
        await expect(page.get_by_role("heading", name="You are signed out")).to_be_visible(timeout=SECONDS)
    await bob.succeeded(await bob.delete(server))


async def test_a_dataset_is_made_shared_taken_back_and_comes_back_out_of_the_trash(
    bob: Member, stack: Stack, browser: Browser, request: pytest.FixtureRequest
) -> None:
    async with visiting(browser, stack.info.api) as visitor:
        page = visitor.page
        await visitor.sign_in(bob.email, "/ui/datasets")
        await page.get_by_role("button", name="New dataset").click()
        await page.get_by_label("Name").fill("ice-cores")
        await page.get_by_role("dialog").get_by_role("button", name="New dataset").click()
        await page.get_by_role("button", name="Share ice-cores").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("With whom").fill("alice@example.org, carol@example.org nobodys-group")
        await expect(dialog.get_by_text("it is no address: nobodys-group")).to_be_visible()
        await expect(dialog.get_by_role("button", name="Share", exact=True)).to_be_disabled()
        await dialog.get_by_label("With whom").fill("alice@example.org, carol@example.org")
        await dialog.get_by_label("Until").fill("2099-01-31")
        await dialog.get_by_role("button", name="Share", exact=True).click()
        for entity in ("alice@example.org", "carol@example.org"):
            await expect(dialog.get_by_role("button", name=f"Take back: {entity}")).to_be_visible(timeout=SECONDS)
        if request.config.getoption("--screenshots"):
            await visitor.picture(PICTURES / "share")
        (dataset,) = [one for one in await bob.call("GET", "/datasets") if one["name"] == "ice-cores"]
        access = {one["entity"]: one for one in await bob.call("GET", f"/datasets/{dataset['_id']}/access")}
        assert access["carol@example.org"]["access"] == "read"
        assert access["carol@example.org"]["expires_at"].startswith("2099-01-31")
        await dialog.get_by_role("button", name="Take back: carol@example.org").click()
        await expect(dialog.get_by_role("button", name="Take back: carol@example.org")).to_have_count(
            0, timeout=SECONDS
        )
        # The button is gone, and the keyboard is still in the dialog.
        await page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        await page.get_by_role("button", name="Delete ice-cores").click()
        await page.get_by_role("button", name="Restore ice-cores").click()
        await expect(page.get_by_role("button", name="Share ice-cores")).to_be_visible(timeout=SECONDS)
    await bob.call("DELETE", f"/datasets/{dataset['_id']}", expect=(202, 204))


async def test_a_code_of_another_browser_signs_nobody_in(stack: Stack, browser: Browser) -> None:
    async with visiting(browser, stack.info.api) as visitor:
        await visitor.page.goto(f"{stack.info.api}/callback?code=stolen&state=of-another")
        await expect(visitor.page.get_by_role("heading", name="The sign-in did not work")).to_be_visible()
        await visitor.page.get_by_role("link", name="Try again").click()
        await expect(visitor.page.locator("input[name=email]")).to_be_visible()


@pytest.mark.parametrize("look", ["light", "dark"])
async def test_nobody_is_kept_out_of_the_page(bob: Member, stack: Stack, browser: Browser, look: str) -> None:
    server = await bob.make_server(name="Sediment")
    async with visiting(browser, stack.info.api, color_scheme=look, bypass_csp=True) as visitor:
        page = visitor.page
        await visitor.sign_in(bob.email)
        await expect(page.get_by_role("link", name="Sediment")).to_be_visible()
        assert await barriers(page) == []
        await page.get_by_role("button", name="Account").click()
        await expect(page.get_by_role("menu")).to_be_visible()
        assert await barriers(page) == []
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="More for Sediment").click()
        await page.get_by_role("menuitem", name="Delete").click()
        await expect(page.get_by_role("alertdialog")).to_be_visible()
        assert await barriers(page) == []
        await page.keyboard.press("Escape")
        await page.get_by_role("link", name="Sediment").click()
        await expect(page.get_by_role("heading", name="What happened")).to_be_visible()
        assert await barriers(page) == []
        await page.goto(f"{stack.info.api}/ui/datasets")
        await page.get_by_role("button", name="New dataset").click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        assert await barriers(page) == []
        # A window of 1280 pixels at 400 %.
        await page.set_viewport_size({"width": 320, "height": 256})
        await page.goto(f"{stack.info.api}/ui")
        await expect(page.get_by_role("link", name="Sediment")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 320
        assert await barriers(page) == []
    await bob.succeeded(await bob.delete(server))


async def test_the_page_is_small(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.info.api) as client:
        index = (await client.get("/ui")).text
        scripts = set(re.findall(r"/ui/assets/[\w.-]+\.js", index))
        first, seen = 0, dict.fromkeys(scripts, 0)
        waiting = list(scripts)
        while waiting:
            one = waiting.pop()
            script = (await client.get(one)).content
            seen[one] = len(gzip.compress(script))
            named = set(re.findall(r"[./]*assets/([\w.-]+\.js)|\./([\w.-]+\.js)", script.decode()))
            for name in {f"/ui/assets/{a or b}" for a, b in named} - seen.keys():
                seen[name] = 0
                waiting.append(name)
        first = sum(seen[one] for one in scripts)
    assert 0 < first <= FIRST_BYTES
    assert sum(seen.values()) <= ALL_BYTES
    assert len(seen) > len(scripts), "what only one page needs is loaded with it"
