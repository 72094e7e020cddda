"""Servers: the wish, what was seen, and the statements that settle one with the other.

A wish is numbered by `generation`; every change of it opens one operation of that generation. A
`ServerWorkflow` reads the plan, makes it true outside, and writes what it saw by one of the `settle_…`
statements, which end the operations that this decides: a stop of generation g once no process of a
generation ≤ g lives, a start of generation g once a process of g is ready, or as `cancelled` when a later
wish came first. Every statement is a compare-and-set, so a late or repeated call changes nothing.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from models.database.sql import Row, records, row, rows, to_json
from models.database.tables import Server
from models.domain.errors import RecordMissing, StateConflict
from models.domain.ids import new_id
from models.domain.values import Caller, OperationStatus, ServerStatus, Subject, Wish
from models.ledger import audit, operations
from models.ledger.operations import LeftOut, OperationError


class TemplateData(Struct, frozen=True, kw_only=True):
    """A server's own snapshot of its template, under the API's names."""

    id: str = msgspec.field(name="_id")
    name: str
    description: str
    type: str
    application_type: str = msgspec.field(name="applicationType")
    hardware: str
    public: bool
    creator: str
    server_name: str = msgspec.field(name="serverName")
    timestamp: str | None = None
    featured_image: str | None = msgspec.field(name="featuredImage", default=None)
    file_path: str | None = msgspec.field(name="filePath", default=None)
    datasets: list[str] = []
    modules: list[str] = []
    secrets: list[str] = []
    tags: list[str] = []

    def objects(self) -> list[tuple[str, str]]:
        """Kind and id of everything shared that it names."""
        return [
            (kind, identity)
            for kind, named in (("dataset", self.datasets), ("module", self.modules), ("secret", self.secrets))
            for identity in named
        ]


class ServerError(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a server is not running: a reason, its last log lines without tokens, and when."""

    code: str
    message: str
    at: datetime
    hint: str = ""
    log: str = ""


class ServerRecord(Struct, frozen=True, kw_only=True):
    """A server as stored, with its owner's e-mail and the operation in progress."""

    id: UUID
    owner_id: UUID
    owner: str
    name: str
    template: UUID
    template_data: TemplateData
    wish: Wish
    generation: int
    observed: ServerStatus
    observed_generation: int
    started_once: bool
    last_error: ServerError | None
    operation: UUID | None
    lost_at: datetime | None
    share_url: str | None
    share_expires_at: datetime | None
    shared_with: dict[str, list[str]] | None
    share_as_of: datetime | None
    created_at: datetime
    version: int

    @property
    def status(self) -> ServerStatus:
        """What is going on: what was seen, or, where a wish is still to be met, the way to it."""
        if self.generation == self.observed_generation:
            return self.observed
        if self.wish is Wish.RUNNING and self.observed is ServerStatus.STOPPED:
            return ServerStatus.STARTING
        if self.wish is not Wish.RUNNING and self.observed is not ServerStatus.STOPPED:
            return ServerStatus.STOPPING
        return self.observed


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


class Intent(Struct, frozen=True, kw_only=True):
    """What became of an intent: its operation, and whether a workflow has work to do."""

    operation: UUID
    settled: bool


class ObservedServer(Struct, frozen=True, kw_only=True):
    """A row as the reconciler compares it with the outside."""

    server_id: UUID
    hub_user: str
    hub_name: str
    wish: Wish
    generation: int
    observed: ServerStatus
    observed_generation: int
    process_generation: int | None
    process_floor: int
    version: int


_SELECT = """
    SELECT s.id, s.owner AS owner_id, p.email AS owner, s.name, s.template, s.template_data, s.wish, s.generation,
           s.observed, s.observed_generation, s.started_once, s.last_error, s.share_url, s.share_expires_at,
           s.shared_with, s.share_as_of, s.created_at, s.version,
           (SELECT o.id FROM operation o WHERE o.subject = s.id AND o.status IN ('queued', 'running')
             ORDER BY o.id DESC LIMIT 1) AS operation,
           (SELECT min(m.lost_at) FROM server_mount m WHERE m.server = s.id) AS lost_at
      FROM server s JOIN person p ON p.id = s.owner
"""


def _decoded(found: Row, *names: str) -> dict[str, Any]:
    values: dict[str, Any] = dict(found)
    for name in names:
        if values[name] is not None:
            values[name] = msgspec.json.decode(values[name])
    return values


def _record(found: Row) -> ServerRecord:
    return msgspec.convert(_decoded(found, "template_data", "last_error", "shared_with"), ServerRecord)


