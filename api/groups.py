"""Groups: people under one name, with a directory in all their servers."""

from typing import Annotated, Any, ClassVar
from uuid import UUID

import msgspec
from litestar import Controller, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, PathParameter, QueryParameter
from msgspec import UNSET, Meta, UnsetType

from api.http.answer import Answer
from api.http.etag import VERSIONED
from api.http.fields import EMAIL, AnswerBody, PathName, RecordId, RequestBody
from api.http.operation_view import OperationView
from api.http.pagination import COUNTED, LISTED, Page, SearchQuery, SortQuery
from api.http.policy import Policy, needs
from api.http.write import PREVIEWED, SHORT_WAIT, Write
from api.trash_routes import delete_route
from models.access import principals
from models.database.lists import Sort
from models.domain.errors import ActionForbidden, RequestInvalid
from models.domain.values import Caller, Subject
from models.records import groups
from models.records.groups import KIND, GroupRecord


class GroupBody(RequestBody, frozen=True, kw_only=True):
    """A group's name."""

    example: ClassVar[dict[str, Any]] = {"name": "glaciers"}

    name: PathName


class MemberUpdate(RequestBody, frozen=True, kw_only=True):
    """Whether a member is a manager, which managers say; or whether the member's servers show the group's directory,
    which only the member says."""

    schema_extra: ClassVar[dict[str, Any]] = {"minProperties": 1, "maxProperties": 1}
    example: ClassVar[dict[str, Any]] = {"manager": True}

    manager: Annotated[bool, Meta(description="Whether the member may change the group.")] | UnsetType = UNSET
    shown: Annotated[bool, Meta(description="Whether the member's servers show the group's directory.")] | UnsetType = (
        UNSET
    )


class GroupView(AnswerBody, frozen=True, kw_only=True):
    """A group; `manager` is the caller's own, and `shown` what the caller said about its directory in servers."""

    id: RecordId = msgspec.field(name="_id")
    name: Annotated[
        str, Meta(description="Nobody else has it, in any case; servers show its directory as `/opt/groups/<name>`.")
    ]
    member: Annotated[bool, Meta(description="Whether the caller is in it.")]
    manager: Annotated[bool, Meta(description="Whether the caller may change it.")]
    shown: (
        Annotated[bool, Meta(description="What the caller said about its directory in servers; absent: nothing.")]
        | None
    ) = None


MemberEmail = Annotated[str, QueryParameter(name="memberEmail", format=EMAIL, description="E-mail of a person.")]
MemberPath = Annotated[str, PathParameter(format=EMAIL, description="E-mail of a person.")]


