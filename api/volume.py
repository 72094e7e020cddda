"""Files and directories on the shared file system, and what the web UI offers as choices.

Permissions are those of the record that a directory belongs to (`models.records.volumes`); how nothing else is ever
reached is told in `integrations.containment`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from email.utils import formatdate
from functools import partial
from typing import Annotated, Any, ClassVar, TypeVar
from urllib.parse import quote
from uuid import UUID

from litestar import Controller, Request, Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.response import Stream
from msgspec import Meta, Struct

from api.file_paths import (
    ABOUT_PATH,
    ClaimedMaker,
    EmailQuery,
    FilePathQuery,
    PathQuery,
    RootQuery,
    home_of,
    in_query,
    of_query,
    path_of,
    query_components,
    receive,
    record_of,
    require_directory,
    target_of_path,
)
from api.http.errors import answer_for
from api.http.etag import DOWNLOADED, Conditions
from api.http.fields import AnswerBody, RequestBody
from api.http.pagination import SPARSE, Page
from api.http.policy import Policy, needs
from api.http.ranges import RangeUnsatisfiable, range_of
from api.http.services import Services
from api.http.validation import STREAMED
from api.http.write import Replayed, Write
from integrations import lmod
from integrations.containment import LONGEST_NAME, LONGEST_PATH, components
from integrations.contents import Content, Draft, Version, version_at
from integrations.file_threads import Transfer
from integrations.filesystem import Entry, EntryType, Listing, Volumes, check_new_name
from models.access.permissions import Level
from models.domain.errors import (
    ContentTooLarge,
    ProblemDetail,
    RangeRefused,
    RequestInvalid,
)
from models.domain.kinds import DIRECTORIES, ROOTS, Root
from models.domain.settings import Settings
from models.domain.values import Caller
from models.records import volumes
from models.records.volumes import NewEntry, TopEntry

T = TypeVar("T")

# Of a file so much is in memory, for each request.
_PART = 262_144


FileName = Annotated[
    str,
    Meta(min_length=1, max_length=LONGEST_NAME, extra={"text": "line"}, description="One name; needed."),
]
FilePath = Annotated[str, Meta(max_length=LONGEST_PATH, description=f"{ABOUT_PATH} Absent or empty: the root.")]
Text = Annotated[str, Meta(description="What is in the file. Absent: nothing. Not for a directory.")]


class FileCreate(RequestBody, frozen=True, kw_only=True):
    """A file or directory to make. The schema requires no field, as ever; `root`, `name` and `type` are needed."""

    example: ClassVar[dict[str, Any]] = {
        "root": "notebooks",
        "path": "reports",
        "name": "summary.md",
        "type": "file",
        "content": "# Summary",
    }

    root: Annotated[Root | None, Meta(description="Where to make it; needed.")] = None
    path: FilePath | None = None
    name: FileName | None = None
    type: Annotated[EntryType | None, Meta(description="What to make; needed.")] = None
    content: Text | None = None


class EntryView(AnswerBody, frozen=True, kw_only=True):
    """A file or a directory at `path/name` below a root. `title` is the name of the record whose directory it is.

    `size` is a file's, in bytes. Both it and `modified_at` are absent of what went while one looked.
    """

    name: Annotated[str, Meta(description="Its last component.")]
    path: Annotated[str, Meta(description="The directory that it is in, relative to the root.")]
    root: Root
    type: EntryType
    title: Annotated[str, Meta(description="The name of the record whose directory it is.")] | None = None
    size: Annotated[int, Meta(description="Bytes; of a file.")] | None = None
    modified_at: Annotated[datetime, Meta(description="When it was last changed.")] | None = None


class FileView(AnswerBody, frozen=True, kw_only=True):
    """What was made."""

    name: Annotated[str, Meta(description="Its last component.")]
    path: Annotated[str, Meta(description="The directory that it is in, relative to the root.")]
    root: Root
    type: EntryType
    content: Annotated[str, Meta(description="What was written.")] | None = None
    size: Annotated[int, Meta(description="Bytes; of a file.")] | None = None


class NewFile(Struct, frozen=True, kw_only=True):
    """A request to make something, found to be valid."""

    root: Root
    components: tuple[str, ...]
    name: str
    type: EntryType
    content: bytes


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
            identity, below = target_of_path(wanted.root, wanted.components, write.caller)
            await volumes.require(wanted.root, identity, write.caller, Level.WRITE)
            entry = NewEntry(root=wanted.root, record=identity, below=below, name=wanted.name, type=wanted.type.value)
            # The file comes first: whatever keeps it from being made is the answer, and nothing is recorded.
            async with write.claimed(volumes.CLAIM, identity, entry.detail()) as claim:
                maker = ClaimedMaker(claim, asyncio.get_running_loop())
                await services.file_threads.of(write.caller.id).run(_make, services.settings, wanted, entry, maker)
            async with write:
                await volumes.record_made(entry, write.caller)
                write.done(FileView(name=view.name, path=view.path, root=view.root, type=view.type))
        return Response(view)

    @put(
        "/file",
        opt=needs(Policy.RECORD)
        | {STREAMED: "application/octet-stream", "largest_body": lambda settings: settings.max_upload_bytes},
        operation_id="writeFile",
        summary="Write the content of a file",
    )
    async def write_file(
        self,
        root: RootQuery,
        path: FilePathQuery,
        request: Request[Caller, Any, Any],
        write: NamedDependency[Write],
        services: NamedDependency[Services],
    ) -> Response[FileView]:
        """Make a file, or replace one as a whole: until the last byte is on the disk, the earlier one stays.

        With `If-None-Match: *` nothing is replaced, with `If-Match` no other version. Links are neither followed nor
        replaced; permissions to execute stay.
        """
        entry = _written(root, query_components(path), write.caller)
        conditions = Conditions.of(request)
        place = DIRECTORIES[ROOTS[root]].location(services.settings)
        require = partial(volumes.require, root, entry.record, write.caller, Level.WRITE)
        await require()
        transfer = services.file_threads.of(write.caller.id).begin_transfer()
        with in_query():
            await transfer.run(require_directory, services.settings, root, entry.record)
            if "idempotency-key" not in request.headers:
                # It may be known before the content is; a request that repeats another has its answer first.
                conditions.require(*_state(await transfer.run(version_at, place, entry.path, entry.name)))
            async with write.claimed(volumes.CLAIM, entry.record, entry.detail(), streamed=True) as claim:
                maker = ClaimedMaker(claim, asyncio.get_running_loop(), entry)
                volume = Volumes(uid=services.settings.files_uid, gid=services.settings.files_gid)
                draft = await transfer.run(Draft, volume, place, entry.path, entry.name, maker)
                try:
                    maker.go_on_with(await write.hold_key(await receive(request, draft, transfer, write)))
                    # Much may have changed since the first byte came.
                    await require()
                    version = await transfer.run(draft.finish, lambda found: conditions.require(*_state(found)))
                finally:
                    await transfer.run(draft.discard)
        async with write:
            await volumes.record_made(entry, write.caller)
            view = FileView(
                name=entry.name,
                path=path.rpartition("/")[0],
                root=root,
                type=EntryType.FILE,
                size=version.size,
            )
            write.done(view, tag=version.tag)
        return write.answer

    @get(
        "/file",
        opt=needs(Policy.RECORD) | DOWNLOADED,
        operation_id="readFile",
        summary="Read the content of a file",
    )
    async def read_file(
        self,
        root: RootQuery,
        path: FilePathQuery,
        request: Request[Caller, Any, Any],
        caller: NamedDependency[Caller],
        services: NamedDependency[Services],
        email: EmailQuery = None,
    ) -> Response[bytes]:
        """The content as it is, or one range of it; always to be saved, never to be shown by a browser."""
        names = query_components(path)
        home = await home_of(caller, root, email)
        identity, below = (home, names) if home is not None else record_of(root, names)
        await volumes.require(root, identity, caller, Level.READ)
        transfer = services.file_threads.of(caller.id).begin_transfer()
        with in_query():
            await transfer.run(require_directory, services.settings, root, identity)
            place = DIRECTORIES[ROOTS[root]].location(services.settings)
            content = await transfer.run(Content, place, path_of(identity, below))
        return _answer_with(content, request, names[-1], transfer)

    @get(
        "/files",
        opt=needs(Policy.RECORD),
        operation_id="listFiles",
        summary="List files and directories",
        dependencies=SPARSE,
    )
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

        A directory of more than 10,000 entries comes in its own order, and a page of it may be short though more come.
        Links, devices and the like are not shown, nor are names that are not UTF-8.
        """
        names = query_components(path)
        home = await home_of(caller, root, email)
        if home is None and not names:
            found = await volumes.list_top(root, caller, order=page.order(), limit=page.limit + 1)
            return page.answer(found, key=lambda one: (str(one.id),), view=_viewer_of_top(root))
        identity, below = (home, names) if home is not None else record_of(root, names)
        await volumes.require(root, identity, caller, Level.READ)
        with in_query():
            part = await services.file_threads.of(caller.id).run(
                _list, services.settings, root, identity, below, page.after, page.limit
            )
        return page.answer_part(part.entries, after=part.after, view=_viewer_of_entries(root, path))

    @get(
        "/lua",
        opt=needs(Policy.SIGNED_IN),
        operation_id="listLuaFunctions",
        summary="List functions of modulefiles",
        sync_to_thread=False,
    )
    def lua(self) -> list[str]:
        """Names of the functions that the `luaModuleFile` of a module may call."""
        return list(lmod.FUNCTIONS)

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
        raise ContentTooLarge(
            f"The content of a file may have at most {settings.max_file_bytes} bytes here.",
            hint="`PUT /volume/file` takes larger ones.",
        )


