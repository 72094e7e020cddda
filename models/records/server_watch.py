"""Servers as the reconciler compares them with the outside, and what it writes where they differ."""

from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct

from models.database.sql import exists, page, row, rows, structs, to_json
from models.domain.ids import FIRST_ID
from models.domain.values import Subject
from models.ledger import audit
from models.records.server_settling import RELEASE
from models.records.server_shares import SHARED
from models.records.servers import CHANGED, ServerError, Stop, stopped_because, told

MOST_WATCHED = 20_000
"""Servers that are read at once: a few hundred bytes each, beside what the truth service says of all."""


class ObservedServer(Struct, frozen=True):
    """A row as the reconciler compares it with the outside; `runs` and `rests` say what a settled one is to do."""

    id: UUID
    generation: int
    process_generation: int | None
    version: int
    last_activity: datetime | None
    runs: bool
    rests: bool
    shared: bool


_OBSERVED = f"""
    SELECT s.id, s.generation, s.process_generation, s.version, s.last_activity,
           s.generation = s.observed_generation AND s.wish = 'running' AS runs,
           s.generation = s.observed_generation AND s.wish = 'stopped' AS rests,
           {SHARED} AS shared
      FROM server s
"""


async def watched(after: UUID | None, limit: int) -> list[ObservedServer]:
    """Servers of which a process is thought to live, in order of id: few, however many servers there are."""
    return await structs(
        ObservedServer,
        page(f"{_OBSERVED} WHERE s.observed <> 'stopped' AND s.id > :after ORDER BY s.id", MOST_WATCHED),
        after=after or FIRST_ID,
        limit=limit,
    )


async def observed(identities: list[UUID]) -> list[ObservedServer]:
    """The named servers, as far as they exist."""
    return await structs(ObservedServer, _OBSERVED + "WHERE s.id = ANY(:ids::uuid[])", ids=identities)


async def tombstones(servers: list[UUID]) -> set[UUID]:
    """Which of these were ours and have been deleted."""
    found = await rows("SELECT id FROM server_tombstone WHERE id = ANY(:ids::uuid[])", ids=servers)
    return {one["id"] for one in found}


async def note_vanished(
    server_id: UUID,
    generation: int,
    version: int,
    *,
    reason: str = "",
    log: str = "",
    exit_code: int | None = None,
    stopped: bool = False,
) -> bool:
    """A settled, running server's process is gone although nobody here asked for that: it stays stopped.

    The rest is what the spawner's side knows of the end, if it knows anything; `stopped`: JupyterHub was asked for it.
    """
    last_error = ServerError(
        code="SERVER_ENDED",
        message=reason or "The server ended, and nobody had asked Notebooks Hub for that. How it ended is not known.",
        hint="Start it again." if reason else _ENDED_SOMEHOW,
        log=log,
        at=datetime.now().astimezone(),
    )
    kind = Stop.HUB if stopped else Stop.CRASH if reason else Stop.UNKNOWN
    why = stopped_because(kind, last_error.message, exit_code=exit_code, log=log)
    found = await row(
        f"""
        WITH seen AS (
          UPDATE server s SET wish = 'stopped', observed = 'stopped', process_generation = NULL, observed_at = now(),
                 started_at = NULL, version = version + 1, last_error = :error::jsonb, stopped_reason = :why::jsonb
           WHERE id = :server AND generation = :generation AND observed_generation = generation AND version = :version
             AND wish = 'running' RETURNING {CHANGED}),
        released AS ({RELEASE}),
        told AS ({told("seen")})
        SELECT id FROM seen
        """,
        error=to_json(last_error),
        why=to_json(why),
        server=server_id,
        generation=generation,
        version=version,
    )
    if found is None:
        return False
    await audit.record("server.stopped_by_itself", Subject("server", server_id), None)
    return True


_ENDED_SOMEHOW = (
    "Start it again. It may have been stopped in JupyterHub (by hand, or because nobody used it), or have ended with "
    "the machine or the container that it ran in."
)


ACTIVITY_STEP = timedelta(minutes=1)
"""What moves by less is not written."""


async def note_activity(moments: dict[UUID, datetime]) -> None:
    """Keep when servers were last used, in one statement; what a program says of the future counts as now.

    It is no part of a record's version. A row that is being changed keeps what it has until the next time.
    """
    await row(
        """
        UPDATE server s SET last_activity = moved.at
          FROM (SELECT server.id, said.at
                  FROM unnest(:servers::uuid[], :moments::timestamptz[]) AS seen(id, at)
                 CROSS JOIN LATERAL (SELECT least(seen.at, now()) AS at) said
                  JOIN server ON server.id = seen.id
                 WHERE server.last_activity IS NULL OR said.at > server.last_activity + :step::interval
                 ORDER BY server.id FOR UPDATE OF server SKIP LOCKED) moved
         WHERE s.id = moved.id
        """,
        servers=list(moments),
        moments=list(moments.values()),
        step=ACTIVITY_STEP,
    )


async def note_unwanted(server_id: UUID, process_generation: int, version: int) -> bool:
    """A settled, stopped server has a living process: its wish is to be met again."""
    return await exists(
        f"""
        WITH seen AS (
          UPDATE server s SET observed = 'running', process_generation = :process::bigint, observed_at = now(),
                 observed_generation = generation - 1, version = version + 1
           WHERE id = :server AND version = :version AND observed_generation = generation AND wish = 'stopped'
          RETURNING {CHANGED}),
        told AS ({told("seen")})
        SELECT id FROM seen
        """,
        process=process_generation,
        server=server_id,
        version=version,
    )
