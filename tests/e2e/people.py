"""What a person does with the API, for tests that watch the whole stack from outside."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
from playwright.async_api import Page

from stack import sign_in as provider
from stack.supervisor import Stack

Json = dict[str, Any]
T = TypeVar("T")

TEMPLATE: Json = {
    "name": "A lab",
    "description": "made by a test",
    "type": "user",
    "applicationType": "jupyterlab",
    "hardware": "cpuSmall",
    "public": False,
}
_XSRF, _SCOPES = (re.compile(rf'name="{name}" value="([^"]+)"') for name in ("_xsrf", "scopes"))
ENDED = ("succeeded", "failed", "cancelled")


async def until(look: Callable[[], Awaitable[T]], holds: Callable[[T], bool], *, within: float, what: str) -> T:
    """What `look` answers once it holds; fails with the last answer after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        seen = await look()
        if holds(seen):
            return seen
        assert time.monotonic() < deadline, f"{what}: not within {within} s, last seen {seen}"
        await asyncio.sleep(0.1)


async def sign_in(page: Page, email: str) -> None:
    """Fill in the forms that a page of JupyterHub leads to, as a development user."""
    start = page.get_by_role("link", name="Sign in").or_(page.locator("input[name=email]")).first
    await start.wait_for()
    if await page.locator("input[name=email]").count() == 0:
        await start.click()
    await page.fill("input[name=email]", email)
    await page.fill("input[name=password]", email.partition("@")[0])
    await page.click("button")


class Member:
    """A signed-in person."""

    def __init__(self, email: str, api: httpx.AsyncClient) -> None:
        self.email = email
        self.api = api

    @classmethod
    @asynccontextmanager
    async def signed_in(cls, api_url: str, email: str, token: str) -> AsyncIterator[Self]:
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=api_url, headers=headers, timeout=30) as client:
            yield cls(email, client)

    async def call(self, method: str, path: str, *, expect: int | tuple[int, ...] = 200, **more: Any) -> Any:
        """The answer's body; fails with what the API said when the status is not the expected one."""
        response = await self.api.request(method, path, **more)
        expected = (expect,) if isinstance(expect, int) else expect
        assert response.status_code in expected, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    async def hub_user(self) -> str:
        """The name in JupyterHub."""
        name: str = await self.call("GET", "/whoami/jupyterhub")
        return name

    async def make_server(self, **fields: Any) -> Json:
        """A stopped server with a template of its own."""
        server: Json = await self.call("POST", "/servers", json={**TEMPLATE, **fields})
        return server

    async def make_template(self, **fields: Any) -> Json:
        template: Json = await self.call("POST", "/template", json={**TEMPLATE, **fields})
        return template

    async def launch(self, template: str) -> Json:
        """A stopped server from somebody's template."""
        server: Json = await self.call("PUT", "/servers", params={"templateId": template})
        return server

    async def wish(self, server: Json, verb: str, **headers: str) -> Json:
        """Ask for `start` or `stop`; the operation."""
        operation: Json = await self.call("PUT", f"/servers/{server['_id']}/{verb}", expect=(200, 202), headers=headers)
        return operation

    async def delete(self, server: Json) -> Json:
        operation: Json = await self.call("DELETE", f"/servers/{server['_id']}", expect=202)
        return operation

    async def see(self, server: Json) -> Json:
        seen: Json = await self.call("GET", f"/servers/{server['_id']}")
        return seen

    async def becomes(self, server: Json, status: str, *, within: float = 60) -> Json:
        """The server once it has a status."""
        return await until(
            lambda: self.see(server), lambda seen: seen["status"] == status, within=within, what=f"status {status}"
        )

    async def gone(self, server: Json, *, within: float = 60) -> None:
        """Returns once the server's record is gone."""

        async def look() -> int:
            return (await self.api.get(f"/servers/{server['_id']}")).status_code

        await until(look, lambda status: status == 404, within=within, what="the server is deleted")

    async def ended(self, operation: Json, *, within: float = 90) -> Json:
        """The operation once it has ended. Bears an API that is away for a while."""

        async def look() -> Json:
            try:
                response = await self.api.get(f"/operations/{operation['_id']}")
            except httpx.TransportError as error:
                return {"status": f"no answer: {error!r}"}
            if response.status_code >= 500:
                return {"status": f"no answer: {response.status_code}"}
            assert response.status_code == 200, response.text
            found: Json = response.json()
            return found

        return await until(look, lambda seen: seen["status"] in ENDED, within=within, what="the operation ends")

    async def succeeded(self, operation: Json, *, within: float = 90) -> Json:
        """The operation once it has succeeded; fails with its error when it ends otherwise."""
        found = await self.ended(operation, within=within)
        assert found["status"] == "succeeded", found
        return found

    async def started(self, **fields: Any) -> Json:
        """A running server of one's own."""
        server = await self.make_server(**fields)
        await self.succeeded(await self.wish(server, "start"))
        return await self.see(server)


class Browser:
    """A browser that is signed in to JupyterHub, with nothing left of the provider's."""

    def __init__(self, client: httpx.AsyncClient, hub: str) -> None:
        self._client, self._hub = client, hub

    @classmethod
    @asynccontextmanager
    async def of(cls, stack: Stack, email: str) -> AsyncIterator[Self]:
        hub = stack.info.jupyterhub
        async with httpx.AsyncClient(timeout=30) as client:
            begun = await client.get(f"{hub}/hub/oauth_login", params={"next": "/hub/home"})
            back = f"{hub}/hub/oauth_callback"
            landed = await client.get(
                await provider.sign_in(begun.headers["location"], email, client=client, until=back)
            )
            assert landed.headers["location"] == "/hub/home"
            # Ports share their cookies: of those of one host, these are JupyterHub's.
            for cookie in list(client.cookies.jar):
                if not cookie.name.startswith(("jupyterhub", "_xsrf")):
                    client.cookies.jar.clear(cookie.domain, cookie.path, cookie.name)
            yield cls(client, hub)

    async def opens(self, server: Json) -> str:
        """Where the page of a server leads: the `server`, the `sign-in`, or a refusal's status."""
        answer = await self._client.get(f"{server['url']}lab")
        for _ in range(10):
            if str(answer.url).startswith(f"{self._hub}/hub/api/oauth2/authorize") and answer.status_code == 200:
                # Somebody else's server is not told who comes until they say so.
                (token,), scopes = set(_XSRF.findall(answer.text)), _SCOPES.findall(answer.text)
                answer = await self._client.post(str(answer.url), data={"scopes": scopes, "_xsrf": token})
            if not answer.is_redirect:
                break
            target = urljoin(str(answer.url), answer.headers["location"])
            if not target.startswith(self._hub):
                return "sign-in"
            answer = await self._client.get(target)
        at_server = answer.is_success and str(answer.url).startswith(server["url"])
        return "server" if at_server else str(answer.status_code)

    async def accepts(self, link: str) -> int:
        """The status that somebody gets who opens a link by which a server is shared, and accepts."""
        page = await self._client.get(link)
        if page.status_code != 200:
            return page.status_code
        (token,) = set(_XSRF.findall(page.text))
        code = parse_qs(urlsplit(link).query)["code"][0]
        return (await self._client.post(link, data={"code": code, "_xsrf": token})).status_code
