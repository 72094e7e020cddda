"""Files and directories on the shared file system, and what the web UI offers as choices.

Permissions are those of the record that a directory belongs to (`models.records.volumes`); how nothing else is ever
reached is told in `integrations.containment`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter
from msgspec import Meta, Struct

from api.http.dependencies import own_email
from api.http.fields import EMAIL, AnswerBody, RequestBody
from api.http.pagination import Page
from api.http.policy import Policy, needs
from api.http.services import Services
from api.http.write import Replayed, Write
from integrations import lmod
from integrations.containment import LONGEST_NAME, LONGEST_PATH, components
from integrations.filesystem import Entry, EntryType, Volumes, check_new_name
from models.access.permissions import Level
from models.domain.errors import (
    ActionForbidden,
    ContentTooLarge,
    ProblemDetail,
    RecordMissing,
    RequestInvalid,
    printable,
)
from models.domain.ids import parse_id
from models.domain.kinds import DIRECTORIES, ROOTS, Root
from models.domain.settings import Settings
from models.domain.values import Caller
from models.ledger import claims
from models.ledger.claims import Claim
from models.records import persons, volumes
from models.records.volumes import NewEntry, TopEntry

T = TypeVar("T")

# How long a thread waits for a statement of its own request.
_STATEMENT_SECONDS = 5.0

_ABOUT_PATH = "A directory relative to the root, whose first component is a record's `_id` but in `notebooks`."
FileName = Annotated[
    str,
    Meta(min_length=1, max_length=LONGEST_NAME, extra={"text": "line"}, description="One name; needed."),
]
FilePath = Annotated[str, Meta(max_length=LONGEST_PATH, description=f"{_ABOUT_PATH} Absent or empty: the root.")]
Content = Annotated[str, Meta(description="What is in the file. Absent: nothing. Not for a directory.")]


class FileCreate(RequestBody, frozen=True, kw_only=True):
    """A file or directory to make. The schema requires no field, as ever; `root`, `name` and `type` are needed."""

    root: Annotated[Root, Meta(description="Needed.")] | None = None
    path: FilePath | None = None
    name: FileName | None = None
    type: Annotated[EntryType, Meta(description="Needed.")] | None = None
    content: Content | None = None


class EntryView(AnswerBody, frozen=True, kw_only=True):
    """A file or a directory at `path/name` below a root. `title` is the name of the record whose directory it is."""

    name: str
    path: str
    root: Root
    type: EntryType
    title: str | None = None


class FileView(AnswerBody, frozen=True, kw_only=True):
    """What was made."""

    name: str
    path: str
    root: Root
    type: EntryType
    content: str | None = None


class NewFile(Struct, frozen=True, kw_only=True):
    """A request to make something, found to be valid."""

    root: Root
    components: tuple[str, ...]
    name: str
    type: EntryType
    content: bytes


RootQuery = Annotated[Root, QueryParameter(name="root", description="Where to look.")]
# Names of at most 255 bytes, none of them empty, `.` or `..`.
_NAME = r"([^./\u0000][^/\u0000]{0,254}|\.[^./\u0000][^/\u0000]{0,253}|\.\.[^/\u0000]{1,253})"
PathQuery = Annotated[
    str,
    QueryParameter(
        name="path",
        max_length=LONGEST_PATH,
        description=_ABOUT_PATH,
        schema_extra={"pattern": f"^({_NAME}(/{_NAME})*)?$"},
    ),
]
EmailQuery = Annotated[
    str | None,
    QueryParameter(name="email", format=EMAIL, description="Whose home: one's own, or any for an admin."),
]


def largest_body(settings: Settings) -> int:
    """Bytes that a request with a file may have: in JSON, six of them may stand for one of the file."""
    return max(settings.max_body_bytes, 6 * settings.max_file_bytes + 65_536)


class VolumeController(Controller):
    """Files, directories, and hardware that templates may name."""

    path = "/volume"
    tags = ("Volume",)

    @post(
        "/file",
        opt=needs(Policy.RECORD) | {"largest_body": largest_body},
        status_code=200,
        operation_id="createFile",
        summary="Make a file or a directory",
    )
    async def create_file(
        self, data: JSONBody[FileCreate], write: NamedDependency[Write], services: NamedDependency[Services]
    ) -> Response[FileView]:
        """Make a file or directory in one's home, or in a dataset or group that one may write. Nothing is replaced."""
        wanted = new_file(data)
        view = FileView(
            name=wanted.name, path=data.path or "", root=wanted.root, type=wanted.type, content=data.content
        )
        # The answer follows from the request alone: a repeated one has the same, and no content has to be kept for it.
        with contextlib.suppress(Replayed):
            await write.replay()
            _check_size(wanted, services.settings)
            identity, below = _target(wanted, write.caller)
            await volumes.require(wanted.root, identity, write.caller, Level.WRITE)
            entry = NewEntry(root=wanted.root, record=identity, below=below, name=wanted.name, type=wanted.type.value)
            # The file comes first: whatever keeps it from being made is the answer, and nothing is recorded.
            async with write.claimed(volumes.CLAIM, identity, entry.detail()) as claim:
                maker = ClaimedMaker(claim, asyncio.get_running_loop())
                await services.file_threads.run(_make, services.settings, wanted, entry, maker)
            async with write:
                await volumes.record_made(entry, write.caller, write.request_id)
                write.done(FileView(name=view.name, path=view.path, root=view.root, type=view.type))
        return Response(view)

    @get("/files", opt=needs(Policy.RECORD), operation_id="listFiles", summary="List files and directories")
    async def files(
        self,
        root: RootQuery,
        caller: NamedDependency[Caller],
        page: NamedDependency[Page],
        services: NamedDependency[Services],
        path: PathQuery = "",
        email: EmailQuery = None,
    ) -> Response[list[EntryView]]:
        """What is in a directory, by name in byte order. Beneath the other roots than `notebooks`: one's records first.

        Links, devices and the like are not shown, nor are names that are not UTF-8.
        """
        names = _query_components(path)
        home = await _home_of(caller, root, email)
        if home is None and not names:
            found = await volumes.list_top(root, caller, before=page.before, limit=page.limit + 1)
            return page.answer(found, key=lambda one: (str(one.id),), view=_viewer_of_top(root))
        identity, below = (home, names) if home is not None else _record_of(root, names)
        await volumes.require(root, identity, caller, Level.READ)
        try:
            after = None if page.after is None else page.after[0]
            entries = await services.file_threads.run(
                _list, services.settings, root, identity, below, after, page.limit + 1
            )
        except RequestInvalid as refusal:
            raise _of_query(refusal.details[0].message) from None
        return page.answer(entries, key=lambda one: (one.name,), view=_viewer_of_entries(root, path))

    @get(
        "/lua",
        opt=needs(Policy.SIGNED_IN),
        operation_id="listLuaFunctions",
        summary="List functions of modulefiles",
        sync_to_thread=False,
    )
    def lua(self) -> list[str]:
        """Names of the functions that the `luaModuleFile` of a module may call."""
        return lmod.names()

    @get(
        "/hardware",
        opt=needs(Policy.SIGNED_IN),
        operation_id="listHardware",
        summary="List hardware options",
        sync_to_thread=False,
    )
    def hardware(self, services: NamedDependency[Services]) -> list[str]:
        """Names of the hardware options that a template may have, as configured."""
        return list(services.profiles.hardware)


