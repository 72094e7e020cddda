"""A TCP proxy in front of a real part: a link that is slow, dies, or goes silent when a test says so.

    async with SlowLink("127.0.0.1", 8200, delay=0.5) as link:
        client = connect_to("127.0.0.1", link.port)

It runs in the event loop of the test; the part and its clients know nothing of it. No delay: nothing is changed.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any, Self

_CHUNK = 64 * 1024
# Chunks of one direction on their way; more are not read before some have arrived.
_MOST_ON_THE_WAY = 256


class SlowLink:
    """A link to `host` and `port`; it ends with its context, and with it every connection.

    A `host` that is a path is the directory of PostgreSQL's socket, as for its clients.
    """

    def __init__(self, host: str, port: int, *, delay: float = 0) -> None:
        """`delay` are the seconds by which a round trip takes longer. It may be changed at any time."""
        self.delay = delay
        self.port = 0
        """Where clients connect to."""
        self.accepted = 0
        """How many connections there have been."""
        self.most = 0
        """How many there have been at the same time."""
        self.allowed: int | None = None
        """How many bytes of answers still arrive; the connection that would get more is reset. None: all of them."""
        self.answered = b""
        """The answers that have arrived, one after another."""
        self._target = host, port
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._passable = asyncio.Event()
        self._passable.set()
        self._refuses = False

    @property
    def url(self) -> str:
        """The address for clients that speak HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """How many connections there are now."""
        return len(self._connections)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None, "the link was not opened"
        self._server.close()
        await self.cut()
        await self._server.wait_closed()

    async def cut(self) -> None:
        """End every connection with a reset; returns when they are gone. New ones work."""
        work = [connection.work for connection in self._connections]
        for connection in self._connections:
            connection.reset()
            connection.work.cancel()
        await asyncio.gather(*work, return_exceptions=True)

    def strand(self) -> None:
        """Leave every connection half-open: nobody is told, and nothing passes on it any more. New ones work.

        It is what a firewall does that forgets its connections, and a machine that loses its power.
        """
        for connection in self._connections:
            connection.strand()

    def hold(self) -> None:
        """Have nothing pass, on old and on new connections, until `release`: clients wait without an answer."""
        self._passable.clear()

    def release(self) -> None:
        """Let everything pass that was held back, and what comes."""
        self._passable.set()

    def refuse(self) -> None:
        """Reset every connection, and new ones as soon as they are made, until `accept`: nobody is there."""
        self._refuses = True
        for connection in self._connections:
            connection.reset()

    def accept(self) -> None:
        """Take connections again."""
        self._refuses = False

    async def passable(self) -> None:
        """Returns when the link carries something."""
        await self._passable.wait()

    def answer(self, data: bytes) -> bytes:
        """What of an answer arrives."""
        if self.allowed is not None:
            data = data[: self.allowed]
            self.allowed -= len(data)
        self.answered += data
        return data

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, reader, writer)
        if self._refuses:
            connection.reset()
            return
        self._connections.add(connection)
        self.accepted += 1
        self.most = max(self.most, len(self._connections))
        connection.work = asyncio.create_task(self._serve(connection))
        connection.work.add_done_callback(lambda _: self._connections.discard(connection))

    async def _serve(self, connection: "_Connection") -> None:
        try:
            await connection.carry(*self._target)
        except OSError:
            # What one side does to its end is done to the other's.
            connection.reset()
        else:
            connection.close()


class _Connection:
    """One client's connection, and ours to the part for it."""

    work: asyncio.Task[None]

    def __init__(self, link: SlowLink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._link = link
        self._reader, self._writers = reader, [writer]
        self._stranded = False

    def strand(self) -> None:
        self._stranded = True

    def close(self) -> None:
        for writer in self._writers:
            writer.close()

    def reset(self) -> None:
        for writer in self._writers:
            if writer.transport.is_closing():
                continue
            # No lingering: what is closed is reset.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def carry(self, host: str, port: int) -> None:
        """Carry both directions until both have ended, or one fails."""
        await self._link.passable()
        if host.startswith("/"):
            reader, writer = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            reader, writer = await asyncio.open_connection(host, port)
        self._writers.append(writer)
        await _all(self._one_way(self._reader, writer), self._one_way(reader, self._writers[0], self._link.answer))

    async def _one_way(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passes: Callable[[bytes], bytes] = bytes
    ) -> None:
        """What comes later does not wait for what is on its way."""
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_MOST_ON_THE_WAY)
        await _all(self._send_off(reader, on_the_way), self._deliver(on_the_way, writer, passes))

    async def _send_off(self, reader: asyncio.StreamReader, on_the_way: "asyncio.Queue[tuple[float, bytes]]") -> None:
        data = b"anything"
        while data:
            data = await reader.read(_CHUNK)
            await on_the_way.put((asyncio.get_running_loop().time() + self._link.delay / 2, data))

    async def _deliver(
        self,
        on_the_way: "asyncio.Queue[tuple[float, bytes]]",
        writer: asyncio.StreamWriter,
        passes: Callable[[bytes], bytes],
    ) -> None:
        while True:
            due, data = await on_the_way.get()
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            await self._link.passable()
            if self._stranded:
                continue
            if not data:
                writer.write_eof()
                return
            passed = passes(data)
            writer.write(passed)
            await writer.drain()
            if passed != data:
                raise ConnectionResetError("no more is allowed")


async def _all(*work: Coroutine[Any, Any, None]) -> None:
    """Do all of it; the first failure ends the rest, and is the one that is raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