async def read_visible(server: UUID, caller: Caller, *, for_update: bool = False) -> ServerRecord:
    """A server of the caller, or any for an admin; raises `RecordMissing`.

    `for_update` locks it in the caller's transaction.
    """
    found = await row(
        _SELECT + "WHERE s.id = {} AND ({}::boolean OR s.owner = {})" + (" FOR UPDATE OF s" if for_update else ""),
        server,
        caller.admin,
        caller.id,
    )
    if found is None:
        raise RecordMissing.of("server", server)
    return _record(found)


async def list_visible(
    *,
    owner: UUID | None,
    type: str | None = None,
    name: str | None = None,
    before: UUID | None = None,
    limit: int,
) -> list[ServerRecord]:
    """Servers of one owner (or of all, for an admin), newest first, at most `limit`, older than `before`.

    `name` is a case-insensitive part of the server's or the template's name.
    """
    found = await rows(
        _SELECT
        + """WHERE ({}::uuid IS NULL OR s.owner = {}) AND ({}::uuid IS NULL OR s.id < {})
               AND ({}::text IS NULL OR s.template_data ->> 'type' = {})
               AND ({}::text IS NULL OR strpos(lower(s.name), lower({})) > 0
                    OR strpos(lower(s.template_data ->> 'name'), lower({})) > 0)
             ORDER BY s.id DESC LIMIT {}""",
        owner,
        owner,
        before,
        before,
        type,
        type,
        name,
        name,
        name,
        limit,
    )
    return [_record(one) for one in found]


async def create(
    template: TemplateData,
    caller: Caller,
    *,
    made_with_template: bool,
    left_out: list[LeftOut] | None = None,
    request_id: str | None = None,
) -> UUID:
    """Make a stopped server of the caller from a template, within the caller's transaction.

    Its creation is an operation that has already succeeded.
    """
    identity = new_id()
    template_id = UUID(template.id)
    await Server.insert(
        Server(
            id=identity,
            owner=caller.id,
            name=f"{template.server_name}-{identity.hex[-8:]}",
            template=template_id,
            made_with_template=made_with_template,
            template_data=to_json(template),
        )
    )
    await row("UPDATE template SET servers_made = servers_made + 1 WHERE id = {}", template_id)
    await operations.open_operation(
        "server.create",
        Subject("server", identity),
        owner=caller.id,
        actor=caller,
        status=OperationStatus.SUCCEEDED,
        left_out=left_out,
        request_id=request_id,
    )
    return identity


async def intend(server: UUID, wish: Wish, caller: Caller | None, *, request_id: str | None = None) -> Intent:
    """Wish a server to be running, stopped or deleted, within the caller's transaction; no caller: the system does.

    A wish that repeats the one in flight joins its operation; one that is already met succeeds at once.
    Raises `StateConflict` when the server is being deleted, `RecordMissing` when it is gone.
    """
    found = await row(
        """SELECT s.owner, s.wish, s.generation, s.observed_generation,
                  (SELECT o.id FROM operation o WHERE o.subject = s.id AND o.generation = s.generation
                      AND o.status IN ('queued', 'running')) AS operation
             FROM server s WHERE s.id = {} FOR UPDATE OF s""",
        server,
    )
    if found is None:
        raise RecordMissing.of("server", server)
    if found["wish"] == wish and found["operation"] is not None:
        return Intent(operation=found["operation"], settled=False)
    if found["wish"] == Wish.DELETED:
        raise StateConflict("The server is being deleted.", hint="Make a new server from the template.")
    subject = Subject("server", server)
    kind = {Wish.RUNNING: "server.start", Wish.STOPPED: "server.stop", Wish.DELETED: "server.delete"}[wish]
    if found["wish"] == wish:
        # Nothing new is wished. Where a repair is under way the operation follows it, else all is well already.
        settled = found["generation"] == found["observed_generation"]
        if settled:
            done = await operations.open_operation(
                kind,
                subject,
                owner=found["owner"],
                actor=caller,
                status=OperationStatus.SUCCEEDED,
                request_id=request_id,
            )
            return Intent(operation=done, settled=True)
    generation = found["generation"] + 1
    await row(
        """UPDATE server SET wish = {}, generation = {}::bigint, version = version + 1,
                  process_floor = CASE WHEN {}::boolean THEN {}::bigint ELSE process_floor END,
                  last_error = CASE WHEN {}::boolean THEN NULL ELSE last_error END
            WHERE id = {}""",
        str(wish),
        generation,
        wish is Wish.RUNNING,
        generation,
        wish is Wish.RUNNING,
        server,
    )
    operation = await operations.open_operation(
        kind, subject, owner=found["owner"], actor=caller, generation=generation, request_id=request_id
    )
    return Intent(operation=operation, settled=False)


