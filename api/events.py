"""One stream to a browser: what changed of everything that the caller may see."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Controller, Request, get
from litestar.di import NamedDependency
from litestar.response import ServerSentEvent
from litestar.response.sse import ServerSentEventMessage
from msgspec import Meta

from api.http.authentication import token_expiry
from api.http.event_streams import EVENTS, KEEP_ALIVE_SECONDS, LastEventId, Stream
from api.http.fields import AnswerBody
from api.http.operation_events import OperationEvents
from api.http.policy import Policy, needs
from api.http.services import Services
from models.access import following
from models.access.following import Event, Position, parse_position
from models.database.engine import DATABASE_ERRORS
from models.database.sql import guarded
from models.domain.errors import IdentityUnknown
from models.domain.values import Caller
from models.ledger.events import Change
from models.records import sessions

SPACING = 0.25
"""Seconds between two looks of one stream, unless there was more than one tells."""
STALE = 1.0
"""Seconds for which what was read may be told: of what a slow client has not taken by then it is asked anew whether it
may be."""


class EventStep(AnswerBody, frozen=True, kw_only=True):
    """The step of an operation that has begun or ended."""

    name: Annotated[str, Meta(description="Which one, for programs.")]
    status: Annotated[str, Meta(description="How far it is: a status as an operation has it.")]


class EventView(AnswerBody, frozen=True, kw_only=True):
    """What changed, and, of what is in lists, what a row of it shows. Everything else is to be read."""

    kind: Annotated[
        str,
        Meta(
            description="`server`, `operation`, `dataset`, `module`, `secret` or `group`: also the name of the event."
        ),
    ]
    id: Annotated[UUID, Meta(description="Id of the record.")] = msgspec.field(name="_id")
    change: Annotated[
        Change,
        Meta(
            description="`shared` and `taken_back`: with the caller, by name, by a group or by an organisation; of a "
            "group: membership."
        ),
    ]
    at: Annotated[datetime, Meta(description="When that was.")]
    version: Annotated[int | None, Meta(description="What the `ETag` of the record begins with.")] = None
    status: Annotated[str | None, Meta(description="Of a server or an operation.")] = None
    action: Annotated[str | None, Meta(description="The `kind` of an operation, such as `server.start`.")] = None
    subject: Annotated[UUID | None, Meta(description="Id of what an operation is about.")] = None
    subject_kind: Annotated[str | None, Meta(description="Kind of what an operation is about.")] = None
    code: Annotated[
        str | None,
        Meta(
            description="Why an operation failed, or a server stopped or did not start, unless somebody asked for "
            "that: the `code` of its `error` or `last_error`. With `shared` and `taken_back` it is what a person may "
            "want to be notified of."
        ),
    ] = None
    step: EventStep | None = None


class ResetView(AnswerBody, frozen=True, kw_only=True):
    """What was before is not told: everything that the client shows is to be read anew."""

    reason: Annotated[
        Literal["began", "gap"],
        Meta(
            description="The stream began here, or what came after `Last-Event-ID` is not known any more, or is too "
            "much."
        ),
    ]


class EventsController(Controller):
    """Events: what changed of everything that the caller may see."""

    path = "/events"
    tags = ("Events",)

    @get(
        opt=needs(Policy.SIGNED_IN) | {EVENTS: {"*": EventView, "reset": ResetView}},
        operation_id="followEvents",
        summary="Follow everything",
        media_type="text/event-stream",
    )
    async def follow(
        self,
        request: Request[Caller, Any, Any],
        caller: NamedDependency[Caller],
        services: NamedDependency[Services],
        last_event_id: LastEventId = None,
    ) -> ServerSentEvent:
        """Server-sent events: each change of one's servers and operations, and of what is shared with one, once and in
        order; admins see everybody's servers and operations, too.

        It begins with `reset` unless it goes on after `Last-Event-ID`, and ends with `expired`: with the token, or a
        logout. What one may not see any more is told no more.
        """
        expires_at, events = await token_expiry(request), services.operation_events
        stream = events.streams.admit(caller, services.settings)
        position = None if last_event_id is None else parse_position(last_event_id)
        return ServerSentEvent(
            follow(caller, events, position=position, new=last_event_id is None, expires_at=expires_at, stream=stream)
        )


async def follow(
    caller: Caller,
    events: OperationEvents,
    *,
    position: Position | None = None,
    new: bool = True,
    expires_at: datetime | None = None,
    stream: Stream | None = None,
) -> AsyncGenerator[ServerSentEventMessage, None]:
    """The messages of one stream: one statement to a look, under a guard that fails with a logout.

    A client that reads slowly has no more waiting for it than one statement tells, and what waits is read anew before
    it is told.
    """
    with events.followers.watch(caller) as woken, events.streams.counted(stream):
        while not events.closing:
            woken.clear()
            told, more = None, False
            try:
                with guarded(sessions.not_ended(caller)):
                    async with events.followers.turns:
                        told = await following.read(caller, position)
            except IdentityUnknown:
                yield ServerSentEventMessage(data="{}", event="expired")
                return
            except DATABASE_ERRORS:
                pass  # the stream outlives a restart of the database
            if told is not None:
                stale_at = asyncio.get_running_loop().time() + STALE
                if told.gap:
                    reset = ResetView(reason="began" if new else "gap")
                    yield _message("reset", reset, told.position)
                    position = told.position
                for event in told.events:
                    if asyncio.get_running_loop().time() > stale_at:
                        break
                    yield _message(event.kind, _view(event), event.position)
                    position = event.position
                else:
                    position = told.position
                more, new = told.more or position != told.position, False
            left = KEEP_ALIVE_SECONDS
            if expires_at is not None:
                left = min(left, (expires_at - datetime.now(UTC)).total_seconds())
            if left <= 0:
                yield ServerSentEventMessage(data="{}", event="expired")
                return
            if more:
                continue
            try:
                async with asyncio.timeout(left):
                    await asyncio.sleep(SPACING)
                    await woken.wait()
            except TimeoutError:
                # With the id, so that a client that was told nothing for long comes back to where it is.
                yield ServerSentEventMessage(
                    comment="keep-alive", id=None if position is None else str(position), data=None
                )


def _message(name: str, data: AnswerBody, position: Position) -> ServerSentEventMessage:
    return ServerSentEventMessage(event=name, data=msgspec.json.encode(data).decode(), id=str(position))


def _view(event: Event) -> EventView:
    return msgspec.convert(
        {"kind": event.kind, "_id": event.subject, "change": event.change, "at": event.at, **event.data}, EventView
    )
