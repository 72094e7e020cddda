"""Servers: making them from templates, and what people wish of them."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Literal, cast
from uuid import UUID

import msgspec
from litestar import Controller, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import UNSET, Meta, UnsetType

from api.http.answer import Answer
from api.http.dependencies import OwnerQuery, Read, own_email, query_id
from api.http.etag import TAGGED, VERSIONED
from api.http.fields import EMAIL, AnswerBody, OwnerEmail, RecordId, Url
from api.http.operation_view import OperationView
from api.http.pagination import LISTED, Page, SearchQuery, SortQuery
from api.http.policy import Policy, needs
from api.http.services import Services
from api.http.write import PREVIEWED, SHORT_WAIT, Write
from api.template_body import TemplateCreate, TemplateView, new_template
from models.access import sharing
from models.database.lists import Sort
from models.domain.errors import RecordMissing, StateConflict
from models.domain.settings import Settings
from models.domain.values import Caller, ServerStatus, Subject, Wish
from models.ledger.operations import LeftOut
from models.records import mounts, persons, server_shares, servers, templates
from models.records.mounts import Claims
from models.records.server_shares import SharedServer
from models.records.servers import ServerRecord, ServerShown, Stop, TemplateData


class LastErrorView(AnswerBody, frozen=True, kw_only=True):
    """Why the server is not running."""

    code: Annotated[str, Meta(description="Why, for programs.")]
    message: Annotated[str, Meta(description="Why, in words.")]
    at: Annotated[datetime, Meta(description="When that was.")]
    hint: Annotated[str, Meta(description="What to do next.")] | None = None
    log: Annotated[str, Meta(description="The last lines of the server's log, without secrets.")] | None = None


class StoppedReasonView(AnswerBody, frozen=True, kw_only=True):
    """Why the server does not run any more. More reasons may be added."""

    by: Annotated[Literal["person", "system"], Meta(description="Whether somebody asked for it.")]
    reason: Annotated[Stop, Meta(description="Why, for programs.")]
    at: Annotated[datetime, Meta(description="When that was.")]
    message: Annotated[str, Meta(description="Why, in words.")]
    who: Annotated[str, Meta(description="The e-mail of whoever asked for it.")] | None = None
    exit_code: (
        Annotated[
            int,
            Meta(
                description="Of the server's program. Above 128 it was killed, by the signal of the number that is "
                "left without 128."
            ),
        ]
        | None
    ) = None
    log_tail: (
        Annotated[str, Meta(description="The last lines of its log, without secrets; `last_error` has more of them.")]
        | None
    ) = None


class LogView(AnswerBody, frozen=True, kw_only=True):
    """The end of what a running server has written."""

    log: Annotated[str, Meta(description="At most 40 lines, without secrets. Where it may not be shown: why not.")]


class SharedWithView(AnswerBody, frozen=True, kw_only=True):
    """With how many the server is shared in JupyterHub, as last seen."""

    people: Annotated[int, Meta(description="How many people have access.")]
    groups: Annotated[int, Meta(description="How many groups have access.")]


class ServerView(AnswerBody, frozen=True, kw_only=True):
    """A server. `operation` is the one in progress."""

    id: RecordId = msgspec.field(name="_id")
    name: Annotated[str, Meta(description="The name that it has in JupyterHub.")]
    owner: OwnerEmail
    status: ServerStatus
    template_id: Annotated[UUID, Meta(description="Id of the template that it was made from.")] = msgspec.field(
        name="templateId"
    )
    template_data: TemplateView = msgspec.field(name="templateData")
    application_type: Annotated[str, Meta(description="The application that it runs.")] = msgspec.field(
        name="applicationType"
    )
    url: Annotated[Url, Meta(description="Where it is, or will be.")]
    created_at: Annotated[datetime, Meta(description="When it was made.")]
    operation: Annotated[UUID, Meta(description="Id of the operation that is in progress.")] | None = None
    access_ends_at: (
        Annotated[
            datetime, Meta(description="When it is stopped because its owner lost access to something that it holds.")
        ]
        | None
    ) = None
    last_error: LastErrorView | None = None
    started_at: Annotated[datetime, Meta(description="Since when it runs as it is wished to.")] | None = None
    last_activity: (
        Annotated[
            datetime,
            Meta(
                description="When somebody, or a kernel, was last seen to use it. It changes no version, as `If-Match` "
                "is about."
            ),
        ]
        | None
    ) = None
    stopped_reason: StoppedReasonView | None = None
    shared_with: Annotated[
        SharedWithView | None, Meta(description="With how many it is shared; absent: with nobody.")
    ] = None


class ShareView(msgspec.Struct, frozen=True, kw_only=True):
    """How a server is shared in JupyterHub, as last seen. Without a link, `reason` says why."""

    url: Annotated[Url, Meta(description="The link by which others come in; null: there is none.")] | None
    users: Annotated[list[str], Meta(description="JupyterHub's names of the people who have access.")]
    groups: Annotated[list[str], Meta(description="JupyterHub's groups that have access.")]
    as_of: Annotated[datetime, Meta(description="When that was seen.")] | UnsetType = UNSET
    expires_at: Annotated[datetime, Meta(description="When the link ends.")] | UnsetType = UNSET
    reason: Annotated[str, Meta(description="Why there is no link, in words.")] | UnsetType = UNSET


class SharedServerView(AnswerBody, frozen=True, kw_only=True):
    """A server that has a link or is shared in JupyterHub, as last seen."""

    id: RecordId = msgspec.field(name="_id")
    name: Annotated[str, Meta(description="The name that it has in JupyterHub.")]
    owner: OwnerEmail
    users: Annotated[list[str], Meta(description="JupyterHub's names of the people who have access.")]
    groups: Annotated[list[str], Meta(description="JupyterHub's groups that have access.")]
    as_of: Annotated[datetime, Meta(description="When that was seen.")] | None = None
    url: Annotated[Url, Meta(description="The link by which others come in.")] | None = None
    expires_at: Annotated[datetime, Meta(description="When the link ends.")] | None = None


GuestQuery = Annotated[
    str | None, QueryParameter(format=EMAIL, description="Whose access is taken back; without it, everybody's.")
]
TemplateId = Annotated[str, QueryParameter(name="templateId", max_length=64, description="Id of a template.")]


class ServersController(Controller):
    """Servers: application instances that JupyterHub launches."""

    path = "/servers"
    tags = ("Servers",)

    @get(opt=needs(Policy.SIGNED_IN), operation_id="listServers", summary="List servers", dependencies=LISTED)
    async def index(
        self,
        page: NamedDependency[Page],
        owner: OwnerQuery = None,
        type: Annotated[str | None, QueryParameter(description="Only those whose template is of this type.")] = None,
        name: Annotated[
            str | None, QueryParameter(description="A part of the server's or the template's name, in any case.")
        ] = None,
        status: Annotated[ServerStatus | None, QueryParameter(description="Only those in this state.")] = None,
        q: SearchQuery = None,
        sort: SortQuery = Sort.NEWEST,
    ) -> Response[list[ServerView]]:
        """One's own servers. Admins see everybody's, or those of one `owner`. `name` and `q` are the same."""
        order = page.order(sort)
        found = await servers.list_visible(
            owner=await _owner(owner, page.caller),
            type=type,
            status=status,
            name=name,
            q=q,
            order=order,
            limit=page.limit + 1,
            count=page.count,
        )
        return page.answer(found, key=order.key_of, view=lambda one: _view(one, page.settings))

    @post(
        opt=needs(Policy.SIGNED_IN) | TAGGED,
        status_code=200,
        operation_id="createServer",
        summary="Make a server and its template",
        dependencies=PREVIEWED,
    )
    async def create(
        self, data: JSONBody[TemplateCreate], write: NamedDependency[Write], services: NamedDependency[Services]
    ) -> Response[ServerView]:
        """Make a template and, from it, a server, which is stopped."""
        async with write:
            values = await new_template(data, write.caller, services.profiles, services.settings)
            template = await templates.read_visible(await templates.create(write.caller.id, values), write.caller)
            identity = await servers.create(template.snapshot(), write.caller, made_with_template=True)
            await _answer_made(write, identity, services.settings)
        return write.answer

    @put(
        opt=needs(Policy.RECORD) | TAGGED,
        operation_id="launchServer",
        summary="Make a server from a template",
        dependencies=PREVIEWED,
    )
    async def launch(
        self, template: TemplateId, write: NamedDependency[Write], settings: NamedDependency[Settings]
    ) -> Response[ServerView]:
        """Make a server, which is stopped, from a template that is public or one's own."""
        async with write:
            found = await templates.read_visible(query_id("template", template), write.caller, for_update=True)
            identity = await servers.create(
                found.snapshot(),
                write.caller,
                made_with_template=False,
                left_out=await _left_out(found.snapshot(), write.caller),
            )
            await _answer_made(write, identity, settings)
        return write.answer

    @get("/{id:str}", opt=needs(Policy.RECORD) | VERSIONED, operation_id="getServer", summary="Read a server")
    async def read(self, id: FromPath[UUID], read: NamedDependency[Read]) -> Response[ServerView]:
        """Read a server. Its status follows JupyterHub and the real process within half a minute."""
        found = await servers.show(id, read.caller)
        return Answer(_view(found, read.settings), version=found.version)

    @get(
        "/{id:str}/log",
        opt=needs(Policy.RECORD) | {"refusals": (409,)},
        operation_id="getServerLog",
        summary="Read the end of a server's log",
    )
    async def log(
        self, id: FromPath[UUID], read: NamedDependency[Read], services: NamedDependency[Services]
    ) -> Response[LogView]:
        """The last lines of the log of a server that runs or is starting, free of secrets.

        404: its spawner keeps no log that can be shown. 409: it does not run. 503: who knows is away.
        """
        found = await servers.show(id, read.caller)
        if found.status == ServerStatus.STOPPED:
            raise StateConflict(
                "The server does not run.", hint="Its last lines, if it failed, are in `last_error` of the server."
            )
        lines = await services.workflows.read_log(id)
        if lines is None:
            raise RecordMissing("There is no log of this server that can be shown.", code="LOG_MISSING")
        return Answer(LogView(log=lines))

    @delete(
        "/{id:str}/share",
        opt=needs(Policy.RECORD),
        status_code=202,
        operation_id="unshareServer",
        summary="Take back the link that shares a server",
        dependencies=PREVIEWED,
    )
    async def unshare(
        self, id: FromPath[UUID], write: NamedDependency[Write], email: GuestQuery = None
    ) -> Response[OperationView]:
        """Take back the link, and the access of whom the server is shared with: of one person by `email`, or of all.

        The link goes in either case, as that person could come back by it; the others stay. The operation's result says
        whether the person had access: `revoked` or `not_shared`.
        """
        async with write:
            server = await servers.read_visible(id, write.caller, for_update=True)
            operation = await server_shares.take_back(server, email, write.caller)
            write.accepts(operation, wakes=server_shares.access_of(id))
        return write.answer

    @delete(
        "/{id:str}",
        opt=needs(Policy.RECORD) | VERSIONED,
        status_code=202,
        operation_id="deleteServer",
        summary="Delete a server",
        dependencies=PREVIEWED,
    )
    async def delete(self, id: FromPath[UUID], write: NamedDependency[Write]) -> Response[OperationView]:
        """Delete a server; one that runs is stopped first.

        Its template goes too if the two were made together, it is not public, and nobody else used it.
        """
        return await _intend(id, Wish.DELETED, write)

    @put(
        "/{id:str}/start",
        opt=needs(Policy.RECORD) | VERSIONED,
        status_code=202,
        operation_id="startServer",
        summary="Start a server",
        dependencies=PREVIEWED,
    )
    async def start(self, id: FromPath[UUID], write: NamedDependency[Write]) -> Response[OperationView]:
        """Start a server. One that is stopping starts once it has stopped; one that runs stays as it is."""
        return await _intend(id, Wish.RUNNING, write)

    @put(
        "/{id:str}/stop",
        opt=needs(Policy.RECORD) | VERSIONED,
        status_code=202,
        operation_id="stopServer",
        summary="Stop a server",
        dependencies=PREVIEWED,
    )
    async def stop(self, id: FromPath[UUID], write: NamedDependency[Write]) -> Response[OperationView]:
        """Stop a server. A start that is under way is cancelled."""
        return await _intend(id, Wish.STOPPED, write)

    @get(
        "/shares",
        opt=needs(Policy.SIGNED_IN),
        operation_id="listServerShares",
        summary="List shared servers",
        dependencies=LISTED,
    )
    async def shares(self, page: NamedDependency[Page], owner: OwnerQuery = None) -> Response[list[SharedServerView]]:
        """One's own servers that have a link or are shared, newest first. Admins see everybody's."""
        found = await server_shares.list_shared(
            owner=await _owner(owner, page.caller), before=page.before, limit=page.limit + 1, count=page.count
        )
        return page.answer(found, key=lambda one: (str(one.id),), view=_shared_view)

    @get(
        "/{id:str}/share",
        opt=needs(Policy.RECORD) | {"refusals": (409, 429)},
        operation_id="getServerShare",
        summary="Ask for the link that shares a server",
    )
    async def share(
        self,
        id: FromPath[UUID],
        write: NamedDependency[Write],
        look: Annotated[bool, QueryParameter(description="Only look: no link is made.")] = False,
    ) -> ShareView:
        """The link that shares the server in JupyterHub, and with whom it is shared, as last seen.

        A link is made when the owner of a running server asks and there is none. With `look` none is made.
        """
        server = await servers.read_visible(id, write.caller)
        if look or server.owner_id != write.caller.id or _link_of(server) or server.status is not ServerStatus.RUNNING:
            return _share_view(server)
        async with write:
            operation = await server_shares.ask_link(server, write.caller)
            about = server_shares.access_of(id)
            write.accepts(operation, wakes=about, body=_share_view(server), wait=SHORT_WAIT)
        return _share_view(await servers.read_visible(id, write.caller))


