"""Signing in from a terminal, by a code that is typed at a real provider."""

import asyncio
from typing import Any

import httpx
import structlog

from models.database.sql import row
from models.records import sessions
from tests.integration.api.running_provider import Browser, Place, Provider, place
from tests.integration.api.test_auth import error_of, hold


class Terminal:
    """A program without a browser."""

    def __init__(self, api: httpx.AsyncClient) -> None:
        self.api = api
        self.begun: dict[str, Any] = {}

    async def begin(self) -> dict[str, Any]:
        """Begin; what it shows, and what it keeps to itself."""
        answer = await self.api.post("/auth/device")
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        self.begun = answer.json()
        return self.begun

    async def ask(self, code: str | None = None, *, waits: bool = True) -> httpx.Response:
        """Ask for the tokens, as if the interval were over if it `waits`."""
        if waits:
            await row("UPDATE device_sign_in SET ask_after = now()")
        return await self.api.post("/auth/device/token", json={"device_code": code or self.begun["device_code"]})


async def signed_in(terminal: Terminal, browser: Browser, email: str) -> dict[str, Any]:
    """The tokens of the whole way."""
    assert "The terminal is signed in" in await browser.type_code(await terminal.begin(), email)
    answer = await terminal.ask()
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


async def test_the_whole_way(hub: Place) -> None:
    async with hub.browser() as browser, hub.browser() as elsewhere:
        terminal = Terminal(browser.api)
        begun = await terminal.begin()
        assert begun["verification_uri"] == f"{hub.provider.issuer}/device"
        assert begun["user_code"] in begun["verification_uri_complete"]
        assert 0 < begun["expires_in"] <= 600
        assert begun["interval"] == 5
        assert error_of(await terminal.ask(), 400) == "AUTHORIZATION_PENDING"
        assert "The terminal is signed in" in await elsewhere.type_code(begun, "alice@example.org")
        answer = await terminal.ask()
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        tokens = answer.json()
        assert set(tokens) == {
            *("access_token", "expires_at", "expires_in", "id_token", "scope", "token_type", "refresh_token")
        }
        assert (await browser.whoami(tokens["access_token"])).json() == "alice@example.org"
        found = await sessions.find(sessions.digest(tokens["access_token"]))
        assert found is not None
        assert found.orgs == ["biology"]
        # It goes on and ends as any other.
        fresh = (await browser.refresh(tokens["refresh_token"])).json()
        assert (await browser.whoami(fresh["access_token"])).status_code == 200
        assert (await browser.sign_out(fresh["id_token"])).status_code == 200
        assert error_of(await browser.whoami(fresh["access_token"]), 401) == "UNAUTHENTICATED"


async def test_a_code_is_good_once(hub: Place) -> None:
    async with hub.browser() as browser:
        terminal = Terminal(browser.api)
        tokens = await signed_in(terminal, browser, "alice@example.org")
        assert error_of(await terminal.ask(), 400) == "SIGN_IN_UNKNOWN"
        assert (await browser.whoami(tokens["access_token"])).status_code == 200


async def test_many_who_ask_at_once_get_one_sign_in(hub: Place) -> None:
    """The provider takes back all that it gave for a code that comes twice."""
    async with hub.browser() as browser:
        terminal = Terminal(browser.api)
        await browser.type_code(await terminal.begin(), "alice@example.org")
        answers = await asyncio.gather(*(terminal.ask(waits=False) for _ in range(6)))
        won = [answer.json() for answer in answers if answer.status_code == 200]
        assert len(won) == 1
        others = {answer.json()["error"]["code"] for answer in answers if answer.status_code != 200}
        assert others <= {"SLOW_DOWN", "SIGN_IN_UNKNOWN"}
        assert (await browser.whoami(won[0]["access_token"])).status_code == 200
        assert (await browser.refresh(won[0]["refresh_token"])).status_code == 200


async def test_who_asks_too_often_has_to_wait_longer(hub: Place) -> None:
    async with hub.browser() as browser:
        terminal = Terminal(browser.api)
        await terminal.begin()
        assert error_of(await terminal.ask(), 400) == "AUTHORIZATION_PENDING"
        for seconds in (10, 15):
            early = await terminal.ask(waits=False)
            assert error_of(early, 429) == "SLOW_DOWN"
            assert int(early.headers["retry-after"]) == seconds
        assert error_of(await terminal.ask(), 400) == "AUTHORIZATION_PENDING"