_PLAN = """
        SELECT s.id AS server_id, s.owner AS owner_id, p.email AS hub_user, s.name AS hub_name,
               s.template_data AS template, s.wish, s.generation, s.observed, s.observed_generation,
               s.process_generation, s.process_floor, p.initialized_at IS NOT NULL AS initialized, s.share_expires_at,
               o.id AS operation
          FROM server s JOIN person p ON p.id = s.owner
          LEFT JOIN operation o ON o.subject = s.id AND o.generation = s.generation
                               AND o.status IN ('queued', 'running')
         WHERE s.id = {}
"""


def _plan(found: Row | None) -> ServerPlan | None:
    return None if found is None else msgspec.convert(_decoded(found, "template"), ServerPlan)


async def read_plan(server: UUID) -> ServerPlan | None:
    """What is to be made true of a server; None: there is no such server."""
    return _plan(await row(_PLAN, server))


async def begin(server: UUID, workflow_id: str, run_id: str) -> ServerPlan | None:
    """Read the plan, and note on the unsettled operations which workflow run works on them."""
    return _plan(
        await row(
            f"""
            WITH started AS (
              UPDATE operation SET status = 'running', started_at = coalesce(started_at, now()),
                     progressed_at = now(), workflow_id = {{}}::text, run_id = {{}}::text, version = version + 1
               WHERE subject = {{}} AND status IN ('queued', 'running')
                 AND (status = 'queued' OR run_id IS DISTINCT FROM {{}}::text))
            {_PLAN}
            """,
            workflow_id,
            run_id,
            server,
            run_id,
            server,
        )
    )


async def observe(server: UUID, generation: int, status: ServerStatus) -> bool:
    """Note what is going on while the wish is still of `generation`; False when it no longer is."""
    found = await row(
        """UPDATE server SET observed = {}, observed_at = now(), version = version + 1
            WHERE id = {} AND generation = {} RETURNING id""",
        str(status),
        server,
        generation,
    )
    return found is not None


# Ends every operation whose outcome follows from "no process of a generation ≤ g lives". Starts that a later
# wish overtook name the operation that did.
_END_OVERTAKEN = """
    UPDATE operation o
       SET status = CASE WHEN o.kind = 'server.start' THEN 'cancelled' ELSE 'succeeded' END,
           superseded_by = CASE WHEN o.kind = 'server.start' THEN (
             SELECT n.id FROM operation n WHERE n.subject = o.subject AND n.generation > o.generation
              ORDER BY n.generation LIMIT 1) END,
           ended_at = now(), progressed_at = now(), version = o.version + 1
      FROM seen
     WHERE o.subject = seen.id AND o.status IN ('queued', 'running')
"""

# What no process holds any more.
_RELEASE = "DELETE FROM server_mount m USING seen WHERE m.server = seen.id"


async def settle_running(server: UUID, generation: int, process: int) -> bool:
    """A process is ready that fulfils the wish of `generation`; `process` is the generation it was started with.

    False when the server is gone or was settled past it.
    """
    found = await row(
        f"""
        WITH seen AS (
          UPDATE server SET observed = 'running', observed_generation = {{}}::bigint, process_generation = {{}}::bigint,
                 observed_at = now(), started_once = true, version = version + 1,
                 last_error = CASE WHEN generation = {{}}::bigint THEN NULL ELSE last_error END
           WHERE id = {{}} AND generation >= {{}}::bigint AND observed_generation <= {{}}::bigint
          RETURNING id, generation),
        ended AS (
          UPDATE operation o
             SET status = CASE WHEN seen.generation = o.generation THEN 'succeeded' ELSE 'cancelled' END,
                 superseded_by = CASE WHEN seen.generation > o.generation THEN (
                   SELECT n.id FROM operation n WHERE n.subject = o.subject AND n.generation > o.generation
                    ORDER BY n.generation LIMIT 1) END,
                 ended_at = now(), progressed_at = now(), version = o.version + 1
            FROM seen
           WHERE o.subject = seen.id AND o.status IN ('queued', 'running') AND o.generation = {{}}::bigint
          RETURNING o.id, o.status),
        steps AS ({operations.END_STEPS})
        SELECT id FROM seen
        """,
        generation,
        process,
        generation,
        server,
        generation,
        generation,
        generation,
    )
    return found is not None


