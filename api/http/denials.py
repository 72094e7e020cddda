"""What is refused, as rows of the audit: who asked for what, and of which record.

A denial is written by one statement of its own, after whatever the request had begun was undone. It neither fails the
request nor keeps it waiting for long, and nobody fills the table with them: what the same person asks in vain again
within a minute is counted, and so is what is more than a few in that minute. The next row says how many were left out.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import structlog
from litestar import Request
from msgspec import Struct

from models.database.engine import DATABASE_ERRORS
from models.database.sql import guard_holds
from models.domain.errors import ActionForbidden, RecordMissing, printable
from models.domain.values import Caller, Subject
from models.ledger import audit

log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 0.5
AWAY_SECONDS = 1.0
WINDOW_SECONDS = 60.0
MOST_OF_PERSON = 10
"""Rows of one person in a minute, in one process."""
MOST_OF_STRANGERS = 100
"""Rows of all accounts that are refused at the sign-in: whoever is nobody here shares them with all others."""
MOST_REMEMBERED = 10_000
"""People of whom it is remembered what they were refused."""

_STRANGERS = UUID(int=0)

Refusal = ActionForbidden | RecordMissing
Written = Callable[[dict[str, object]], Awaitable[bool]]
"""Writes a row with a detail; whether there is one now."""


class _Minute(Struct):
    """What one asker was refused since a time."""

    since: float
    most: int
    written: set[object]
    left_out: int = 0


class Denials:
    """What one process has refused lately."""

    def __init__(self) -> None:
        self._minutes: dict[UUID, _Minute] = {}
        self._away_until = 0.0

    async def record(self, request: Request[Any, Any, Any], error: Refusal) -> None:
        """Have the audit say that a request of somebody known was refused.

        What is missing is a denial if it is there, and somebody else's.
        """
        caller: Caller = request.scope["user"]
        hidden = isinstance(error, RecordMissing)
        if hidden and (error.about is None or caller.admin or error.about.kind not in audit.HIDDEN):
            return
        about = error.about or Subject("person", caller.id)
        asked = str(request.route_handler.operation_id)

        async def written(detail: dict[str, object]) -> bool:
            # Who asks may be known by what is remembered alone, and be nobody by now.
            return await guard_holds() and await audit.record_denial(about, caller, detail, hidden=hidden)

        detail = {"asked": asked, "code": error.code}
        await self._write(caller.id, MOST_OF_PERSON, (asked, about.id, error.code), written, detail)

    @contextlib.asynccontextmanager
    async def letting_in(self, issuer: str, claims: Mapping[str, Any]) -> AsyncIterator[None]:
        """Have the audit say of whom claims are that is not let in here (`ActionForbidden`)."""
        try:
            yield
        except ActionForbidden as error:
            await self._record_account(error, issuer, claims)
            raise

    async def _record_account(self, error: ActionForbidden, issuer: str, claims: Mapping[str, Any]) -> None:
        subject = str(claims.get("sub"))
        account = uuid5(NAMESPACE_URL, f"{issuer} {subject}")

        async def written(detail: dict[str, object]) -> bool:
            return await audit.record_refused_account(account, issuer, subject, detail)

        email = printable(str(claims.get("email") or ""))
        detail = {"code": error.code, **({"email": email} if email else {})}
        await self._write(_STRANGERS, MOST_OF_STRANGERS, (account, error.code), written, detail)

    async def _write(self, who: UUID, most: int, what: object, written: Written, detail: Mapping[str, object]) -> None:
        """Have a row written unless there are too many; it says how many were left out before it."""
        minute = self._minute(who, most)
        if what in minute.written or len(minute.written) >= minute.most or time.monotonic() < self._away_until:
            minute.left_out += 1
            return
        # Taken before it is awaited: the same at the same time is the same again.
        minute.written.add(what)
        left_out, minute.left_out = minute.left_out, 0
        kept = False
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                kept = await written({**detail, "left_out": left_out} if left_out else {**detail})
        except DATABASE_ERRORS as error:
            log.warning("denial_not_recorded", error=type(error).__name__)
            self._away_until = time.monotonic() + AWAY_SECONDS
            minute.left_out += 1
        finally:
            if not kept:
                minute.written.discard(what)
                minute.left_out += left_out

    def _minute(self, who: UUID, most: int) -> _Minute:
        """What somebody was refused in this minute; what was left out before is still to be told."""
        known, now = self._minutes.get(who), time.monotonic()
        if known is None or now - known.since >= WINDOW_SECONDS:
            if known is None and len(self._minutes) >= MOST_REMEMBERED:
                del self._minutes[next(iter(self._minutes))]
            known = self._minutes[who] = _Minute(now, most, set(), known.left_out if known else 0)
        return known
