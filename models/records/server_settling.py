"""How a server's wish and what was seen of it come together: what its workflow reads and writes.

A `ServerWorkflow` reads the plan, makes it true outside, and writes what it saw by one of the `settle_…`
statements, which end the operations that this decides: a stop of generation g once no process of a
generation ≤ g lives, a start of generation g once a process of g is ready, or as `cancelled` when a later
wish came first. Every statement is a compare-and-set, so a late or repeated call changes nothing.
"""

from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from models.database.sql import Row, decoded, exists, row, to_json
from models.domain.values import ServerStatus, Subject, Wish
from models.ledger import audit, operations
from models.ledger.events import Change
from models.ledger.operations import ENDS_NOW, OVERTAKER, OperationError
from models.records.servers import CHANGED, ServerError, Stop, TemplateData, stopped_because, told


class ServerPlan(Struct, frozen=True, kw_only=True):
    """What a workflow has to know of a server to make its wish true."""

    server_id: UUID
    owner_id: UUID
    hub_user: str
    hub_name: str
    template: TemplateData
    wish: Wish
    generation: int
    observed: ServerStatus
    observed_generation: int
    process_generation: int | None
    process_floor: int
    initialized: bool
    share_expires_at: datetime | None = None
    operation: UUID | None

    @property
    def settled(self) -> bool:
        """Whether there is nothing left to do."""
        return self.generation == self.observed_generation

    @property
    def unwanted(self) -> int:
        """The highest generation of which no process is wanted."""
        return self.process_floor - 1 if self.wish is Wish.RUNNING else self.generation

    def may_end(self, generation: int) -> bool:
        """Whether processes up to `generation` may be ended: unwanted ones, or of a start that is given up."""
        return generation <= self.unwanted or (generation == self.generation and not self.settled)


_PLAN = """
        SELECT s.id AS server_id, s.owner AS owner_id, p.hub_user, s.name AS hub_name,
               s.template_data AS template, s.wish, s.generation, s.observed, s.observed_generation,
               s.process_generation, s.process_floor, p.initialized_at IS NOT NULL AS initialized, s.share_expires_at,
               o.id AS operation
          FROM server s JOIN person p ON p.id = s.owner
          LEFT JOIN operation o ON o.subject = s.id AND o.generation = s.generation
                               AND o.status IN ('queued', 'running')
         WHERE s.id = :server
"""


def _plan(found: Row | None) -> ServerPlan | None:
    return None if found is None else msgspec.convert(decoded(found, "template"), ServerPlan)


async def read_plan(server_id: UUID) -> ServerPlan | None:
    """What is to be made true of a server; None: there is no such server."""
    return _plan(await row(_PLAN, server=server_id))


async def is_settled(server_id: UUID) -> bool:
    """Whether nothing is left to do: a server is what is wished of it, or gone."""
    return not await exists(
        "SELECT 1 AS one FROM server WHERE id = :server AND generation <> observed_generation", server=server_id
    )


async def begin(server_id: UUID, workflow_id: str, run_id: str) -> ServerPlan | None:
    """Read the plan, and note on the unsettled operations which workflow run works on them."""
    return _plan(
        await row(
            f"""
            WITH started AS (
              UPDATE operation o SET status = 'running', started_at = coalesce(started_at, now()),
                     progressed_at = now(), workflow_id = :workflow_id, run_id = :run_id::text, version = version + 1
               WHERE subject = :server AND subject_kind = 'server' AND status IN ('queued', 'running')
                 AND (status = 'queued' OR run_id IS DISTINCT FROM :run_id::text)
              RETURNING {operations.CHANGED}),
            told AS ({operations.told("started")})
            {_PLAN}
            """,
            workflow_id=workflow_id,
            run_id=run_id,
            server=server_id,
        )
    )


async def observe(server_id: UUID, generation: int, status: ServerStatus) -> bool:
    """Note what is going on while the wish is still of `generation`; False when it no longer is."""
    return await exists(
        f"""
        WITH seen AS (
          UPDATE server s SET observed = :status, observed_at = now(), version = version + 1
           WHERE id = :server AND generation = :generation RETURNING {CHANGED}),
        told AS ({told("seen")})
        SELECT id FROM seen
        """,
        status=str(status),
        server=server_id,
        generation=generation,
    )


