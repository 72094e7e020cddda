"""Connections of clients that take their time, mean no good, or never end: each has its bounds.

uvicorn waits for a request's head, for its body and for whoever reads the answer as long as a connection stays open. So
each connection is looked at once a second: what it is waited for, and how far that has come. httptools parses whatever
comes; what it leaves to others is refused here: heads without end, no or two hosts, many requests ahead.
"""

import asyncio
import fcntl
import struct
import termios
import time
from typing import Any

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

log = structlog.get_logger(__name__)

ENOUGH = 4096
"""Bytes of a body or an answer that have to pass while we are patient: of a slow link in both directions several times
as many do."""
LARGEST_HEAD = 65_536
"""Bytes of a request's head, and of whatever else a client sends that is no content: what follows a chunked body."""
MOST_AHEAD = 8
"""Requests that a client may send before it has the answer to another."""
LAST_WORDS = 0.5
"""Seconds that a client who was not told that the connection ends has for a request that is on its way."""


class PatientProtocol(HttpToolsProtocol):
    """A connection whose client has so much patience of ours, and no more."""

    patience = 10.0
    """Seconds for all of a request's head, for `ENOUGH` of its body or of the answer, and for what is not read."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it, in place of the one that has been idle for longest where there are too many."""
        super().connection_made(transport)
        self._answered: RequestResponseCycle | None = None
        """The request that is answered now, or was last; `cycle` is the one that came last."""
        self._in_body = self._last = False
        self._unfinished = self._received = self._resumed = 0
        self._awaited: object = None
        self._passed = self._still = 0
        self._idle_since = time.monotonic()
        living = [one for one in self.connections if not one.transport.is_closing()]
        if self.limit_concurrency is not None and len(living) >= self.limit_concurrency:
            idle = [one for one in living if isinstance(one, PatientProtocol) and one.is_idle]
            oldest = min(idle, key=lambda one: one.idle_since)
            oldest.transport.abort()
            # Only later the loop tells that it is lost; until then it would be counted.
            self.connections.discard(oldest)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who answers that nobody reads it: uvicorn tells who would answer the last request alone."""
        super().connection_lost(exc)
        if self._answered is not None and not self._answered.response_complete:
            self._answered.disconnected = True
            self._answered.message_event.set()

    @property
    def is_idle(self) -> bool:
        """Whether it has no request, or not all of a request's head."""
        return not self._in_body and (self._answered is None or self._answered.response_complete)

    @property
    def idle_since(self) -> float:
        """When it was made, or had its last answer. The loop's own clock stands still for as long as it has work."""
        return self._idle_since

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        self._received += len(data)
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > LARGEST_HEAD and not self.transport.is_closing():
            self.send_400_response("The head of a request may have 64 KiB.")

    def on_message_begin(self) -> None:
        """A request begins, perhaps in the middle of what has come."""
        self._unfinished = max(self._unfinished, 1)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Answer a request, or refuse it: what is raised here is answered with 400."""
        names = [name for name, _ in self.headers]
        if names.count(b"host") > 1 or (b"host" not in names and self.parser.get_http_version() == "1.1"):
            raise httptools.HttpParserError("one host is due")
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if codings not in ([], [b"chunked"]):
            raise httptools.HttpParserError("a body may come in chunks and no other way")
        if self._unfinished > LARGEST_HEAD and self._head_size() > LARGEST_HEAD:
            raise httptools.HttpParserError("the head is too large")
        if len(self.pipeline) >= MOST_AHEAD:
            raise httptools.HttpParserError("too many requests ahead")
        self._unfinished, self._in_body = 0, True
        super().on_headers_complete()
        # What a chunked body is followed by is no header.
        self.headers = []

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request has come as a whole."""
        self._unfinished, self._in_body = 0, False
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        if self._last and not self.pipeline:
            cycle.keep_alive = False
        super()._start_asgi_task(cycle, app)

    def resume_writing(self) -> None:
        """Go on with an answer: much of it has been read."""
        self._resumed += 1
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._idle_since = time.monotonic()
        super().on_response_complete()

    def shutdown(self) -> None:
        """End it, because the process does: after what is answered, or what may be on its way already."""
        self._last = True
        if self.is_idle:
            self.loop.call_later(LAST_WORDS, self._close_idle)
        else:
            super().shutdown()

    def _close_idle(self) -> None:
        if self.is_idle:
            self.transport.close()

    def look(self) -> None:
        """End the connection if what is waited for has not moved for too long. Called once a second.

        The looks are counted, and no time is measured: while this process gets no turn, the fault is not the client's.
        """
        awaited, passed = self._awaits()
        if awaited != self._awaited or passed - self._passed >= ENOUGH:
            self._awaited, self._passed, self._still = awaited, passed, 0
            return
        self._still += 1
        if awaited is not None and self._still >= self.patience:
            log.info("client_too_slow", awaited=awaited[0])
            self.transport.abort()

    def _awaits(self) -> tuple[tuple[str, Any] | None, int]:
        """What is waited for, if anything is, and a number that rises by the bytes of it that pass."""
        if self.flow.write_paused:
            return ("reader", self._resumed), -self._unread()
        if self._in_body:
            if self.cycle.response_complete:
                return ("rest", self.cycle), 0
            # Otherwise it is the client that waits.
            if not self.flow.read_paused and not self.cycle.waiting_for_100_continue:
                return ("body", self.cycle), self._received
        elif self.is_idle and (self._answered is None or self._unfinished):
            return ("head", self._answered), 0
        return None, 0

    def _unread(self) -> int:
        """Bytes of an answer that have not come to the client: ours, and the kernel's."""
        waiting = fcntl.ioctl(self.transport.get_extra_info("socket"), termios.TIOCOUTQ, bytes(4))
        return self.transport.get_write_buffer_size() + int(struct.unpack("i", waiting)[0])


def patient(seconds: float) -> type[PatientProtocol]:
    """Connections with this patience."""
    return type("PatientProtocol", (PatientProtocol,), {"patience": seconds})
