"""The audit trail: who changed what, when, in the transaction of the change itself; and who was refused what."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct

from models.database.lists import NEWEST_FIRST, Filter, Order, narrowed_page
from models.database.sql import decoded, exists, given, made_of, page, records, rows, to_json, with_total
from models.database.tables import Audit
from models.domain.ids import FIRST_ID, LAST_ID, first_id_of, new_id
from models.domain.kinds import KINDS
from models.domain.logging import REQUEST
from models.domain.values import Caller, Subject

SYSTEM, UNKNOWN = "system", "unknown"
"""Who did it, where that was no person, or nobody who is known here."""
DENIED = "request.denied"
"""The action of whoever was refused."""


class AuditRecord(Struct, frozen=True, kw_only=True):
    """A row of the audit, as stored, and whether it has a seal."""

    id: UUID
    at: datetime
    actor: UUID | None
    actor_name: str
    action: str
    subject_kind: str
    subject: UUID
    operation: UUID | None
    request_id: str | None
    client_request_id: str | None
    detail: dict[str, Any] | None
    sealed: bool


async def record(
    action: str,
    subject: Subject,
    actor: Caller | None,
    *,
    operation: UUID | None = None,
    detail: dict[str, object] | None = None,
) -> None:
    """Add a row. `detail` must hold no secret. Without an actor it was the system."""
    await Audit.insert(
        Audit(
            id=new_id(),
            actor=actor.id if actor else None,
            actor_name=actor.email if actor else SYSTEM,
            action=action,
            subject_kind=subject.kind,
            subject=subject.id,
            operation=operation,
            request_id=actor.request_id if actor else None,
            client_request_id=actor.client_request_id if actor else None,
            detail=to_json(detail),
        )
    )


_HIDDEN_OF_OWNER = "SELECT FROM {table} WHERE id = :subject AND wish = 'present' AND owner <> :actor::uuid"
HIDDEN = {
    "server": "SELECT FROM server WHERE id = :subject AND wish <> 'deleted' AND owner <> :actor::uuid",
    "template": "SELECT FROM template WHERE id = :subject AND creator <> :actor::uuid",
    "operation": "SELECT FROM operation WHERE id = :subject AND actor IS DISTINCT FROM :actor::uuid",
    "person": "SELECT FROM person WHERE id = :subject AND id <> :actor::uuid",
    **{kind.word: _HIDDEN_OF_OWNER.format(table=kind.table) for kind in KINDS.values() if kind.shared},
}
"""By kind, SQL: has a row if a record is there and somebody else's, so that who does not find it may not see it."""


async def record_denial(about: Subject, caller: Caller, detail: dict[str, object], *, hidden: bool) -> bool:
    """Add a row for what a caller was refused; of what is `hidden` from them only if it is there, which is returned."""
    asked = REQUEST.get() or {}
    condition = f"EXISTS ({HIDDEN[about.kind]})" if hidden else "true"
    return await exists(
        f"""INSERT INTO audit (id, at, actor, actor_name, action, subject_kind, subject, request_id,
                               client_request_id, detail)
            SELECT :id, now(), :actor::uuid, :actor_name, :action, :kind, :subject, :request_id, :client_request_id,
                   :detail::jsonb
             WHERE {condition} RETURNING id""",
        id=new_id(),
        actor=caller.id,
        actor_name=caller.email,
        action=DENIED,
        kind=about.kind,
        subject=about.id,
        request_id=asked.get("request_id"),
        client_request_id=asked.get("client_request_id"),
        detail=to_json(detail),
    )


async def record_refused_account(account: UUID, issuer: str, subject: str, detail: dict[str, object]) -> bool:
    """Add a row for an account of the provider's that was not let in: about the person whose account it is, or about
    the account itself, by an id that is made of it. True."""
    asked = REQUEST.get() or {}
    return await exists(
        """INSERT INTO audit (id, at, actor, actor_name, action, subject_kind, subject, request_id,
                              client_request_id, detail)
           SELECT :id, now(), known.id, coalesce(known.email, :unknown), :action,
                  CASE WHEN known.id IS NULL THEN 'account' ELSE 'person' END, coalesce(known.id, :account),
                  :request_id, :client_request_id, :detail::jsonb
             FROM (SELECT) one LEFT JOIN person known ON known.issuer = :issuer AND known.subject = :account_subject
           RETURNING id""",
        id=new_id(),
        unknown=UNKNOWN,
        action=DENIED,
        account=account,
        request_id=asked.get("request_id"),
        client_request_id=asked.get("client_request_id"),
        detail=to_json(detail),
        issuer=issuer,
        account_subject=subject,
    )


_SELECT = """
    SELECT a.id, a.at, a.actor, a.actor_name, a.action, a.subject_kind, a.subject, a.operation, a.request_id,
           a.client_request_id, a.detail, u.id IS NULL AS sealed
      FROM audit a LEFT JOIN audit_unsealed u ON u.id = a.id"""
_COLUMNS = {"actor": "a.actor_name", "action": "a.action", "subject": "a.subject"}
_FILTERS = {name: f"{column} = :{name}" for name, column in _COLUMNS.items()}
_TIMES = {"since": "a.at >= :since", "until": "a.at < :until"}
_APART = timedelta(minutes=1)
"""More than there is between the making of a row's id and its time."""


async def list_rows(
    *,
    actor: str | None = None,
    action: str | None = None,
    subject: UUID | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    order: Order = NEWEST_FIRST,
    limit: int,
    count: bool = False,
) -> list[AuditRecord]:
    """Rows of the audit, at most `limit`, by age: of whom (`actor_name`), what, about which record, from `since` on and
    before `until`. They are `Counted` if they are to be."""
    narrowed, filters = given(_FILTERS, actor=actor, action=action, subject=subject)
    timed, times = given(_TIMES, since=since, until=until)
    # Ids grow with time, and rows are found by them.
    times["first"] = FIRST_ID if since is None else first_id_of(since, -_APART)
    times["last"] = LAST_ID if until is None else first_id_of(until, _APART)
    within = f"a.id >= :first AND a.id <= :last AND {timed}"
    if len(filters) == 1:
        pages = _page_of_one(next(iter(filters)), timed, order)
    else:
        indexed = [Filter(_FILTERS[name], _found(name, within)) for name in filters]
        pages = narrowed_page("audit", "a", within, order, indexed)
    listed = await rows(
        with_total(
            page(f"{_SELECT} JOIN ({pages}) listed ON listed.id = a.id ORDER BY {order.by('a')}"),
            f"SELECT count(*) FROM audit a WHERE {within} AND {narrowed}" if count else None,
        ),
        **filters,
        **times,
        **order.values,
        limit=limit,
    )
    return made_of(listed, records([decoded(one, "detail") for one in listed], AuditRecord))


def _found(name: str, within: str) -> str:
    return f"SELECT id FROM audit a WHERE {within} AND {_FILTERS[name]}"


def _page_of_one(name: str, timed: str, order: Order) -> str:
    """SQL: the ids of a page of what one filter narrows, along the index of its column and the id: each row of both is
    compared as a whole, so that a page begins where it is, however far that is from where the column's value begins."""
    column, direction = _COLUMNS[name], order.direction
    sign = "<" if direction == "DESC" else ">"
    return page(
        f"""SELECT a.id FROM audit a
             WHERE ({column}, a.id) {sign} (:{name}, :before) AND ({column}, a.id) >= (:{name}, :first)
               AND ({column}, a.id) <= (:{name}, :last) AND {timed}
             ORDER BY {column} {direction}, a.id {direction}"""
    )
