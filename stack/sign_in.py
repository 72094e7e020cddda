"""Signs development users in as a browser would: through the provider's own form."""

from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from stack.state import StackFailed


class NoSuchPerson(StackFailed):
    """The provider knows nobody of this e-mail and password."""


class Form(HTMLParser):
    """The first form of a page: where it goes and what it holds already."""

    def __init__(self) -> None:
        super().__init__()
        self.found = False
        self.action = ""
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "form" and not self.found:
            self.found, self.action = True, values.get("action") or ""
        elif tag == "input" and values.get("name"):
            self.fields[str(values["name"])] = values.get("value") or ""


async def sign_in(
    authorize_url: str, email: str, password: str | None = None, *, client: httpx.AsyncClient, until: str
) -> str:
    """Follow the sign-in that begins at `authorize_url`; the URL below `until` to which it leads in the end.

    That URL is not fetched. `client` keeps the cookies. A development user's password is the default. Raises
    `NoSuchPerson`, or `StackFailed` that says where it stopped.
    """
    answer = await client.get(authorize_url)
    for _ in range(15):
        if answer.is_redirect:
            target = urljoin(str(answer.url), answer.headers["location"])
            if target.startswith(until):
                return target
            answer = await client.get(target)
            continue
        if answer.status_code != 200:
            raise StackFailed(f"{urlsplit(str(answer.url)).path} answers {answer.status_code}")
        form = Form()
        form.feed(answer.text)
        if not form.found or "password" not in form.fields:
            raise StackFailed(f"{urlsplit(str(answer.url)).path} shows no sign-in form")
        fields = form.fields | {"email": email, "password": password or email.partition("@")[0]}
        answer = await client.post(urljoin(str(answer.url), form.action), data=fields)
        if answer.status_code == 403:
            raise NoSuchPerson(f"there is no {email} who signs in with this password")
    raise StackFailed("the sign-in goes in circles")


async def tokens(api_url: str, email: str) -> dict[str, Any]:
    """Sign in at the API: `/auth/authorize`, then the provider's form; what `/auth/token` gives for its code."""
    async with httpx.AsyncClient(timeout=30) as client:
        begun = await client.post(f"{api_url}/auth/authorize")
        begun.raise_for_status()
        authorize_url = begun.json()["authorizationUrl"]
        redirect_uri = httpx.URL(authorize_url).params["redirect_uri"]
        landed = httpx.URL(await sign_in(authorize_url, email, client=client, until=redirect_uri))
        if "code" not in landed.params:
            raise StackFailed(f"the provider answers {landed.params.get('error', 'without a code')}")
        answer = await client.post(
            f"{api_url}/auth/token", json={"code": landed.params["code"], "state": landed.params["state"]}
        )
        if answer.status_code != 200:
            raise StackFailed(f"/auth/token answers {answer.status_code}: {answer.text[:300]}")
        given: dict[str, Any] = answer.json()
        return given


async def hub_user(api_url: str, access_token: str) -> str:
    """The name in JupyterHub of whoever has an access token."""
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.get(f"{api_url}/whoami/jupyterhub", headers={"Authorization": f"Bearer {access_token}"})
        answer.raise_for_status()
        name: str = answer.json()
        return name
