"""JupyterHub's REST API, for JupyterHub 5 and 6.

Answers mean less than they say: 202 and 204 are no outcomes, 400 has many reasons, and a timed-out request
may have been carried out. So nothing here concludes from a status what a look could tell; callers ask
`server`, and the truth service, what is so.
"""

import base64
import binascii
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec
from msgspec import Struct

from integrations.hub_connection import HubConnection, decoded, message_of, require_success
from models.domain.errors import HubRefused, HubUnavailable, HubUserMissing, SpawnFailed

PAGE_SIZE = 200
"""The most that JupyterHub gives at once."""
_PAGES = "application/jupyterhub-pagination+json"
# JupyterHub sends a blank line every 8 s.
_PROGRESS_DEADLINE = httpx.Timeout(15, connect=3, read=30)


class HubServer(Struct, frozen=True, kw_only=True):
    """A server as JupyterHub sees it. `generation` is that of the signed spec it was last started with."""

    user: str
    name: str
    ready: bool = False
    stopped: bool = True
    pending: str | None = None
    generation: int | None = None

    @property
    def active(self) -> bool:
        """Whether it runs, or is on its way to or from that."""
        return self.ready or self.pending is not None or not self.stopped


class Progress(Struct, frozen=True, kw_only=True):
    """An event of a spawn."""

    message: str = ""
    progress: float = 0
    ready: bool = False
    failed: bool = False


class ShareCode(Struct, frozen=True, kw_only=True):
    """A link by which others may accept a share of a server."""

    url: str
    expires_at: datetime | None


class _ServerModel(Struct, frozen=True, kw_only=True):
    name: str
    ready: bool = False
    stopped: bool = False
    pending: str | None = None
    user_options: dict[str, Any] | None = None


class _UserModel(Struct, frozen=True, kw_only=True):
    name: str
    servers: dict[str, _ServerModel] | None = None


class _Next(Struct, frozen=True, kw_only=True):
    offset: int


class _Pagination(Struct, frozen=True, kw_only=True):
    next: _Next | None = None


class _Page(Struct, frozen=True, kw_only=True):
    pagination: _Pagination = msgspec.field(name="_pagination")


class _UserPage(_Page, frozen=True, kw_only=True):
    items: list[_UserModel]


class HubGroup(Struct, frozen=True, kw_only=True):
    """A group as JupyterHub has it."""

    name: str
    users: list[str] = []
    properties: dict[str, Any] = {}


class _GroupPage(_Page, frozen=True, kw_only=True):
    items: list[HubGroup]


class _Version(Struct, frozen=True):
    version: str


class _SharePage(_Page, frozen=True, kw_only=True):
    items: list[dict[str, Any]]


class _NewShareCode(Struct, frozen=True, kw_only=True):
    accept_url: str
    expires_at: datetime | None = None


P = TypeVar("P", bound=_Page)


