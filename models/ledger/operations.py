"""The ledger of operations: opening them, following them, reading them.

An operation is opened in the transaction of the record that it is about. Only activities write to it afterwards;
whoever settles a record settles its operations in the same statement (see `models.records.server_settling`).
"""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from models.database.lists import NEWEST_FIRST, Order
from models.database.sql import Row, decoded, given, made_of, one_value, page, records, row, rows, to_json, with_total
from models.domain.errors import RecordMissing
from models.domain.ids import new_id
from models.domain.kinds import TABLES
from models.domain.values import Caller, OperationStatus, Subject
from models.ledger import audit, events
from models.ledger.events import Change
from models.ledger.heartbeats import NO_WORKER


class Step(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step as people see it.

    While something hinders it, `detail` is the last trouble, `troubled_since` when the first one came, and
    `next_try_at` when it is tried again, absent while it is being tried.
    """

    name: Annotated[str, Meta(description="Which one, for programs.")]
    status: Annotated[
        str,
        Meta(
            extra_json_schema={"enum": list(OperationStatus)},
            description="How far it is: a status as an operation has it.",
        ),
    ]
    started_at: Annotated[datetime, Meta(description="When it began.")]
    ended_at: Annotated[datetime, Meta(description="When it ended.")] | None = None
    detail: Annotated[str, Meta(description="What became of it, or the last trouble, in words.")] | None = None
    attempt: Annotated[int, Meta(description="How often it was tried, this one included.")] = 1
    troubled_since: Annotated[datetime, Meta(description="Since when something hinders it.")] | None = None
    next_try_at: Annotated[datetime, Meta(description="When it is tried again.")] | None = None


class OperationError(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why an operation failed, and what to do next."""

    code: Annotated[str, Meta(description="Why, for programs.")]
    message: Annotated[str, Meta(description="Why, in words.")]
    hint: Annotated[str, Meta(description="What to do next.")] = ""


class LeftOut(Struct, frozen=True, kw_only=True):
    """Something of a template, or a group of the owner, that a server will not have."""

    kind: Annotated[str, Meta(description="Kind of the thing.")]
    id: Annotated[str, Meta(description="Id of the thing.")] = msgspec.field(name="_id")
    reason: Annotated[str, Meta(description="Why, in words.")]


class OperationRecord(Struct, frozen=True, kw_only=True):
    """An operation with its steps, as stored."""

    id: UUID
    kind: str
    subject: UUID
    subject_kind: str
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
    usual: dict[str, float] = {}
    """Of a start that is read by itself and has not ended: how many seconds each step takes as a rule, and all of them
    together, which has no name."""


class ResultRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an operation came to for one principal."""

    entity: Annotated[str, Meta(description="E-mail of the person, or name of the group or organisation.")]
    type: Annotated[str, Meta(description="`user`, `group` or `org`.")]
    outcome: Annotated[str, Meta(description="What it came to, such as `granted` or `revoked`.")]
    detail: Annotated[str, Meta(description="More about it, in words.")] | None = None


_COLUMNS = f"""
           o.id, o.kind, o.subject, o.subject_kind, coalesce(p.email, 'system') AS actor, o.status, o.generation,
           o.superseded_by, o.created_at, o.started_at, o.ended_at, o.error, coalesce(o.left_out, '[]') AS left_out,
           o.workflow_id, o.run_id, o.version,
           o.ended_at IS NULL AND {NO_WORKER} AS worker_missing,
           (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                     'name', s.name, 'status', CASE WHEN ends_with_it THEN o.status ELSE s.status END,
                     'started_at', s.started_at, 'ended_at', coalesce(s.ended_at, o.ended_at), 'attempt', s.attempt,
                     'detail', CASE WHEN NOT (succeeds_with_it AND s.troubled_since IS NOT NULL) THEN s.detail END,
                     'troubled_since', CASE WHEN NOT succeeds_with_it THEN s.troubled_since END,
                     'next_try_at', CASE WHEN NOT ends_with_it THEN s.next_try_at END)) ORDER BY s.position), '[]')
              FROM operation_step s
             CROSS JOIN LATERAL (SELECT s.ended_at IS NULL AND o.ended_at IS NOT NULL AS ends_with_it,
                                        s.ended_at IS NULL AND o.status = 'succeeded' AS succeeds_with_it) cut
             WHERE s.operation = o.id) AS steps