class GroupsController(Controller):
    """Groups: people under one name, with a directory in all their servers."""

    path = "/groups"
    tags = ("Groups",)

    @get(opt=needs(Policy.SIGNED_IN), operation_id="listGroups", summary="List groups", dependencies=LISTED)
    async def index(
        self, page: NamedDependency[Page], q: SearchQuery = None, sort: SortQuery = Sort.NEWEST
    ) -> Response[list[GroupView]]:
        """Every group's name; its members are shown to members."""
        order = page.order(sort)
        found = await groups.list_visible(page.caller, q=q, order=order, limit=page.limit + 1, count=page.count)
        return page.answer(found, key=order.key_of, view=_view)

    @post(opt=needs(Policy.SIGNED_IN), status_code=202, operation_id="createGroup", summary="Make a group")
    async def create(self, data: JSONBody[GroupBody], write: NamedDependency[Write]) -> Response[GroupView]:
        """Make a group of which the caller is manager and first member."""
        async with write:
            identity, operation = await groups.create(data.name, write.caller)
            await write.accepts_record(operation, Subject(KIND, identity), _look)
        return write.answer

    @get("/{id:str}", opt=needs(Policy.RECORD) | VERSIONED, operation_id="getGroup", summary="Read a group")
    async def read(self, id: FromPath[UUID], caller: NamedDependency[Caller]) -> Response[GroupView]:
        """Read a group."""
        found = await groups.read(id, caller)
        return Answer(_view(found), version=found.version)

    @patch(
        "/{id:str}",
        opt=needs(Policy.RECORD) | VERSIONED,
        status_code=202,
        operation_id="renameGroup",
        summary="Rename a group",
    )
    async def rename(
        self, id: FromPath[UUID], data: JSONBody[GroupBody], write: NamedDependency[Write]
    ) -> Response[GroupView]:
        """Rename a group. Servers see its directory under the new name at their next start."""
        async with write:
            found = await groups.read_managed(id, write.caller)
            write.require_match(found.version)
            operation = await groups.rename(found, data.name, write.caller)
            await write.accepts_record(operation, Subject(KIND, id), _look)
        return write.answer

    @get(
        "/{id:str}/members",
        opt=needs(Policy.RECORD),
        operation_id="listGroupMembers",
        summary="List members",
        dependencies=COUNTED,
    )
    async def members(self, id: FromPath[UUID], page: NamedDependency[Page]) -> Response[list[str]]:
        """E-mails of the members, for members and admins."""
        found = await groups.read(id, page.caller)
        if not (found.member or page.caller.admin):
            raise ActionForbidden(
                "Only members of the group see its members.", hint="Ask one of its managers.", about=Subject(KIND, id)
            )
        listed = await groups.list_members(
            id, after=page.after[0] if page.after else None, limit=page.limit + 1, count=page.count
        )
        return page.answer(listed, key=lambda one: (one,), view=lambda one: one)

    @post(
        "/{id:str}/members",
        opt=needs(Policy.RECORD),
        status_code=202,
        operation_id="addGroupMember",
        summary="Add a member",
    )
    async def add_member(
        self, id: FromPath[UUID], email: MemberEmail, write: NamedDependency[Write]
    ) -> Response[OperationView]:
        """Add a person, who need not have signed in yet. True at the next request."""
        async with write:
            found = await groups.read_managed(id, write.caller)
            (person,) = await principals.invite([email], write.caller.id)
            operation = await groups.add_member(found, person.id, email, write.caller)
            write.accepts(operation, wakes=Subject(KIND, id), wait=SHORT_WAIT)
        return write.answer

    @patch(
        "/{id:str}/members/{memberEmail:str}",
        opt=needs(Policy.RECORD),
        status_code=202,
        operation_id="updateGroupMember",
        summary="Make a member a manager, or say whether one's servers show the group",
    )
    async def update_member(
        self,
        id: FromPath[UUID],
        memberEmail: MemberPath,  # noqa: N803 - the reference's name
        data: JSONBody[MemberUpdate],
        write: NamedDependency[Write],
    ) -> Response[OperationView]:
        """Make a member a manager of the group, or not; a group keeps one. Or, for oneself, have one's servers show the
        group's directory from their next start on, or not."""
        async with write:
            if data.manager is not UNSET and data.shown is UNSET:
                found = await groups.read_managed(id, write.caller)
                operation = await groups.set_manager(found, memberEmail, data.manager, write.caller)
            elif data.shown is not UNSET and data.manager is UNSET:
                found = await groups.read(id, write.caller, lock=True)
                if memberEmail != write.caller.email:
                    raise ActionForbidden(
                        "Only the member says what its servers show.", hint="Ask the member.", about=Subject(KIND, id)
                    )
                operation = await groups.set_shown(found, data.shown, write.caller)
            else:
                raise RequestInvalid.of("/manager", "required", "say one of `manager` and `shown`")
            write.accepts(operation, wakes=Subject(KIND, id), wait=SHORT_WAIT)
        return write.answer

    @delete(
        "/{id:str}/members/{memberEmail:str}",
        opt=needs(Policy.RECORD),
        status_code=202,
        operation_id="removeGroupMember",
        summary="Remove a member",
        dependencies=PREVIEWED,
    )
    async def remove_member(
        self,
        id: FromPath[UUID],
        memberEmail: MemberPath,  # noqa: N803 - the reference's name
        write: NamedDependency[Write],
    ) -> Response[OperationView]:
        """Remove a person; a member may remove itself. True at the next request; servers that hold more are stopped."""
        async with write:
            if memberEmail == write.caller.email:
                found = await groups.read(id, write.caller, lock=True)
            else:
                found = await groups.read_managed(id, write.caller)
            operation = await groups.remove_member(found, memberEmail, write.caller)
            write.accepts(operation, wakes=Subject(KIND, id), deletes=True, wait=SHORT_WAIT)
        return write.answer


async def _look(identity: UUID, caller: Caller) -> GroupView:
    return _view(await groups.read(identity, caller))


def _view(group: GroupRecord) -> GroupView:
    return GroupView(id=group.id, name=group.name, member=group.member, manager=group.manager, shown=group.shown)


ROUTES = [
    delete_route(
        KIND,
        "/groups/{id:str}",
        "Delete a group with its directory and everything that was granted to it.",
        groups.read_managed,
        groups.delete,
    ),
]
