"""Runs code in a kernel of somebody's server, through JupyterHub's proxy, as a browser would."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect


class CodeFailed(Exception):
    """The code raised; the message is what the kernel said."""


class Notebook:
    """A kernel in the server at `url`, for who has a JupyterHub token that may use it, or a browser's headers.

    `kernel_id` attaches to a kernel that exists; without it, one is started, and it outlives this object.
    """

    def __init__(
        self, url: str, who: str | Mapping[str, str], *, kernel_id: str | None = None, timeout: float = 60
    ) -> None:
        self._url = url.rstrip("/")
        name = httpx.URL(url).host
        # Names below .localhost are this machine, whatever its resolver knows.
        self._host = "127.0.0.1" if name.endswith(".localhost") else name
        self._headers = {"Authorization": f"token {who}"} if isinstance(who, str) else dict(who)
        self._timeout = timeout
        self._channel: ClientConnection | None = None
        self.kernel_id = kernel_id

    async def __aenter__(self) -> "Notebook":
        async with httpx.AsyncClient(headers=self._headers, timeout=self._timeout) as client:
            if self.kernel_id is None:
                at = httpx.URL(f"{self._url}/api/kernels")
                named = {"Host": at.netloc.decode()}
                response = await client.post(at.copy_with(host=self._host), json={"name": "python3"}, headers=named)
                response.raise_for_status()
                self.kernel_id = response.json()["id"]
        parts = urlsplit(f"{self._url}/api/kernels/{self.kernel_id}/channels")
        address = urlunsplit(("wss" if parts.scheme == "https" else "ws", *parts[1:]))
        self._channel = await connect(
            address,
            additional_headers=self._headers,
            open_timeout=self._timeout,
            max_size=None,
            host=self._host,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._channel is not None:
            await self._channel.close()

    async def run(self, code: str) -> str:
        """What `code` prints, with the text of its last expression; raises `CodeFailed` or `TimeoutError`."""
        async with asyncio.timeout(self._timeout):
            return await self._run(code)

    async def _run(self, code: str) -> str:
        assert self._channel is not None, "use it as a context"
        message_id = uuid4().hex
        await self._channel.send(
            msgspec.json.encode(
                {
                    "header": {
                        "msg_id": message_id,
                        "msg_type": "execute_request",
                        "username": "",
                        "session": uuid4().hex,
                        "version": "5.3",
                    },
                    "parent_header": {},
                    "metadata": {},
                    "channel": "shell",
                    "content": {"code": code, "silent": False, "store_history": False, "stop_on_error": True},
                }
            ).decode()
        )
        printed: list[str] = []
        failure = ""
        idle = replied = False
        # Output and reply come on two channels, in either order.
        while not (idle and replied):
            message = msgspec.json.decode(await self._channel.recv())
            if message["parent_header"].get("msg_id") != message_id:
                continue
            content = message["content"]
            match message["msg_type"]:
                case "stream":
                    printed.append(content["text"])
                case "execute_result" | "display_data":
                    printed.append(content["data"].get("text/plain", ""))
                case "error":
                    failure = f"{content['ename']}: {content['evalue']}"
                case "status":
                    idle = content["execution_state"] == "idle"
                case "execute_reply":
                    replied = True
        if failure:
            raise CodeFailed(failure)
        return "".join(printed)
