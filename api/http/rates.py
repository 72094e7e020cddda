"""How fast somebody may ask: refuses (429) what is more than the settings allow, in all processes together.

By address where anybody may ask: sign-ins, health, and tokens that are refused. By person for what changes something.
What a signed-in person reads is not counted, and costs nothing here.
"""

import asyncio
import ipaddress
import time
from contextlib import suppress
from typing import Any

import structlog
from litestar import Request

from models.database.engine import DATABASE_ERRORS
from models.domain.errors import RequestThrottled
from models.domain.settings import Settings
from models.domain.values import Caller
from models.ledger import rates
from models.ledger.rates import WINDOW_SECONDS

log = structlog.get_logger(__name__)

AUTH, HEALTH, REFUSED, WRITES = "auth", "health", "refused", "writes"
PATIENCE_SECONDS = 0.5
AWAY_SECONDS = 1.0
MOST_REMEMBERED = 10_000
_READS = ("GET", "HEAD", "OPTIONS")


def limited(rate: str) -> dict[str, Any]:
    """The `opt` of a route that anybody may ask, so often from one address."""
    return {"rate": rate}


class Rates:
    """What one process knows of who asks too fast; what all know is in PostgreSQL."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # By rate and who: until when one has to wait, and when the quota is whole again.
        self._too_fast: dict[tuple[str, str], tuple[float, float]] = {}
        self._away_until = 0.0

    async def spend(self, rate: str, who: str) -> None:
        """Count a request; raises `RequestThrottled`. Where PostgreSQL does not count, nobody is refused."""
        per_minute: int = getattr(self._settings, f"{rate}_per_minute")
        if per_minute == 0 or time.monotonic() < self._away_until:
            return
        self.require(rate, who)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                spent = await rates.spend(f"{rate} {who}", per_minute)
        except DATABASE_ERRORS as error:
            log.warning("requests_not_counted", error=type(error).__name__)
            self._away_until = time.monotonic() + AWAY_SECONDS
            return
        if not spent.admitted:
            if len(self._too_fast) >= MOST_REMEMBERED:
                del self._too_fast[next(iter(self._too_fast))]
            whole_at = time.monotonic() + spent.whole_in
            self._too_fast[rate, who] = (whole_at + WINDOW_SECONDS / per_minute - WINDOW_SECONDS, whole_at)
            raise self._refusal(rate, who)

    def require(self, rate: str, who: str) -> None:
        """Refuse whoever was just told to wait, without counting; raises `RequestThrottled`."""
        if (rate, who) in self._too_fast:
            if time.monotonic() < self._too_fast[rate, who][0]:
                raise self._refusal(rate, who)
            del self._too_fast[rate, who]

    def _refusal(self, rate: str, who: str) -> RequestThrottled:
        per_minute: int = getattr(self._settings, f"{rate}_per_minute")
        wait_until, whole_at = self._too_fast[rate, who]
        now = time.monotonic()
        return RequestThrottled(
            f"Too many requests: {per_minute} a minute are allowed.",
            retry_after=wait_until - now,
            limit=per_minute,
            reset=whole_at - now,
            hint="Wait as long as `Retry-After` says.",
        )


async def check_address(request: Request[Any, Any, Any]) -> None:
    """Count a request of a route that is limited by address; raises `RequestThrottled`."""
    rate = request.route_handler.opt.get("rate")
    if rate is not None:
        await request.app.state.services.rates.spend(rate, address_of(request))


async def check_person(request: Request[Any, Any, Any]) -> None:
    """Count what a person wants to change; raises `RequestThrottled`."""
    if request.method not in _READS:
        caller = request.scope.get("user")
        if isinstance(caller, Caller):
            await request.app.state.services.rates.spend(WRITES, str(caller.id))


def address_of(request: Request[Any, Any, Any]) -> str:
    """Where a request comes from, as one who asks: of IPv6 the network that one customer has."""
    host = request.client.host if request.client is not None else ""
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        if isinstance(address, ipaddress.IPv6Address):
            mapped = address.ipv4_mapped
            return str(mapped or ipaddress.ip_network((address.packed[:8] + bytes(8), 64)))
    return host[:64]