# Ends every operation whose outcome follows from "no process of a generation ≤ g lives". Starts that a later
# wish overtook name the operation that did.
_END_OVERTAKEN = f"""
    UPDATE operation o
       SET status = CASE WHEN o.wish = 'running' THEN 'cancelled' ELSE 'succeeded' END,
           superseded_by = CASE WHEN o.wish = 'running' THEN {OVERTAKER} END, {ENDS_NOW}
      FROM seen
     WHERE o.subject = seen.id AND o.status IN ('queued', 'running')
"""
_TOLD = f"""
    told AS ({told("seen")}),
    told_ended AS ({operations.told("ended")})
"""

# What no process holds any more.
RELEASE = "DELETE FROM server_mount m USING seen WHERE m.server = seen.id"


async def settle_running(server_id: UUID, generation: int, process: int) -> bool:
    """A process is ready that fulfils the wish of `generation`; `process` is the generation it was started with.

    False when the server is gone or was settled past it.
    """
    return await exists(
        f"""
        WITH seen AS (
          UPDATE server s SET observed = 'running', observed_generation = :generation, process_generation = :process,
                 observed_at = now(), started_once = true, version = version + 1,
                 -- The same process goes on where a stop was taken back.
                 started_at = CASE WHEN process_generation = :process THEN coalesce(started_at, now()) ELSE now() END,
                 last_error = CASE WHEN generation = :generation THEN NULL ELSE last_error END
           WHERE id = :server AND generation >= :generation AND observed_generation <= :generation
          RETURNING {CHANGED}),
        ended AS (
          UPDATE operation o
             SET status = CASE WHEN seen.generation = o.generation THEN 'succeeded' ELSE 'cancelled' END,
                 superseded_by = CASE WHEN seen.generation > o.generation THEN {OVERTAKER} END, {ENDS_NOW}
            FROM seen
           WHERE o.subject = seen.id AND o.status IN ('queued', 'running') AND o.generation = :generation
          RETURNING {operations.CHANGED}),
        {_TOLD}
        SELECT id FROM seen
        """,
        generation=generation,
        process=process,
        server=server_id,
    )


async def settle_stopped(server_id: UUID, generation: int) -> bool:
    """It is proven that no process of a generation ≤ `generation` lives."""
    return await exists(
        f"""
        WITH seen AS (
          UPDATE server s SET observed = 'stopped', observed_generation = greatest(observed_generation, :generation),
                 process_generation = NULL, started_at = NULL, observed_at = now(), version = version + 1
           WHERE id = :server AND generation >= :generation
             AND (process_generation IS NULL OR process_generation <= :generation)
          RETURNING {CHANGED}),
        released AS ({RELEASE} AND m.generation <= :generation),
        ended AS ({_END_OVERTAKEN} AND o.wish IN ('running', 'stopped') AND o.generation <= :generation
          RETURNING {operations.CHANGED}),
        {_TOLD}
        SELECT id FROM seen
        """,
        generation=generation,
        server=server_id,
    )


