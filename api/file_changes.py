"""Renaming, moving, copying and deleting files and directories."""

import asyncio
import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, ClassVar
from uuid import UUID

from litestar import Controller, Response, delete, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta, Struct

from api.file_paths import (
    ClaimedMaker,
    EntryPath,
    FilePathQuery,
    RootQuery,
    in_query,
    path_of,
    query_components,
    require_directory,
    target_of_path,
)
from api.http.etag import TAGGED
from api.http.fields import AnswerBody, RequestBody
from api.http.policy import Policy, needs
from api.http.services import Services
from api.http.write import Write
from integrations import changes
from integrations.containment import components
from integrations.contents import Content, Draft, Version
from integrations.file_threads import PersonsThreads
from integrations.filesystem import EntryType, Volumes
from models.access.permissions import Level
from models.database.transactions import Transaction
from models.domain.errors import (
    ContentTooLarge,
    RecordMissing,
    RequestInvalid,
    StateConflict,
    VolumeUnavailable,
)
from models.domain.ids import new_id
from models.domain.kinds import Root
from models.domain.values import Caller
from models.ledger import claims
from models.records import volumes
from models.records.volumes import NewEntry

# So much of a copy is made by one call, which may take no longer than any other.
_PART = 8 * 2**20


class MoveBody(RequestBody, frozen=True, kw_only=True):
    """What is to be renamed or moved, within one root and the directory of one record."""

    example: ClassVar[dict[str, Any]] = {"root": "notebooks", "path": "reports/summary.md", "to": "reports/2026.md"}

    root: Root
    path: EntryPath
    to: EntryPath


class CopyBody(RequestBody, frozen=True, kw_only=True):
    """The file that is to be copied. `to_root` is that of the copy; absent: the same."""

    example: ClassVar[dict[str, Any]] = {
        "root": "notebooks",
        "path": "reports/2026.md",
        "to": "0199c2f8-11d0-7a55-9c1e-2b3a4c5d6e7f/2026.md",
        "to_root": "datasets",
    }

    root: Root
    path: EntryPath
    to: EntryPath
    to_root: Annotated[Root | None, Meta(description="That of the copy; absent: the same.")] = None


class PlacedView(AnswerBody, frozen=True, kw_only=True):
    """A file or a directory at `path/name` below a root, where it is by now."""

    name: Annotated[str, Meta(description="Its last component.")]
    path: Annotated[str, Meta(description="The directory that it is in, relative to the root.")]
    root: Root
    type: EntryType
    size: Annotated[int, Meta(description="Bytes; of a file.")] | None = None


class Place(Struct, frozen=True, kw_only=True):
    """Where something is that a request names."""

    root: Root
    record: UUID
    below: tuple[str, ...]
    name: str

    @property
    def path(self) -> str:
        """The directory that it is in, relative to the root."""
        return path_of(self.record, self.below)

    @classmethod
    def of(cls, root: Root, names: tuple[str, ...], caller: Caller) -> "Place":
        """Raises `ActionForbidden` where nothing of people is."""
        *directory, name = names
        record, below = target_of_path(root, tuple(directory), caller)
        return cls(root=root, record=record, below=below, name=name)

    def entry(self, type: str = "", *, written: bool = False, moved_from: str = "", removed: bool = False) -> NewEntry:
        """What is claimed and recorded of it. What it is may turn out later."""
        return NewEntry(
            root=self.root,
            record=self.record,
            below=self.below,
            name=self.name,
            type=type,
            written=written,
            moved_from=moved_from,
            removed=removed,
        )

    def view(self, type: EntryType, size: int | None = None) -> PlacedView:
        """As clients see it."""
        shown = self.below if self.root is Root.NOTEBOOKS else (str(self.record), *self.below)
        return PlacedView(name=self.name, path="/".join(shown), root=self.root, type=type, size=size)