async def _intend(id: UUID, wish: Wish, write: Write) -> Response[Any]:
    async with write:
        server = await servers.read_visible(id, write.caller, for_update=True)
        write.require_match(server.version)
        intent = await servers.intend(server.id, wish, write.caller)
        write.accepts(
            intent.operation,
            wakes=Subject("server", server.id),
            deletes=wish is Wish.DELETED,
            holds=partial(_held, server.id, write.caller) if wish is Wish.RUNNING else None,
        )
    return write.answer


async def _held(id: UUID, caller: Caller) -> Claims | None:
    """What the server would have and what not if it were started now, within a transaction that is undone."""
    await servers.intend(id, Wish.RUNNING, caller)
    server = await servers.read_visible(id, caller)
    return await mounts.foresee(id, server.generation, server.template_data.objects())


async def _left_out(template: TemplateData, caller: Caller) -> list[LeftOut]:
    """What of a template its new server would not have if it were started now."""
    wanted = template.objects()
    usable = await sharing.usable([identity for _, identity in wanted], caller)
    return [
        LeftOut(kind=kind, id=identity, reason=mounts.NOT_USABLE)
        for kind, identity in wanted
        if (kind, identity) not in usable
    ]


async def _answer_made(write: Write, identity: UUID, settings: Settings) -> None:
    made = await servers.show(identity, write.caller)
    write.previews(Subject("server", identity), partial(_held, identity, write.caller))
    write.done(_view(made, settings), version=made.version)


