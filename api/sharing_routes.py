"""Sharing, the same for every kind of object: what clients send and see of it, and the routes."""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta

from api.http.fields import EMAIL, AnswerBody, Email, RequestBody
from api.http.operation_view import OperationView
from api.http.pagination import LISTED, Page
from api.http.policy import Policy, needs
from api.http.write import PREVIEWED, Write
from models.access import principals, sharing
from models.access.permissions import RELATIONS, Level
from models.access.sharing import PLACES, AccessEntry, Shareable, Way
from models.domain.errors import RequestInvalid, quoted
from models.domain.settings import Settings
from models.domain.values import Caller, Subject
from models.ledger import operations

MOST_PRINCIPALS = 10_000
PersonEmail = Annotated[Email, Meta(extra={"kept": True})]
PrincipalName = Annotated[str, Meta(min_length=1, max_length=255, extra={"text": "line", "kept": True})]
Emails = Annotated[list[PersonEmail], Meta(max_length=MOST_PRINCIPALS, description="E-mails of people.")]
GroupNames = Annotated[list[PrincipalName], Meta(max_length=MOST_PRINCIPALS, description="Ids or names of groups.")]
OrgNames = Annotated[list[PrincipalName], Meta(max_length=MOST_PRINCIPALS, description="Names of organisations.")]
Relation = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        extra={"text": "line"},
        extra_json_schema={"enum": list(RELATIONS)},
        description="`read` or `write`, which implies read; the others are synonyms.",
    ),
]
AccessType = Annotated[
    str | None,
    QueryParameter(
        max_length=64,
        description="Only entries of this type: `user`, `group` or `org`.",
        schema_extra={"pattern": "^(users?|groups?|orgs?)?$"},
    ),
]
ExplainedEmail = Annotated[str, QueryParameter(format=EMAIL, description="Whose access is explained.")]


Access = Annotated[str, Meta(extra_json_schema={"enum": [level.word for level in Level]})]
PrincipalType = Annotated[str, Meta(extra_json_schema={"enum": list(PLACES)})]


_NOBODY: dict[str, Any] = {"enum": [None, []]}


class RevokeBody(RequestBody, frozen=True, kw_only=True):
    """From whom access is taken. One string stands for an array of it; somebody has to be named."""

    schema_extra: ClassVar[dict[str, Any]] = {
        "not": {"properties": {"userArray": _NOBODY, "groupArray": _NOBODY, "orgArray": _NOBODY}}
    }
    example: ClassVar[dict[str, Any]] = {
        "relation": "read",
        "userArray": ["bob@example.org"],
        "groupArray": ["glaciers"],
    }

    relation: Relation
    user_array: Annotated[Emails | PersonEmail | None, Meta(description="E-mails of people.")] = msgspec.field(
        name="userArray", default=None
    )
    group_array: Annotated[GroupNames | PrincipalName | None, Meta(description="Ids or names of groups.")] = (
        msgspec.field(name="groupArray", default=None)
    )
    org_array: Annotated[OrgNames | PrincipalName | None, Meta(description="Names of organisations.")] = msgspec.field(
        name="orgArray", default=None
    )

    def level(self) -> Level:
        """The level that `relation` names; raises `RequestInvalid`."""
        level = RELATIONS.get(self.relation)
        if level is None:
            words = ", ".join(RELATIONS)
            raise RequestInvalid.of("/relation", "enum", f"must be one of {words}, not {quoted(self.relation)}")
        return level

    def named(self) -> tuple[list[str], list[str], list[str]]:
        """Users, groups and organisations; raises `RequestInvalid` when nobody is named."""
        named = _array(self.user_array), _array(self.group_array), _array(self.org_array)
        if not any(named):
            raise RequestInvalid.of("/userArray", "required", "name somebody: a user, a group or an organisation")
        return named


class ShareBody(RevokeBody, frozen=True, kw_only=True):
    """To whom access is given, and until when."""

    example: ClassVar[dict[str, Any]] = {
        "relation": "read",
        "userArray": ["bob@example.org"],
        "groupArray": ["glaciers"],
        "expires_at": "2099-12-31T12:00:00Z",
    }

    expires_at: Annotated[datetime, Meta(tz=True, description="When the access ends by itself.")] | None = None


class AccessView(AnswerBody, frozen=True, kw_only=True):
    """One principal's access; a group has its id beside its name."""

    access: Annotated[Access, Meta(description="How far it goes.")]
    entity: Annotated[str, Meta(description="E-mail of the person, or name of the group or organisation.")]
    type: Annotated[PrincipalType, Meta(description="What the entity is.")]
    id: Annotated[UUID, Meta(description="Id of the group.")] | None = msgspec.field(name="_id", default=None)
    expires_at: Annotated[
        datetime | None, Meta(description="When it ends by itself; a lower one may go on. Absent: it does not.")
    ] = None
    granted_by: Annotated[
        str | None, Meta(description="E-mail of who gave it last; absent where nobody had to give it.")
    ] = None


class WayView(AnswerBody, frozen=True, kw_only=True):
    """One way in which a person has access. A group that one is not in and an organisation are named only to that
    person and to admins."""

    type: Annotated[PrincipalType, Meta(description="By what.")]
    access: Annotated[Access, Meta(description="How far it goes.")]
    entity: Annotated[str, Meta(description="E-mail of the person, or name of the group or organisation.")] | None = (
        None
    )
    expires_at: Annotated[datetime, Meta(description="When it ends.")] | None = None


