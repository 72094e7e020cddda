"""Servers: the record, and what people wish of it.

A wish is numbered by `generation`; every change of it opens one operation of that generation. What a workflow does
about it is in `models.records.server_settling`, what the reconciler sees in `models.records.server_watch`.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

import msgspec
from msgspec import Struct

from models.database.lists import LONGEST_SEARCHED, NEWEST_FIRST, Filter, Order, Sort, narrowed_page
from models.database.sql import decoded, given, one_value, page, row, structs, to_json, with_total
from models.domain.errors import RecordMissing, StateConflict
from models.domain.ids import new_id
from models.domain.kinds import TEMPLATED
from models.domain.values import Caller, OperationStatus, ServerStatus, Subject, Wish
from models.ledger import events, operations
from models.ledger.events import Change
from models.ledger.operations import LeftOut


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
        return [(kind.word, identity) for kind in TEMPLATED for identity in getattr(self, kind.plural)]


class ServerError(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a server is not running: a reason, its last log lines without tokens, and when."""

    code: str
    message: str
    at: datetime
    hint: str = ""
    log: str = ""


class Stop(StrEnum):
    """What makes a server stop."""

    PERSON = "person"
    """Somebody asked for it."""
    REVOKE = "revoke"
    """Its owner lost the access to something that it held."""
    RELEASE = "release"
    """Its owner's e-mail address was released."""
    CANCEL = "cancel"
    """An operator cancelled its start."""
    START = "start"
    """It could not be started."""
    CRASH = "crash"
    """Its program failed, or was killed."""
    ENDED = "ended"
    """Its program ended by itself, as if all were well."""
    HUB = "hub"
    """It was stopped in JupyterHub: by hand, or because nobody used it."""
    UNKNOWN = "unknown"
    """It is gone, and nobody knows how."""