async def settle_stopped(server: UUID, generation: int) -> bool:
    """It is proven that no process of a generation ≤ `generation` lives."""
    found = await row(
        f"""
        WITH seen AS (
          UPDATE server SET observed = 'stopped', observed_generation = greatest(observed_generation, {{}}::bigint),
                 process_generation = NULL, observed_at = now(), version = version + 1
           WHERE id = {{}} AND generation >= {{}}::bigint
             AND (process_generation IS NULL OR process_generation <= {{}}::bigint)
          RETURNING id),
        released AS ({_RELEASE} AND m.generation <= {{}}::bigint),
        ended AS ({_END_OVERTAKEN} AND o.kind IN ('server.start', 'server.stop') AND o.generation <= {{}}::bigint
          RETURNING o.id, o.status),
        steps AS ({operations.END_STEPS})
        SELECT id FROM seen
        """,
        generation,
        server,
        generation,
        generation,
        generation,
        generation,
    )
    return found is not None


async def settle_failed_start(server: UUID, generation: int, error: OperationError, log: str = "") -> bool:
    """The start of `generation` failed and it is proven that nothing of it lives: the server is stopped again.

    The wish becomes `stopped`, unless a later one came meanwhile, which then stands.
    """
    last_error = ServerError(
        code=error.code, message=error.message, hint=error.hint, log=log, at=datetime.now().astimezone()
    )
    found = await row(
        f"""
        WITH seen AS (
          UPDATE server SET observed = 'stopped', observed_generation = greatest(observed_generation, {{}}::bigint),
                 process_generation = NULL, observed_at = now(), version = version + 1, last_error = {{}}::jsonb,
                 wish = CASE WHEN generation = {{}}::bigint AND wish = 'running' THEN 'stopped' ELSE wish END
           WHERE id = {{}} AND generation >= {{}}::bigint
          RETURNING id, generation),
        released AS ({_RELEASE} AND m.generation <= {{}}::bigint),
        failed AS (
          UPDATE operation o SET status = 'failed', error = {{}}::jsonb, ended_at = now(), progressed_at = now(),
                 version = o.version + 1
            FROM seen
           WHERE o.subject = seen.id AND o.generation = {{}}::bigint AND seen.generation = o.generation
             AND o.status IN ('queued', 'running')
          RETURNING o.id, o.status),
        overtaken AS ({_END_OVERTAKEN} AND o.kind IN ('server.start', 'server.stop') AND o.generation <= {{}}::bigint
             AND o.generation < (SELECT generation FROM seen)
          RETURNING o.id, o.status),
        ended AS (SELECT * FROM failed UNION ALL SELECT * FROM overtaken),
        steps AS ({operations.END_STEPS})
        SELECT id FROM seen
        """,
        generation,
        to_json(last_error),
        generation,
        server,
        generation,
        generation,
        to_json(error),
        generation,
        generation,
    )
    return found is not None


async def settle_deleted(server: UUID) -> bool:
    """It is proven that JupyterHub has nothing of the server any more: the record goes, a tombstone stays.

    The template goes too when it was made together with the server, is not public, and no other server
    was ever made from it.
    """
    found = await row(
        f"""
        WITH seen AS (
          DELETE FROM server WHERE id = {{}} AND wish = 'deleted'
          RETURNING id, owner, name, template, made_with_template),
        tombstone AS (
          INSERT INTO server_tombstone (id, hub_user, name)
          SELECT seen.id, p.email, seen.name FROM seen JOIN person p ON p.id = seen.owner
          ON CONFLICT (id) DO NOTHING),
        released AS ({_RELEASE}),
        template_gone AS (
          DELETE FROM template t USING seen
           WHERE t.id = seen.template AND seen.made_with_template AND NOT t.public AND t.servers_made = 1),
        ended AS ({_END_OVERTAKEN} RETURNING o.id, o.status),
        steps AS ({operations.END_STEPS})
        SELECT id FROM seen
        """,
        server,
    )
    return found is not None


async def revert(server: UUID, generation: int) -> UUID | None:
    """Take back the wish of `generation`, because its workflow was cancelled by an operator.

    Its operation ends `cancelled`. A start becomes a stop; a stop lets the process that lives go on. Nothing
    happens when a later wish came, or for a deletion, which is final. Answers the operation that ended.
    """
    found = await row(
        f"""
        WITH seen AS (
          UPDATE server SET generation = generation + 1, version = version + 1,
                 wish = CASE wish WHEN 'running' THEN 'stopped' ELSE 'running' END
           WHERE id = {{}} AND generation = {{}}::bigint AND observed_generation <> generation AND wish <> 'deleted'
          RETURNING id),
        ended AS (
          UPDATE operation o SET status = 'cancelled', ended_at = now(), progressed_at = now(), version = o.version + 1
            FROM seen WHERE o.subject = seen.id AND o.generation = {{}}::bigint AND o.status IN ('queued', 'running')
          RETURNING o.id, o.status),
        steps AS ({operations.END_STEPS})
        SELECT id FROM ended
        """,
        server,
        generation,
        generation,
    )
    if found is None:
        return None
    await audit.record("server.revert", Subject("server", server), None, operation=found["id"])
    operation: UUID = found["id"]
    return operation


