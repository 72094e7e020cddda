"""Joins a server's own network with the two things outside that it has to do with. Stays outside, as its monitor.

`relay.py PROGRAM PORT HUB_HOST HUB_PORT [SLIRP4NETNS NAME_SERVERS CLOSED]`: `hub.launch` starts it beside the server's
PROGRAM, which is bubblewrap and begins when all is in order. What comes to a socket of the machine goes to PORT of the
loopback in the server's network, and what comes to HUB_PORT there goes to the hub; nothing else of the machine can be
reached from inside. With SLIRP4NETNS there is a way out into the world, less what is CLOSED.

A process has one network, so there are two: this, for the way to the hub, and its child in the server's network, for
the way in. They end together, and with the monitor. This file runs with the standard library alone.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import resource
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

# What the launcher leaves open here: a listening socket of the machine, bubblewrap's report on its child, and what the
# child waits for. The last two end with the beginning.
LISTENER_FD, INFO_FD, READY_FD = 10, 11, 12
# Each connection holds two descriptors, and at most one buffer to a direction.
MOST_INTO_THE_SERVER, MOST_TO_THE_HUB = 400, 100
BUFFER_BYTES = 64 * 1024
# For what is open besides connections.
_OTHER_DESCRIPTORS = 32
LOOPBACK = "127.0.0.1"
# Between a server's network and slirp4netns: of a range for measurements, so that it is nobody's.
OUTSIDE = "198.18.171.0/24"
# What is nobody's in particular: private networks, of carriers, of a link (and there a cloud's metadata), for
# measurements, of groups, and reserved.
CLOSED = (
    *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "192.0.0.0/24"),
    *("198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),
)
_SLIRP_READY_SECONDS = 10
# linux/sched.h, linux/nsfs.h, linux/in.h
_NEW_USER, _NEW_NETWORK, _GET_OWNER, _FREEBIND = 0x10000000, 0x40000000, 0xB701, 15
# linux/rtnetlink.h, linux/netlink.h: the message for a new rule, and its flags: an answer is wanted, it is to be made.
_NEW_RULE, _REQUEST_ANSWERED, _MAIN_TABLE = 32, 0x1 | 0x4 | 0x400, 254
# linux/fib_rules.h: attributes, and what a rule does.
_DESTINATION, _PRIORITY, _PORTS, _BY_TABLE, _UNREACHABLE = 1, 6, 24, 1, 7
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

Address = tuple[Any, ...]


class Side:
    """One end of a connection that is passed on."""

    other: "Side"

    def __init__(self, connection: socket.socket, connected: bool) -> None:
        connection.setblocking(False)
        # What comes has waited for company already, where it was sent.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = connection
        self.connected = connected
        # What this end has not taken yet of what the other sent.
        self.pending = b""
        # It sends nothing more; and it was told that nothing more will come.
        self.ended = self.told = False

    def wanted(self) -> int:
        """What has to happen next: nothing is read that the other end has no room for."""
        reads = self.connected and self.other.connected and not self.ended and not self.other.pending
        return (_READ if reads else 0) | (_WRITE if self.pending or not self.connected else 0)

    def take(self) -> None:
        """Send what is pending, as far as there is room, and the end after it."""
        if self.pending:
            with contextlib.suppress(BlockingIOError):
                self.pending = self.pending[self.connection.send(self.pending) :]
        if self.other.ended and not self.pending and not self.told:
            self.connection.shutdown(socket.SHUT_WR)
            self.told = True


class Relay:
    """Passes connections to a socket on to an address, byte by byte and no faster than they are taken."""

    def __init__(self, listener: socket.socket, family: int, address: Address, most: int) -> None:
        self._listener, self._family, self._address = listener, family, address
        listener.setblocking(False)
        self._room = min(most, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OTHER_DESCRIPTORS) // 2)
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, _READ)
        self._ends = False

    def run(self, company: socket.socket) -> None:
        """Return when the other process, at the other end of `company`, has ended."""
        self._selector.register(company, _READ, company)
        while True:
            for key, events in self._selector.select():
                if key.data is company:
                    self._close_all()
                    return
                if key.data is None:
                    self._accept()
                elif key.data.connection.fileno() >= 0:
                    self._serve(key.data, events)

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except OSError:
            # Who came has left again.
            return
        further = socket.socket(self._family)
        near, far = Side(accepted, connected=True), Side(further, connected=False)
        near.other, far.other = far, near
        self._room -= 1
        if self._room == 0:
            # Others wait in the kernel's queue.
            self._selector.unregister(self._listener)
        if further.connect_ex(self._address) in (0, errno.EINPROGRESS):
            self._watch(far)
        else:
            self._close(far)

    def _serve(self, side: Side, events: int) -> None:
        try:
            if events & _WRITE:
                if not side.connected:
                    if problem := side.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                        raise OSError(problem, "not connected")
                    side.connected = True
                side.take()
            if events & _READ:
                side.other.pending = side.connection.recv(BUFFER_BYTES)
                side.ended = not side.other.pending
                side.other.take()
        except BlockingIOError:
            pass
        except OSError:
            self._close(side)
            return
        if side.told and side.other.told:
            self._close(side)
            return
        for one in (side, side.other):
            self._watch(one)

    def _watch(self, side: Side) -> None:
        watched, wanted = self._selector.get_map().get(side.connection), side.wanted()
        if watched is None:
            if wanted:
                self._selector.register(side.connection, wanted, side)
        elif not wanted:
            self._selector.unregister(side.connection)
        elif wanted != watched.events:
            self._selector.modify(side.connection, wanted, side)

    def _close(self, side: Side) -> None:
        for one in (side, side.other):
            with contextlib.suppress(KeyError):
                self._selector.unregister(one.connection)
            one.connection.close()
        self._room += 1
        if self._room == 1:
            self._selector.register(self._listener, _READ)

    def _close_all(self) -> None:
        for side in {key.data for key in self._selector.get_map().values()}:
            if isinstance(side, Side) and side.connection.fileno() >= 0:
                self._close(side)
        self._selector.close()


def network_of(program: int) -> int:
    """Return a descriptor of the network that bubblewrap, which is `program`, made for its child.

    Raises `OSError` unless it is one of its own.
    """
    with open(INFO_FD, encoding="utf-8") as info:
        told = info.read()
    if not told:
        # It ended before it began, which is for the monitor to see.
        signal.pause()
    child = json.loads(told)["child-pid"]
    network = os.open(f"/proc/{child}/ns/net", os.O_RDONLY)
    with open(f"/proc/{child}/stat", encoding="utf-8", errors="replace") as file:
        parent = int(file.read().rpartition(")")[2].split()[1])
    if parent != program or os.path.samestat(os.fstat(network), os.stat("/proc/self/ns/net")):
        raise OSError("the sandbox has no network of its own")
    return network


def enter(network: int, owner: int) -> None:
    """Enter a network by the user namespace that owns it, in which this process then may change it."""
    library = ctypes.CDLL(None, use_errno=True)
    for namespace, kind in ((owner, _NEW_USER), (network, _NEW_NETWORK)):
        if library.setns(namespace, kind):
            raise OSError(ctypes.get_errno(), "the server's network cannot be entered")


def close_networks(closed: Sequence[str], name_servers: Sequence[str]) -> None:
    """Make IPv4 networks such as `10.0.0.0/8` unreachable in the network that this process is in.

    Name servers are asked wherever they are, and nothing else of their machines. The rules hold for whoever may not
    change the network.
    """
    only_names = struct.pack("=HHHH", 8, _PORTS, 53, 53)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        # The next hop on every way out.
        _add_rule(kernel, OUTSIDE, priority=1, action=_BY_TABLE)
        for address in name_servers:
            _add_rule(kernel, f"{address}/32", priority=1, action=_BY_TABLE, more=only_names)
        for network in (*CLOSED, *closed):
            _add_rule(kernel, network, priority=2, action=_UNREACHABLE)


def _add_rule(kernel: socket.socket, network: str, *, priority: int, action: int, more: bytes = b"") -> None:
    address, _, length = network.partition("/")
    rule = struct.pack("=8BI", socket.AF_INET, int(length), 0, 0, _MAIN_TABLE, 0, 0, action, 0)
    rule += struct.pack("=HH4s", 8, _DESTINATION, socket.inet_aton(address))
    rule += struct.pack("=HHI", 8, _PRIORITY, priority) + more
    kernel.send(struct.pack("=IHHII", 16 + len(rule), _NEW_RULE, _REQUEST_ANSWERED, 0, 0) + rule)
    (problem,) = struct.unpack_from("=i", kernel.recv(BUFFER_BYTES), 16)
    if problem:
        raise OSError(-problem, f"the network {network} cannot be closed")


def addresses_of_this_machine() -> set[str]:
    """Return the IPv4 addresses of the network that this process is in, as networks of one."""
    found, before = set(), ""
    with open("/proc/net/fib_trie", encoding="ascii") as file:
        for line in file:
            if "/32 host LOCAL" in line:
                found.add(f"{before}/32")
            before = line.rpartition(" ")[2].strip()
    return {address for address in found if not address.startswith("127.")}


def open_a_way_out(program: str, network: int, owner: int) -> None:
    """Start slirp4netns for a network, and return when it can be used. It ends with this process."""
    (until, _), (ready, is_ready) = os.pipe(), os.pipe()
    # An ordinary user's namespace has not the user that its own sandbox wants to be.
    confined = ["--enable-sandbox"] if os.geteuid() == 0 else []
    subprocess.Popen(  # noqa: S603 -- the program that an administrator named, with numbers
        [
            *(program, "--configure", "--mtu=65520", f"--cidr={OUTSIDE}", "--disable-host-loopback", "--disable-dns"),
            *("--enable-seccomp", *confined, "--netns-type=path", f"--userns-path=/proc/self/fd/{owner}"),
            *(f"--exit-fd={until}", f"--ready-fd={is_ready}", f"/proc/self/fd/{network}", "tap0"),
        ],
        stdin=subprocess.DEVNULL,
        # It says much, and would have the last word in the server's log.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(network, owner, until, is_ready),
    )
    for descriptor in (until, is_ready):
        os.close(descriptor)
    if not select.select([ready], [], [], _SLIRP_READY_SECONDS)[0] or not os.read(ready, 1):
        raise OSError(f"{program} does not start: it needs /dev/net/tun, and a kernel with tun devices")
    os.close(ready)


def listening(address: tuple[str, int]) -> socket.socket:
    """Return a socket that listens at an IPv4 address, also where the network has not got it yet."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_IP, _FREEBIND, 1)
    listener.bind(address)
    listener.listen(128)
    return listener


