"""Figures for metrics: how many servers there are, what is under way, what has ended since the last look."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from models.database.sql import decoded, records, row, rows

UNSEEN_SECONDS = 30
"""What ended of late is left to the next look: its transaction may not be seen yet, and none takes longer."""
_APART_SECONDS = 10
_MOST = 20_000


class ServerFigure(Struct, frozen=True):
    """How many servers there are of a wish and a state."""

    wish: str
    observed: str
    number: int


class UnsettledFigure(Struct, frozen=True):
    """Operations of a kind that have not ended."""

    kind: str
    status: str
    number: int
    oldest_seconds: float


class Ended(Struct, frozen=True):
    """An operation that ended, and how long its steps took."""

    kind: str
    status: str
    seconds: float
    steps: dict[str, float]


async def servers() -> list[ServerFigure]:
    """All servers, by what is wished and what is."""
    found = await rows("SELECT wish, observed, count(*) AS number FROM server GROUP BY wish, observed")
    return records(found, ServerFigure)


async def unsettled() -> list[UnsettledFigure]:
    """All operations that have not ended."""
    found = await rows(
        """SELECT kind, status, count(*) AS number,
                  extract(epoch FROM now() - min(created_at))::float8 AS oldest_seconds
             FROM operation WHERE status IN ('queued', 'running') GROUP BY kind, status"""
    )
    return records(found, UnsettledFigure)


class UnsettledOperation(Struct, frozen=True):
    """An operation that has not ended: which, of what, and since when; nobody's name and no text."""

    id: UUID
    kind: str
    status: str
    subject_kind: str
    created_at: datetime
    progressed_at: datetime


async def oldest_unsettled(most: int) -> list[UnsettledOperation]:
    """Operations that have not ended, the oldest first."""
    found = await rows(
        """SELECT id, kind, status, subject_kind, created_at, progressed_at FROM operation
            WHERE status IN ('queued', 'running') ORDER BY created_at LIMIT :most""",
        most=most,
    )
    return records(found, UnsettledOperation)


async def ended() -> list[Ended]:
    """What has ended since any worker last looked: each operation is given out once, to one of them.

    Of what ended while no worker lived, the last of a day.
    """
    await row("INSERT INTO figures_seen (id, until) VALUES (1, now()) ON CONFLICT DO NOTHING")
    found = await rows(
        """
        WITH before AS (
          SELECT greatest(until, now() - interval '1 day') AS since, now() - make_interval(secs => :unseen) AS until
            FROM figures_seen WHERE until < now() - make_interval(secs => :unseen + :apart) FOR UPDATE SKIP LOCKED),
        seen AS (UPDATE figures_seen f SET until = before.until FROM before RETURNING before.since, before.until)
        SELECT o.kind, o.status, extract(epoch FROM o.ended_at - o.created_at)::float8 AS seconds,
               CASE WHEN o.kind = 'server.start' AND o.status = 'succeeded' THEN
                 (SELECT coalesce(jsonb_object_agg(s.name, extract(epoch FROM coalesce(s.ended_at, o.ended_at)
                                                                               - s.started_at)), '{}')
                    FROM operation_step s WHERE s.operation = o.id) ELSE '{}' END AS steps
          FROM seen JOIN operation o ON o.ended_at >= seen.since AND o.ended_at < seen.until
         ORDER BY o.ended_at LIMIT :most
        """,
        unseen=UNSEEN_SECONDS,
        apart=_APART_SECONDS,
        most=_MOST,
    )
    return records([decoded(one, "steps") for one in found], Ended)
