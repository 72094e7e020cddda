"""The ledger of operations: opening them, following them, reading them.

An operation is opened in the transaction of the record that it is about. Only activities write to it afterwards;
whoever settles a record settles its operations in the same statement (see `models.records.server_settling`).
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from models.database.sql import Row, records, row, rows, to_json
from models.domain.errors import RecordMissing
from models.domain.ids import new_id
from models.domain.kinds import TABLES
from models.domain.values import Caller, OperationStatus, Subject
from models.ledger import audit
from models.ledger.heartbeats import NO_WORKER


class Step(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step as people see it.

    While something hinders it, `detail` is the last trouble, `troubled_since` when the first one came, and
    `next_try_at` when it is tried again, absent while it is being tried.
    """

    name: str
    status: str
    started_at: datetime
    ended_at: datetime | None = None
    detail: str | None = None
    attempt: int = 1
    troubled_since: datetime | None = None
    next_try_at: datetime | None = None


class OperationError(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why an operation failed, and what to do next."""

    code: str
    message: str
    hint: str = ""


class LeftOut(Struct, frozen=True, kw_only=True):
    """Something of a template that the server's owner may not use."""

    kind: str
    id: str = msgspec.field(name="_id")
    reason: str


class OperationRecord(Struct, frozen=True, kw_only=True):
    """An operation with its steps, as stored; `subject_owner` and `actor_id` decide who sees it."""

    id: UUID
    kind: str
    subject: UUID
    subject_kind: str
    subject_owner: UUID | None
    actor_id: UUID | None
    actor: str
    status: OperationStatus
    generation: int | None
    superseded_by: UUID | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    steps: list[Step]
    error: OperationError | None
    left_out: list[LeftOut]
    workflow_id: str | None
    run_id: str | None
    version: int
    worker_missing: bool
    """It has not ended, and no worker was seen of late that could go on with it."""


class ResultRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an operation came to for one principal."""

    entity: str
    type: str
    outcome: str
    detail: str | None = None


_SELECT = f"""
    SELECT o.id, o.kind, o.subject, o.subject_kind, o.subject_owner, o.actor AS actor_id,
           coalesce(p.email, 'system') AS actor, o.status, o.generation, o.superseded_by,
           o.created_at, o.started_at, o.ended_at, o.error, o.left_out, o.workflow_id, o.run_id, o.version,
           o.ended_at IS NULL AND {NO_WORKER} AS worker_missing,
           (SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                     'name', s.name, 'status', s.status, 'started_at', s.started_at,
                     'ended_at', s.ended_at, 'detail', s.detail, 'attempt', s.attempt,
                     'troubled_since', s.troubled_since, 'next_try_at', s.next_try_at)) ORDER BY s.position)
              FROM operation_step s WHERE s.operation = o.id) AS steps
      FROM operation o LEFT JOIN person p ON p.id = o.actor
"""


def _record(found: Row) -> OperationRecord:
    values: dict[str, Any] = dict(found)
    for name in ("steps", "error", "left_out"):
        raw = values[name]
        values[name] = msgspec.json.decode(raw) if raw is not None else ([] if name != "error" else None)
    return msgspec.convert(values, OperationRecord)


async def open_operation(
    kind: str,
    subject: Subject,
    *,
    owner: UUID | None,
    actor: Caller | None,
    generation: int | None = None,
    status: OperationStatus = OperationStatus.QUEUED,
    left_out: list[LeftOut] | None = None,
    request_id: str | None = None,
    detail: dict[str, object] | None = None,
) -> UUID:
    """Add an operation and its audit row, within the caller's transaction. An ended `status` is an operation
    that needed no workflow."""
    identity = new_id()
    await row(
        """
        INSERT INTO operation (id, kind, subject, subject_kind, subject_owner, actor, status, generation, left_out,
                               started_at, ended_at)
        VALUES ({}, {}, {}, {}, {}, {}, {}, {}::bigint, {}::jsonb,
                CASE WHEN {}::boolean THEN now() END, CASE WHEN {}::boolean THEN now() END)
        """,
        identity,
        kind,
        subject.id,
        subject.kind,
        owner,
        actor.id if actor else None,
        str(status),
        generation,
        to_json(left_out) if left_out else None,
        status.ended,
        status.ended,
    )
    await audit.record(kind, subject, actor, operation=identity, request_id=request_id, detail=detail)
    return identity


async def read(operation: UUID) -> OperationRecord:
    """One operation, whoever may see it; raises `RecordMissing`. For authorised reads see `read_visible`."""
    found = await row(_SELECT + "WHERE o.id = {}", operation)
    if found is None:
        raise RecordMissing.of("operation", operation)
    return _record(found)


async def read_visible(operation: UUID, caller: Caller) -> OperationRecord:
    """One operation of which the caller is actor, subject's owner or an admin; raises `RecordMissing`."""
    found = await row(
        _SELECT + "WHERE o.id = {} AND ({}::boolean OR o.actor = {} OR o.subject_owner = {})",
        operation,
        caller.admin,
        caller.id,
        caller.id,
    )
    if found is None:
        raise RecordMissing.of("operation", operation)
    return _record(found)


