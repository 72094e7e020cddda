"""Modules: software that Lmod loads in servers."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import UNSET, Meta, UnsetType

from api.http.answer import Answer
from api.http.dependencies import OwnerQuery, new_owner, own_email
from api.http.etag import VERSIONED
from api.http.fields import AnswerBody, Description, Email, MayWrite, OwnerEmail, PathWord, RecordId, RequestBody, given
from api.http.pagination import LISTED, Page, SearchQuery, SortQuery
from api.http.policy import Policy, needs
from api.http.write import Write
from api.sharing_routes import sharing_routes
from api.trash_routes import trash_routes
from integrations import lmod
from models.access.permissions import Level
from models.database.lists import Sort
from models.domain.errors import ProblemDetail, RequestInvalid
from models.domain.settings import Settings
from models.domain.values import Caller, ModuleCall, Subject
from models.records import modules
from models.records.modules import KIND, ModuleRecord


class LuaCall(RequestBody, frozen=True, kw_only=True):
    """A call in a modulefile: a function that `GET /volume/lua` lists, and its arguments. `id` is needed."""

    id: Annotated[Annotated[str, Meta(max_length=64)], Meta(description="Name of the function.")] | None = None
    arguments: Annotated[list[str], Meta(description="What it is given, in order.")] | None = None


LuaFile = Annotated[
    list[LuaCall], Meta(max_length=lmod.MOST_ARGUMENTS, description="The calls of the modulefile, in order.")
]


# Each call is an object with a name and an array, and has an argument at least; then there are the fields.
_MOST_VALUES = 4 * lmod.MOST_ARGUMENTS + 16


class ModuleCreate(RequestBody, frozen=True, kw_only=True):
    """A new module. `write_access` is what answers tell; here it says nothing."""

    most_values: ClassVar[int | None] = _MOST_VALUES
    example: ClassVar[dict[str, Any]] = {
        "name": "gcc",
        "version": "13.2",
        "description": "The GNU compilers.",
        "luaModuleFile": [
            {"id": "whatis", "arguments": ["Name: gcc"]},
            {"id": "prepend_path", "arguments": ["PATH", "/opt/modules/binaries/gcc/bin"]},
        ],
    }

    name: PathWord
    version: PathWord
    description: Description | None = None
    featured: Annotated[bool, Meta(description="Whether it is shown to everybody first.")] | None = None
    lua_module_file: LuaFile | None = msgspec.field(name="luaModuleFile", default=None)
    owner: Annotated[Email, Meta(description="E-mail of the owner: the caller, or anybody for an admin.")] | None = None
    write_access: Annotated[bool, Meta(description="Accepted, and ignored.")] | None = None


class ModuleUpdate(RequestBody, frozen=True, kw_only=True):
    """What changes; a field that is absent stays as it is."""

    most_values: ClassVar[int | None] = _MOST_VALUES
    example: ClassVar[dict[str, Any]] = {"version": "13.3"}

    name: PathWord | UnsetType = UNSET
    version: PathWord | UnsetType = UNSET
    description: Description | None | UnsetType = UNSET
    featured: Annotated[bool, Meta(description="Whether it is shown to everybody first.")] | UnsetType = UNSET
    lua_module_file: LuaFile | UnsetType = msgspec.field(name="luaModuleFile", default=UNSET)


class ModuleView(AnswerBody, frozen=True, kw_only=True):
    """A module; `write_access` is the caller's own."""

    id: RecordId = msgspec.field(name="_id")
    name: Annotated[str, Meta(description="What `module load` calls it.")]
    version: Annotated[str, Meta(description="What follows its name after a `/`.")]
    featured: Annotated[bool, Meta(description="Whether it is shown to everybody first.")]
    lua_module_file: Annotated[list[ModuleCall], Meta(description="The calls of the modulefile, in order.")] = (
        msgspec.field(name="luaModuleFile")
    )
    owner: OwnerEmail
    write_access: MayWrite
    description: Annotated[str, Meta(description="What it is, in words.")] | None = None


