"""The values that every package speaks of: states, identities and references."""

from enum import StrEnum
from typing import Annotated, ClassVar
from uuid import UUID

from msgspec import Meta, Struct

LARGEST_PAGE = 1000
"""Most entries of a page of a list; who reads one asks for one row more, to know whether there are more."""


class ServerStatus(StrEnum):
    """What a server is doing, as far as it was last seen."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class LogSeen(Struct, frozen=True, kw_only=True):
    """The last lines of a server's log, free of secrets, if it has one; `away`: those who know do not answer."""

    lines: str | None = None
    away: bool = False


class Wish(StrEnum):
    """What the people who may decide want a server to be. `DELETED` is final."""

    RUNNING = "running"
    STOPPED = "stopped"
    DELETED = "deleted"


class OperationStatus(StrEnum):
    """The life of an operation; the last three are ends."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing about the operation will change any more."""
        return self not in (OperationStatus.QUEUED, OperationStatus.RUNNING)


class Caller(Struct, frozen=True, kw_only=True):
    """The person behind a request, as its token says.

    A write is by a request with an id of ours, and perhaps with one that its client gave it.
    """

    id: UUID
    email: str
    admin: bool = False
    orgs: tuple[str, ...] = ()
    token_hash: bytes = b""
    request_id: str | None = None
    client_request_id: str | None = None


class Subject(Struct, frozen=True):
    """The record that an operation is about; `kind` is a word such as `server` or `person`."""

    kind: str
    id: UUID

    SIGN_OUT: ClassVar[str] = "sign-out"
    """The kind of a subject that is about what others have of a person's ended sessions; its id is the person's."""
    ACCESS: ClassVar[str] = "-access"
    """How the kind of a subject ends that is about who may use an object: the effects of its grants."""

    @classmethod
    def access_of(cls, kind: str, identity: UUID) -> "Subject":
        """What shares and revokes of an object of a kind are about."""
        return cls(f"{kind}{cls.ACCESS}", identity)

    @property
    def object_kind(self) -> str:
        """The kind of the record itself, also where this is about who may use it."""
        return self.kind.removesuffix(self.ACCESS)


class ModuleCall(Struct, frozen=True, forbid_unknown_fields=True):
    """A call of the function `id` in a modulefile."""

    id: Annotated[str, Meta(description="Name of the function.")]
    arguments: Annotated[list[str], Meta(description="What it is given, in order.")]