async def read_many(operations: list[UUID]) -> list[OperationRecord]:
    """The named operations, whoever may see them, in one statement."""
    return [_record(found) for found in await rows(_SELECT + "WHERE o.id = ANY({}::uuid[])", operations)]


async def list_visible(
    caller: Caller,
    *,
    subject: UUID | None = None,
    status: OperationStatus | None = None,
    kind: str | None = None,
    before: UUID | None = None,
    limit: int,
) -> list[OperationRecord]:
    """Operations that the caller may see, newest first, at most `limit`, older than `before`."""
    condition = """
        ({}::uuid IS NULL OR subject = {}) AND ({}::text IS NULL OR status = {})
        AND ({}::text IS NULL OR kind = {}) AND ({}::uuid IS NULL OR id < {})
    """
    values = (subject, subject, status, status, kind, kind, before, before)
    if caller.admin:
        pages = f"SELECT id FROM operation WHERE {condition} ORDER BY id DESC LIMIT {{}}"
        parameters: tuple[object, ...] = (*values, limit)
    else:
        # Two index scans of at most a page each, however many operations others have.
        page = f"(SELECT id FROM operation WHERE {{column}} = {{}} AND {condition} ORDER BY id DESC LIMIT {{}})"
        page = page.replace("{column}", "%s")
        pages = f"SELECT id FROM ({page % 'actor'} UNION {page % 'subject_owner'}) seen ORDER BY id DESC LIMIT {{}}"
        parameters = (caller.id, *values, limit, caller.id, *values, limit, limit)
    found = await rows(_SELECT + f"WHERE o.id IN ({pages}) ORDER BY o.id DESC", *parameters)
    return [_record(one) for one in found]


async def list_results(operation: UUID, *, after: tuple[str, str] | None, limit: int) -> list[ResultRecord]:
    """Results of an operation by type and entity, at most `limit`, those after the pair (type, entity)."""
    found = await rows(
        """
        SELECT entity, type, outcome, detail FROM operation_result
         WHERE operation = {} AND ({}::boolean OR (type, entity) > ({}, {}))
         ORDER BY type, entity LIMIT {}
        """,
        operation,
        after is None,
        after[0] if after else "",
        after[1] if after else "",
        limit,
    )
    return records(found, ResultRecord)


END_STEPS = """
    UPDATE operation_step st
       SET status = ended.status, ended_at = now(), next_try_at = NULL,
           detail = CASE WHEN ended.status = 'succeeded' AND st.troubled_since IS NOT NULL THEN NULL ELSE st.detail END,
           troubled_since = CASE WHEN ended.status = 'succeeded' THEN NULL ELSE st.troubled_since END
      FROM ended WHERE st.operation = ended.id AND st.ended_at IS NULL
"""
"""A step that was under way when its operation `ended` (its id and status) has ended with it."""

