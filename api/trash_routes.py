"""The routes by which records go, and come back from the trash; the same for every kind of record."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar
from uuid import UUID

from litestar import Response, delete, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from api.http.etag import VERSIONED
from api.http.operation_view import OperationView
from api.http.policy import Policy, needs
from api.http.write import PREVIEWED, SHORT_WAIT, Look, Write
from models.domain.values import Caller, Subject
from models.records.shared_records import SharedRecord, SharedRecords


class Versioned(Protocol):
    """A record as stored."""

    @property
    def version(self) -> int:
        """How often it was changed."""


R = TypeVar("R", bound=Versioned)
S = TypeVar("S", bound=SharedRecord)
V = TypeVar("V")


def delete_route(
    kind: str,
    path: str,
    description: str,
    lock: Callable[[UUID, Caller], Awaitable[R]],
    wish: Callable[[R, Caller], Awaitable[UUID]],
) -> HTTPRouteHandler:
    """Delete a kind of record at `path`: `lock` one for a caller who may, and `wish` it gone."""
    noun = kind.capitalize()

    @delete(
        path,
        opt=needs(Policy.RECORD) | VERSIONED,
        status_code=202,
        operation_id=f"delete{noun}",
        summary=f"Delete a {kind}",
        description=description,
        tags=(f"{noun}s",),
        dependencies=PREVIEWED,
    )
    async def remove(id: FromPath[UUID], write: NamedDependency[Write]) -> Response[OperationView]:
        async with write:
            found = await lock(id, write.caller)
            write.require_match(found.version)
            operation = await wish(found, write.caller)
            write.accepts(operation, wakes=Subject(kind, id), deletes=True, wait=SHORT_WAIT)
        return write.answer

    return remove


def trash_routes(path: str, records: SharedRecords[S], look: Look[V], view: type[V]) -> list[HTTPRouteHandler]:
    """Delete and restore for a kind of shared record at `path`, which ends with the record's id.

    `look` reads what is answered, a `view`.
    """
    kind = records.kind
    noun = kind.capitalize()

    @post(
        f"{path}/restore",
        opt=needs(Policy.RECORD) | VERSIONED,
        status_code=202,
        operation_id=f"restore{noun}",
        summary=f"Restore a {kind}",
        description=f"Take a {kind} of one's own out of the trash, with everything that was granted.",
        tags=(f"{noun}s",),
        # Where the answer's type, which is quoted, is looked up.
        signature_namespace={"V": view},
    )
    async def restore(id: FromPath[UUID], write: NamedDependency[Write]) -> "Response[V]":
        async with write:
            found = await records.read_restorable(id, write.caller)
            write.require_match(found.version)
            operation = await records.restore(found, write.caller)
            await write.accepts_record(operation, Subject(kind, id), look)
        return write.answer

    description = (
        f"Stop the servers that hold a {kind}, and put it into the trash, from which it can be restored for a time."
    )
    return [delete_route(kind, path, description, records.read_owned, records.trash), restore]
