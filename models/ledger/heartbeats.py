"""Which processes work: each writes down, again and again, that it reaches what it needs.

A row that was just written also proves that the database takes writes. Times are the database's own.
"""

import os
import socket
from enum import StrEnum

from models.database.sql import exists, row

BEAT_SECONDS = 5.0
"""How often a worker writes; often enough that one lost beat is no alarm."""
LATE_SECONDS = 15.0
"""Who was seen longer ago does not work."""
NO_WORKER = f"""NOT EXISTS (SELECT FROM heartbeat
    WHERE role = 'worker' AND seen_at > now() - interval '{LATE_SECONDS:g} seconds')"""
"""A condition of SQL: nobody does what was asked for."""


class Role(StrEnum):
    """What a process is."""

    API = "api"
    WORKER = "worker"


def _own_name() -> str:
    # As Temporal's SDK calls it.
    return f"{os.getpid()}@{socket.gethostname()}"


async def beat(role: Role) -> None:
    """Write down that this process works."""
    await row(
        """INSERT INTO heartbeat (id, process, role, seen_at) VALUES (gen_random_uuid(), :process, :role, now())
           ON CONFLICT (process, role) DO UPDATE SET seen_at = now()""",
        process=_own_name(),
        role=str(role),
    )


async def stop(role: Role) -> None:
    """Write down that this process ends."""
    await row("DELETE FROM heartbeat WHERE process = :process AND role = :role", process=_own_name(), role=str(role))


async def worker_works(host: str | None = None) -> bool:
    """Whether a worker was seen of late: any, or one of a host."""
    return await exists(
        """SELECT 1 FROM heartbeat WHERE role = :role AND seen_at > now() - make_interval(secs => :late)
              AND (:host::text IS NULL OR split_part(process, '@', 2) = :host) LIMIT 1""",
        role=str(Role.WORKER),
        late=LATE_SECONDS,
        host=host,
    )
