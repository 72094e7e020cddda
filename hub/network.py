"""What one server of this machine may reach: itself and the hub, and the internet where an administrator wants it."""

import ipaddress
import shutil
from pathlib import Path

import msgspec

from hub.relay import LOOPBACK
from hub.settings import HubSettings

_RESOLVER = Path("/etc/resolv.conf")


class NetworkMissing(Exception):
    """A server cannot be given the network that the settings ask for; the message says what an administrator can do."""


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """A network of the server's own, as `hub.relay` joins it with the machine's."""

    # Where the hub listens; in the server's network it is at this port of the loopback.
    hub_host: str
    hub_port: int
    # The way out: slirp4netns, or none; whom to ask for names, and what is closed besides `relay.CLOSED`.
    slirp4netns: str = ""
    name_servers: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()

    @property
    def hub_url(self) -> str:
        """Where the hub is inside."""
        return f"http://{LOOPBACK}:{self.hub_port}"


def network_for(settings: HubSettings) -> Network | None:
    """Return the network that a server gets, or nothing where it shares the machine's. Raises `NetworkMissing`."""
    if settings.network == "host":
        return None
    everywhere = settings.host in ("", "0.0.0.0", "::")
    closed = Network(hub_host=LOOPBACK if everywhere else settings.host, hub_port=settings.port)
    if settings.network == "closed":
        return closed
    slirp4netns, name_servers = shutil.which(settings.slirp4netns), settings.name_servers or _name_servers()
    missing = (
        ""
        if slirp4netns
        else f"there is no {settings.slirp4netns}: install slirp4netns, or name it by NBHUB_HUB_SLIRP4NETNS"
    )
    if not name_servers:
        missing = f"{_RESOLVER} names no server that servers could ask for names: set NBHUB_HUB_NAME_SERVERS"
    if missing:
        raise NetworkMissing(
            f"No server is started, because it is to have the internet, and {missing}; without the internet they start "
            "by NBHUB_HUB_NETWORK=closed"
        )
    return msgspec.structs.replace(
        closed, slirp4netns=slirp4netns, name_servers=name_servers, closed=settings.closed_networks
    )


def _name_servers() -> tuple[str, ...]:
    """Return those that this machine asks, less itself, which no server can reach."""
    words = (line.split() for line in _RESOLVER.read_text().splitlines()) if _RESOLVER.exists() else ()
    named = [line[1] for line in words if line[:1] == ["nameserver"] and len(line) > 1 and ":" not in line[1]]
    return tuple(name for name in named if not ipaddress.IPv4Address(name).is_loopback)