class JupyterHub:
    """JupyterHub's REST API at a URL."""

    def __init__(self, connection: HubConnection, url: str) -> None:
        self._connection = connection
        self._api = f"{url.rstrip('/')}/hub/api"
        self._major: int | None = None

    async def major_version(self) -> int:
        """JupyterHub's major version, asked once; after a failure it is asked again."""
        if self._major is None:
            answer = await self._ask("GET", f"{self._api}/")
            self._major = _major(decoded(answer, _Version).version)
        return self._major

    async def server(self, user: str, name: str) -> HubServer:
        """A server as it is now; one that JupyterHub does not know is stopped. Raises `HubUserMissing`."""
        servers = await self._servers(user)
        if servers is None:
            raise _user_missing(user)
        model = servers.get(name)
        return HubServer(user=user, name=name) if model is None else _server(user, model)

    async def knows(self, user: str, name: str) -> bool:
        """Whether JupyterHub has a record of the server, running or not."""
        return name in (await self._servers(user) or {})

    async def _servers(self, user: str) -> dict[str, _ServerModel] | None:
        """A user's servers by name, stopped ones too; None: there is no such user."""
        answer = await self._ask("GET", self._user(user), params={"include_stopped_servers": "1"}, accept=(404,))
        return None if answer.status_code == 404 else decoded(answer, _UserModel).servers or {}

    async def elsewhere(self, user: str, name: str) -> HubServer | None:
        """A server of this name that is not stopped, of another user: as where JupyterHub's user was renamed."""
        async for page in self._pages(f"{self._api}/users", _UserPage, state="active"):
            for other in page.items:
                model = (other.servers or {}).get(name)
                if model is not None and other.name != user:
                    return _server(other.name, model)
        return None

    async def active(self, user: str) -> list[str] | None:
        """Names of a user's servers that are not stopped; None: there is no such user."""
        servers = await self._servers(user)
        return None if servers is None else [one.name for one in servers.values() if _server(user, one).active]

    async def ensure_user(self, user: str) -> None:
        """Make the user, unless there is one."""
        await self._ask("POST", self._user(user), accept=(409,))

    async def remove_user(self, user: str) -> None:
        """Ask for the user to be removed, with tokens, sign-ins, memberships and shares. Look at `active` for whether
        it was: servers that run are in the way."""
        await self._ask("DELETE", self._user(user), accept=(400, 404))

    async def end_sessions(self, user: str, kept: list[str]) -> None:
        """End what a user's browsers have in JupyterHub, but for the sessions that are `kept`. Servers run on."""
        answer = await self._ask("DELETE", f"{self._user(user)}/sessions", json={"kept": kept}, accept=(404,))
        if answer.status_code == 404:
            raise HubUnavailable(
                "JupyterHub does not end sessions.", hint="Ask an operator to restart it with this version's `hub/`."
            )

    async def start(self, user: str, name: str, display_name: str, options: dict[str, Any]) -> None:
        """Ask for a start. That it was accepted says nothing of the outcome.

        Raises `HubUserMissing`; `SpawnFailed` when the spawn was tried and failed at once; `HubRefused`.
        """
        # JupyterHub 6 keeps the options beside the display name; 5 takes the whole body for the options.
        body = {"display_name": display_name, "user_options": options} if await self.major_version() >= 6 else options
        answer = await self._ask("POST", self._server(user, name), json=body, accept=(400, 403, 404, 409, 422, 500))
        if answer.status_code == 404:
            raise _user_missing(user)
        if answer.status_code in (201, 202):
            return
        now = await self.server(user, name)
        if now.active and answer.status_code == 400:
            return
        message = message_of(answer)
        if answer.status_code == 500 and message in ("", answer.reason_phrase):
            raise SpawnFailed(
                "JupyterHub failed before it came to start the server.",
                hint="Start it again; if that fails too, ask an operator to look at JupyterHub's log.",
            )
        if answer.status_code == 500:
            raise SpawnFailed(message)
        raise HubRefused(
            message or f"JupyterHub refuses the start ({answer.status_code}).",
            hint="Change the server's template, or ask an operator to make this possible.",
        )

    async def progress(self, user: str, name: str) -> AsyncIterator[Progress]:
        """Events of a spawn that is under way, until it ends; nothing when there is none."""
        url = f"{self._server(user, name)}/progress"
        try:
            async with self._connection.client.stream("GET", url, timeout=_PROGRESS_DEADLINE) as answer:
                if answer.status_code in (400, 404):
                    return
                require_success(answer, "the progress")
                async for line in answer.aiter_lines():
                    if line.startswith("data:"):
                        yield msgspec.json.decode(line.removeprefix("data:"), type=Progress)
        except httpx.HTTPError as error:
            self._major = None
            raise HubUnavailable(f"JupyterHub does not answer ({type(error).__name__}).") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise HubUnavailable("JupyterHub sends progress that cannot be read.") from None

    async def stop(self, user: str, name: str) -> None:
        """Ask for a stop. The answer proves nothing: look at `server` and `processes`."""
        await self._ask("DELETE", self._server(user, name), accept=(400, 404))

    async def remove(self, user: str, name: str) -> None:
        """Ask for the server's record to be removed. Look at `knows` for whether it was."""
        await self._ask("DELETE", self._server(user, name), json={"remove": True}, accept=(400, 404))

    async def group(self, name: str) -> HubGroup | None:
        """A group with the names of its users; None: there is none."""
        answer = await self._ask("GET", self._group(name), accept=(404,))
        return None if answer.status_code == 404 else decoded(answer, HubGroup)

    async def groups(self, prefix: str) -> AsyncIterator[HubGroup]:
        """Every group whose name begins with a prefix, page by page."""
        async for page in self._pages(f"{self._api}/groups", _GroupPage):
            for group in page.items:
                if group.name.startswith(prefix):
                    yield group

    async def keep_group(self, name: str, users: set[str], properties: dict[str, str]) -> None:
        """Have a group hold exactly these users, who are made where JupyterHub lost them. Writes only what differs."""
        found = await self.group(name)
        if found is None:
            await self._ask("POST", self._group(name), accept=(409,))
            found = HubGroup(name=name)
        if found.properties != properties:
            await self._ask("PUT", f"{self._group(name)}/properties", json=properties)
        there = set(found.users)
        for user in sorted(users - there):
            # One that is missing would have the whole change refused.
            await self.ensure_user(user)
        for method, some in (("DELETE", there - users), ("POST", users - there)):
            ordered = sorted(some)
            for start in range(0, len(ordered), PAGE_SIZE):
                part = ordered[start : start + PAGE_SIZE]
                await self._ask(method, f"{self._group(name)}/users", json={"users": part})

    async def remove_group(self, name: str) -> None:
        """Remove a group, if there is one."""
        await self._ask("DELETE", self._group(name), accept=(404,))

    async def make_share_code(self, user: str, name: str, seconds: int, public_url: str) -> ShareCode | None:
        """A new link to share a server, which lives for that long; None: JupyterHub does not know the server."""
        url, body = self._of_server("share-codes", user, name), {"expires_in": seconds}
        answer = await self._ask("POST", url, json=body, accept=(404,))
        if answer.status_code == 404:
            return None
        code = decoded(answer, _NewShareCode)
        return ShareCode(url=f"{public_url.rstrip('/')}{code.accept_url}", expires_at=code.expires_at)

    async def end_share_codes(self, user: str, name: str) -> None:
        """End all links by which a server is shared. Who has come by one stays."""
        await self._ask("DELETE", self._of_server("share-codes", user, name), accept=(404,))

    async def unshare(self, user: str, name: str, whom: str | None = None) -> None:
        """End one user's share of a server, or everybody's. Look at `shared_with` for whether that is so."""
        url = self._of_server("shares", user, name)
        if whom is None:
            await self._ask("DELETE", url, accept=(404,))
        else:
            await self._ask("PATCH", url, json={"user": whom}, accept=(404,))

    async def shared_with(self, user: str, name: str) -> dict[str, list[str]]:
        """Names of the users and groups with whom a server is shared."""
        url = self._of_server("shares", user, name)
        items = [item async for page in self._pages(url, _SharePage, accept=(404,)) for item in page.items]
        return {
            "users": sorted(item["user"]["name"] for item in items if item.get("user")),
            "groups": sorted(item["group"]["name"] for item in items if item.get("group")),
        }

    async def _pages(
        self, url: str, kind: type[P], *, accept: tuple[int, ...] = (), **parameters: str
    ) -> AsyncIterator[P]:
        """A list, page by page; it ends with an answer that the caller accepts."""
        offset: int | None = 0
        while offset is not None:
            parameters |= {"offset": str(offset), "limit": str(PAGE_SIZE)}
            answer = await self._ask("GET", url, params=parameters, headers={"Accept": _PAGES}, accept=accept)
            if answer.status_code in accept:
                return
            page = decoded(answer, kind)
            yield page
            offset = page.pagination.next.offset if page.pagination.next else None

    async def _ask(self, method: str, url: str, *, accept: tuple[int, ...] = (), **more: Any) -> httpx.Response:
        try:
            return await self._connection.ask(method, url, accept=accept, **more)
        except HubUnavailable:
            # Whoever answers next may be of another version.
            self._major = None
            raise

    def _user(self, user: str) -> str:
        return f"{self._api}/users/{quote(user, safe='')}"

    def _group(self, name: str) -> str:
        return f"{self._api}/groups/{quote(name, safe='')}"

    def _server(self, user: str, name: str) -> str:
        return f"{self._user(user)}/servers/{quote(name, safe='')}"

    def _of_server(self, what: str, user: str, name: str) -> str:
        return f"{self._api}/{what}/{quote(user, safe='')}/{quote(name, safe='')}"


def _user_missing(user: str) -> HubUserMissing:
    return HubUserMissing(
        f"JupyterHub has no user {user}.",
        hint="If the user was just renamed or removed there, start the server again: the user is made anew.",
    )


def _major(version: str) -> int:
    try:
        return int(version.split(".")[0])
    except ValueError:
        raise HubUnavailable(f"JupyterHub says that its version is {version[:40]!r}.") from None


def _server(user: str, model: _ServerModel) -> HubServer:
    return HubServer(
        user=user,
        name=model.name,
        ready=model.ready,
        stopped=model.stopped,
        pending=model.pending,
        generation=_generation(model.user_options),
    )


def _generation(options: dict[str, Any] | None) -> int | None:
    """The generation in a signed spec. Not verified: it only tells which of our own starts this was."""
    try:
        payload = str((options or {})["spec"]).split(".")[1]
        content = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        generation = msgspec.json.decode(content)["generation"]
    except (KeyError, IndexError, TypeError, binascii.Error, ValueError, RecursionError):
        return None
    return generation if isinstance(generation, int) else None