# A try begins (`running` without a detail) and leaves what hindered the last one to be read.
_STEP = """
    WITH live AS (
      UPDATE operation SET progressed_at = now(), version = version + 1
       WHERE {condition} AND status IN ('queued', 'running') RETURNING id),
    told AS (
      SELECT {{}}::text AS name, {{}}::text AS status, {{}}::text AS detail, {{}}::float8 AS next_in)
    INSERT INTO operation_step AS s
           (id, operation, position, name, status, detail, troubled_since, next_try_at, ended_at)
    SELECT gen_random_uuid(), live.id,
           (SELECT coalesce(max(position), 0) + 1 FROM operation_step WHERE operation = live.id),
           told.name, told.status, told.detail, CASE WHEN told.next_in IS NOT NULL THEN now() END,
           now() + make_interval(secs => told.next_in), CASE WHEN told.status <> 'running' THEN now() END
      FROM live, told
    ON CONFLICT (operation, name) DO UPDATE
       SET status = excluded.status, ended_at = excluded.ended_at, next_try_at = excluded.next_try_at,
           attempt = CASE WHEN excluded.status <> 'running' OR excluded.detail IS NOT NULL THEN s.attempt
                          WHEN s.ended_at IS NULL THEN s.attempt + 1 ELSE 1 END,
           detail = CASE WHEN excluded.status = 'running' AND s.ended_at IS NULL
                         THEN coalesce(excluded.detail, s.detail) ELSE excluded.detail END,
           troubled_since = CASE WHEN excluded.status = 'succeeded' OR s.ended_at IS NOT NULL
                                 THEN excluded.troubled_since
                                 ELSE coalesce(s.troubled_since, excluded.troubled_since) END
"""


async def step(
    operation: UUID, name: str, status: OperationStatus, detail: str | None = None, *, next_in: float | None = None
) -> None:
    """Begin (`running`) or end a step of an operation that has not ended, by its name; repeating it is harmless.

    With `next_in` it is hindered: `detail` says by what, and it is tried again in so many seconds.
    """
    await row(_STEP.format(condition="id = {}"), operation, name, str(status), detail, next_in)


async def step_all(
    subject: Subject, name: str, status: OperationStatus, detail: str | None = None, *, next_in: float | None = None
) -> None:
    """Begin, hinder or end a step of every operation of a subject that has not ended."""
    condition = "subject = {} AND subject_kind = {}"
    await row(_STEP.format(condition=condition), subject.id, subject.kind, name, str(status), detail, next_in)


async def begin(subject: Subject, workflow_id: str, run_id: str) -> None:
    """Note on the unsettled operations of a subject which workflow run works on them."""
    await row(
        """UPDATE operation SET status = 'running', started_at = coalesce(started_at, now()), progressed_at = now(),
                  workflow_id = {}, run_id = {}, version = version + 1
            WHERE subject = {} AND subject_kind = {} AND status IN ('queued', 'running')
              AND (status = 'queued' OR run_id IS DISTINCT FROM {}::text)""",
        workflow_id,
        run_id,
        subject.id,
        subject.kind,
        run_id,
    )


async def succeed_all(subject: Subject) -> None:
    """End the operations of a subject that were being worked on; one that came later stays queued."""
    await row(
        f"""WITH ended AS (
             UPDATE operation SET status = 'succeeded', ended_at = now(), progressed_at = now(), version = version + 1
              WHERE subject = {{}} AND subject_kind = {{}} AND status = 'running' RETURNING id, status)
           {END_STEPS}""",
        subject.id,
        subject.kind,
    )


async def stalled(seconds: float, limit: int) -> list[Subject]:
    """Subjects with work to do on which nothing happened for that long, the longest waiting first."""
    unsettled = " ".join(
        f"""UNION ALL
            SELECT '{kind}', id, observed_at FROM {table}
             WHERE generation <> observed_generation AND observed_at < now() - make_interval(secs => {{}})"""
        for kind, table in TABLES.items()
    )
    found = await rows(
        f"""
        SELECT subject_kind AS kind, subject AS id FROM (
            SELECT subject_kind, subject, progressed_at AS since FROM operation
             WHERE status IN ('queued', 'running') AND progressed_at < now() - make_interval(secs => {{}})
            {unsettled}
        ) waiting GROUP BY subject_kind, subject ORDER BY min(since) LIMIT {{}}
        """,
        *([seconds] * (1 + len(TABLES))),
        limit,
    )
    return records(found, Subject)


async def touch(subjects: list[Subject]) -> None:
    """Note that these subjects were woken just now, so that the next pass leaves them time."""
    await row(
        """UPDATE operation o SET progressed_at = now()
             FROM unnest({}::text[], {}::uuid[]) AS woken(kind, id)
            WHERE o.subject = woken.id AND o.subject_kind = woken.kind AND o.status IN ('queued', 'running')""",
        [subject.kind for subject in subjects],
        [subject.id for subject in subjects],
    )
