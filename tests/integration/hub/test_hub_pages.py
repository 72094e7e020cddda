"""JupyterHub's pages, as people in a browser come to them: of servers that start, do not run, or are not theirs."""

import re
import shutil
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Page, async_playwright, expect

from models.domain.server_spec import ServerSpec
from tests.elsewhere import ELSEWHERE, SAYS_ELSEWHERE
from tests.integration.hub.harness import OTHER, USER, HubUnderTest

UI = "https://notebooks.example.org/"
_SECONDS = 60_000


@pytest.fixture(scope="module")
async def page(hub: HubUnderTest) -> AsyncIterator[Page]:
    """A page of the signed-in user."""
    program = shutil.which("chromium")
    assert program, "chromium is missing: apt-get install chromium"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = await browser.new_page(viewport={"width": 1000, "height": 500})
        page.set_default_timeout(_SECONDS)
        await page.goto(f"{hub.url}/hub/login")
        await page.fill("input[name=username]", USER)
        await page.fill("input[name=password]", "any")
        await page.click("input[type=submit], button[type=submit]")
        await page.wait_for_url("**/hub/home")
        yield page
        await browser.close()


def address(hub: HubUnderTest, spec: ServerSpec) -> str:
    return f"{hub.url}/user/{spec.hub_user}/{spec.hub_name}/"


async def test_a_page_of_a_server_that_does_not_run_becomes_the_server(
    hub: HubUnderTest, page: Page, tmp_path: Path
) -> None:
    spec = hub.spec()
    await page.goto(address(hub, spec))
    await expect(page.get_by_role("heading", name="The server is not running")).to_be_visible()
    link = page.get_by_role("main").or_(page.locator("body")).get_by_role("link", name="Notebooks Hub")
    assert await link.first.get_attribute("href") == UI
    await page.screenshot(path=tmp_path / "not-running.png")
    assert hub.order(spec).status_code in (201, 202)
    # It may be quick: the page that says so is not waited for.
    await page.wait_for_url(re.compile(f"/user/{USER}/{spec.hub_name}/lab"), timeout=_SECONDS)
    hub.end(spec)


async def test_a_page_of_a_server_that_starts_says_so(hub: HubUnderTest, page: Page, tmp_path: Path) -> None:
    spec = hub.spec()
    assert hub.order(spec).status_code == 202
    await page.goto(address(hub, spec), wait_until="domcontentloaded")
    await expect(page.get_by_role("heading", name="The server is starting")).to_be_visible()
    await page.screenshot(path=tmp_path / "starting.png")
    await page.wait_for_url(re.compile(f"/user/{USER}/{spec.hub_name}/lab"), timeout=_SECONDS)
    hub.end(spec)


@pytest.mark.parametrize("path", ["spawn", f"spawn/{USER}/s-1", f"spawn/{OTHER}/s-1"])
async def test_nothing_is_started_here(hub: HubUnderTest, page: Page, tmp_path: Path, path: str) -> None:
    await page.goto(f"{hub.url}/hub/{path}")
    await expect(page.get_by_role("heading", name="Servers are made and started elsewhere")).to_be_visible()
    assert await page.get_by_role("link", name="Notebooks Hub").get_attribute("href") == UI
    assert "scope" not in await page.inner_text("body")
    await page.screenshot(path=tmp_path / "spawn.png")


@pytest.mark.parametrize("path", [f"user/{OTHER}/s-1/", f"hub/spawn-pending/{OTHER}/s-1", "user/nobody/s-1/"])
async def test_another_persons_server_is_not_told_of(hub: HubUnderTest, page: Page, tmp_path: Path, path: str) -> None:
    await page.goto(f"{hub.url}/{path}")
    await expect(page.get_by_text("There is no such server, or it is not shared with you.")).to_be_visible()
    await page.screenshot(path=tmp_path / "others.png")


async def test_other_refusals_keep_their_reason(hub: HubUnderTest, page: Page) -> None:
    """Such as that an account is not accepted, which is told by the same status."""
    answer = await page.request.post(f"{hub.url}/hub/login", form={"username": USER, "password": "any"})
    assert answer.status == 403
    text = await answer.text()
    assert "_xsrf" in text
    assert "made and started elsewhere" not in text


def cookies_given(hub: HubUnderTest) -> dict[str, bool]:
    """The cookies that a browser is given whose way here is called plain, and which of them are for https alone.

    Fails where it is led elsewhere by what its requests say of the host.
    """
    found = dict[str, bool]()

    def taken(answer: httpx.Response) -> httpx.Response:
        assert ELSEWHERE not in answer.headers.get("location", ""), answer.headers
        given = SimpleCookie("; ".join(answer.headers.get_list("set-cookie")))
        found.update({name.partition("-user-")[0]: bool(one["secure"]) for name, one in given.items() if one.value})
        return answer

    spec = hub.spec()
    hub.spawn(spec)
    says = SAYS_ELSEWHERE | {"X-Forwarded-Proto": "http", "Forwarded": f"host={ELSEWHERE};proto=http"}
    with httpx.Client(base_url=hub.url, headers=says, timeout=60) as client:
        page = taken(client.get("/hub/login"))
        (token,) = set(re.findall(r'name="_xsrf" value="([^"]+)"', page.text))
        # Also those that a browser would not send where there is no https.
        client.headers["Cookie"] = "; ".join(f"{one.name}={one.value}" for one in client.cookies.jar)
        signed_in = taken(client.post("/hub/login", data={"username": USER, "password": "any", "_xsrf": token}))
        assert signed_in.status_code == 302
        address = f"/user/{spec.hub_user}/{spec.hub_name}"
        for path in (f"{address}/lab", address, "/", "/hub", f"/hub{address}", f"/hub/login?next=https://{ELSEWHERE}/"):
            taken(client.get(path))
    hub.end(spec)
    assert found.keys() >= {"_xsrf", "jupyterhub-hub-login", "jupyterhub-session-id", "jupyterhub"}
    return found


def test_cookies_and_redirects_follow_what_is_set_whatever_a_request_says_of_its_host(
    hub: HubUnderTest, tmp_path: Path, hub_programs: dict[str, str]
) -> None:
    assert not any(cookies_given(hub).values()), "plain http is set"
    secure = HubUnderTest(tmp_path, hub_programs, settings={"NBHUB_JUPYTERHUB_PUBLIC_URL": "https://hub.example.org"})
    secure.start()
    try:
        assert all((given := cookies_given(secure)).values()), given
    finally:
        secure.close()
