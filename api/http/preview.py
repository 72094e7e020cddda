"""What a write would come to, told by the write itself: it takes place in its transaction, is looked at, and is undone.

A route whose `write` is `PREVIEWED` takes `dry_run=true`. Whoever may not do it, or cannot, is refused as ever; nothing
is kept: no record, no audit row, no idempotency key.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from api.http.fields import AnswerBody
from models.access import sharing
from models.domain.settings import Settings
from models.domain.values import Caller, OperationStatus, Subject
from models.ledger import operations
from models.ledger.operations import LeftOut, OperationRecord, ResultRecord
from models.records import groups, mounts
from models.records.mounts import Claim, Claims

MOST = 1000
"""Most entries of each list of a preview."""

Holds = Callable[[], Awaitable[Claims | None]]
"""What a server would have and what not, as its start decides it."""


class InsideView(AnswerBody, frozen=True, kw_only=True):
    """Something that the server would have."""

    kind: Annotated[str, Meta(description="Kind of the thing: `dataset`, `module`, `secret` or `group`.")]
    id: Annotated[UUID, Meta(description="Id of the thing.")] = msgspec.field(name="_id")
    name: Annotated[str, Meta(description="Its name.")]
    write: Annotated[bool, Meta(description="Whether the server could change it.")]
    owner: Annotated[str, Meta(description="E-mail of its owner; a group has none.")] | None = None
    version: Annotated[str, Meta(description="Which version of a module it is.")] | None = None


class PreviewView(AnswerBody, frozen=True, kw_only=True):
    """What a write would come to. Nothing of it has happened."""

    kind: Annotated[str, Meta(description="What the operation would be called, such as `dataset.revoke`.")]
    status: Annotated[
        OperationStatus, Meta(description="`succeeded` where there would be nothing left to do, else `queued`.")
    ]
    results: Annotated[
        list[ResultRecord],
        Meta(
            description="What it would come to for each who is named, or, of a deletion, for each who has access "
            f"(`lost`), at most {MOST}."
        ),
    ]
    servers: Annotated[int, Meta(description=f"How many servers would be stopped, as far as {MOST}.")]
    own_servers: Annotated[
        list[UUID], Meta(description="Those of them that the caller may see: one's own, and for an admin all.")
    ]
    inside: Annotated[list[InsideView], Meta(description="What the server would have, once it is started.")]
    left_out: Annotated[list[LeftOut], Meta(description="What the server would not have, and why.")]
    stops_at: Annotated[
        datetime | None, Meta(description="When the first of the servers would be stopped; absent: none would be.")
    ] = None


async def preview_of(
    operation: OperationRecord, subject: Subject, caller: Caller, settings: Settings, holds: Holds | None
) -> PreviewView:
    """What an operation that was just opened in this transaction would come to, by what decides it for real."""
    stopped: list[mounts.LostMount] = []
    scope = _SCOPES.get(subject.object_kind)
    goes_away = operation.kind.endswith(".delete")
    if scope is not None and (goes_away or settings.on_revoke == "stop"):
        await mounts.mark_lost(scope, operation.subject)
        stopped = await mounts.lost(scope, operation.subject, MOST)
    claims = None if holds is None else await holds()
    first = min((one.lost_at for one in stopped), default=None)
    return PreviewView(
        kind=operation.kind,
        status=operation.status,
        results=await _who_lose(operation, scope)
        if goes_away
        else await operations.list_results(operation.id, after=None, limit=MOST),
        servers=len(stopped),
        own_servers=await mounts.seen_by([one.server for one in stopped], caller),
        inside=[] if claims is None else [_inside(claim) for claim in claims.kept],
        left_out=operation.left_out if claims is None else claims.left_out,
        stops_at=None if first is None else first + timedelta(seconds=settings.revoke_grace),
    )


async def _who_lose(operation: OperationRecord, scope: str | None) -> list[ResultRecord]:
    """Who, besides the owner, would lose what is deleted."""
    if scope == "group":
        members = await groups.list_members(operation.subject, limit=MOST)
        return [ResultRecord(entity=one, type="user", outcome="lost") for one in members]
    if scope == "object":
        found = await sharing.list_access(operation.subject, None, owner=None, after=None, limit=MOST)
        return [ResultRecord(entity=one.entity, type=one.type, outcome="lost", detail=one.level.word) for one in found]
    return []


def _inside(claim: Claim) -> InsideView:
    return InsideView(
        kind=claim.kind,
        id=claim.object,
        name=claim.name,
        write=claim.writes,
        owner=claim.owner or None,
        version=claim.version or None,
    )


_SCOPES = {"dataset": "object", "module": "object", "secret": "object", "group": "group"}
"""By the kind of a subject, whose mounts a change of it can touch."""