class ExplanationView(AnswerBody, frozen=True, kw_only=True):
    """A person's access and every way to it. Without any, `access` is absent."""

    email: Annotated[str, Meta(description="Whose access it is.")]
    via: Annotated[list[WayView], Meta(description="Every way, the person's own first.")]
    access: Annotated[Access, Meta(description="The highest of them.")] | None = None


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
            dependencies=PREVIEWED,
        )
        async def share(
            id: FromPath[UUID],
            data: JSONBody[ShareBody],
            write: NamedDependency[Write],
            settings: NamedDependency[Settings],
        ) -> Response[OperationView]:
            level, named = data.level(), data.named()
            async with write:
                # Inside: a repeated request may come after that time, and gets its first answer.
                if data.expires_at is not None and data.expires_at <= datetime.now(UTC):
                    raise RequestInvalid.of("/expires_at", "past", "must be in the future")
                shareable = await sharing.read(kind, id, write.caller, Level.OWNER, hold=True)
                found = await principals.find(*named, settings.known_orgs, by=write.caller.id)
                await sharing.grant(shareable, found, level, data.expires_at, write.caller)
                await _accept(write, shareable, "share", found, level)
            return write.answer

        return share

    @post(
        f"{path}/revoke",
        opt=needs(Policy.RECORD),
        status_code=202,
        operation_id=f"revoke{noun}",
        summary=f"Stop sharing a {kind}",
        description=f"Take access away. True at the next request; servers that hold the {kind} are stopped.",
        tags=tags,
        dependencies=PREVIEWED,
    )
    async def revoke(
        id: FromPath[UUID],
        data: JSONBody[RevokeBody],
        write: NamedDependency[Write],
        settings: NamedDependency[Settings],
    ) -> Response[OperationView]:
        level, named = data.level(), data.named()
        async with write:
            shareable = await sharing.read(kind, id, write.caller, Level.OWNER)
            found = await principals.find(*named, settings.known_orgs, granted=shareable.id, by=write.caller.id)
            await sharing.revoke(shareable, found, level)
            await _accept(write, shareable, "revoke", found, level)
        return write.answer

    @get(
        f"{path}/access",
        opt=needs(Policy.RECORD),
        operation_id=f"get{noun}Access",
        dependencies=LISTED,
        summary="Who has access",
        description="Users, groups and organisations with access, and how far it goes.",
        tags=tags,
    )
    async def access(
        id: FromPath[UUID], page: NamedDependency[Page], type: AccessType = None
    ) -> Response[list[AccessView]]:
        wanted = _principal_type(type)
        after = None if page.after is None else (page.after[0], page.after[1])
        shareable = await sharing.read(kind, id, page.caller, Level.WRITE)
        found = await sharing.list_access(
            shareable.id, wanted, owner=shareable.owner_id, after=after, limit=page.limit + 1, count=page.count
        )
        return page.answer(found, key=lambda one: (one.type, one.entity), view=_access_view)

    @get(
        f"{path}/access/explain",
        opt=needs(Policy.RECORD),
        operation_id=f"explain{noun}Access",
        summary="Why a person has access",
        description="Every way in which a person has access.",
        tags=tags,
    )
    async def explain(id: FromPath[UUID], caller: NamedDependency[Caller], email: ExplainedEmail) -> ExplanationView:
        shareable = await sharing.read(kind, id, caller, Level.WRITE)
        ways = await sharing.explain(shareable, email, caller)
        return ExplanationView(
            email=email,
            via=[_way_view(way) for way in ways],
            access=max(way.level for way in ways).word if ways else None,
        )

    shares = [share_route(share_at or f"{path}/share", f"share{noun}")]
    if share_at:
        shares.append(share_route(f"{path}/share", f"share{noun}ById"))
    return [*shares, revoke, access, explain]


async def _accept(write: Write, shareable: Shareable, verb: str, found: principals.Principals, level: Level) -> None:
    subject = Subject.access_of(shareable.kind, shareable.id)
    operation = await operations.open_operation(
        f"{shareable.kind}.{verb}",
        subject,
        owner=shareable.owner_id,
        actor=write.caller,
        detail={
            "relation": level.word,
            "users": len(found.persons),
            "groups": [str(one.id) for one in found.groups[:100]],
            "orgs": found.orgs[:100],
        },
    )
    await sharing.keep_results(operation, shareable, found, {"share": "granted", "revoke": "revoked"}[verb])
    write.accepts(operation, wakes=subject)


def _access_view(entry: AccessEntry) -> AccessView:
    return AccessView(
        access=entry.level.word,
        entity=entry.entity,
        type=entry.type,
        id=entry.group,
        expires_at=entry.expires_at,
        granted_by=entry.granted_by,
    )


def _way_view(way: Way) -> WayView:
    return WayView(type=way.type, entity=way.entity, access=way.level.word, expires_at=way.expires_at)


def _array(value: list[str] | str | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def _principal_type(word: str | None) -> str | None:
    """`user`, `users` and so on; None and the empty text: all. Raises `RequestInvalid`."""
    if not word:
        return None
    singular = word.strip().lower().removesuffix("s")
    if singular not in PLACES:
        raise RequestInvalid.of("type", "enum", "must be user, group or org", **{"in": "query"})
    return singular