"""
# A step that was under way when its operation ended has ended with it; nobody writes that down.
_FROM = "FROM operation o LEFT JOIN person p ON p.id = o.actor"
_SELECT = f"SELECT {_COLUMNS} {_FROM} "

LAST_STARTS = 20
"""So many of a template are looked at for how long a start takes as a rule."""
_MEDIAN = "round(percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM {})::float8)::numeric, 1)"
_USUAL = f"""CASE WHEN o.ended_at IS NULL AND o.template IS NOT NULL THEN (
    WITH last AS (
      SELECT id, created_at, ended_at FROM operation
       WHERE template = o.template AND status = 'succeeded' ORDER BY id DESC LIMIT {LAST_STARTS})
    SELECT jsonb_object_agg(name, seconds) FROM (
      SELECT s.name, {_MEDIAN.format("coalesce(s.ended_at, last.ended_at) - s.started_at")} AS seconds
        FROM last JOIN operation_step s ON s.operation = last.id GROUP BY s.name
      UNION ALL
      SELECT '', {_MEDIAN.format("ended_at - created_at")} FROM last HAVING count(*) > 0) median) END"""
_SELECT_ONE = f"SELECT {_COLUMNS}, coalesce({_USUAL}, '{{}}') AS usual {_FROM} "


def _record(found: Row) -> OperationRecord:
    json = ("steps", "error", "left_out", "usual")
    return msgspec.convert(decoded(found, *(one for one in json if one in found)), OperationRecord)


CHANGED = "o.id, o.kind, o.subject, o.subject_kind, o.subject_owner, o.actor, o.status, o.error, o.version"
"""SQL: what is told of an operation `o` that changed."""


def told(source: str, change: Change = Change.CHANGED, *, step: str = "NULL::jsonb") -> str:
    """SQL: writes events of those operations that are the `CHANGED` of a source; `step` is where each is."""
    return events.written(
        change,
        f"{source} o",
        kind="'operation'",
        persons="array_remove(ARRAY[o.subject_owner, o.actor], NULL)",
        data=f"""jsonb_strip_nulls(jsonb_build_object(
                   'action', o.kind, 'subject', o.subject, 'subject_kind', o.subject_kind, 'status', o.status,
                   'code', o.error ->> 'code', 'version', o.version, 'step', {step}))""",
    )


async def open_operation(
    kind: str,
    subject: Subject,
    *,
    owner: UUID | None,
    actor: Caller | None,
    wish: str | None = None,
    generation: int | None = None,
    status: OperationStatus = OperationStatus.QUEUED,
    left_out: list[LeftOut] | None = None,
    detail: dict[str, object] | None = None,
    template: UUID | None = None,
) -> UUID:
    """Add an operation and its audit row, within the caller's transaction. An ended `status` is an operation
    that needed no workflow. One that wishes something of the subject has the `wish` and its `generation`, and one that
    starts a server the `template` by which starts are compared."""
    identity = new_id()
    await row(
        f"""
        WITH opened AS (
          INSERT INTO operation AS o (id, kind, subject, subject_kind, subject_owner, actor, status, wish, generation,
                                      template, left_out, started_at, ended_at)
          VALUES (:id, :kind, :subject, :subject_kind, :subject_owner, :actor, :status, :wish, :generation,
                  :template, :left_out::jsonb, CASE WHEN :ended::boolean THEN now() END,
                  CASE WHEN :ended::boolean THEN now() END)
          RETURNING {CHANGED})
        {told("opened", Change.CREATED)}
        """,
        id=identity,
        kind=kind,
        subject=subject.id,
        subject_kind=subject.kind,
        subject_owner=owner,
        actor=actor.id if actor else None,
        status=str(status),
        wish=None if wish is None else str(wish),
        generation=generation,
        template=template,
        left_out=to_json(left_out) if left_out else None,
        ended=status.ended,
    )
    await audit.record(kind, subject, actor, operation=identity, detail=detail)
    return identity


async def read(operation_id: UUID) -> OperationRecord:
    """One operation, whoever may see it; raises `RecordMissing`. For authorised reads see `read_visible`."""
    found = await row(_SELECT_ONE + "WHERE o.id = :operation", operation=operation_id)
    if found is None:
        raise RecordMissing.of("operation", operation_id)
    return _record(found)


async def read_visible(operation_id: UUID, caller: Caller) -> OperationRecord:
    """One operation of which the caller is actor, subject's owner or an admin; raises `RecordMissing`."""
    found = await row(
        _SELECT_ONE + "WHERE o.id = :operation AND (:admin::boolean OR o.actor = :person OR o.subject_owner = :person)",
        operation=operation_id,
        admin=caller.admin,
        person=caller.id,
    )
    if found is None:
        raise RecordMissing.of("operation", operation_id)
    return _record(found)