async def _owner(email: str | None, caller: Caller) -> UUID | None:
    """Whose servers are listed; None: everybody's."""
    if email is None:
        return None if caller.admin else caller.id
    # An id that nobody has makes an empty list of an e-mail that nobody has.
    return await persons.find_by_email(own_email(caller, email)) or UUID(int=0)


def _view(server: ServerShown, settings: Settings) -> ServerView:
    return ServerView(
        id=server.id,
        name=server.name,
        owner=server.owner,
        # Text and JSON that are sent as they are.
        status=cast("ServerStatus", server.status),
        template_id=server.template,
        template_data=cast("TemplateView", msgspec.Raw(server.snapshot)),
        application_type=server.application_type,
        url=settings.server_url(server.hub_user, server.name),
        operation=server.operation,
        access_ends_at=None
        if server.lost_at is None or settings.on_revoke == "defer"
        else server.lost_at + timedelta(seconds=settings.revoke_grace),
        last_error=None if server.error is None else _ERROR.decode(server.error),
        created_at=server.created_at,
        started_at=server.started_at,
        last_activity=server.last_activity,
        stopped_reason=None if server.stopped is None else cast("StoppedReasonView", msgspec.Raw(server.stopped)),
        shared_with=SharedWithView(people=server.people or 0, groups=server.groups or 0)
        if server.people or server.groups
        else None,
    )


