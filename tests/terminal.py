"""Runs commands in a terminal of somebody's server, through JupyterHub's proxy, as a browser would."""

import asyncio
import re
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect


class Terminal:
    """A new terminal in the server at `url`, for the holder of a JupyterHub token that may use it."""

    def __init__(self, url: str, token: str, *, timeout: float = 60) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"token {token}"}
        self._timeout = timeout
        self._name = ""
        self._channel: ClientConnection | None = None

    async def __aenter__(self) -> "Terminal":
        async with self._client() as client:
            answer = await client.post(f"{self._url}/api/terminals")
            answer.raise_for_status()
            self._name = answer.json()["name"]
        parts = urlsplit(f"{self._url}/terminals/websocket/{self._name}")
        self._channel = await connect(urlunsplit(("ws", *parts[1:])), additional_headers=self._headers, max_size=None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._channel is not None:
            await self._channel.close()
        async with self._client() as client:
            (await client.delete(f"{self._url}/api/terminals/{self._name}")).raise_for_status()

    async def run(self, command: str) -> tuple[int, str]:
        """The exit code of a command of one line, and what it prints."""
        mark = uuid4().hex
        # The terminal shows what is typed, too: there, these marks are not put together.
        await self._type(f"printf '\\n%s:begin\\n' {mark}; {command}; printf '%s:end:%s.\\n' {mark} $?\n")
        async with asyncio.timeout(self._timeout):
            shown = ""
            while not (found := re.search(rf"{mark}:begin\n(.*?){mark}:end:(\d+)\.", shown, re.DOTALL)):
                shown += await self._shown()
        return int(found[2]), found[1]

    async def _type(self, text: str) -> None:
        assert self._channel is not None, "use it as a context"
        await self._channel.send(msgspec.json.encode(["stdin", text.replace("\n", "\r")]).decode())

    async def _shown(self) -> str:
        assert self._channel is not None, "use it as a context"
        kind, *content = msgspec.json.decode(await self._channel.recv())
        return str(content[0]).replace("\r", "") if kind == "stdout" else ""

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(headers=self._headers, timeout=self._timeout)
