"""What requests say of files: where they are, whose they are, and who makes them."""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import UUID

from litestar import Request
from litestar.params import QueryParameter
from msgspec import Meta

from api.http.dependencies import own_email, own_person
from api.http.fields import EMAIL
from api.http.validation import body_parts
from api.http.write import Write
from integrations import lmod
from integrations.containment import LONGEST_PATH, components
from integrations.contents import Draft
from integrations.file_threads import Transfer
from integrations.filesystem import Volumes
from models.domain.errors import ActionForbidden, RecordMissing, RequestInvalid, printable
from models.domain.ids import parse_id
from models.domain.kinds import DIRECTORIES, ROOTS, Root
from models.domain.settings import Settings
from models.domain.values import Caller
from models.ledger import claims
from models.ledger.claims import Claim
from models.records.volumes import NewEntry

T = TypeVar("T")

# How long a thread waits for a statement of its own request.
_STATEMENT_SECONDS = 5.0
# Seconds after which a long upload tells that it is still there, before the janitor takes it for cut off.
_KEPT_EVERY = 60.0
# Of a content so much is in memory, for each request.
PART = 262_144

ABOUT_PATH = "A directory relative to the root, whose first component is a record's `_id` but in `notebooks`."

RootQuery = Annotated[Root, QueryParameter(name="root", description="Where to look.")]
# Names of at most 255 bytes, none of them empty, `.` or `..`.
_NAME = r"([^./\u0000][^/\u0000]{0,254}|\.[^./\u0000][^/\u0000]{0,253}|\.\.[^/\u0000]{1,253})"
_SOME_NAMES = f"^{_NAME}(/{_NAME})*$"
PathQuery = Annotated[
    str,
    QueryParameter(
        name="path",
        max_length=LONGEST_PATH,
        description=ABOUT_PATH,
        schema_extra={"pattern": f"^({_NAME}(/{_NAME})*)?$"},
    ),
]
FilePathQuery = Annotated[
    str,
    QueryParameter(
        name="path",
        min_length=1,
        max_length=LONGEST_PATH,
        description="A file relative to the root; the first component is a record's `_id` but in `notebooks`.",
        schema_extra={"pattern": _SOME_NAMES},
    ),
]
EntryPath = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=LONGEST_PATH,
        description="A file or directory relative to the root; its first component is a record's `_id` but in "
        "`notebooks`.",
        extra_json_schema={"pattern": _SOME_NAMES},
    ),
]
EmailQuery = Annotated[
    str | None,
    QueryParameter(name="email", format=EMAIL, description="Whose home: one's own, or any for an admin."),
]


class ClaimedMaker:
    """Who makes a file for a claim, in a thread, and knows it again when the request is repeated."""

    def __init__(self, claim: Claim, loop: asyncio.AbstractEventLoop, replaces: NewEntry | None = None) -> None:
        """Two who make what `replaces` something come one after the other."""
        self._claim, self._loop = claim.id, loop
        self._target = None if replaces is None else _target_of(replaces)
        self.mark = claim.id.hex

    def replaces(self, entry: NewEntry) -> None:
        """From now on others who make the same come before or after."""
        self._target = _target_of(entry)

    def go_on_with(self, claim: Claim) -> None:
        """Make it for another claim."""
        self._claim = claim.id

    def note(self, identity: str) -> None:
        """Write down what is about to get its name."""
        self._await(claims.note_made(self._claim, identity, self._target))

    def made(self, identity: str) -> bool:
        """Whether it was written down, by this request or by one that it repeats."""
        return self._await(claims.was_made(self._claim, identity))

    def _await(self, statement: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(statement, self._loop).result(_STATEMENT_SECONDS)


def target_of_path(root: Root, names: tuple[str, ...], caller: Caller) -> tuple[UUID, tuple[str, ...]]:
    """The record in whose directory something is to be made, and where in it."""
    if root is Root.NOTEBOOKS:
        return caller.id, names
    if not names:
        raise ActionForbidden(
            f"Nothing can be made right beneath {root}.", hint="Make a record, and it gets a directory there."
        )
    if root is Root.MODULES and names[0] == lmod.MODULEFILES:
        raise ActionForbidden("Module files are written by the service alone.", hint="Change the module instead.")
    return record_of(root, names)


def record_of(root: Root, names: tuple[str, ...]) -> tuple[UUID, tuple[str, ...]]:
    """The record that a path below a root begins with, and the rest of the path."""
    identity = parse_id(names[0])
    if identity is None:
        raise RecordMissing.of(ROOTS[root], printable(names[0]))
    return identity, names[1:]


async def home_of(caller: Caller, root: Root, email: str | None) -> UUID | None:
    """Whose home is asked for; None for the other roots."""
    if root is Root.NOTEBOOKS:
        return await own_person(caller, email)
    if own_email(caller, email) != caller.email:
        raise RequestInvalid.of("email", "format", "is for the root `notebooks` only", **{"in": "query"})
    return None


def query_components(path: str) -> tuple[str, ...]:
    """The names along a path of the query; raises `RequestInvalid`."""
    try:
        return components(path)
    except ValueError as error:
        raise of_query(str(error)) from None


@contextlib.contextmanager
def in_query() -> Iterator[None]:
    """What is wrong with a path is so in the query."""
    try:
        yield
    except RequestInvalid as refusal:
        if refusal.details[0].path not in ("/path", "/name"):
            raise
        raise of_query(refusal.details[0].message) from None


def of_query(message: str) -> RequestInvalid:
    """What is wrong with the path of the query."""
    return RequestInvalid.of("path", "format", message, **{"in": "query"})


def path_of(identity: UUID, below: tuple[str, ...]) -> str:
    """Where something is relative to its root: `below` the directory of a record or person."""
    return "/".join((str(identity), *below))


def require_directory(settings: Settings, root: Root, identity: UUID) -> Path:
    """Where the directories of a root are; refuses where that of a record or person is none.

    Of that one no request says the path: what is wrong with it is no fault of the path.
    """
    directory = DIRECTORIES[ROOTS[root]]
    location = directory.location(settings)
    Volumes().require_directory(location, identity, directory.called)
    return location


def _target_of(entry: NewEntry) -> str:
    """What stands for the place of an entry."""
    return hashlib.sha256(f"{entry.root}/{entry.path}/{entry.name}".encode()).hexdigest()


async def receive(request: Request[Caller, Any, Any], draft: Draft, transfer: Transfer, write: Write) -> bytes:
    """Write the body of a request into a draft; the digest of what it was."""
    digest = hashlib.sha256()

    def take(part: bytes) -> None:
        digest.update(part)
        draft.write(part)

    due = time.monotonic() + _KEPT_EVERY
    async for part in body_parts(request, PART, _KEPT_EVERY):
        await transfer.run(take, part)
        if time.monotonic() > due:
            await write.keep_claim()
            due = time.monotonic() + _KEPT_EVERY
    return digest.digest()