async def note_vanished(server: UUID, generation: int, version: int, *, reason: str = "", log: str = "") -> bool:
    """A settled, running server's process is gone although nobody here asked for that: it stays stopped.

    `reason` and `log` are what the spawner's side knows of the end, if it knows anything.
    """
    last_error = ServerError(
        code="SERVER_ENDED",
        message=reason or "The server ended, and nobody had asked Notebooks Hub for that. How it ended is not known.",
        hint="Start it again." if reason else _ENDED_SOMEHOW,
        log=log,
        at=datetime.now().astimezone(),
    )
    found = await row(
        f"""
        WITH seen AS (
          UPDATE server SET wish = 'stopped', observed = 'stopped', process_generation = NULL, observed_at = now(),
                 version = version + 1, last_error = {{}}::jsonb
           WHERE id = {{}} AND generation = {{}} AND observed_generation = generation AND version = {{}}
             AND wish = 'running' RETURNING id),
        released AS ({_RELEASE})
        SELECT id FROM seen
        """,
        to_json(last_error),
        server,
        generation,
        version,
    )
    if found is None:
        return False
    await audit.record("server.stopped_by_itself", Subject("server", server), None)
    return True


_ENDED_SOMEHOW = (
    "Start it again. It may have been stopped in JupyterHub (by hand, or because nobody used it), or have ended with "
    "the machine or the container that it ran in."
)


async def note_unwanted(server: UUID, process_generation: int, version: int) -> bool:
    """A settled, stopped server has a living process: its wish is to be met again."""
    found = await row(
        """UPDATE server SET observed = 'running', process_generation = {}::bigint, observed_at = now(),
                  observed_generation = generation - 1, version = version + 1
            WHERE id = {} AND version = {} AND observed_generation = generation AND wish = 'stopped' RETURNING id""",
        process_generation,
        server,
        version,
    )
    return found is not None


async def note_shared(
    server: UUID, url: str | None, expires_at: datetime | None, shared_with: dict[str, list[str]]
) -> None:
    """Keep the share link and whom JupyterHub shares the server with, as of now."""
    await row(
        """UPDATE server SET share_url = coalesce({}::text, share_url),
                  share_expires_at = coalesce({}::timestamptz, share_expires_at), shared_with = {}::jsonb,
                  share_as_of = now() WHERE id = {}""",
        url,
        expires_at,
        to_json(shared_with),
        server,
    )


async def without_link(limit: int) -> list[UUID]:
    """Some of the servers that run, and have done so for a moment, without a link that shares them or past its time."""
    found = await rows(
        """SELECT id FROM server
            WHERE observed <> 'stopped' AND observed = 'running' AND wish = 'running'
              AND generation = observed_generation AND observed_at < now() - interval '10 s'
              AND (share_expires_at IS NULL OR share_expires_at < now())
            ORDER BY random() LIMIT {}""",
        limit,
    )
    return [one["id"] for one in found]


_OBSERVED = """
    SELECT s.id AS server_id, p.email AS hub_user, s.name AS hub_name, s.wish, s.generation, s.observed,
           s.observed_generation, s.process_generation, s.process_floor, s.version
      FROM server s JOIN person p ON p.id = s.owner
"""


async def watched(after: UUID | None, limit: int) -> list[ObservedServer]:
    """Servers of which a process is thought to live, in order of id: few, however many servers there are."""
    found = await rows(
        _OBSERVED + "WHERE s.observed <> 'stopped' AND ({}::uuid IS NULL OR s.id > {}) ORDER BY s.id LIMIT {}",
        after,
        after,
        limit,
    )
    return records(found, ObservedServer)


async def observed(identities: list[UUID]) -> list[ObservedServer]:
    """The named servers, as far as they exist."""
    found = await rows(_OBSERVED + "WHERE s.id = ANY({}::uuid[])", identities)
    return records(found, ObservedServer)


async def tombstones(servers: list[UUID]) -> set[UUID]:
    """Which of these were ours and have been deleted."""
    found = await rows("SELECT id FROM server_tombstone WHERE id = ANY({}::uuid[])", servers)
    return {one["id"] for one in found}
