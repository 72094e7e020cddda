"""What httptools leaves to whoever uses it: heads without end, hosts, what follows a body, many requests ahead."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from api.http.connections import LARGEST_HEAD, MOST_AHEAD, PatientProtocol

MIB = 2**20
GET = "GET / HTTP/1.1\nHost: x\n"
CHUNKED = "POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n1\na\n"


class Served:
    """An application that says how large a body is, and what is connected to it."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.disconnected = asyncio.Event()

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
        if scope["path"] == "/follow":
            while (await receive())["type"] != "http.disconnect":
                pass
            self.disconnected.set()
            return
        await send({"type": "http.response.body", "body": b"%06d" % size})

    async def listen(self) -> asyncio.Server:
        config, state = uvicorn.Config(self.app, interface="asgi3", ws="none", log_config=None), ServerState()
        return await asyncio.get_running_loop().create_server(
            lambda: PatientProtocol(config, state, {}), "127.0.0.1", 0
        )

    async def answer(self, text: str) -> str:
        """What comes for what is sent, until either side has nothing more to say."""
        reader, writer = await self.connect(text)
        found = b""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(20):
                while part := await reader.read(MIB):
                    found += part
        writer.close()
        return found.decode()

    async def connect(self, text: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(text.replace("\n", "\r\n").encode())
        return reader, writer

    port = 0


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = Served()
    async with await served.listen() as server:
        served.port = server.sockets[0].getsockname()[1]
        yield served


@pytest.mark.parametrize(
    "sent",
    [
        "GET / HTTP/1.1\nX: " + "a" * MIB,
        GET + "X: " + "a" * LARGEST_HEAD + "\n\n",
        GET + "X: a\n" * 50_000 + "\n",
        "GET /?" + "a" * LARGEST_HEAD + " HTTP/1.1\nHost: x\n\n",
        "\n" * MIB,
        "GET / HTTP/1.1\n\n",
        GET + "Host: x\n\n",
        GET + "Content-Length: 1\nTransfer-Encoding: chunked\n\n1\na\n0\n\n",
        GET + "Content-Length: 1\nContent-Length: 2\n\naa",
        GET + "Content-Length: +1\n\na",
        GET + "Transfer-Encoding: gzip\n\n",
        GET + "Transfer-Encoding: gzip\nTransfer-Encoding: chunked\n\n0\n\n",
        GET + "X : a\n\n",
        GET + "X: a\n b\n\n",
        GET + "X: a\0b\n\n",
        "CONNECT x:443 HTTP/1.1\nHost: x\n\n",
    ],
    ids=lambda sent: repr(sent[:60]),
)
async def test_what_is_no_request_is_refused_and_nobody_is_asked(served: Served, sent: str) -> None:
    assert (await served.answer(sent)).startswith("HTTP/1.1 400")
    assert served.scopes == []


@pytest.mark.parametrize(
    "follows",
    ["0\nX: " + "a" * MIB, "0\n" + "X: a\n" * 200_000, "1;" + "a" * MIB],
    ids=["a long field", "many fields", "a long extension"],
)
async def test_what_follows_a_chunk_has_an_end(served: Served, follows: str) -> None:
    assert "400" in await served.answer(CHUNKED + follows)


@pytest.mark.parametrize(
    ("sent", "size"),
    [
        (GET + "X: " + "a" * (LARGEST_HEAD - 5_000) + "\nConnection: close\n\n", 0),
        ("GET / HTTP/1.0\n\n", 0),
        ("\n" + GET + "Connection: close\n\n", 0),
        (GET + "Connection: close\nContent-Length: 500000\n\n" + "a" * 500_000, 500_000),
        (CHUNKED.replace("Host", "Connection: close\nHost") + "1\na\n" * 100_000 + "0\n\n", 100_001),
        (CHUNKED.replace("Host", "Connection: close\nHost") + "0\nX-Trailer: a\nAuthorization: b\n\n", 1),
    ],
    ids=lambda one: repr(one[:60]) if isinstance(one, str) else one,
)
async def test_what_is_a_request_is_answered(served: Served, sent: str, size: int) -> None:
    answer = await served.answer(sent)
    assert (answer[:12], answer[-6:]) == ("HTTP/1.1 200", f"{size:06d}")
    # Nobody says who they are after they were looked at.
    names = {name for name, _ in served.scopes[0]["headers"]}
    assert names.isdisjoint({b"x-trailer", b"authorization"})


async def test_requests_ahead_are_answered_in_order_and_are_few(served: Served) -> None:
    ahead = [f"GET /{n} HTTP/1.1\nHost: x\n\n" for n in range(MOST_AHEAD)]
    last = "GET /last HTTP/1.1\nHost: x\nConnection: close\n\n"
    assert (await served.answer("".join(ahead) + last)).count("HTTP/1.1 200") == MOST_AHEAD + 1
    assert [one["path"] for one in served.scopes] == [*(f"/{n}" for n in range(MOST_AHEAD)), "/last"]
    served.scopes.clear()
    assert "HTTP/1.1 400" in await served.answer((GET + "\n") * 5_000)
    assert len(served.scopes) <= MOST_AHEAD


async def test_who_goes_is_followed_no_more_though_another_request_waits(served: Served) -> None:
    reader, writer = await served.connect("GET /follow HTTP/1.1\nHost: x\n\n" + GET + "\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
    async with asyncio.timeout(20):
        await served.disconnected.wait()