async def test_who_says_no_signs_nobody_in(hub: Place) -> None:
    async with hub.browser() as browser:
        terminal = Terminal(browser.api)
        page = await browser.type_code(await terminal.begin(), "alice@example.org", button="abort")
        assert "That terminal is not signed in" in page
        assert error_of(await terminal.ask(), 403) == "SIGN_IN_DENIED"
        assert error_of(await terminal.ask(), 400) == "SIGN_IN_UNKNOWN"
        await signed_in(terminal, browser, "alice@example.org")


async def test_what_is_over_is_over_also_for_a_code_that_was_typed(hub: Place) -> None:
    async with hub.browser() as browser:
        terminal = Terminal(browser.api)
        await browser.type_code(await terminal.begin(), "alice@example.org")
        await row("UPDATE device_sign_in SET expires_at = now()")
        assert error_of(await terminal.ask(), 400) == "SIGN_IN_UNKNOWN"
        await signed_in(terminal, browser, "alice@example.org")


async def test_nothing_that_anybody_sees_is_of_use_but_to_who_began(hub: Place) -> None:
    async with hub.browser() as browser, hub.browser() as other:
        terminal, second = Terminal(browser.api), Terminal(other.api)
        with structlog.testing.capture_logs() as logs:
            begun = await terminal.begin()
            own = await second.begin()
            await browser.type_code(begun, "alice@example.org")
            kept = str(await row("SELECT string_agg(d::text, ' ') AS kept FROM device_sign_in d"))
            assert begun["device_code"] not in kept
            assert begun["device_code"].encode().hex() not in kept
            for seen in (begun["user_code"], sessions.digest(begun["device_code"]).hex(), own["device_code"]):
                assert (await second.ask(seen)).status_code == 400
            tokens = (await terminal.ask()).json()
        said = str(logs)
        assert "/auth/device/token" in said
        assert not [one for one in (begun["device_code"], *tokens.values()) if str(one) in said and len(str(one)) > 20]


async def test_who_may_not_sign_in_may_not_this_way_either(hub: Place) -> None:
    await hold("alice@example.org")
    async with hub.browser() as browser, hub.browser() as bobs:
        terminal = Terminal(browser.api)
        await browser.type_code(await terminal.begin(), "alice@example.org")
        assert error_of(await terminal.ask(), 403) == "EMAIL_TAKEN"
        bob = await signed_in(terminal, bobs, "bob@example.org")
        assert (await browser.whoami(bob["access_token"])).json() == "bob@example.org"


async def test_a_provider_that_is_away_costs_no_sign_in(hub: Place) -> None:
    async with hub.browser() as browser:
        terminal = Terminal(browser.api)
        await browser.type_code(await terminal.begin(), "alice@example.org")
        hub.provider.stop()
        try:
            assert error_of(await terminal.ask(), 503) == "PROVIDER_UNAVAILABLE"
        finally:
            await hub.provider.start()
        assert (await terminal.ask()).status_code == 200


async def test_a_client_that_is_given_no_codes_says_so(postgres: str, hub: Place, provider: Provider) -> None:
    async with (
        place(postgres, provider, oidc_client_id="stranger", oidc_client_secret="stranger-secret") as strange,
        strange.browser() as browser,
    ):
        refused = await browser.api.post("/auth/device")
        assert error_of(refused, 409) == "DEVICE_CODES_UNAVAILABLE"
        assert "browser" in refused.json()["error"]["hint"]


async def test_they_are_counted_as_other_sign_ins(postgres: str, hub: Place, provider: Provider) -> None:
    async with place(postgres, provider, auth_per_minute=3) as strict, strict.browser() as browser:
        await row("DELETE FROM request_rate RETURNING 1")
        terminal = Terminal(browser.api)
        await terminal.begin()
        assert (await terminal.ask("x")).status_code == 400
        assert (await browser.api.post("/auth/authorize")).status_code == 200
        for path in ("/auth/device", "/auth/device/token"):
            assert error_of(await browser.api.post(path, json={"device_code": "x"}), 429) == "THROTTLED"
    await row("DELETE FROM request_rate RETURNING 1")