def _written(root: Root, names: tuple[str, ...], caller: Caller) -> NewEntry:
    """The file that is to be written, at a path below a root."""
    *directory, name = names
    try:
        check_new_name(name)
    except ValueError as error:
        raise of_query(str(error)) from None
    identity, below = target_of_path(root, tuple(directory), caller)
    return NewEntry(root=root, record=identity, below=below, name=name, type=EntryType.FILE.value, written=True)


def _list(
    settings: Settings, root: Root, identity: UUID, below: tuple[str, ...], after: tuple[str, ...] | None, limit: int
) -> Listing:
    """What is in a directory below that of a record or person."""
    location = require_directory(settings, root, identity)
    return Volumes().list_entries(location, path_of(identity, below), after=after, limit=limit)


def _make(settings: Settings, wanted: NewFile, entry: NewEntry, maker: ClaimedMaker) -> None:
    """Make what is wanted in a directory below that of a record or person."""
    made = Volumes(uid=settings.files_uid, gid=settings.files_gid)
    location, path = require_directory(settings, wanted.root, entry.record), entry.path
    if wanted.type is EntryType.DIRECTORY:
        made.create_directory(location, path, wanted.name, maker)
    else:
        made.create_file(location, path, wanted.name, wanted.content, maker)


def _state(there: Version | None) -> tuple[str | None, int]:
    return (None, 0) if there is None else (there.tag, there.modified)