async def settle_failed_start(
    server_id: UUID, generation: int, error: OperationError, log: str = "", *, exit_code: int | None = None
) -> bool:
    """The start of `generation` failed and it is proven that nothing of it lives: the server is stopped again.

    The wish becomes `stopped`, unless a later one came meanwhile, which then stands. `exit_code` is that of a program
    that ended.
    """
    last_error = ServerError(
        code=error.code, message=error.message, hint=error.hint, log=log, at=datetime.now().astimezone()
    )
    return await exists(
        f"""
        WITH seen AS (
          UPDATE server s SET observed = 'stopped', observed_generation = greatest(observed_generation, :generation),
                 process_generation = NULL, started_at = NULL, observed_at = now(), version = version + 1,
                 last_error = :last_error::jsonb,
                 stopped_reason = CASE WHEN generation = :generation AND wish = 'running'
                                       THEN :stopped::jsonb ELSE stopped_reason END,
                 wish = CASE WHEN generation = :generation AND wish = 'running' THEN 'stopped' ELSE wish END
           WHERE id = :server AND generation >= :generation
          RETURNING {CHANGED}),
        released AS ({RELEASE} AND m.generation <= :generation),
        failed AS (
          UPDATE operation o SET status = 'failed', error = :error::jsonb, {ENDS_NOW} FROM seen
           WHERE o.subject = seen.id AND o.generation = :generation AND seen.generation = o.generation
             AND o.status IN ('queued', 'running')
          RETURNING {operations.CHANGED}),
        overtaken AS ({_END_OVERTAKEN} AND o.wish IN ('running', 'stopped') AND o.generation <= :generation
             AND o.generation < seen.generation
          RETURNING {operations.CHANGED}),
        ended AS (SELECT * FROM failed UNION ALL SELECT * FROM overtaken),
        {_TOLD}
        SELECT id FROM seen
        """,
        generation=generation,
        last_error=to_json(last_error),
        stopped=to_json(stopped_because(Stop.START, error.message, exit_code=exit_code, log=log)),
        server=server_id,
        error=to_json(error),
    )


async def settle_deleted(server_id: UUID, generation: int) -> bool:
    """It is proven that JupyterHub has nothing of the server any more: the record goes, a tombstone stays.

    The template goes too when it was made together with the server, is not public, and no other server
    was ever made from it.
    """
    return await exists(
        f"""
        WITH seen AS (
          DELETE FROM server s WHERE id = :server AND wish = 'deleted' AND generation = :generation
          RETURNING {CHANGED}, s.name, s.template, s.made_with_template),
        tombstone AS (
          INSERT INTO server_tombstone (id, hub_user, name)
          SELECT seen.id, p.hub_user, seen.name FROM seen JOIN person p ON p.id = seen.owner
          ON CONFLICT (id) DO NOTHING),
        released AS ({RELEASE}),
        unshared AS (DELETE FROM server_guest g USING seen WHERE g.server = seen.id),
        template_gone AS (
          DELETE FROM template t USING seen
           WHERE t.id = seen.template AND seen.made_with_template AND NOT t.public AND t.servers_made = 1),
        ended AS ({_END_OVERTAKEN} RETURNING {operations.CHANGED}),
        told AS ({told("seen", Change.DELETED)}),
        told_ended AS ({operations.told("ended")})
        SELECT id FROM seen
        """,
        server=server_id,
        generation=generation,
    )


async def revert(server_id: UUID, generation: int) -> UUID | None:
    """Take back the wish of `generation`, because its workflow was cancelled by an operator.

    Its operation ends `cancelled`. A start becomes a stop; a stop lets the process that lives go on. Nothing
    happens when a later wish came, or for a deletion, which is final. Answers the operation that ended.
    """
    found = await row(
        f"""
        WITH seen AS (
          UPDATE server s SET generation = generation + 1, version = version + 1,
                 stopped_reason = CASE wish WHEN 'running' THEN :cancelled::jsonb END,
                 wish = CASE wish WHEN 'running' THEN 'stopped' ELSE 'running' END
           WHERE id = :server AND generation = :generation AND observed_generation <> generation AND wish <> 'deleted'
          RETURNING {CHANGED}),
        ended AS (
          UPDATE operation o SET status = 'cancelled', {ENDS_NOW}
            FROM seen WHERE o.subject = seen.id AND o.generation = :generation AND o.status IN ('queued', 'running')
          RETURNING {operations.CHANGED}),
        {_TOLD}
        SELECT id FROM ended
        """,
        server=server_id,
        generation=generation,
        cancelled=to_json(stopped_because(Stop.CANCEL, "An operator cancelled the start.")),
    )
    if found is None:
        return None
    await audit.record("server.revert", Subject("server", server_id), None, operation=found["id"])
    operation: UUID = found["id"]
    return operation
