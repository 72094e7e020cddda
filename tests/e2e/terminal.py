"""A terminal in somebody's server, as JupyterLab opens one: a login shell behind a websocket."""

import asyncio
import re
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\r")
# Put together by the shell, so that the echo of what was typed does not look like the answer.
_MARK = "end''-of-''command"


class Terminal:
    """A new terminal in the server at `url`, for the holder of a JupyterHub token that may use it."""

    def __init__(self, url: str, token: str, *, timeout: float = 60) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"token {token}"}
        self._timeout = timeout
        self._channel: ClientConnection | None = None

    async def __aenter__(self) -> "Terminal":
        async with httpx.AsyncClient(headers=self._headers, timeout=self._timeout) as client:
            response = await client.post(f"{self._url}/api/terminals")
            response.raise_for_status()
        parts = urlsplit(f"{self._url}/terminals/websocket/{response.json()['name']}")
        address = urlunsplit(("wss" if parts.scheme == "https" else "ws", *parts[1:]))
        self._channel = await connect(address, additional_headers=self._headers, max_size=None)
        # Wide enough that nothing is wrapped.
        await self._channel.send(msgspec.json.encode(["set_size", 50, 1000, 0, 0]).decode())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._channel is not None:
            await self._channel.close()

    async def run(self, command: str) -> str:
        """What a command prints, both streams."""
        assert self._channel is not None, "use it as a context"
        typed = f"{command}; echo {_MARK}\r"
        await self._channel.send(msgspec.json.encode(["stdin", typed]).decode())
        seen, mark = "", f"\n{_MARK.replace(chr(39), '')}"
        try:
            async with asyncio.timeout(self._timeout):
                while mark not in seen:
                    message = msgspec.json.decode(await self._channel.recv())
                    if message[0] == "stdout":
                        seen = _CONTROL.sub("", seen + message[1])
        except TimeoutError:
            raise AssertionError(f"the terminal does not come to an end; it says {seen!r}") from None
        before, _, _ = seen.partition(mark)
        # After the echo of what was typed.
        return before.rpartition(_MARK)[2].strip("\n")