def _answer_with(content: Content, request: Request[Caller, Any, Any], name: str, transfer: Transfer) -> Response[Any]:
    """The answer that a request for a file gets: all of it, a part, or what keeps it from having one."""
    conditions, version = Conditions.of(request), content.version
    conditions.require_same(version.tag, version.modified)
    headers = {
        "ETag": version.tag,
        "Last-Modified": formatdate(version.modified, usegmt=True),
        "Accept-Ranges": "bytes",
        # Together with `nosniff`: nobody's page is shown, or run, as one of this service.
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
    }
    if conditions.is_known(version.tag, version.modified):
        return Response(None, status_code=304, headers=headers)
    try:
        part = range_of(request, version.size, version.tag)
    except RangeUnsatisfiable:
        refusal = RangeRefused(f"The file has {version.size} bytes, and none of those that were asked for.")
        return answer_for(refusal, {"Content-Range": f"bytes */{version.size}"})
    start, length = part or (0, version.size)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{version.size}"
    headers["Content-Length"] = str(length)
    return Stream(
        _parts_of(content, start, length, transfer),
        status_code=200 if part is None else 206,
        headers=headers,
        media_type="application/octet-stream",
    )


async def _parts_of(content: Content, start: int, length: int, transfer: Transfer) -> AsyncIterator[bytes]:
    while length:
        part = await transfer.run(content.read, start, min(length, _PART))
        if not part:
            # Too late for a refusal. An answer that ends too early is taken for broken, as it is.
            return
        start, length = start + len(part), length - len(part)
        yield part


def _viewer_of_top(root: Root) -> Callable[[TopEntry], EntryView]:
    return lambda place: EntryView(name=str(place.id), path="", root=root, type=EntryType.DIRECTORY, title=place.name)


def _viewer_of_entries(root: Root, path: str) -> Callable[[Entry], EntryView]:
    return lambda entry: EntryView(
        name=entry.name, path=path, root=root, type=entry.type, size=entry.size, modified_at=entry.modified
    )
