"""Files that come in parts: an upload that was cut off goes on where it was.

The headers are those of draft-ietf-httpbis-resumable-upload. How far an upload is, the file itself tells, which is
hidden beside its later place; a claim names it, for as long as parts come.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, JSONBody
from msgspec import Meta

from api.file_paths import PART, ClaimedMaker, EntryPath, in_query, receive, require_directory, target_of_path
from api.http.errors import answer_for
from api.http.etag import Conditions
from api.http.fields import AnswerBody, RequestBody
from api.http.policy import Policy, needs
from api.http.services import Services
from api.http.validation import STREAMED, body_parts
from api.http.write import Write
from integrations.containment import components
from integrations.contents import PartialDraft, Version, version_at
from integrations.filesystem import EntryType, Volumes, check_new_name
from models.access.permissions import Level
from models.domain.errors import (
    ContentTooLarge,
    DomainError,
    RecordMissing,
    RequestInvalid,
    StateConflict,
    VolumeUnavailable,
)
from models.domain.ids import new_id
from models.domain.kinds import DIRECTORIES, ROOTS, Root
from models.domain.settings import Settings
from models.domain.values import Caller
from models.ledger import claims
from models.ledger.claims import Claim
from models.records import volumes
from models.records.volumes import NewEntry

LARGEST_PART = 64 * 2**20
LARGEST_UPLOAD = 2**62


class UploadCreate(RequestBody, frozen=True, kw_only=True):
    """A file that is to come in parts. `size` is how many bytes it will have, if that is known."""

    example: ClassVar[dict[str, Any]] = {"root": "notebooks", "path": "data/means.nc", "size": 734003200}

    root: Root
    path: EntryPath
    size: Annotated[int, Meta(ge=0, description="How many bytes it will have.")] | None = None


class UploadView(AnswerBody, frozen=True, kw_only=True):
    """A file that comes in parts: `offset` bytes of it are here. It is given up at `expires_at`, unless `complete`."""

    id: Annotated[UUID, Meta(description="Id of the upload.")] = msgspec.field(name="_id")
    root: Root
    path: Annotated[str, Meta(description="Of the file, relative to the root.")]
    offset: Annotated[int, Meta(description="How many bytes are here: where the next part begins.")]
    complete: Annotated[bool, Meta(description="Whether the file is in its place.")]
    expires_at: Annotated[datetime, Meta(description="When it is given up, unless it is complete.")]
    size: Annotated[int, Meta(description="How many bytes it will have, if that was said.")] | None = None


class OffsetMismatch(StateConflict):
    """A part does not begin where the one before ended."""

    code = "OFFSET_MISMATCH"

    def __init__(self, offset: int) -> None:
        super().__init__(f"{offset} bytes are here.", hint="Go on there.")
        self.offset = offset


Offset = Annotated[
    int, HeaderParameter(name="Upload-Offset", ge=0, description="Where the part begins: how many bytes came before.")
]
Complete = Annotated[
    str,
    HeaderParameter(
        name="Upload-Complete",
        description="`?1`: this is the last part. `?0`: more comes.",
        schema_extra={"enum": ["?0", "?1"]},
    ),
]


class UploadsController(Controller):
    """Files that come in parts."""

    path = "/volume/uploads"
    tags = ("Volume",)

    @post(
        opt=needs(Policy.RECORD),
        status_code=200,
        operation_id="beginUpload",
        summary="Begin to upload a file in parts",
    )
    async def begin(
        self,
        data: JSONBody[UploadCreate],
        write: NamedDependency[Write],
        services: NamedDependency[Services],
    ) -> Response[UploadView]:
        """Begin a file whose content comes in parts, each with `PATCH` where the one before ended.

        It has its name when the last one came; until then nobody sees anything of it.
        """
        if (data.size or 0) > services.settings.max_upload_bytes:
            raise ContentTooLarge(f"A file may have at most {services.settings.max_upload_bytes} bytes.")
        entry = _entry(data, write.caller)
        await volumes.require(entry.root, entry.record, write.caller, Level.WRITE)
        threads = services.file_threads.of(write.caller.id)
        location = await threads.run(require_directory, services.settings, entry.root, entry.record)
        await threads.run(version_at, location, entry.path, entry.name)
        identity = new_id()
        async with write:
            detail = entry.detail() | ({} if data.size is None else {"size": data.size})
            claim = await claims.take(identity, volumes.UPLOAD, entry.record, write.caller, detail)
            write.done(_view(claim, 0, services.settings))
        return write.answer

    @get("/{id:str}", opt=needs(Policy.RECORD), operation_id="getUpload", summary="Read how far an upload is")
    async def read(
        self, id: FromPath[UUID], caller: NamedDependency[Caller], services: NamedDependency[Services]
    ) -> Response[UploadView]:
        """How many bytes of one's own upload are here: the next part begins there."""
        claim = await _claim(id, caller)
        offset = 0
        if claim.made:
            transfer = services.file_threads.of(caller.id).begin_transfer()
            maker = ClaimedMaker(claim, asyncio.get_running_loop())
            offset = await transfer.run(lambda: _open(claim, maker, services.settings).size)
        return Response(_view(claim, offset, services.settings), headers=_headers(offset))

    @patch(
        "/{id:str}",
        opt=needs(Policy.RECORD) | {STREAMED: "application/octet-stream", "largest_body": lambda _: LARGEST_PART},
        operation_id="continueUpload",
        summary="Send a part of a file",
    )
    async def append(
        self,
        id: FromPath[UUID],
        offset: Offset,
        complete: Complete,
        request: Request[Caller, Any, Any],
        write: NamedDependency[Write],
        services: NamedDependency[Services],
    ) -> Response[UploadView]:
        """Send a part of at most 64 MiB; with the last one the file gets its name, in place of an earlier one.

        A part that was cut off is kept as far as it came: read how far the upload is, and go on there. `If-Match` and
        `If-None-Match` of the last part are about the file that it replaces.
        """
        claim = await claims.read(id, volumes.UPLOAD, write.caller.id)
        if claim is None:
            write.had_content(await _digest(request))
            await write.replay()
            raise RecordMissing.of("upload", id)
        entry, conditions = NewEntry.of(claim), Conditions.of(request)
        await volumes.require(entry.root, entry.record, write.caller, Level.WRITE)
        write.go_on_with(claim)
        if complete not in ("?0", "?1"):
            raise RequestInvalid.of("Upload-Complete", "enum", "must be ?0 or ?1", **{"in": "header"})
        maker = ClaimedMaker(claim, asyncio.get_running_loop())
        transfer = services.file_threads.of(write.caller.id).begin_transfer()
        with in_query():
            await transfer.run(require_directory, services.settings, entry.root, entry.record)
            draft = await transfer.run(_open, claim, maker, services.settings)
        with _left(draft):
            here = await transfer.run(lambda: draft.size)
            if here != offset:
                return answer_for(OffsetMismatch(here), _headers(here))  # type: ignore[return-value]
            most = min(claim.detail.get("size", LARGEST_UPLOAD), services.settings.max_upload_bytes)
            if offset + (request.content_length or 0) > most:
                raise ContentTooLarge(f"The file may have at most {most} bytes.")
            write.had_content(await receive(request, draft, transfer, write))
            here = await transfer.run(draft.keep)
            if here > most:
                raise ContentTooLarge(f"The file may have at most {most} bytes.")
            if complete == "?0":
                await write.keep_claim()
                return Response(_view(claim, here, services.settings), headers=_headers(here))
            if here != claim.detail.get("size", here):
                raise StateConflict(f"{here} bytes are here, and {claim.detail['size']} were announced.")
            # Much may have changed since the first part came.
            await volumes.require(entry.root, entry.record, write.caller, Level.WRITE)
            maker.replaces(entry)
            try:
                version = await transfer.run(draft.finish, lambda found: conditions.require(*_state(found)))
            except DomainError:
                await claims.leave_place(claim.id)
                raise
            async with write:
                await volumes.record_made(entry, write.caller)
                write.done(_view(claim, version.size, services.settings, complete=True), tag=version.tag)
            return write.answer

    @delete(
        "/{id:str}", opt=needs(Policy.RECORD), status_code=204, operation_id="endUpload", summary="Give an upload up"
    )
    async def end(
        self, id: FromPath[UUID], write: NamedDependency[Write], services: NamedDependency[Services]
    ) -> Response[None]:
        """Give one's own upload up. What came of it is removed."""
        async with write:
            claim = await _claim(id, write.caller)
            write.done()
            # Settled with this write, but what came of it is still to be removed: by the janitor, if not at once.
            await claims.expire(claim.id)
        maker = ClaimedMaker(claim, asyncio.get_running_loop())
        entry = NewEntry.of(claim)
        location = DIRECTORIES[ROOTS[entry.root]].location(services.settings)
        with contextlib.suppress(VolumeUnavailable, RecordMissing, RequestInvalid):
            threads = services.file_threads.of(write.caller.id)
            await threads.run(Volumes().clear_unfinished, location, entry.path, entry.name, maker)
            await claims.drop(claim.id)
        return write.answer