class StoppedReason(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a server is not wished to run any more, as clients see it: `who` is an e-mail, `log_tail` free of secrets."""

    by: Literal["person", "system"]
    reason: Stop
    at: datetime
    message: str
    who: str = ""
    exit_code: int | None = None
    log_tail: str = ""


_TAIL_LINES, _TAIL_LENGTH = 10, 2048


def stopped_because(reason: Stop, message: str, *, exit_code: int | None = None, log: str = "") -> StoppedReason:
    """Why a server stops although no person asked for it. Of the log there are the last lines alone, as in lists."""
    if exit_code is not None:
        reason = Stop.ENDED if exit_code == 0 else Stop.CRASH
    tail = "\n".join(log.splitlines()[-_TAIL_LINES:])[-_TAIL_LENGTH:]
    return StoppedReason(
        by="system", reason=reason, at=datetime.now(UTC), message=message, exit_code=exit_code, log_tail=tail
    )


class ServerShown(Struct, frozen=True):
    """What is shown of a server, as the columns of `_SHOWN` have it: JSON is not read on its way to clients."""

    id: UUID
    owner: str
    """The owner's e-mail."""
    hub_user: str
    name: str
    status: str
    """A `ServerStatus`: what was seen, or, where a wish is still to be met, the way to it."""
    template: UUID
    application_type: str
    snapshot: str
    """The JSON of its `TemplateData`, without null."""
    error: str | None
    """The JSON of a `ServerError`: why it is not running."""
    operation: UUID | None
    """The one in progress."""
    lost_at: datetime | None
    """When its owner lost access to something that it holds."""
    version: int
    updated_at: datetime
    created_at: datetime
    started_at: datetime | None
    """Since when the process runs that fulfils the wish to run."""
    last_activity: datetime | None
    stopped: str | None
    """The JSON of a `StoppedReason`."""
    people: int | None
    """With how many it is shared in JupyterHub, as last seen; None: with nobody. So for groups."""
    groups: int | None


class ServerRecord(ServerShown, frozen=True, kw_only=True):
    """A server as stored."""

    owner_id: UUID
    status: ServerStatus
    wish: Wish
    generation: int
    observed: ServerStatus
    observed_generation: int
    started_once: bool
    share_url: str | None
    share_expires_at: datetime | None
    shared_with: dict[str, list[str]] | None
    share_as_of: datetime | None

    @property
    def template_data(self) -> TemplateData:
        """Its own snapshot of its template."""
        return _SNAPSHOT.decode(self.snapshot)

    @property
    def last_error(self) -> ServerError | None:
        """Why it is not running."""
        return None if self.error is None else _ERROR.decode(self.error)


_SNAPSHOT = msgspec.json.Decoder(TemplateData)
_ERROR = msgspec.json.Decoder(ServerError)


class Intent(Struct, frozen=True, kw_only=True):
    """What became of an intent: its operation, and whether a workflow has work to do."""

    operation: UUID
    settled: bool


# As the index `server_status_newest` has it.
_STATUS = """(CASE WHEN s.generation = s.observed_generation THEN s.observed
         WHEN s.wish = 'running' AND s.observed = 'stopped' THEN 'starting'
         WHEN s.wish <> 'running' AND s.observed <> 'stopped' THEN 'stopping'
         ELSE s.observed END)"""
CHANGED = "s.id, s.owner, s.wish, s.generation, s.observed, s.observed_generation, s.version, s.last_error"
"""SQL: what is told of a server `s` that changed."""


def told(source: str, change: Change = Change.CHANGED) -> str:
    """SQL: writes events of those servers that are the `CHANGED` of a source."""
    shown = "" if change is Change.DELETED else f", 'status', {_STATUS}, 'code', s.last_error ->> 'code'"
    return events.written(
        change,
        f"{source} s",
        kind="'server'",
        persons="ARRAY[s.owner]",
        data=f"jsonb_strip_nulls(jsonb_build_object('version', s.version{shown}))",
    )


# The fields of `ServerShown`, in their order.
_SHOWN = f"""
    s.id, p.email AS owner, p.hub_user, s.name,
    {_STATUS} AS status,
    s.template, s.template_data ->> 'applicationType' AS application_type,
    s.template_data AS snapshot, s.last_error AS error,
    (SELECT o.id FROM operation o WHERE o.subject = s.id AND o.subject_kind = 'server'
        AND o.status IN ('queued', 'running') ORDER BY o.id DESC LIMIT 1) AS operation,
    (SELECT min(m.lost_at) FROM server_mount m WHERE m.server = s.id) AS lost_at,
    s.version, s.updated_at, s.created_at, s.started_at, s.last_activity, s.stopped_reason AS stopped,
    jsonb_array_length(s.shared_with -> 'users') AS people, jsonb_array_length(s.shared_with -> 'groups') AS groups
"""
_FROM = "FROM server s JOIN person p ON p.id = s.owner"
_SELECT_SHOWN = f"SELECT {_SHOWN} {_FROM}"
_SELECT = f"""
    SELECT {_SHOWN}, s.owner AS owner_id, s.wish, s.generation, s.observed, s.observed_generation, s.started_once,
           s.share_url, s.share_expires_at, s.shared_with, s.share_as_of
    {_FROM}
"""
_VISIBLE = "s.id = :server AND (:admin::boolean OR s.owner = :caller)"


async def show(server_id: UUID, caller: Caller) -> ServerShown:
    """What is shown of a server of the caller, or of any for an admin; raises `RecordMissing`."""
    found = await structs(
        ServerShown, f"{_SELECT_SHOWN} WHERE {_VISIBLE}", server=server_id, admin=caller.admin, caller=caller.id
    )
    if not found:
        raise RecordMissing.of("server", server_id)
    return found[0]


async def read_visible(server_id: UUID, caller: Caller, *, for_update: bool = False) -> ServerRecord:
    """A server of the caller, or any for an admin; raises `RecordMissing`.

    `for_update` locks it in the caller's transaction.
    """
    found = await row(
        f"{_SELECT} WHERE {_VISIBLE} {'FOR UPDATE OF s' if for_update else ''}",
        server=server_id,
        admin=caller.admin,
        caller=caller.id,
    )
    if found is None:
        raise RecordMissing.of("server", server_id)
    return msgspec.convert(decoded(found, "shared_with"), ServerRecord)


def _named(text: str) -> str:
    return f"""(strpos(lower(s.name), lower({text})) > 0
                OR strpos(lower(s.template_data ->> 'name'), lower({text})) > 0)"""


_TYPE = "(s.template_data ->> 'type')"
_FILTERS = {
    "owner": "s.owner = :owner",
    "type": one_value(_TYPE, "type"),
    "status": one_value(_STATUS, "status"),
    "name": _named(":name"),
    "q": _named(":q"),
}
# By what index those are found that a filter holds for, among everybody's.
_FOUND = {name: f"SELECT id FROM server s WHERE {_FILTERS[name]}" for name in ("type", "status")} | {
    name: f"""SELECT server AS id FROM server_search
               WHERE parts(text) @> parts(left(lower(:{name}), {LONGEST_SEARCHED}))"""
    for name in ("name", "q")
}
_GROUPED_BY = {"type": _TYPE, "status": _STATUS}
"""By what an index has the servers that one of these filters holds for, the newest first."""


async def list_visible(
    *,
    owner: UUID | None,
    type: str | None = None,
    status: ServerStatus | None = None,
    name: str | None = None,
    q: str | None = None,
    order: Order = NEWEST_FIRST,
    limit: int,
    count: bool = False,
) -> list[ServerShown]:
    """Servers of one owner (or of all, for an admin), at most `limit`, in an order; `Counted` if they are to be.

    `name` and `q` are parts, in any case, of the server's or the template's name.
    """
    narrowed, values = given(_FILTERS, owner=owner, type=type, status=status, name=name, q=q)
    grouped = [_GROUPED_BY[one] for one in values if one in _GROUPED_BY and order.sort is Sort.NEWEST]
    if owner is not None:
        found = page(f"SELECT s.id FROM server s WHERE {order.beyond('s')} AND {narrowed} ORDER BY {order.by('s')}")
    elif len(values) == len(grouped) == 1:
        found = page(
            f"SELECT s.id FROM server s WHERE {order.beyond('s')} AND {narrowed} ORDER BY {grouped[0]}, {order.by('s')}"
        )
    else:
        found = narrowed_page("server", "s", "true", order, [Filter(_FILTERS[one], _FOUND[one]) for one in values])
    return await structs(
        ServerShown,
        with_total(
            f"{_SELECT_SHOWN} JOIN {found} listed ON listed.id = s.id ORDER BY {order.by('s')}",
            f"SELECT count(*) FROM server s WHERE {narrowed}" if count else None,
        ),
        **values,
        **order.values,
        limit=limit,
    )


async def create(
    template: TemplateData,
    caller: Caller,
    *,
    made_with_template: bool,
    left_out: list[LeftOut] | None = None,
) -> UUID:
    """Make a stopped server of the caller from a template, within the caller's transaction.

    Its creation is an operation that has already succeeded.
    """
    identity = new_id()
    await row(
        f"""
        WITH made AS (
          INSERT INTO server AS s (id, owner, name, template, made_with_template, template_data)
          VALUES (:id, :owner, :name, :template, :made_with_template, :template_data::jsonb) RETURNING {CHANGED}),
        counted AS (UPDATE template SET servers_made = servers_made + 1 WHERE id = :template)
        {told("made", Change.CREATED)}
        """,
        id=identity,
        owner=caller.id,
        name=f"{template.server_name}-{identity.hex[-8:]}",
        template=UUID(template.id),
        made_with_template=made_with_template,
        template_data=to_json(template),
    )
    await operations.open_operation(
        "server.create",
        Subject("server", identity),
        owner=caller.id,
        actor=caller,
        status=OperationStatus.SUCCEEDED,
        left_out=left_out,
    )
    return identity


async def intend(server_id: UUID, wish: Wish, caller: Caller | None, *, because: StoppedReason | None = None) -> Intent:
    """Wish a server to be running, stopped or deleted, within the caller's transaction; no caller: the system does,
    and says why it is not to run any more.

    A wish that repeats the one in flight joins its operation; one that is already met succeeds at once.
    Raises `StateConflict` when the server is being deleted, or its owner has released the e-mail and is to run none;
    `RecordMissing` when it is gone.
    """
    found = await row(
        """SELECT s.owner, s.template, s.wish, s.generation, s.observed_generation,
                  (SELECT o.id FROM operation o WHERE o.subject = s.id AND o.generation = s.generation
                      AND o.status IN ('queued', 'running')) AS operation
             FROM server s WHERE s.id = :server FOR UPDATE OF s""",
        server=server_id,
    )
    if found is None:
        raise RecordMissing.of("server", server_id)
    if found["wish"] == wish and found["operation"] is not None:
        return Intent(operation=found["operation"], settled=False)
    if found["wish"] == Wish.DELETED:
        raise StateConflict("The server is being deleted.", hint="Make a new server from the template.")
    if wish is Wish.RUNNING and await _owner_is_released(found["owner"]):
        raise StateConflict(
            "The e-mail address of the server's owner was released.",
            hint="The owner can start it after a sign-in with another address.",
            code="OWNER_RELEASED",
        )
    subject = Subject("server", server_id)
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
            )
            return Intent(operation=done, settled=True)
    generation = found["generation"] + 1
    await row(
        f"""
        WITH wished AS (
          UPDATE server s SET wish = :wish, generation = :generation::bigint, version = version + 1,
                 process_floor = CASE WHEN :running::boolean THEN :generation::bigint ELSE process_floor END,
                 last_error = CASE WHEN :running::boolean THEN NULL ELSE last_error END,
                 stopped_reason = CASE WHEN :running::boolean THEN NULL
                                       WHEN wish = 'running' THEN :stopped::jsonb ELSE stopped_reason END
           WHERE id = :server RETURNING {CHANGED})
        {told("wished")}
        """,
        wish=str(wish),
        stopped=to_json(because if caller is None else _asked_by(caller, wish)),
        generation=generation,
        running=wish is Wish.RUNNING,
        server=server_id,
    )
    operation = await operations.open_operation(
        kind,
        subject,
        owner=found["owner"],
        actor=caller,
        wish=wish,
        generation=generation,
        template=found["template"] if wish is Wish.RUNNING else None,
    )
    return Intent(operation=operation, settled=False)


def _asked_by(caller: Caller, wish: Wish) -> StoppedReason:
    verb = "deleted" if wish is Wish.DELETED else "stopped"
    message = f"{caller.email} {verb} the server."
    return StoppedReason(by="person", reason=Stop.PERSON, at=datetime.now(UTC), message=message, who=caller.email)


async def _owner_is_released(owner: UUID) -> bool:
    """Whether a server's owner is. It stays so for the transaction: a release waits, and then finds what was wished."""
    found = await row("SELECT released_at FROM person WHERE id = :owner FOR SHARE", owner=owner)
    return found is not None and found["released_at"] is not None
