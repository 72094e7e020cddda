"""Operations: following the work that writes have asked for, and cancelling it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import ServerSentEvent
from litestar.response.sse import ServerSentEventMessage

from api.http.answer import Answer
from api.http.authentication import token_expiry
from api.http.dependencies import Read
from api.http.etag import VERSIONED
from api.http.event_streams import EVENTS, KEEP_ALIVE_SECONDS, LastEventId, Stream
from api.http.operation_events import OperationEvents
from api.http.operation_view import OperationView, view_of
from api.http.pagination import LISTED, Page, SortByAgeQuery
from api.http.policy import Policy, needs
from api.http.services import Services
from api.http.write import Write
from models.database.engine import DATABASE_ERRORS
from models.database.lists import SortByAge
from models.database.sql import guarded
from models.domain.errors import IdentityUnknown, RecordMissing
from models.domain.ids import parse_id
from models.domain.settings import Settings
from models.domain.values import Caller, OperationStatus, Subject
from models.ledger import operations
from models.ledger.operations import ResultRecord
from models.records import cancellation, sessions


class OperationsController(Controller):
    """Operations: what was asked for, how far it is and how it ended."""

    path = "/operations"
    tags = ("Operations",)

    @get(opt=needs(Policy.SIGNED_IN), operation_id="listOperations", summary="List operations", dependencies=LISTED)
    async def index(
        self,
        page: NamedDependency[Page],
        subject: Annotated[
            str | None, QueryParameter(max_length=64, description="Id of the record it is about.")
        ] = None,
        status: Annotated[OperationStatus | None, QueryParameter(description="Only those in this state.")] = None,
        kind: Annotated[str | None, QueryParameter(max_length=64, description="For example `server.start`.")] = None,
        sort: SortByAgeQuery = SortByAge.NEWEST,
    ) -> Response[list[OperationView]]:
        """Operations that the caller asked for or whose subject is the caller's; admins see all."""
        # An id that cannot exist has no operations.
        about = None if subject is None else parse_id(subject) or UUID(int=0)
        found = await operations.list_visible(
            page.caller,
            subject=about,
            status=status,
            kind=kind,
            order=page.order(sort),
            limit=page.limit + 1,
            count=page.count,
        )
        return page.answer(found, key=lambda one: (str(one.id),), view=lambda one: view_of(one, page.settings))

    @get("/{id:str}", opt=needs(Policy.RECORD) | VERSIONED, operation_id="getOperation", summary="Read an operation")
    async def read(self, id: FromPath[UUID], read: NamedDependency[Read]) -> Response[OperationView]:
        """Read an operation, with its steps, its outcome and the link to its workflow run."""
        found = await operations.read_visible(id, read.caller)
        return Answer(view_of(found, read.settings), version=found.version)

    @get(
        "/{id:str}/results",
        opt=needs(Policy.RECORD),
        operation_id="listOperationResults",
        summary="List results",
        dependencies=LISTED,
    )
    async def results(self, id: FromPath[UUID], page: NamedDependency[Page]) -> Response[list[ResultRecord]]:
        """What the operation came to for each person, group or organisation, by type and name."""
        await operations.read_visible(id, page.caller)
        after = None if page.after is None else (page.after[0], page.after[1])
        found = await operations.list_results(id, after=after, limit=page.limit + 1, count=page.count)
        return page.answer(found, key=lambda one: (one.type, one.entity), view=lambda one: one)

    @get(
        "/{id:str}/events",
        opt=needs(Policy.RECORD) | {EVENTS: {"operation": OperationView, "outcome": OperationView}},
        operation_id="followOperation",
        summary="Follow an operation",
        media_type="text/event-stream",
    )
    async def events(
        self,
        id: FromPath[UUID],
        request: Request[Caller, Any, Any],
        caller: NamedDependency[Caller],
        services: NamedDependency[Services],
        last_event_id: LastEventId = None,
    ) -> ServerSentEvent:
        """Server-sent events: `operation` at each change, and then `outcome`, or `expired` with the token or a logout.

        The data is the operation, the id its version; a client that comes back is told only what it missed.
        """
        await operations.read_visible(id, caller)
        expires_at, events = await token_expiry(request), services.operation_events
        return ServerSentEvent(
            follow(
                id,
                caller,
                events,
                services.settings,
                last_event_id=last_event_id,
                expires_at=expires_at,
                stream=events.streams.admit(caller, services.settings),
            )
        )

    @post(
        "/{id:str}/cancel",
        opt=needs(Policy.RECORD) | VERSIONED,
        status_code=202,
        operation_id="cancelOperation",
        summary="Cancel an operation",
    )
    async def cancel(self, id: FromPath[UUID], write: NamedDependency[Write]) -> Response[OperationView]:
        """Cancel an operation. A start becomes a stop; what was not begun is taken back; all else is 409."""
        async with write:
            found = await operations.read_visible(id, write.caller)
            write.require_match(found.version)
            await cancellation.cancel(found, write.caller)
            write.accepts(found.id, wakes=Subject(found.subject_kind, found.subject))
        return write.answer


async def follow(
    operation: UUID,
    caller: Caller,
    events: OperationEvents,
    settings: Settings,
    *,
    last_event_id: str | None = None,
    expires_at: datetime | None = None,
    stream: Stream | None = None,
) -> AsyncIterator[ServerSentEventMessage]:
    """The messages of one stream. It reads anew at each change, so it also ends when the caller may see no more.

    A logout ends it too: each of these reads looks whether the caller has not been signed out.
    """
    sent = last_event_id
    with events.watch(operation) as changed, events.streams.counted(stream):
        while not events.closing:
            changed.clear()
            try:
                with guarded(sessions.not_ended(caller)):
                    record = await operations.read_visible(operation, caller)
            except RecordMissing:
                return
            except IdentityUnknown:
                yield ServerSentEventMessage(data="{}", event="expired")
                return
            except DATABASE_ERRORS:
                record = None  # the stream outlives a restart of the database
            if record is not None and (record.status.ended or str(record.version) != sent):
                sent = str(record.version)
                yield ServerSentEventMessage(
                    data=msgspec.json.encode(view_of(record, settings)).decode(),
                    event="outcome" if record.status.ended else "operation",
                    id=sent,
                )
                if record.status.ended:
                    return
            left = KEEP_ALIVE_SECONDS
            if expires_at is not None:
                left = min(left, (expires_at - datetime.now(UTC)).total_seconds())
            if left <= 0:
                yield ServerSentEventMessage(data="{}", event="expired")
                return
            try:
                async with asyncio.timeout(left):
                    await changed.wait()
            except TimeoutError:
                yield ServerSentEventMessage(comment="keep-alive", data=None)
