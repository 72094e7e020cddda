"""A sign-out is final everywhere, whoever is away or dies meanwhile."""

from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from stack.notebook import Notebook
from stack.sign_in import tokens
from tests.e2e.people import Json, Member, sign_in, until
from tests.stacks import Stack

ALICE, CAROL = "alice@example.org", "carol@example.org"
_SECONDS = 60_000


class SignedIn:
    """Somebody who has tokens, the API and the provider, as they see them."""

    def __init__(self, stack: Stack, tokens: Json, client: httpx.AsyncClient) -> None:
        self._stack, self._tokens, self._client = stack, tokens, client

    async def sign_out(self) -> None:
        answer = await self._client.post(
            f"{self._stack.info.api}/auth/logout", json={"id_token": self._tokens["id_token"]}
        )
        assert answer.status_code == 200, answer.text

    async def is_out(self) -> bool:
        """Whether neither token is good any more at the API."""
        who = await self._client.get(
            f"{self._stack.info.api}/whoami", headers={"Authorization": f"Bearer {self._tokens['access_token']}"}
        )
        refreshed = await self._client.post(
            f"{self._stack.info.api}/auth/refresh", json={"refresh_token": self._tokens["refresh_token"]}
        )
        return (who.status_code, refreshed.status_code) == (401, 401)

    async def is_known_to_the_provider(self) -> bool:
        """Whether the refresh token is good at the provider, as that says itself."""
        answer = await self._client.post(
            f"{self._stack.info.issuer}/token/introspection",
            data={"token": self._tokens["refresh_token"]},
            auth=("notebooks-hub", self._stack.secrets.api_client_secret),
        )
        active: bool = answer.raise_for_status().json()["active"]
        return active

    async def is_revoked(self) -> None:
        """Returns once the provider has forgotten the refresh token."""
        await until(self.is_known_to_the_provider, lambda known: not known, within=60, what="the token is revoked")

    async def last_sign_out(self, who: Member) -> Json:
        """The operation of the last sign-out that somebody may see."""
        found = await who.call("GET", "/operations", params={"kind": "person.sign_out", "limit": 1})
        operation: Json = found[0]
        return operation


async def signed_in(stack: Stack, client: httpx.AsyncClient) -> SignedIn:
    found = SignedIn(stack, await tokens(stack.info.api, CAROL), client)
    assert await found.is_known_to_the_provider()
    return found


async def test_a_sign_out_has_the_provider_forget_the_token_at_once(stack: Stack, admin: Member) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        carol = await signed_in(stack, client)
        await carol.sign_out()
        assert await carol.is_out()
        await carol.is_revoked()
        operation = await admin.succeeded(await carol.last_sign_out(admin))
        assert (operation["actor"], operation["subject_kind"]) == (CAROL, "sign-out")
        # Nothing is left to be ended.
        await carol.sign_out()
        assert (await carol.last_sign_out(admin))["_id"] == operation["_id"]


@pytest.mark.parametrize("victim", ["worker", "api"])
async def test_a_sign_out_is_final_although_the_provider_is_away(stack: Stack, admin: Member, victim: str) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        carol = await signed_in(stack, client)
        stack.freeze("oidc")
        try:
            await carol.sign_out()
            assert await carol.is_out()
            operation = await carol.last_sign_out(admin)

            async def troubles() -> list[str]:
                seen = await admin.call("GET", f"/operations/{operation['_id']}")
                return [step["detail"] for step in seen["steps"] if "detail" in step]

            said = await until(troubles, bool, within=60, what="the provider is missed")
            assert "provider does not answer" in said[0]
            stack.kill(victim)
            await stack.start_part(victim)
            assert await carol.is_out()
        finally:
            stack.thaw("oidc")
        await carol.is_revoked()
        await admin.succeeded(operation)
        # Of what is kept nothing can be turned into the token again.
        database = await asyncpg.connect(stack.info.database)
        try:
            left = "SELECT 1 FROM session WHERE id_token_hash IS NULL AND refresh_token_encrypted IS NOT NULL"
            assert await database.fetch(left) == []
        finally:
            await database.close()


