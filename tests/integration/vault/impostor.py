"""A server that stands where Vault should be, and answers what Vault never would."""

import asyncio
import json
import ssl
from collections.abc import Callable
from typing import Self

Answer = bytes | Callable[[bytes], bytes]

TOKEN = "hvs.the-token-of-the-impostor"


def http(status: str, body: bytes, *headers: str, media_type: str = "application/json") -> bytes:
    """One answer, as it goes over the wire."""
    own = (f"Content-Type: {media_type}", f"Content-Length: {len(body)}", "Connection: close")
    return "\r\n".join((f"HTTP/1.1 {status}", *own, *headers)).encode() + b"\r\n\r\n" + body


def answers(data: object) -> bytes:
    """An answer as Vault would give it."""
    return http("200 OK", json.dumps(data).encode())


LOGGED_IN = answers({"auth": {"client_token": TOKEN, "lease_duration": 3600}})


def after_login(answer: bytes) -> Answer:
    """Let in, and give this answer to everything else."""
    return lambda request: LOGGED_IN if b"/login" in request.splitlines()[0] else answer


class Impostor:
    """Gives every request the same answer, or what a function of the request says, and closes the connection."""

    def __init__(self, answer: Answer, *, tls: ssl.SSLContext | None = None) -> None:
        self.heard: list[bytes] = []
        """All requests, as they came."""
        self.url = ""
        self._answer = answer
        self._tls = tls
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None, "it was not started"
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            for line in request.lower().splitlines():
                if line.startswith(b"content-length:"):
                    request += await reader.readexactly(int(line.partition(b":")[2]))
            self.heard.append(request)
            writer.write(self._answer(request) if callable(self._answer) else self._answer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            # The client has gone away.
            return
        finally:
            writer.close()