@contextlib.contextmanager
def _left(draft: PartialDraft) -> Iterator[None]:
    """Let others go on with a draft at the end, unless a thread may still be at work with it."""
    try:
        yield
    except VolumeUnavailable:
        raise
    except BaseException:
        draft.leave()
        raise
    draft.leave()


async def _digest(request: Request[Caller, Any, Any]) -> bytes:
    digest = hashlib.sha256()
    async for part in body_parts(request, PART, 1.0):
        digest.update(part)
    return digest.digest()


async def _claim(identity: UUID, caller: Caller) -> Claim:
    claim = await claims.read(identity, volumes.UPLOAD, caller.id)
    if claim is None:
        raise RecordMissing.of("upload", identity)
    return claim


def _open(claim: Claim, maker: ClaimedMaker, settings: Settings) -> PartialDraft:
    entry = NewEntry.of(claim)
    location = DIRECTORIES[ROOTS[entry.root]].location(settings)
    volume = Volumes(uid=settings.files_uid, gid=settings.files_gid)
    return PartialDraft(volume, location, entry.path, entry.name, maker, begun=bool(claim.made))


def _state(there: Version | None) -> tuple[str | None, int]:
    return (None, 0) if there is None else (there.tag, there.modified)


def _shown(entry: NewEntry) -> str:
    below = entry.below if entry.root is Root.NOTEBOOKS else (str(entry.record), *entry.below)
    return "/".join(below)


def _view(claim: Claim, offset: int, settings: Settings, *, complete: bool = False) -> UploadView:
    entry = NewEntry.of(claim)
    return UploadView(
        id=claim.id,
        root=entry.root,
        path="/".join(filter(None, (_shown(entry), entry.name))),
        offset=offset,
        complete=complete,
        expires_at=claim.claimed_at + timedelta(hours=settings.upload_hours),
        size=claim.detail.get("size"),
    )


def _headers(offset: int) -> dict[str, str]:
    return {
        "Upload-Offset": str(offset),
        "Upload-Complete": "?0",
        "Upload-Limit": f"max-append-size={LARGEST_PART}",
    }


def _entry(data: UploadCreate, caller: Caller) -> NewEntry:
    try:
        *directory, name = components(data.path)
        check_new_name(name)
    except ValueError as error:
        raise RequestInvalid.of("/path", "format", str(error)) from None
    record, below = target_of_path(data.root, tuple(directory), caller)
    return NewEntry(root=data.root, record=record, below=below, name=name, type=EntryType.FILE.value, written=True)
