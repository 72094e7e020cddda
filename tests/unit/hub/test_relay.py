"""The relay of a server's network: what comes is passed on as it is, and never more at once than there is room for."""

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from hub.relay import BUFFER_BYTES, LOOPBACK, Relay, listening

PATIENCE = 20


class Passing:
    """A relay to a listener of the test's, in a thread."""

    def __init__(self, most: int, sockets: ExitStack) -> None:
        self._sockets = sockets
        self.target, self._listener = (sockets.enter_context(listening((LOOPBACK, 0))) for _ in range(2))
        self.target.settimeout(PATIENCE)
        self._stays, leaves = map(sockets.enter_context, socket.socketpair())
        relay = Relay(self._listener, socket.AF_INET, self.target.getsockname(), most)
        self.thread = threading.Thread(target=relay.run, args=(leaves,), daemon=True)
        self.thread.start()

    def connect(self) -> socket.socket:
        return self._sockets.enter_context(socket.create_connection(self._listener.getsockname(), PATIENCE))

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Both ends of a new connection."""
        near = self.connect()
        return near, self.accept()

    def accept(self) -> socket.socket:
        """The other end of a connection that came through."""
        far = self._sockets.enter_context(self.target.accept()[0])
        far.settimeout(PATIENCE)
        return far

    def end(self) -> None:
        self._stays.close()
        self.thread.join(PATIENCE)


@pytest.fixture
def passing() -> Iterator[Passing]:
    with ExitStack() as sockets:
        passing = Passing(3, sockets)
        yield passing
        passing.end()
        assert not passing.thread.is_alive()


def received(end: socket.socket) -> bytes:
    """All that comes until the other side says that it ends."""
    found = b""
    while part := end.recv(BUFFER_BYTES):
        found += part
    return found


def test_both_directions_pass_and_each_ends_by_itself(passing: Passing) -> None:
    near, far = passing.pair()
    near.sendall(b"a question")
    near.shutdown(socket.SHUT_WR)
    assert received(far) == b"a question"
    far.sendall(b"an answer")
    far.close()
    assert received(near) == b"an answer"


def test_much_passes_whole_both_ways_at_once(passing: Passing) -> None:
    near, far = passing.pair()
    content = hashlib.shake_256(b"much").digest(20_000_000)
    senders = [threading.Thread(target=end.sendall, args=(content,)) for end in (near, far)]
    for sender in senders:
        sender.start()
    found: dict[socket.socket, bytes] = {}

    def take(end: socket.socket) -> None:
        found[end] = b""
        while len(found[end]) < len(content):
            found[end] += end.recv(1 << 20)

    takers = [threading.Thread(target=take, args=(end,)) for end in (near, far)]
    for thread in takers:
        thread.start()
    for thread in (*senders, *takers):
        thread.join(PATIENCE)
    assert list(found.values()) == [content, content]


def test_who_takes_nothing_is_sent_no_more_than_there_is_room_for(passing: Passing) -> None:
    near, _far = passing.pair()
    near.setblocking(False)
    sent, last = 0, time.monotonic()
    # Buffers of the kernel fill up, and then nobody takes anything any more.
    while time.monotonic() - last < 0.5:
        try:
            sent += near.send(bytes(BUFFER_BYTES))
            last = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    assert sent < 64 * 1024**2
    # Others are served meanwhile.
    test_both_directions_pass_and_each_ends_by_itself(passing)


def test_more_connections_than_it_keeps_wait_for_others_to_end(passing: Passing) -> None:
    pairs = [passing.pair() for _ in range(3)]
    fourth = passing.connect()
    fourth.sendall(b"waiting")
    passing.target.settimeout(0.3)
    with pytest.raises(TimeoutError):
        passing.accept()
    passing.target.settimeout(PATIENCE)
    for end in pairs[0]:
        end.close()
    assert passing.accept().recv(100) == b"waiting"
    # Those that were there are none the worse.
    pairs[1][0].sendall(b"still here")
    assert pairs[1][1].recv(100) == b"still here"


def test_where_nobody_listens_the_connection_ends(passing: Passing) -> None:
    passing.target.close()
    for _ in range(5):
        with suppress(ConnectionResetError):
            assert passing.connect().recv(1) == b""


def test_a_side_that_is_reset_ends_the_other(passing: Passing) -> None:
    near, far = passing.pair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    near.close()
    with suppress(ConnectionResetError):
        assert far.recv(1) == b""