async def read_many(operations: list[UUID]) -> list[OperationRecord]:
    """The named operations, whoever may see them, in one statement."""
    found = await rows(_SELECT + "WHERE o.id = ANY(:operations::uuid[])", operations=operations)
    return [_record(one) for one in found]


_FILTERS = {
    "subject": "o.subject = :subject",
    "kind": one_value("o.kind", "kind"),
    "status": one_value("o.status", "status"),
}


async def list_visible(
    caller: Caller,
    *,
    subject: UUID | None = None,
    status: OperationStatus | None = None,
    kind: str | None = None,
    order: Order = NEWEST_FIRST,
    limit: int,
    count: bool = False,
) -> list[OperationRecord]:
    """Operations that the caller may see, at most `limit`, by age; `Counted` if they are to be."""
    narrowed, values = given(_FILTERS, subject=subject, status=status, kind=kind)
    newest = f"SELECT o.id FROM operation o WHERE {order.beyond('o')} AND {narrowed}"
    if caller.admin:
        # By their indexes, in which the ids of a kind or status go the other way than these do.
        turned = "ASC" if order.direction == "DESC" else "DESC"
        grouped = "".join(f"o.{name} {turned}, " for name in ("kind", "status") if name in values)
        pages = page(f"{newest} ORDER BY {grouped} {order.by('o')}")
    else:
        # Two index scans of at most a page each, however many operations others have.
        mine = (page(f"{newest} AND o.{one} = :person ORDER BY {order.by('o')}") for one in ("actor", "subject_owner"))
        pages, values["person"] = " UNION ".join(mine), caller.id
    theirs = "true" if caller.admin else "(o.actor = :person OR o.subject_owner = :person)"
    found = await rows(
        with_total(
            page(f"{_SELECT} JOIN ({pages}) newest ON newest.id = o.id ORDER BY {order.by('o')}"),
            f"SELECT count(*) FROM operation o WHERE {theirs} AND {narrowed}" if count else None,
        ),
        **values,
        **order.values,
        limit=limit,
    )
    return made_of(found, [_record(one) for one in found])


async def list_results(
    operation_id: UUID, *, after: tuple[str, str] | None, limit: int, count: bool = False
) -> list[ResultRecord]:
    """Results of an operation by type and entity, at most `limit`, those after the pair (type, entity); `Counted` if
    they are to be."""
    type, entity = after or ("", "")
    found = await rows(
        with_total(
            """SELECT entity, type, outcome, detail FROM operation_result
                WHERE operation = :operation AND (type, entity) > (:type, :entity)
                ORDER BY type, entity LIMIT :limit""",
            "SELECT count(*) FROM operation_result WHERE operation = :operation" if count else None,
        ),
        operation=operation_id,
        type=type,
        entity=entity,
        limit=limit,
    )
    return records(found, ResultRecord)


ENDS_NOW = "ended_at = now(), progressed_at = now(), version = o.version + 1"
"""SQL: what changes when an operation `o` ends, besides its status."""
OVERTAKER = """(SELECT n.id FROM operation n WHERE n.subject = o.subject AND n.generation > o.generation
                     ORDER BY n.generation LIMIT 1)"""
"""SQL: the operation of the wish that came after that of an operation `o`."""


