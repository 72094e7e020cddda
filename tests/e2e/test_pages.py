"""Pages in a real browser: what an operator reads in the Temporal web UI, and the API's documentation."""

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.people import Member, sign_in
from tests.e2e.visitors import visiting
from tests.project import PROJECT
from tests.stacks import Stack

SCREENSHOT = PROJECT / "docs" / "temporal-ui.png"
_SECONDS = 30_000


async def test_a_workflow_reads_as_a_story_in_the_temporal_ui(
    alice: Member, stack: Stack, browser: Browser, request: pytest.FixtureRequest
) -> None:
    server = await alice.make_server(name="Protein folding")
    operation = await alice.succeeded(await alice.wish(server, "start"))
    page = await browser.new_page(viewport={"width": 1440, "height": 1000})
    page.set_default_timeout(_SECONDS)
    await page.goto(operation["workflow_url"])
    # Payloads are ciphertext in Temporal: these words come through the API's codec endpoint.
    await expect(page.get_by_text("Make a server what is wished of it").first).to_be_visible(timeout=_SECONDS)
    await expect(page.get_by_text("Start it and wait until it is ready").first).to_be_visible(timeout=_SECONDS)
    if request.config.getoption("--screenshots"):
        await page.screenshot(path=SCREENSHOT)
    await page.close()
    await alice.succeeded(await alice.delete(server))


# Fetches from within a page, as the Temporal web UI does with the token that it passes on.
_ASK = """async ([url, token]) => {
    const headers = {"Content-Type": "application/json", "X-Namespace": "default", "Authorization-Extras": "x"}
    if (token) headers.Authorization = `Bearer ${token}`
    try { return (await fetch(url, {method: "POST", headers, body: '{"payloads": []}'})).status } catch { return null }
}"""


async def test_the_temporal_uis_pages_have_payloads_decrypted_with_an_admins_token_alone(
    alice: Member, admin: Member, stack: Stack, browser: Browser
) -> None:
    decode, servers = f"{stack.info.api}/codec/decode", f"{stack.info.api}/servers"
    tokens = [await stack.token(one.email) for one in (admin, alice)]
    page = await browser.new_page()
    await page.goto(stack.info.temporal_ui)
    asked = [await page.evaluate(_ASK, [decode, token]) for token in (*tokens, "", "made up")]
    assert asked == [200, 403, 401, 401]
    assert await page.evaluate(_ASK, [servers, tokens[0]]) is None, "the browser keeps other answers from this page"
    await page.goto(f"{stack.info.jupyterhub}/hub/login")
    assert await page.evaluate(_ASK, [decode, tokens[0]]) is None, "nor are these for another page"
    await page.close()


async def test_an_operation_is_found_and_tried_in_the_documentation_which_asks_nobody_else(
    alice: Member, stack: Stack, browser: Browser
) -> None:
    async with visiting(browser, stack.info.api) as visitor:
        page = visitor.page
        await page.goto(f"{stack.info.api}/docs")
        await expect(page.get_by_text("/servers/{id}/start").first).to_be_visible(timeout=_SECONDS)
        await page.get_by_label("Search").fill("get /me")
        await expect(page.get_by_text("/servers/{id}/start").first).to_be_hidden()
        operation = page.locator("#getMe")
        await operation.locator("summary").click()
        await operation.get_by_role("button", name="Send").click()
        await expect(operation.get_by_text("401 Unauthorized")).to_be_visible(timeout=_SECONDS)
        async with page.expect_popup() as opened:
            await page.get_by_role("button", name="Sign in").click()
        await sign_in(await opened.value, alice.email)
        await expect(page.get_by_text(f"Signed in as {alice.email}")).to_be_visible(timeout=_SECONDS)
        await operation.get_by_role("button", name="Send").click()
        await expect(operation.get_by_text("200 OK")).to_be_visible(timeout=_SECONDS)
        await expect(operation.get_by_text(f'"email": "{alice.email}"')).to_be_visible()
        assert await page.evaluate("[...Object.values(localStorage), ...Object.values(sessionStorage)]") == []
        assert all(url.startswith((stack.info.api, "data:")) for url in visitor.asked), visitor.asked


async def test_a_person_signs_in_to_jupyterhub_and_finds_no_way_around_us(
    alice: Member, stack: Stack, browser: Browser
) -> None:
    page = await browser.new_page()
    page.set_default_timeout(_SECONDS)
    await page.goto(f"{stack.info.jupyterhub}/hub/home")
    await sign_in(page, alice.email)
    await page.wait_for_url(f"{stack.info.jupyterhub}/hub/**")
    await expect(page.get_by_text(await alice.hub_user()).first).to_be_visible(timeout=_SECONDS)
    assert await page.get_by_role("link", name="Start My Server").count() == 0
    await page.close()