def main(program: str, port: str, hub_host: str, hub_port: str, *way_out: str) -> None:
    network = network_of(int(program))
    owner = fcntl.ioctl(network, _GET_OWNER)
    slirp4netns, name_servers, closed = way_out or ("", "", "")
    all_closed = [*closed.split(), *addresses_of_this_machine()] if slirp4netns else []
    outer, inner = socket.socketpair()
    if os.fork() == 0:
        outer.close()
        os.close(READY_FD)
        enter(network, owner)
        if slirp4netns:
            close_networks(all_closed, name_servers.split())
        with listening((LOOPBACK, int(hub_port))) as to_the_hub:
            socket.send_fds(inner, [b"."], [to_the_hub.fileno()])
        from_outside = socket.socket(fileno=LISTENER_FD)
        Relay(from_outside, socket.AF_INET, (LOOPBACK, int(port)), MOST_INTO_THE_SERVER).run(inner)
        return
    inner.close()
    os.close(LISTENER_FD)
    _, descriptors, _, _ = socket.recv_fds(outer, 1, 1)
    if not descriptors:
        # The child has said why.
        return
    if slirp4netns:
        open_a_way_out(slirp4netns, network, owner)
    os.write(READY_FD, b".")
    os.close(READY_FD)
    family, _, _, _, hub = socket.getaddrinfo(hub_host, int(hub_port), type=socket.SOCK_STREAM)[0]
    Relay(socket.socket(fileno=descriptors[0]), family, hub, MOST_TO_THE_HUB).run(outer)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (OSError, ValueError) as problem:
        sys.exit(f"The server has no network: {problem}")