def _stepping(operations: str) -> str:
    """SQL: begins or ends a step of those operations that a condition names and that have not ended."""
    # A try begins (`running` without a detail) and leaves what hindered the last one to be read.
    return f"""
    WITH live AS (
      UPDATE operation o SET progressed_at = now(), version = o.version + 1
       WHERE {operations} AND o.status IN ('queued', 'running') RETURNING {CHANGED}),
    written AS ({told("live", step="jsonb_build_object('name', :name::text, 'status', :status::text)")}),
    told AS (
      SELECT :name::text AS name, :status::text AS status, :detail::text AS detail, :next_in::float8 AS next_in)
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


_STEP = _stepping("o.id = :operation")
_STEP_ALL = _stepping("o.subject = :subject AND o.subject_kind = :subject_kind")


async def step(
    operation_id: UUID, name: str, status: OperationStatus, detail: str | None = None, *, next_in: float | None = None
) -> None:
    """Begin (`running`) or end a step of an operation that has not ended, by its name; repeating it is harmless.

    With `next_in` it is hindered: `detail` says by what, and it is tried again in so many seconds.
    """
    await row(_STEP, operation=operation_id, name=name, status=str(status), detail=detail, next_in=next_in)


async def step_all(
    subject: Subject, name: str, status: OperationStatus, detail: str | None = None, *, next_in: float | None = None
) -> None:
    """Begin, hinder or end a step of every operation of a subject that has not ended."""
    await row(
        _STEP_ALL,
        subject=subject.id,
        subject_kind=subject.kind,
        name=name,
        status=str(status),
        detail=detail,
        next_in=next_in,
    )


async def begin(subject: Subject, workflow_id: str, run_id: str) -> None:
    """Note on the unsettled operations of a subject which workflow run works on them."""
    await row(
        f"""
        WITH begun AS (
          UPDATE operation o SET status = 'running', started_at = coalesce(started_at, now()), progressed_at = now(),
                 workflow_id = :workflow_id, run_id = :run_id::text, version = version + 1
           WHERE subject = :id AND subject_kind = :kind AND status IN ('queued', 'running')
             AND (status = 'queued' OR run_id IS DISTINCT FROM :run_id::text)
          RETURNING {CHANGED})
        {told("begun")}
        """,
        workflow_id=workflow_id,
        run_id=run_id,
        id=subject.id,
        kind=subject.kind,
    )


async def succeed_all(subject: Subject, run_id: str) -> None:
    """End the operations of a subject on which a run works; one that came later stays queued.

    Those of a wish are ended by what settles it.
    """
    await row(
        f"""
        WITH ended AS (
          UPDATE operation o SET status = 'succeeded', {ENDS_NOW}
           WHERE subject = :id AND subject_kind = :kind AND status = 'running' AND run_id = :run_id
             AND generation IS NULL
          RETURNING {CHANGED})
        {told("ended")}
        """,
        id=subject.id,
        kind=subject.kind,
        run_id=run_id,
    )


_UNSETTLED = " ".join(
    f"""UNION ALL
        SELECT '{kind}', id, observed_at FROM {table}
         WHERE generation <> observed_generation AND observed_at < now() - make_interval(secs => :seconds)"""
    for kind, table in TABLES.items()
)
_STALLED = f"""
    SELECT subject_kind AS kind, subject AS id FROM (
        SELECT subject_kind, subject, progressed_at AS since FROM operation
         WHERE status IN ('queued', 'running') AND progressed_at < now() - make_interval(secs => :seconds)
        {_UNSETTLED}
    ) waiting GROUP BY subject_kind, subject ORDER BY min(since) LIMIT :limit
"""


async def stalled(seconds: float, limit: int) -> list[Subject]:
    """Subjects with work to do on which nothing happened for that long, the longest waiting first."""
    return records(await rows(_STALLED, seconds=seconds, limit=limit), Subject)


_TOUCHED = ", ".join(
    f"""touched_{table} AS (
          UPDATE {table} t SET observed_at = now() FROM woken
           WHERE woken.kind = '{kind}' AND t.id = woken.id AND t.generation <> t.observed_generation)"""
    for kind, table in TABLES.items()
)


async def touch(subjects: list[Subject]) -> None:
    """Note that these subjects were woken just now, so that the next pass leaves them time, and others come first."""
    await row(
        f"""WITH woken AS (SELECT * FROM unnest(:kinds::text[], :ids::uuid[]) AS woken(kind, id)), {_TOUCHED}
            UPDATE operation o SET progressed_at = now() FROM woken
             WHERE o.subject = woken.id AND o.subject_kind = woken.kind AND o.status IN ('queued', 'running')""",
        kinds=[subject.kind for subject in subjects],
        ids=[subject.id for subject in subjects],
    )
