"""A web program that tells what reached it. Tests run it as a dashboard's file: it knows its port and nothing else."""

import asyncio
import hashlib
import os
import sys
from typing import Any

from tornado import iostream, web, websocket

CHUNK = bytes(64 * 1024)
# What happened, for tests to ask for.
seen: dict[str, Any] = {"served": 0, "received": 0, "closed": None, "left": False}


class Request(web.RequestHandler):
    """Tells method, path, query and headers."""

    def get(self) -> None:
        told = {
            "method": self.request.method,
            "uri": self.request.uri,
            "headers": dict(self.request.headers),
            "arguments": sys.argv,
            "variables": {name: os.environ.get(name) for name in ("PROBE_PORT", "PROBE_TEXT")},
        }
        self.add_header("Set-Cookie", "first=1; Path=/")
        self.add_header("Set-Cookie", "second=2; Path=/")
        self.write(told)

    post = put = patch = delete = get


class Seen(web.RequestHandler):
    def get(self) -> None:
        self.write(seen)


@web.stream_request_body
class Upload(web.RequestHandler):
    """Tells size and digest of what it is sent."""

    def prepare(self) -> None:
        seen["received"] = 0
        self.digest = hashlib.sha256()

    def data_received(self, chunk: bytes) -> None:
        seen["received"] += len(chunk)
        self.digest.update(chunk)

    def put(self) -> None:
        self.write({"size": seen["received"], "digest": self.digest.hexdigest()})

    post = put


@web.stream_request_body
class Refusal(web.RequestHandler):
    """Refuses what is sent to it without waiting for the end."""

    async def prepare(self) -> None:
        self.set_status(413)
        self.finish("too large")


class Download(web.RequestHandler):
    """Sends as many chunks as it is asked for; without a length it does not end, with `break` it ends too soon."""

    async def get(self) -> None:
        seen["served"], seen["left"] = 0, False
        chunks = int(self.get_argument("chunks", "0"))
        if chunks:
            self.set_header("Content-Length", chunks * len(CHUNK))
        try:
            while not chunks or seen["served"] < chunks * len(CHUNK):
                self.write(CHUNK)
                await self.flush()
                seen["served"] += len(CHUNK)
                if self.get_argument("break", ""):
                    self.detach().close()
                    return
        except iostream.StreamClosedError:
            seen["left"] = True


class Events(web.RequestHandler):
    """One event, and no end."""

    async def get(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        self.write("data: one\n\n")
        await self.flush()
        await asyncio.Event().wait()


class Socket(websocket.WebSocketHandler):
    """Says everything back, but closes at a word, with the code and reason that follow it."""

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return subprotocols[-1] if subprotocols else None

    async def on_message(self, message: str | bytes) -> None:
        if isinstance(message, str) and message.startswith("close "):
            _, code, reason = message.split(" ", 2)
            self.close(int(code), reason)
        else:
            await self.write_message(message, binary=isinstance(message, bytes))

    def on_close(self) -> None:
        seen["closed"] = [self.close_code, self.close_reason]


class NoSocket(web.RequestHandler):
    """Answers a handshake with what it is asked for."""

    def get(self, status: str) -> None:
        self.set_status(int(status))
        self.write("no websocket")


async def main() -> None:
    web.Application(
        [
            ("/seen", Seen),
            ("/upload", Upload),
            ("/refusal", Refusal),
            ("/download", Download),
            ("/events", Events),
            ("/socket", Socket),
            ("/answers/([0-9]+)", NoSocket),
            ("/.*", Request),
        ],
        websocket_max_message_size=64 * 1024 * 1024,
    ).listen(int(sys.argv[1]), "127.0.0.1", max_body_size=1 << 40)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
