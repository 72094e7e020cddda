"""Reading the ledger of events for somebody who follows: what the reader may be told, each event once and in order.

How far a reader has got is a snapshot of PostgreSQL: which transactions had ended. What is new is what the reader sees
now of transactions that had not ended then; so nothing is passed over that was written early and committed late, and
nobody waits for the transactions of others. Within that, the numbers of the events are their order: two changes of one
record follow each other, and so do their numbers (decision 41).
"""

import re
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from models.access.permissions import CALLER, told_to, values_of
from models.database.sql import rows
from models.domain.values import Caller
from models.ledger.events import Change

MOST_READ = 200
"""Events that are told by one statement."""
MOST_MISSED = 10_000
"""Events, of whomever, through which it looks. Who has missed more reads everything anew."""

_SNAPSHOT = r"\d{1,18}:\d{1,18}:(?:\d{1,18}(?:,\d{1,18})*)?"
_POSITION = re.compile(rf"({_SNAPSHOT})(?:/({_SNAPSHOT})/(\d{{1,18}}))?", re.ASCII)
_LONGEST_POSITION = 16_384


class Position(Struct, frozen=True):
    """How far a reader has got: all that was visible in a snapshot, and of what became so `upto` another the first."""

    after: str
    upto: str | None = None
    number: int = 0
    """The last event of them."""

    def __str__(self) -> str:
        return self.after if self.upto is None else f"{self.after}/{self.upto}/{self.number}"


def parse_position(text: str) -> Position | None:
    """The position that a client sends back; None where it can be none of ours."""
    found = _POSITION.fullmatch(text) if len(text) <= _LONGEST_POSITION else None
    if found is None or not all(_is_snapshot(one) for one in found.group(1, 2) if one):
        return None
    after, upto, number = found.groups()
    return Position(after, upto, int(number or 0))


def _is_snapshot(text: str) -> bool:
    """Whether PostgreSQL takes it: the running transactions in order, of those that may run."""
    first, end, running = text.split(":")
    numbers = [int(one) for one in running.split(",") if one]
    bounds = [int(first), *numbers, int(end)]
    return int(first) > 0 and bounds == sorted(bounds) and int(end) not in numbers


class Event(Struct, frozen=True, kw_only=True):
    """Something that the reader may be told; `position` is where to go on after it."""

    kind: str
    subject: UUID
    change: Change
    at: datetime
    data: dict[str, object]
    position: Position


class Told(Struct, frozen=True, kw_only=True):
    """What one statement tells."""

    events: list[Event]
    position: Position
    """Where to go on."""
    more: bool
    """There may be more already."""
    gap: bool
    """What there was before the position is not known any more, or is too much: it is to be read from the records."""


async def read(caller: Caller, position: Position | None, limit: int = MOST_READ) -> Told:
    """What a caller may be told after a position, at most `limit`; without one, from here on."""
    found = await rows(
        f"""
        WITH {CALLER},
        here AS MATERIALIZED (
          SELECT given.after, pg_snapshot_xmin(given.after)::text::bigint AS first,
                 pg_snapshot_xmax(given.after)::text::bigint AS next,
                 ARRAY(SELECT running::text::bigint FROM pg_snapshot_xip(given.after) running) AS running,
                 coalesce(:upto::text::pg_snapshot, pg_current_snapshot()) AS upto,
                 pg_snapshot_xmax(given.after) <= pg_snapshot_xmax(pg_current_snapshot()) AS past
            FROM (SELECT :after::text::pg_snapshot AS after) given),
        -- Of transactions that had not ended in that snapshot: however long one runs, no other is read anew.
        since AS MATERIALIZED (
          SELECT * FROM (
            SELECT * FROM event WHERE xact = ANY((SELECT running FROM here)::bigint[])
            UNION ALL
            (SELECT * FROM event WHERE xact >= (SELECT next FROM here) ORDER BY xact LIMIT {MOST_MISSED} + 1)) later
           LIMIT {MOST_MISSED} + 1),
        -- The ledger loses its oldest events first: what came after one that is there is there.
        known AS MATERIALIZED (
          SELECT coalesce(here.past AND EXISTS (SELECT FROM event WHERE xact < here.first)
                          AND (SELECT count(*) FROM since) <= {MOST_MISSED}, false) AS all_known
            FROM here),
        told AS (
          SELECT e.id AS number, e.kind, e.subject, e.change, e.at, e.data
            FROM since e CROSS JOIN here CROSS JOIN known CROSS JOIN caller
           WHERE known.all_known AND e.id > :number
             AND pg_visible_in_snapshot(e.xact::text::xid8, here.upto)
             AND {told_to("e")}
           ORDER BY e.id LIMIT :limit)
        SELECT known.all_known, CASE WHEN known.all_known THEN here.upto ELSE pg_current_snapshot() END::text AS upto,
               told.*
          FROM here CROSS JOIN known LEFT JOIN told ON true ORDER BY told.number
        """,
        **values_of(caller),
        after=None if position is None else position.after,
        upto=None if position is None else position.upto,
        number=0 if position is None else position.number,
        limit=limit,
    )
    end = Position(found[0]["upto"])
    if position is None or not found[0]["all_known"]:
        return Told(events=[], position=end, more=False, gap=True)
    told = [one for one in found if one["number"] is not None]
    full = len(told) == limit
    events = [
        Event(
            kind=one["kind"],
            subject=one["subject"],
            change=Change(one["change"]),
            at=one["at"],
            data=msgspec.json.decode(one["data"]),
            position=end if one is told[-1] and not full else Position(position.after, end.after, one["number"]),
        )
        for one in told
    ]
    # What became visible since a position within it was read is still to be told.
    more = full or position.upto is not None
    return Told(events=events, position=events[-1].position if full else end, more=more, gap=False)
