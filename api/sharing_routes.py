"""The routes of sharing, the same for every kind of object."""

from uuid import UUID

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from api import sharing
from api.http.operation_view import OperationView
from api.http.pagination import Page
from api.http.policy import Policy, needs
from api.http.write import Write
from api.sharing import AccessType, AccessView, ExplainedEmail, ExplanationView, RevokeBody, ShareBody
from models.domain.settings import Settings
from models.domain.values import Caller


def sharing_routes(kind: str, path: str, *, share_at: str = "") -> list[HTTPRouteHandler]:
    """Share, revoke, access and explain for a kind of object at `path`, which ends with the object's id.

    `share_at` is a further path at which clients share it.
    """
    noun = kind.capitalize()
    tags = (f"{noun}s",)

    def share_route(at: str, operation: str) -> HTTPRouteHandler:
        @post(
            at,
            opt=needs(Policy.RECORD),
            status_code=202,
            operation_id=operation,
            summary=f"Share a {kind}",
            description=f"Let people, groups or organisations use a {kind}. True at the next request.",
            tags=tags,
        )
        async def share(
            id: FromPath[UUID],
            data: JSONBody[ShareBody],
            write: NamedDependency[Write],
            settings: NamedDependency[Settings],
        ) -> Response[OperationView]:
            return await sharing.share(write, kind, id, data, settings)

        return share

    @post(
        f"{path}/revoke",
        opt=needs(Policy.RECORD),
        status_code=202,
        operation_id=f"revoke{noun}",
        summary=f"Stop sharing a {kind}",
        description=f"Take access away. True at the next request; servers that hold the {kind} are stopped.",
        tags=tags,
    )
    async def revoke(
        id: FromPath[UUID],
        data: JSONBody[RevokeBody],
        write: NamedDependency[Write],
        settings: NamedDependency[Settings],
    ) -> Response[OperationView]:
        return await sharing.revoke(write, kind, id, data, settings)

    @get(
        f"{path}/access",
        opt=needs(Policy.RECORD),
        operation_id=f"get{noun}Access",
        summary="Who has access",
        description="Users, groups and organisations with access, and how far it goes.",
        tags=tags,
    )
    async def access(
        id: FromPath[UUID], caller: NamedDependency[Caller], page: NamedDependency[Page], type: AccessType = None
    ) -> Response[list[AccessView]]:
        return await sharing.access(kind, id, caller, page, type)

    @get(
        f"{path}/access/explain",
        opt=needs(Policy.RECORD),
        operation_id=f"explain{noun}Access",
        summary="Why a person has access",
        description="Every way in which a person has access.",
        tags=tags,
    )
    async def explain(id: FromPath[UUID], caller: NamedDependency[Caller], email: ExplainedEmail) -> ExplanationView:
        return await sharing.explain(kind, id, caller, email)

    shares = [share_route(share_at or f"{path}/share", f"share{noun}")]
    if share_at:
        shares.append(share_route(f"{path}/share", f"share{noun}ById"))
    return [*shares, revoke, access, explain]
