"""Connections of clients that take their time, or never mean to end: each is waited for no longer than it moves.

uvicorn waits for a request's head, for its body and for whoever reads the answer as long as a connection stays open. So
each connection is looked at once a second: what it is waited for, and how far that has come.
"""

import asyncio
import fcntl
import struct
import termios
from typing import Any

import h11
import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol

log = structlog.get_logger(__name__)

ENOUGH = 4096
"""Bytes of a body or an answer that have to pass while we are patient: of a slow link in both directions several times
as many do."""


class PatientProtocol(H11Protocol):
    """A connection whose client has so much patience of ours, and no more."""

    patience = 10.0
    """Seconds for all of a request's head, for `ENOUGH` of its body or of the answer, and for what is not read."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it, in place of the one that has been idle for longest where there are too many."""
        super().connection_made(transport)
        self._received = self._resumed = 0
        self._awaited: object = None
        self._passed = self._still = 0
        self._idle_since = self.loop.time()
        living = [one for one in self.connections if not one.transport.is_closing()]
        if self.limit_concurrency is not None and len(living) >= self.limit_concurrency:
            idle = [one for one in living if isinstance(one, PatientProtocol) and one.is_idle]
            min(idle, key=lambda one: one.idle_since).transport.abort()

    @property
    def is_idle(self) -> bool:
        """Whether it has no request, or not all of a request's head."""
        return self.conn.their_state is h11.IDLE

    @property
    def idle_since(self) -> float:
        """When it was made, or had its last answer, in the time of the loop."""
        return self._idle_since

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        self._received += len(data)
        super().data_received(data)

    def resume_writing(self) -> None:
        """Go on with an answer: much of it has been read."""
        self._resumed += 1
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._idle_since = self.loop.time()
        super().on_response_complete()

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
        their_state, cycle = self.conn.their_state, self.cycle
        if their_state is h11.IDLE and (cycle is None or self.conn.trailing_data[0]):
            return ("head", cycle), 0
        if their_state is h11.SEND_BODY:
            if cycle.response_complete:
                return ("rest", cycle), 0
            # Otherwise it is the client that waits.
            if not self.flow.read_paused and not cycle.waiting_for_100_continue:
                return ("body", cycle), self._received
        return None, 0

    def _unread(self) -> int:
        """Bytes of an answer that have not come to the client: ours, and the kernel's."""
        waiting = fcntl.ioctl(self.transport.get_extra_info("socket"), termios.TIOCOUTQ, bytes(4))
        return self.transport.get_write_buffer_size() + int(struct.unpack("i", waiting)[0])


def patient(seconds: float) -> type[PatientProtocol]:
    """Connections with this patience."""
    return type("PatientProtocol", (PatientProtocol,), {"patience": seconds})