class FileChangesController(Controller):
    """Renaming, moving, copying and deleting files and directories."""

    path = "/volume/file"
    tags = ("Volume",)

    @post(
        "/move",
        opt=needs(Policy.RECORD),
        status_code=200,
        operation_id="moveFile",
        summary="Rename or move a file or a directory",
    )
    async def move(
        self, data: JSONBody[MoveBody], write: NamedDependency[Write], services: NamedDependency[Services]
    ) -> Response[PlacedView]:
        """Give a file or directory another name or directory, in one step. Nothing is replaced.

        It stays in the directory of its record, or in one's home; to get elsewhere, copy it.
        """
        source = Place.of(data.root, _components("/path", data.path), write.caller)
        target = Place.of(data.root, _components("/to", data.to), write.caller)
        if source.record != target.record:
            raise RequestInvalid.of("/to", "format", "is in the directory of another record: copy it there")
        await write.replay()
        await volumes.require(data.root, source.record, write.caller, Level.WRITE)
        threads = services.file_threads.of(write.caller.id)
        entry = target.entry(moved_from="/".join((*source.below, source.name)))
        async with write.claimed(volumes.CLAIM, source.record, entry.detail()) as claim:
            maker = ClaimedMaker(claim, asyncio.get_running_loop())
            location = await threads.run(require_directory, services.settings, data.root, source.record)
            type = await threads.run(
                changes.move_entry, location, (source.path, source.name), (target.path, target.name), maker
            )
        async with write:
            await volumes.record_made(target.entry(type.value, moved_from=entry.moved_from), write.caller)
            write.done(target.view(type))
        return write.answer

    @post(
        "/copy",
        opt=needs(Policy.RECORD) | TAGGED,
        status_code=200,
        operation_id="copyFile",
        summary="Copy a file",
    )
    async def copy(
        self, data: JSONBody[CopyBody], write: NamedDependency[Write], services: NamedDependency[Services]
    ) -> Response[PlacedView]:
        """Copy a file that one may read to where one may write, also from one root to another. Nothing is replaced.

        The copy has its name when all of it is on the disk.
        """
        source = Place.of(data.root, _components("/path", data.path), write.caller)
        target = Place.of(data.to_root or data.root, _components("/to", data.to), write.caller)
        await write.replay()
        await volumes.require(source.root, source.record, write.caller, Level.READ)
        require = partial(volumes.require, target.root, target.record, write.caller, Level.WRITE)
        await require()
        threads = services.file_threads.of(write.caller.id)
        from_location = await threads.run(require_directory, services.settings, source.root, source.record)
        location = await threads.run(require_directory, services.settings, target.root, target.record)
        content = await threads.run(Content, from_location, f"{source.path}/{source.name}")
        if content.version.size > services.settings.max_upload_bytes:
            raise ContentTooLarge(f"A file may have at most {services.settings.max_upload_bytes} bytes.")
        entry = target.entry(EntryType.FILE.value, written=True)
        async with write.claimed(volumes.CLAIM, target.record, entry.detail()) as claim:
            maker = ClaimedMaker(claim, asyncio.get_running_loop(), entry)
            volume = Volumes(uid=services.settings.files_uid, gid=services.settings.files_gid)
            with _about_target():
                draft = await threads.run(Draft, volume, location, target.path, target.name, maker)
                try:
                    await _copy(content, draft, threads, write)
                    # Much may have changed since the first byte was read.
                    await volumes.require(source.root, source.record, write.caller, Level.READ)
                    await require()
                    version = await threads.run(draft.finish, _refuse_taken)
                finally:
                    await threads.run(draft.discard)
        async with write:
            await volumes.record_made(entry, write.caller)
            write.done(target.view(EntryType.FILE, version.size), tag=version.tag)
        return write.answer


@delete(
    "/volume/file",
    opt=needs(Policy.RECORD),
    status_code=204,
    operation_id="deleteFile",
    summary="Delete a file or a directory",
    tags=("Volume",),
)
async def delete_file(
    root: RootQuery,
    path: FilePathQuery,
    write: NamedDependency[Write],
    services: NamedDependency[Services],
) -> Response[None]:
    """Delete a file, or a directory with all that is in it, for good. It is out of sight at once.

    What is in a large directory is removed piece by piece, which may take longer than the answer. Nothing outside
    of it is touched: links in it go, and what they lead to stays.
    """
    place = Place.of(root, query_components(path), write.caller)
    await write.replay()
    await volumes.require(root, place.record, write.caller, Level.WRITE)
    threads = services.file_threads.of(write.caller.id)
    entry, leftovers = place.entry(removed=True), new_id()
    with in_query():
        async with write.claimed(volumes.CLAIM, place.record, entry.detail()) as claim:
            maker = ClaimedMaker(claim, asyncio.get_running_loop())
            location = await threads.run(require_directory, services.settings, root, place.record)
            # By this one the janitor finds what is left, should this process end before all is removed.
            async with Transaction():
                detail = volumes.leftovers_of(entry).detail()
                await claims.take(leftovers, volumes.CLAIM, place.record, write.caller, detail)
            try:
                hide = partial(changes.hide_entry, location, place.path, place.name, maker, leftovers.hex)
                type = await threads.run(hide)
            except (RecordMissing, RequestInvalid):
                await claims.drop(leftovers)
                raise
    async with write:
        await volumes.record_made(place.entry("" if type is None else type.value, removed=True), write.caller)
        write.done()
    # What takes longer goes on in its thread, and what fails is tried again by the janitor.
    with contextlib.suppress(VolumeUnavailable):
        await threads.run(changes.remove_hidden, location, place.path, leftovers.hex)
        await claims.drop(leftovers)
    return write.answer


async def _copy(content: Content, draft: Draft, threads: PersonsThreads, write: Write) -> None:
    at = 0
    while at < content.version.size:
        part = await threads.run(_copy_part, content, draft, at)
        if not part:
            raise StateConflict("The file became shorter while it was copied.", hint="Copy it again.")
        at += part
        await write.keep_claim()


def _copy_part(content: Content, draft: Draft, at: int) -> int:
    part = content.read(at, min(_PART, content.version.size - at))
    draft.write(part)
    return len(part)


def _refuse_taken(there: Version | None) -> None:
    if there is not None:
        raise StateConflict("There is a file of this name already.", hint="Choose another name.")


def _components(field: str, path: str) -> tuple[str, ...]:
    try:
        return components(path)
    except ValueError as error:
        raise RequestInvalid.of(field, "format", str(error)) from None


@contextlib.contextmanager
def _about_target() -> Iterator[None]:
    try:
        yield
    except RequestInvalid as refusal:
        raise RequestInvalid.of("/to", "format", refusal.details[0].message) from None


ROUTES: tuple[ControllerRouterHandler, ...] = (FileChangesController, delete_file)
