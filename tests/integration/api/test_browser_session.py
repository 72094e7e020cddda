"""Browsers that stay signed in by a cookie, at the real provider."""

import asyncio
from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest

from api.signing_in import BROWSER
from integrations.oidc import OidcClient, TokenAnswer
from models.database.sql import row, rows
from models.domain.origins import page_origin
from models.records import sessions
from tests.elsewhere import ELSEWHERE, SAYS_ELSEWHERE
from tests.integration.api.running_provider import Browser, Place, place


class Page:
    """A page of the API in a browser."""

    def __init__(self, hub: Place, browser: Browser) -> None:
        self.browser = browser
        self.headers = {"Origin": page_origin(hub.settings.browser_api_url)}

    async def resume(self, **body: str) -> httpx.Response:
        """Ask for tokens, as a page does when it is loaded."""
        return await self.browser.api.post("/auth/session", json=body or None, headers=self.headers)

    async def sign_in(self, email: str) -> dict[str, Any]:
        """The whole way; the tokens."""
        landed = await self.browser.land(await self.browser.begin(), email)
        answer = await self.resume(code=landed["code"], state=landed["state"])
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    @property
    def cookie(self) -> str | None:
        return self.browser.api.cookies.get(BROWSER)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal."""
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_browser_stays_signed_in_by_a_cookie_that_reaches_nothing_but_the_sign_in(hub: Place) -> None:
    async with hub.browser() as browser:
        page = Page(hub, browser)
        landed = await browser.land(await browser.begin(), "alice@example.org")
        first = await page.resume(code=landed["code"], state=landed["state"])
        assert first.status_code == 200, first.text
        assert "refresh_token" not in first.json()
        cookie = SimpleCookie("; ".join(first.headers.get_list("set-cookie")))[BROWSER]
        assert (cookie["path"], cookie["samesite"], cookie["httponly"]) == ("/auth", "strict", True)
        seen = [first.json()["access_token"]]
        # As often as the page is loaded.
        for _ in range(3):
            again = await page.resume()
            assert again.status_code == 200, again.text
            assert again.headers["cache-control"] == "no-store"
            seen.append(again.json()["access_token"])
            assert (await browser.whoami(seen[-1])).json() == "alice@example.org"
        assert len(set(seen)) == 4
        kept = await row("SELECT string_agg(s::text, '') AS kept FROM session s")
        assert kept is not None
        assert page.cookie
        assert page.cookie not in kept["kept"]


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8000", "https://evil.example", "null", None])
async def test_no_page_but_the_apis_own_is_given_tokens(hub: Place, origin: str | None) -> None:
    async with hub.browser() as browser:
        page = Page(hub, browser)
        own, page.headers = page.headers, {"Origin": origin} if origin else {}
        landed = await browser.land(await browser.begin(), "alice@example.org")
        # The code and the cookie are good still for whom they belong to.
        assert code_of(await page.resume(code=landed["code"], state=landed["state"])) == (403, "OTHER_ORIGIN")
        theirs, page.headers = page.headers, own
        assert (await page.resume(code=landed["code"], state=landed["state"])).status_code == 200
        page.headers = theirs
        assert code_of(await page.resume()) == (403, "OTHER_ORIGIN")
        page.headers = own
        assert (await page.resume()).status_code == 200


async def test_which_page_is_the_apis_own_is_set_whatever_a_request_says_of_its_host(hub: Place) -> None:
    async with hub.browser() as browser:
        page = Page(hub, browser)
        await page.sign_in("alice@example.org")
        page.headers |= SAYS_ELSEWHERE
        assert (await page.resume()).status_code == 200
        for origin in (f"http://{ELSEWHERE}", f"https://{ELSEWHERE}"):
            page.headers |= {"Origin": origin}
            assert code_of(await page.resume()) == (403, "OTHER_ORIGIN")


async def test_two_tabs_at_once_do_not_end_the_session(hub: Place) -> None:
    async with hub.browser() as browser:
        page = Page(hub, browser)
        await page.sign_in("alice@example.org")
        for _ in range(3):
            answers = await asyncio.gather(*(page.resume() for _ in range(4)))
            statuses = sorted(one.status_code for one in answers)
            assert statuses[0] == 200
            # Those that came while another was asking are told to ask again.
            assert set(statuses) <= {200, 429}
        assert (await page.resume()).status_code == 200


async def test_a_page_that_was_closed_meanwhile_costs_nobody_the_session(
    hub: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hub.browser() as browser:
        page = Page(hub, browser)
        await page.sign_in("alice@example.org")
        refresh, asked, go_on = OidcClient.refresh, asyncio.Event(), asyncio.Event()

        async def slow(client: OidcClient, token: str, **more: Any) -> TokenAnswer:
            asked.set()
            await go_on.wait()
            return await refresh(client, token, **more)

        with monkeypatch.context() as patched:
            patched.setattr(OidcClient, "refresh", slow)
            closed = asyncio.create_task(page.resume())
            await asked.wait()
            busy = await page.resume()
            assert code_of(busy) == (429, "THROTTLED")
            assert busy.headers["retry-after"] == "1"
            go_on.set()
            # Nobody reads this answer.
            await closed
        assert (await page.resume()).status_code == 200


async def test_a_browser_whose_session_has_ended_is_signed_out(hub: Place) -> None:
    async with hub.browser() as browser, hub.browser() as elsewhere:
        page, other = Page(hub, browser), Page(hub, elsewhere)
        assert code_of(await page.resume()) == (401, "UNAUTHENTICATED")
        await page.sign_in("alice@example.org")
        await other.sign_in("alice@example.org")
        tokens = (await page.resume()).json()
        assert (await browser.sign_out(tokens["id_token"])).status_code == 200
        assert code_of(await page.resume()) == (401, "UNAUTHENTICATED")
        # In that browser alone.
        assert (await other.resume()).status_code == 200
        browser.api.cookies.clear()
        browser.api.cookies.set(BROWSER, "made up", path="/auth")
        assert code_of(await page.resume()) == (401, "UNAUTHENTICATED")


async def test_while_the_provider_is_away_a_browser_loses_nothing(hub: Place) -> None:
    async with hub.browser() as browser:
        page = Page(hub, browser)
        await page.sign_in("alice@example.org")
        hub.provider.stop()
        try:
            for _ in range(2):
                assert code_of(await page.resume()) == (503, "PROVIDER_UNAVAILABLE")
        finally:
            await hub.provider.start()
        assert (await page.resume()).status_code == 200


async def test_a_browser_that_was_cut_off_while_it_was_given_tokens_is_so_for_seconds(hub: Place) -> None:
    async with hub.browser() as browser:
        page = Page(hub, browser)
        await page.sign_in("alice@example.org")
        # As an API process does that is killed before it asks the provider.
        assert page.cookie
        taken = await sessions.take_refresh_token(sessions.digest(page.cookie))
        assert taken is not None
        assert taken.taken
        assert code_of(await page.resume()) == (429, "THROTTLED")
        await rows("UPDATE session SET refreshing_until = now() WHERE refreshing_until > now() RETURNING 1")
        assert (await page.resume()).status_code == 200


async def test_the_cookie_of_a_browser_is_of_the_apis_own_host_on_https(postgres: str, hub: Place) -> None:
    addresses = {"public_url": "https://hub.example.org", "jupyterhub_public_url": "https://servers.example.org"}
    async with place(postgres, hub.provider, **addresses) as secure, secure.browser() as browser:
        begun = await browser.api.post("/auth/authorize")
        ((name, login),) = SimpleCookie(begun.headers["set-cookie"]).items()
        assert name.startswith("__Host-nbhub_login_")
        landed = await browser.land(begun.json()["authorizationUrl"], "alice@example.org")
        headers = {"Origin": "https://hub.example.org", "Cookie": f"{name}={login.value}"}
        code = {"code": landed["code"], "state": landed["state"]}
        done = await browser.api.post("/auth/session", json=code, headers=headers)
        assert done.status_code == 200, done.text
        cookie = SimpleCookie("; ".join(done.headers.get_list("set-cookie")))[f"__Host-{BROWSER}"]
        assert (cookie["path"], cookie["domain"], cookie["secure"]) == ("/", "", True)