_ERROR = msgspec.json.Decoder(LastErrorView)


def _link_of(server: ServerRecord | SharedServer) -> str | None:
    """The link, while it lives."""
    expires_at = server.share_expires_at
    return server.share_url if expires_at is not None and expires_at > datetime.now(UTC) else None


def _share_view(server: ServerRecord) -> ShareView:
    shared = server.shared_with or {}
    url, reason = _link_of(server), None
    if url is None:
        if server.status is ServerStatus.RUNNING:
            reason = "There is no link: the owner asks for one with GET, without `look`. One may be on its way."
        elif server.status is ServerStatus.STARTING:
            reason = "The server starts: ask for a link when it runs."
        elif server.started_once:
            reason = "There is no link; start the server to get a new one."
        else:
            reason = "The server was never started; JupyterHub makes links of servers that run."
    return ShareView(
        url=url,
        users=shared.get("users", []),
        groups=shared.get("groups", []),
        as_of=server.share_as_of or UNSET,
        expires_at=server.share_expires_at if url and server.share_expires_at else UNSET,
        reason=reason or UNSET,
    )


def _shared_view(server: SharedServer) -> SharedServerView:
    shared, url = server.shared_with or {}, _link_of(server)
    return SharedServerView(
        id=server.id,
        name=server.name,
        owner=server.owner,
        users=shared.get("users", []),
        groups=shared.get("groups", []),
        as_of=server.share_as_of,
        url=url,
        expires_at=server.share_expires_at if url else None,
    )
