"""What the truth service asks of a spawner's backend: which processes of servers live, and to end them."""

from datetime import datetime
from typing import Protocol

import msgspec

from hub.records import Failure


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One living process of one server."""

    server_id: str
    hub_user: str
    hub_name: str
    generation: int
    alive: bool
    started_at: float
    pid: int | None = None
    # What the backend calls it: a pod's or a container's name.
    resource: str = ""
    last_activity: datetime | None = None


class Backend(Protocol):
    """A spawner's own truth."""

    async def living(self) -> list[Report]:
        """Return every living process of every server."""

    async def living_of(self, server_id: str) -> list[Report]:
        """Return the living processes of one server; an empty list is a proof."""

    async def end(self, server_id: str, up_to_generation: int) -> list[Report]:
        """End this server's processes up to this generation; return those that still live."""

    async def log(self, server_id: str) -> str | None:
        """Return the last lines of a living server's log, without secrets; None where there is none to be read."""

    async def ending(self, server_id: str, generation: int) -> Failure | None:
        """Return how this generation of a server ended, as far as it is noted or can be found out."""