class ClaimedMaker:
    """Who makes a file for a claim, in a thread, and knows it again when the request is repeated."""

    def __init__(self, claim: Claim, loop: asyncio.AbstractEventLoop) -> None:
        self._claim, self._loop = claim.id, loop
        self.mark = claim.id.hex

    def note(self, identity: str) -> None:
        """Write down what is about to get its name."""
        self._await(claims.note_made(self._claim, identity))

    def made(self, identity: str) -> bool:
        """Whether it was written down, by this request or by one that it repeats."""
        return self._await(claims.was_made(self._claim, identity))

    def _await(self, statement: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(statement, self._loop).result(_STATEMENT_SECONDS)


def new_file(body: FileCreate) -> NewFile:
    """A request to make something; raises `RequestInvalid` with all that is wrong."""
    problems = [
        ProblemDetail(path=f"/{field}", code="required", message="is required", info={"missingProperty": field})
        for field in ("root", "name", "type")
        if getattr(body, field) is None
    ]
    names: tuple[str, ...] = ()
    try:
        names = components(body.path or "")
    except ValueError as error:
        problems.append(ProblemDetail(path="/path", code="format", message=str(error)))
    if body.name is not None:
        try:
            check_new_name(body.name)
        except ValueError as error:
            problems.append(ProblemDetail(path="/name", code="format", message=str(error)))
    if body.content is not None and body.type is EntryType.DIRECTORY:
        problems.append(ProblemDetail(path="/content", code="format", message="a directory has no content"))
    if problems or body.root is None or body.name is None or body.type is None:
        raise RequestInvalid(problems)
    content = (body.content or "").encode()
    return NewFile(root=body.root, components=names, name=body.name, type=body.type, content=content)


def _check_size(wanted: NewFile, settings: Settings) -> None:
    if len(wanted.content) > settings.max_file_bytes:
        raise ContentTooLarge(f"The content of a file may have at most {settings.max_file_bytes} bytes.")


def _target(wanted: NewFile, caller: Caller) -> tuple[UUID, tuple[str, ...]]:
    """The record in whose directory something is to be made, and where in it."""
    if wanted.root is Root.NOTEBOOKS:
        return caller.id, wanted.components
    if not wanted.components:
        raise ActionForbidden(
            f"Nothing can be made right beneath {wanted.root}.", hint="Make a record, and it gets a directory there."
        )
    if wanted.root is Root.MODULES and wanted.components[0] == lmod.MODULEFILES:
        raise ActionForbidden("Module files are written by the service alone.", hint="Change the module instead.")
    return _record_of(wanted.root, wanted.components)


def _record_of(root: Root, names: tuple[str, ...]) -> tuple[UUID, tuple[str, ...]]:
    """The record that a path below a root begins with, and the rest of the path."""
    identity = parse_id(names[0])
    if identity is None:
        raise RecordMissing.of(ROOTS[root], printable(names[0]))
    return identity, names[1:]


async def _home_of(caller: Caller, root: Root, email: str | None) -> UUID | None:
    """Whose home is asked for; None for the other roots."""
    wanted = own_email(caller, email)
    if root is not Root.NOTEBOOKS:
        if wanted != caller.email:
            raise RequestInvalid.of("email", "format", "is for the root `notebooks` only", **{"in": "query"})
        return None
    if wanted == caller.email:
        return caller.id
    person = await persons.find_by_email(wanted)
    if person is None:
        raise RecordMissing("Nobody with this e-mail has signed in.")
    return person


def _query_components(path: str) -> tuple[str, ...]:
    try:
        return components(path)
    except ValueError as error:
        raise _of_query(str(error)) from None


def _of_query(message: str) -> RequestInvalid:
    return RequestInvalid.of("path", "format", message, **{"in": "query"})


def _path(identity: UUID, below: tuple[str, ...]) -> str:
    return "/".join((str(identity), *below))


def _list(
    settings: Settings, root: Root, identity: UUID, below: tuple[str, ...], after: str | None, limit: int
) -> list[Entry]:
    """What is in a directory below that of a record or person."""
    directory, found = DIRECTORIES[ROOTS[root]], Volumes()
    location = directory.location(settings)
    # Of that one no request says the path: what is wrong with it is no fault of the path.
    found.require_directory(location, identity, directory.called)
    return found.list_entries(location, _path(identity, below), after=after, limit=limit)


def _make(settings: Settings, wanted: NewFile, entry: NewEntry, maker: ClaimedMaker) -> None:
    """Make what is wanted in a directory below that of a record or person."""
    made = Volumes(uid=settings.files_uid, gid=settings.files_gid)
    directory, path = DIRECTORIES[ROOTS[wanted.root]], entry.path
    location = directory.location(settings)
    made.require_directory(location, entry.record, directory.called)
    if wanted.type is EntryType.DIRECTORY:
        made.create_directory(location, path, wanted.name, maker)
    else:
        made.create_file(location, path, wanted.name, wanted.content, maker)


def _viewer_of_top(root: Root) -> Callable[[TopEntry], EntryView]:
    return lambda place: EntryView(name=str(place.id), path="", root=root, type=EntryType.DIRECTORY, title=place.name)


def _viewer_of_entries(root: Root, path: str) -> Callable[[Entry], EntryView]:
    return lambda entry: EntryView(name=entry.name, path=path, root=root, type=entry.type)