class Window:
    """A browser of its own: signed in at the API, as a web UI has it done, with a page of a server."""

    def __init__(self, stack: Stack, context: BrowserContext, page: Page, server: Json) -> None:
        self._stack, self._context, self._page, self._server = stack, context, page, server
        self._id_token = ""

    @classmethod
    async def of(cls, stack: Stack, browser: Browser, email: str, server: Json) -> "Window":
        context = await browser.new_context()
        page = await context.new_page()
        page.set_default_timeout(_SECONDS)
        found = cls(stack, context, page, server)
        await found.sign_in(email)
        return found

    async def sign_in(self, email: str) -> None:
        async with httpx.AsyncClient(base_url=self._stack.info.api, timeout=30) as client:
            begun = (await client.post("/auth/authorize")).raise_for_status().json()["authorizationUrl"]
            back = httpx.URL(begun).params["redirect_uri"]
            await self._page.goto(begun)
            await sign_in(self._page, email)
            await self._page.wait_for_url(f"{back}**")
            landed = httpx.URL(self._page.url).params
            answer = await client.post("/auth/token", json={"code": landed["code"], "state": landed["state"]})
            self._id_token = answer.raise_for_status().json()["id_token"]
        # JupyterHub asks the same provider, which knows this browser by now.
        assert await self.opens() == "server"

    async def opens(self) -> str:
        """Where the page of the server leads."""
        lab, form = self._page.locator("#jp-top-panel"), self._page.locator("input[name=email]")
        await self._page.goto(f"{self._server['url']}lab")
        await expect(lab.or_(form).first).to_be_visible(timeout=_SECONDS)
        return "sign-in" if await form.count() else "server"

    async def cookies(self) -> dict[str, str]:
        """Those by which servers know this browser."""
        found = await self._context.cookies()
        return {one["name"]: one["value"] for one in found if one["name"].startswith("jupyterhub-user-")}

    async def sign_out(self) -> None:
        """At the API, and then, as that says, at the provider."""
        async with httpx.AsyncClient(base_url=self._stack.info.api, timeout=30) as client:
            answer = await client.post("/auth/logout", json={"id_token": self._id_token})
        # A page of its own: where a sign-out leads goes on by itself, and would come between it and the next.
        page = await self._context.new_page()
        await page.goto(answer.raise_for_status().json()["logoutUrl"])
        confirm = page.locator("button[name=logout]")
        if await confirm.count():
            await confirm.click()
            await page.wait_for_url(f"{self._stack.info.api}/**")
        await page.close()

    async def is_asked_to_sign_in(self) -> None:
        """Returns once the page of the server leads to a sign-in: it takes JupyterHub's word for half a minute."""
        await until(self.opens, lambda where: where == "sign-in", within=90, what="a sign-in is asked for")

    async def close(self) -> None:
        await self._context.close()


class Scene:
    """Two browsers of one person and one of another's, each at a server, with a kernel that remembers something."""

    def __init__(
        self, stack: Stack, server: Json, windows: tuple[Window, Window, Window], kernel: str, token: str
    ) -> None:
        self._stack, self._server, self._kernel, self._token = stack, server, kernel, token
        self.here, self.elsewhere, self.anothers = windows

    async def runs_on(self) -> None:
        """The server's kernel still has what it was told, and a person's own token is still good."""
        async with Notebook(self._server["url"], self._token, kernel_id=self._kernel) as notebook:
            assert (await notebook.run("print(memory)")).strip() == "42"

    async def others_are_untouched(self, before: list[dict[str, str]]) -> None:
        """The other browsers open their servers by what they had before."""
        for window, cookies in zip((self.elsewhere, self.anothers), before, strict=True):
            assert await window.opens() == "server"
            assert await window.cookies() == cookies


@pytest.fixture
async def scene(stack: Stack, alice: Member, bob: Member, browser: Browser) -> AsyncIterator[Scene]:
    server, other = await alice.started(), await bob.started()
    token = await stack.hub_token(alice.email)
    async with Notebook(server["url"], token) as notebook:
        await notebook.run("memory = 42")
        kernel = notebook.kernel_id
    assert kernel
    here, elsewhere = [await Window.of(stack, browser, alice.email, server) for _ in range(2)]
    anothers = await Window.of(stack, browser, bob.email, other)
    yield Scene(stack, server, (here, elsewhere, anothers), kernel, token)
    for window in (here, elsewhere, anothers):
        await window.close()
    await alice.succeeded(await alice.delete(server))
    await bob.succeeded(await bob.delete(other))


async def test_a_sign_out_is_one_in_jupyterhub_too_and_in_no_other_browser(
    scene: Scene, stack: Stack, alice: Member
) -> None:
    before = [await window.cookies() for window in (scene.elsewhere, scene.anothers)]
    assert all(before)
    await scene.here.sign_out()
    await scene.here.is_asked_to_sign_in()
    await scene.runs_on()
    await scene.others_are_untouched(before)
    # Who comes back in this browser, and goes once more while JupyterHub is away.
    await scene.here.sign_in(ALICE)
    stack.kill("jupyterhub")
    try:
        await scene.here.sign_out()
        await scene.here.sign_out()
    finally:
        await stack.start_part("jupyterhub")
    await scene.here.is_asked_to_sign_in()
    await scene.runs_on()
    await scene.others_are_untouched(before)
    last = (await alice.call("GET", "/operations", params={"kind": "person.sign_out"}))[0]
    await alice.succeeded(last)
