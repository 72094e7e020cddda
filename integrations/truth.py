"""The truth service beside JupyterHub: which processes of servers live, how others ended, and ending them."""

from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
from msgspec import Struct

from integrations.hub_connection import HubConnection, decoded
from models.domain.profiles import Unavailable


class Process(Struct, frozen=True, kw_only=True):
    """A living process of a server, by the spawner's own truth."""

    server_id: str
    hub_user: str
    hub_name: str
    generation: int
    last_activity: datetime | None = None
    """When it was last used, as far as JupyterHub knows."""


class Failure(Struct, frozen=True, kw_only=True):
    """Why a start failed or a server ended, with the last lines of its log, free of tokens.

    `exit_code` is that of the server's program, if it is known; `stopped`: JupyterHub was asked to stop it.
    """

    reason: str = ""
    log: str = ""
    exit_code: int | None = None
    stopped: bool = False


class _Log(Struct, frozen=True, kw_only=True):
    log: str


class _ProcessList(Struct, frozen=True, kw_only=True):
    processes: list[Process]


class Everything(Struct, frozen=True, kw_only=True):
    """All that lives, and what no server can be started with there; None of a service too old to tell."""

    servers: list[Process]
    unavailable: Unavailable | None = None


class Truth:
    """The truth service at a URL, and by the name `host` where that is another one than the URL's."""

    def __init__(self, connection: HubConnection, url: str, host: str = "") -> None:
        self._connection = connection
        self._url = url.rstrip("/")
        self._headers = {"Host": host} if host else {}

    async def processes(self, server_id: str) -> list[Process]:
        """Living processes of one server; an empty list proves that there is none."""
        answer = await self._ask("GET", f"/servers/{quote(server_id, safe='')}")
        return decoded(answer, _ProcessList).processes

    async def end_processes(self, server_id: str, up_to_generation: int) -> list[Process]:
        """End processes of one server up to a generation; those that still live."""
        answer = await self._ask(
            "DELETE", f"/servers/{quote(server_id, safe='')}", params={"up_to_generation": str(up_to_generation)}
        )
        return decoded(answer, _ProcessList).processes

    async def everything(self) -> Everything:
        """Living processes of every server, and what is told beside them."""
        return decoded(await self._ask("GET", "/servers"), Everything)

    async def failure(self, server_id: str, generation: int) -> Failure | None:
        """Why the start of a generation failed, if JupyterHub noted that it did."""
        return await self._told("failure", server_id, generation)

    async def ending(self, server_id: str, generation: int) -> Failure | None:
        """How a process of a generation ended, as far as is known; also where JupyterHub was not there to note it."""
        return await self._told("ending", server_id, generation)

    async def log(self, server_id: str) -> str | None:
        """The last lines of the log of a server that lives, free of secrets; None where there is none to be read."""
        answer = await self._ask("GET", f"/log/{quote(server_id, safe='')}")
        return None if answer.status_code == 404 else decoded(answer, _Log).log

    async def _told(self, what: str, server_id: str, generation: int) -> Failure | None:
        path = f"/{what}/{quote(server_id, safe='')}"
        answer = await self._ask("GET", path, params={"generation": str(generation)})
        if answer.status_code == 404:
            return None
        told = decoded(answer, Failure)
        # What a server's programs wrote, and the database takes any character but this one.
        return msgspec.structs.replace(
            told, reason=told.reason.replace("\0", "\ufffd"), log=told.log.replace("\0", "\ufffd")
        )

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        return await self._connection.ask(method, self._url + path, accept=(404,), headers=self._headers, **more)
