"""People of a deployment: made in Keycloak, and signed in as a browser is, through Keycloak's own forms."""

import asyncio
import html
import re
from collections.abc import Awaitable, Callable, Mapping
from html.parser import HTMLParser
from http.cookiejar import Cookie, CookieJar
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import httpx

from stack.notebook import Notebook

PASSWORD = "a long password for tests"
_STEPS = 30
_TRIES = 8
T = TypeVar("T")


class SignInFailed(Exception):
    """A page came that nobody knows how to go on from."""


class _LikeABrowser(httpx.AsyncHTTPTransport):
    """Names below .localhost are this machine, whatever its resolver knows."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host.endswith(".localhost"):
            # The header `Host` was made of the name already.
            request = httpx.Request(
                request.method,
                request.url.copy_with(host="127.0.0.1"),
                headers=request.headers,
                stream=request.stream,
                extensions=request.extensions,
            )
        return await super().handle_async_request(request)


class _SecureOnThisMachine(CookieJar):
    """Gives `Secure` cookies back over plain http, as Chrome and Firefox do on this machine."""

    def set_cookie(self, cookie: Cookie) -> None:
        cookie.secure = False
        super().set_cookie(cookie)


def browser(base_url: str = "") -> httpx.AsyncClient:
    """A client like a browser that was just opened."""
    return httpx.AsyncClient(base_url=base_url, transport=_LikeABrowser(), cookies=_SecureOnThisMachine(), timeout=90)


class _Form(HTMLParser):
    """The first form of a page: where it is sent, and the fields with their values."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "form" and not self.action:
            self.action = values.get("action") or ""
        if tag == "input" and values.get("name"):
            self.fields[str(values["name"])] = values.get("value") or ""


async def _arrive(client: httpx.AsyncClient, url: str, email: str, there: Callable[[str], bool]) -> str:
    """Go where links, redirects and the sign-in form lead, until an address is `there`; that address."""
    answer = await client.get(url)
    for _ in range(_STEPS):
        at = str(answer.url)
        if answer.is_redirect:
            target = urljoin(at, answer.headers["location"])
            if there(target):
                return target
            answer = await client.get(target)
            continue
        form = _Form(answer.text)
        link = re.search(r"""href=["']([^"']*oauth_login[^"']*)""", answer.text)
        if "password" in form.fields:
            filled = form.fields | {"username": email, "password": PASSWORD}
            answer = await client.post(urljoin(at, form.action), data=filled)
        elif there(at) and answer.is_success:
            return at
        elif link:
            answer = await client.get(urljoin(at, html.unescape(link[1])))
        else:
            raise SignInFailed(f"{at} answers {answer.status_code}: {answer.text[:300]}")
    raise SignInFailed(f"{url} leads in circles")


async def again(sign_in: Callable[[], Awaitable[T]]) -> T:
    """Sign in, and again as a person would: that PostgreSQL ended its connections Keycloak finds out by using them."""
    for left in reversed(range(_TRIES)):
        try:
            return await sign_in()
        except (SignInFailed, httpx.HTTPError):
            if not left:
                raise
            await asyncio.sleep(2)
    raise AssertionError("unreachable")


async def api_token(api: str, email: str, back_to: str | None = None) -> str:
    """An access token of the API, through the provider's form, which leads back to the page or to a program."""
    async with browser() as client:
        begun = await client.post(f"{api}/auth/authorize", json={"redirect_uri": back_to} if back_to else {})
        begun.raise_for_status()
        url = begun.json()["authorizationUrl"]
        back = httpx.URL(url).params["redirect_uri"]
        landed = httpx.URL(await _arrive(client, url, email, lambda at: at.startswith(back))).params
        answer = await client.post(f"{api}/auth/token", json={"code": landed["code"], "state": landed["state"]})
        answer.raise_for_status()
        token: str = answer.json()["access_token"]
        return token


async def notebook(email: str, url: str, kernel_id: str | None = None) -> Notebook:
    """A kernel in a person's server, with the cookies that JupyterHub and the server gave to a browser."""
    page = urlsplit(f"{url.rstrip('/')}/tree")
    async with browser() as client:
        await _arrive(client, page.geturl(), email, lambda at: urlsplit(at).path == page.path)
        # Where a redirect led there, the server was not asked yet; it gives cookies of its own.
        await client.get(page.geturl())
        cookies = client.build_request("GET", f"{url.rstrip('/')}/api/kernels").headers["cookie"]
        own = [one for one in client.cookies.jar if one.name == "_xsrf" and page.path.startswith(one.path)]
        xsrf = max(own, key=lambda one: len(one.path)).value or ""
    origin = f"{page.scheme}://{page.netloc}"
    headers = {"Cookie": cookies, "X-XSRFToken": xsrf, "Referer": url, "Origin": origin}
    return Notebook(url, headers, kernel_id=kernel_id)


async def make(keycloak: str, password: str, people: Mapping[str, bool]) -> None:
    """Make people with a verified e-mail, and those who are administrators; by Keycloak's first administrator."""
    async with browser(base_url=keycloak) as client:
        login = {"grant_type": "password", "client_id": "admin-cli", "username": "bootstrap", "password": password}
        answer = await client.post("/realms/master/protocol/openid-connect/token", data=login)
        answer.raise_for_status()
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        realm = "/admin/realms/notebooks-hub"
        role = (await client.get(f"{realm}/roles/nbhub-admin")).raise_for_status().json()
        for email, admin in people.items():
            name = email.partition("@")[0]
            person = {"username": email, "email": email, "emailVerified": True, "enabled": True}
            person |= {"firstName": name, "lastName": "Test"}
            key = {"type": "password", "value": PASSWORD, "temporary": False}
            made = await client.post(f"{realm}/users", json=person | {"credentials": [key]})
            made.raise_for_status()
            if admin:
                at = f"{realm}/users/{made.headers['location'].rpartition('/')[2]}/role-mappings/realm"
                (await client.post(at, json=[role])).raise_for_status()