class ModulesController(Controller):
    """Modules: software that Lmod loads in servers."""

    path = "/modules"
    tags = ("Modules",)

    @get(opt=needs(Policy.SIGNED_IN), operation_id="listModules", summary="List modules", dependencies=LISTED)
    async def index(
        self,
        page: NamedDependency[Page],
        owner: OwnerQuery = None,
        q: SearchQuery = None,
        sort: SortQuery = Sort.NEWEST,
    ) -> Response[list[ModuleView]]:
        """Modules that the caller may use; with `owner` those that one owns, or anybody for an admin."""
        wanted = None if owner is None else own_email(page.caller, owner)
        order = page.order(sort)
        found = await modules.list_visible(
            page.caller, owner=wanted, q=q, order=order, limit=page.limit + 1, count=page.count
        )
        return page.answer(found, key=order.key_of, view=lambda one: _view(one, page.caller))

    @post(opt=needs(Policy.SIGNED_IN), status_code=202, operation_id="createModule", summary="Make a module")
    async def create(
        self, data: JSONBody[ModuleCreate], write: NamedDependency[Write], settings: NamedDependency[Settings]
    ) -> Response[ModuleView]:
        """Make a module: an empty directory for its binaries, and its modulefile. It is done when both are there."""
        calls = _calls(data.lua_module_file or [])
        async with write:
            # Inside: a repeated request gets its first answer, whatever the caller may do by now.
            _check(data, calls, _featured_problems(write.caller, settings) if data.featured else ())
            owner = await new_owner(data.owner, write.caller)
            values = {
                "name": data.name,
                "module_version": data.version,
                "description": data.description or "",
                "featured": bool(data.featured),
            }
            identity, operation = await modules.create(owner, values, calls, write.caller)
            await write.accepts_record(operation, Subject(KIND, identity), _look)
        return write.answer

    @get("/{id:str}", opt=needs(Policy.RECORD) | VERSIONED, operation_id="getModule", summary="Read a module")
    async def read(self, id: FromPath[UUID], caller: NamedDependency[Caller]) -> Response[ModuleView]:
        """Read a module that the caller may use."""
        found = await modules.read(id, caller)
        return Answer(_view(found, caller), version=found.version)

    @patch(
        "/{id:str}",
        opt=needs(Policy.RECORD) | VERSIONED,
        status_code=202,
        operation_id="updateModule",
        summary="Change a module",
    )
    async def update(
        self,
        id: FromPath[UUID],
        data: JSONBody[ModuleUpdate],
        write: NamedDependency[Write],
        settings: NamedDependency[Settings],
    ) -> Response[ModuleView]:
        """Change a module that the caller may write. A new name or version moves its file.

        Servers see the change at their next start. It is done when the file is in place.
        """
        calls = None if data.lua_module_file is UNSET else _calls(data.lua_module_file)
        _check(data, calls)
        async with write:
            found = await modules.read(id, write.caller, Level.WRITE, lock=True)
            write.require_match(found.version)
            if data.featured is True and not found.featured:
                _check(data, None, _featured_problems(write.caller, settings))
            # The columns that change, but for the calls.
            values = given(
                name=data.name, module_version=data.version, description=data.description, featured=data.featured
            )
            if calls is None and values.keys() <= {"description", "featured"}:
                if values:
                    await modules.update(found, values, write.caller)
                changed = await modules.read(id, write.caller)
                write.done(_view(changed, write.caller), version=changed.version)
            else:
                operation = await modules.update_file(found, values, calls, write.caller)
                await write.accepts_record(operation, Subject(KIND, id), _look)
        return write.answer


def _calls(given: list[LuaCall]) -> list[ModuleCall]:
    # An absent id is refused like any other that is no function.
    return lmod.with_line_feeds([ModuleCall(id=one.id or "", arguments=one.arguments or []) for one in given])


def _check(
    data: ModuleCreate | ModuleUpdate, calls: list[ModuleCall] | None, more: Sequence[ProblemDetail] = ()
) -> None:
    """Raise `RequestInvalid` with all that is wrong with a module."""
    problems = list(more)
    reserved = (("name", data.name, lmod.RESERVED_NAMES), ("version", data.version, lmod.RESERVED_VERSIONS))
    problems += [
        ProblemDetail(path=f"/{field}", code="reserved", message="is a word that Lmod needs")
        for field, value, words in reserved
        if value is not UNSET and value.lower() in words
    ]
    problems += [ProblemDetail(path=path, code=code, message=text) for path, code, text in lmod.problems(calls or [])]
    if problems:
        raise RequestInvalid(problems)


def _featured_problems(caller: Caller, settings: Settings) -> list[ProblemDetail]:
    """What is against it that the caller makes a module featured."""
    if caller.admin or not settings.featured_by_admins_only:
        return []
    return [ProblemDetail(path="/featured", code="admin", message="only admins make modules featured here")]


async def _look(identity: UUID, caller: Caller) -> ModuleView:
    return _view(await modules.read(identity, caller), caller)


def _view(module: ModuleRecord, caller: Caller) -> ModuleView:
    return ModuleView(
        id=module.id,
        name=module.name,
        version=module.module_version,
        description=module.description or None,
        featured=module.featured,
        lua_module_file=module.calls,
        owner=module.owner,
        write_access=module.writable_by(caller),
    )


ROUTES = [
    *trash_routes("/modules/{id:str}", modules.RECORDS, _look, ModuleView),
    *sharing_routes(KIND, "/modules/{id:str}"),
]
