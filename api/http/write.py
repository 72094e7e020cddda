"""The unit of work of every write: one transaction, one answer, and the same answer if the request is repeated.

A handler takes the dependency `write` and does everything inside it, authorisation first:

    @put("/{id:str}/start", opt=needs(Policy.RECORD), status_code=202, operation_id="startServer", summary="…")
    async def start(self, id: FromPath[UUID], write: NamedDependency[Write]) -> Response[OperationView]:
        async with write:
            server = await servers.read_visible(id, write.caller)    # 404
            write.require_match(server.version)                      # 412
            intent = await servers.intend(id, Wish.RUNNING, write.caller)  # 409
            write.accepts(intent.operation, wakes=Subject("server", id))
        return write.answer

Entering opens the transaction (no lock is waited for longer than 2 s: 409), looks whether the caller has been signed
out since the request began (401: its body may have taken long), and claims the `Idempotency-Key`. If
the write took place before, its answer is sent and the block never runs: that is why a record is looked up
inside, where a repeated DELETE must not find its 404. Inside, await nothing but queries. Any exception undoes
all of it, the claim too. Leaving refuses what is above the caller's quotas (409 or 429), stores the answer in
the same transaction and commits; then the workflow is woken, and if it was, the request waits for the
operation's end as long as the client prefers. Exactly one of

    write.done(body, version=…)                   a write that needed no workflow: 200, or 204 without a body
    write.accepts(operation, wakes=…, …)          one that does: 202, or the final answer if the work ends in time

is called inside. What is made outside of PostgreSQL is claimed before it is made, and recorded afterwards:

        async with write.claimed("secret", new_id()) as claim:   # may be that of the request which this one repeats
            version = await vault.put(claim.subject, value, after=0)
        async with write:                                        # settles the claim
            …

Whatever is cut off in between leaves a claim, by which a repeated request goes on, and the janitor clears the rest.
What is made has to be the same when it is made again. Nothing after the commit can fail the write: a wake-up that is
lost is made up for by the reconciler.
"""

import contextlib
import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec
import structlog
from litestar import Request, Response
from litestar.di import Provide
from litestar.params import QueryParameter
from litestar.types import Dependencies

from api.http.answer import Answer
from api.http.etag import etag_of, require_match
from api.http.operation_view import view_of
from api.http.preview import Holds, preview_of
from api.http.services import Services
from api.http.validation import work_on
from models.database.engine import DATABASE_ERRORS
from models.database.sql import guarded, row
from models.database.transactions import Transaction
from models.domain import crash_points
from models.domain.errors import DependencyUnavailable, DomainError, RequestInvalid
from models.domain.ids import new_id
from models.domain.logging import REQUEST
from models.domain.values import Caller, OperationStatus, Subject
from models.ledger import claims, idempotency, operations, quotas
from models.ledger.claims import Claim
from models.ledger.idempotency import StoredAnswer, WriteKey
from models.ledger.operations import OperationRecord
from models.records import sessions

log = structlog.get_logger(__name__)

LONGEST_WAIT = 60
SHORT_WAIT = 10
"""What a client waits by default for work that takes a moment: longer than a directory takes, shorter than a person."""
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_WAIT = re.compile(r"wait\s*=\s*\"?(\d{1,9})\"?")
_LONGEST_PATH = 512

DryRun = Annotated[
    bool, QueryParameter(name="dry_run", description="Only tell what it would come to: nothing is done.")
]

Body = Callable[[], Awaitable[object]]
V = TypeVar("V")
Look = Callable[[UUID, Caller], Awaitable[V]]
"""Reads a record as its caller sees it."""


class Replayed(Exception):
    """The write took place before; `answer` is what it was answered with."""

    def __init__(self, answer: StoredAnswer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Write:
    """One write: a transaction that ends with an answer. See the module's text."""

    def __init__(self, request: Request[Caller, Any, Any], *, previewed: bool = False) -> None:
        """With `previewed` it is undone once it is known what it comes to, which is the answer then."""
        self._previewed = previewed
        self._request = request
        self._services: Services = request.app.state.services
        state = request.scope["state"]
        self.caller = msgspec.structs.replace(
            request.user, request_id=state.get("request_id"), client_request_id=state.get("client_request_id")
        )
        self._key: WriteKey | None = None
        self._held: WriteKey | None = None
        self._claim: Claim | None = None
        self._shares_claim = False
        self._content_digest: bytes | None = None
        self._running = contextlib.AsyncExitStack()
        self._used: dict[str, int] = {}
        self._accepted: _Accepted | None = None
        self._answer: StoredAnswer | None = None
        self._foreseen: tuple[Subject, Holds | None] | None = None

    @property
    def answer(self) -> Response[Any]:
        """What to return from the handler, after the block."""
        if self._answer is None:
            raise RuntimeError("a write ended without done() or accepts()")
        return response_of(self._answer)

    def require_match(self, version: int) -> None:
        """Refuse (412) if the client has named other versions of the record with `If-Match`."""
        require_match(self._request, version)

    def done(self, body: object = None, *, version: int | None = None, tag: str | None = None) -> None:
        """The write is complete: 200 with `body`, 204 without. `version`, or `tag` as it is, becomes the `ETag`."""
        self._answer = _answer(200 if body is not None else 204, body, version=version, tag=tag)

    def previews(self, subject: Subject, holds: Holds | None = None) -> None:
        """What a preview of this write is about, which opens an operation; `holds` tells what a server would have."""
        self._foreseen = (subject, holds)

    def accepts(
        self,
        operation: UUID,
        *,
        wakes: Subject,
        body: object = None,
        final: Body | None = None,
        deletes: bool = False,
        version: int | None = None,
        wait: float = 0,
        holds: Holds | None = None,
    ) -> None:
        """A workflow has to do the work: 202 with `body`, or with the operation if there is none.

        If the operation succeeds within the time that the client prefers to wait (`wait` by default), the
        answer is 200 with what `final` reads then (by default the operation), or 204 if the write `deletes`.
        """
        self._accepted = _Accepted(operation, wakes, body, final, deletes, version, wait)
        self.previews(wakes, holds)

    async def accepts_record(self, operation: UUID, subject: Subject, look: Look[object]) -> None:
        """As `accepts`, for work that takes a moment: 202 with the record as it is now, 200 with what it has become."""
        final = partial(look, subject.id, self.caller)
        self.accepts(operation, wakes=subject, body=await final(), final=final, wait=SHORT_WAIT)

    async def replay(self) -> None:
        """Raise `Replayed` if the write took place before: for a handler whose effect comes before its transaction."""
        key = await self._read_key()
        if key is not None:
            with self._admitted():
                stored = await idempotency.find(key, hours=self._services.settings.idempotency_hours)
            if stored is not None:
                raise Replayed(stored)

    @contextlib.asynccontextmanager
    async def claimed(
        self, kind: str, subject: UUID, detail: dict[str, Any] | None = None, *, streamed: bool = False
    ) -> AsyncIterator[Claim]:
        """Claim what is made within, durably, before it is made; or go on with the claim of an earlier try.

        Raises `Replayed` if the write took place before. If the body is `streamed`, which request it was is known
        afterwards: `hold_key` then.
        """
        key = None if streamed else await self._read_key()
        async with Transaction():
            await self._admit()
            identity = new_id()
            self._claim = None if key is None else await self._earlier(key, identity)
            if self._claim is None:
                self._claim = await claims.take(identity, kind, subject, self.caller, detail)
        self._held = key
        crash_points.reach("api.claimed")
        try:
            yield self._claim
        except BaseException as error:
            # What may have been made all the same is left to be found.
            refused = isinstance(error, DomainError) and not isinstance(error, DependencyUnavailable)
            await self._give_up(self._held, self._claim if refused else None)
            raise
        crash_points.reach("api.made")

    def go_on_with(self, claim: Claim) -> None:
        """Settle a claim of an earlier request with this write."""
        self._claim = claim

    def had_content(self, digest: bytes) -> None:
        """The body was streamed, and had this digest: by it a repeated request is known."""
        self._content_digest = digest

    async def keep_claim(self) -> None:
        """Tell that what is made takes its time; raises `StateConflict` if the claim was given up meanwhile."""
        assert self._claim is not None
        kept = await claims.resume(self._claim.id)
        if kept is None:
            raise claims.lost()
        self._claim = kept

    async def hold_key(self, content: bytes) -> Claim:
        """Hold the key of a request whose body was streamed, by the digest of its content, before it takes effect.

        The claim to go on with: that of an earlier try, if there is one. Raises `Replayed` as `claimed` does.
        """
        assert self._claim is not None
        own, self._content_digest = self._claim, content
        key = await self._read_key()
        try:
            async with Transaction():
                await self._admit()
                earlier = None if key is None else await self._earlier(key, own.id)
        except Replayed:
            await claims.drop(own.id)
            raise
        if earlier is None:
            self._held = key
        else:
            # What is left of our own, should this be cut off, is the janitor's.
            self._claim = earlier
        return self._claim

    async def _earlier(self, key: WriteKey, identity: UUID) -> Claim | None:
        """The claim of an earlier try with a key, which is held for `identity` if there is none."""
        held = await idempotency.hold(key, identity, hours=self._services.settings.idempotency_hours)
        if isinstance(held, StoredAnswer):
            raise Replayed(held)
        if held == identity:
            return None
        earlier = await claims.resume(held)
        if earlier is None:
            await idempotency.move(key, identity)
        self._shares_claim = earlier is not None
        return earlier

    async def _give_up(self, key: WriteKey | None, claim: Claim | None = None) -> None:
        """The request failed: it may be sent again, also otherwise. The claim goes too where nothing was made.

        Not where other requests of that key go on with the claim: what they make would belong to nobody.
        """
        if self._shares_claim:
            return
        # What cannot be done now is done when it is repeated, or by the janitor.
        with contextlib.suppress(*DATABASE_ERRORS):
            if (claim is None or await claims.drop_own(claim)) and key is not None:
                await idempotency.release(key)

    def _admitted(self) -> contextlib.AbstractContextManager[None]:
        """Where the first statement raises `IdentityUnknown` if the caller was signed out while the body came."""
        return guarded(sessions.not_ended(self.caller))

    async def _admit(self) -> None:
        """Begin a transaction for a caller who is still admitted, with a limit to what is waited for."""
        with self._admitted():
            await row("SELECT set_config('lock_timeout', '2s', true)")

    async def _read_key(self) -> WriteKey | None:
        secret = self._services.settings.session_key.encode()
        body = self._content_digest
        if body is None:
            body = await self._request.body()
        return await work_on(body, write_key, self._request, body, secret)

    async def __aenter__(self) -> "Write":
        await self._running.enter_async_context(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._running.__aexit__(kind, error, traceback)

    @contextlib.asynccontextmanager
    async def _run(self) -> AsyncIterator[None]:
        key = await self._read_key()
        settled = False
        if self._previewed:
            with contextlib.suppress(_Undone):
                async with Transaction():
                    await self._admit()
                    if not self.caller.admin:
                        self._used = await quotas.used_by(self.caller.id)
                    yield
                    await self._foresee()
                    raise _Undone
            return
        try:
            async with Transaction():
                await self._admit()
                if key is not None:
                    stored = await idempotency.claim(key, hours=self._services.settings.idempotency_hours)
                    if stored is not None:
                        raise Replayed(stored)
                if not self.caller.admin:
                    self._used = await quotas.used_by(self.caller.id)
                self._key = key
                yield
                ended = await self._settle()
                settled = True
        except BaseException:
            # Not where the commit itself failed: it may have come about all the same.
            if self._claim is not None and not settled:
                await self._give_up(self._key)
            raise
        crash_points.reach("api.committed")
        if self._accepted is not None and not ended:
            woken = await self._services.workflows.wake(self._accepted.wakes)
            if woken:
                await self._wait(self._accepted)

    async def _settle(self) -> bool:
        """Fix the answer and store it with the write; whether there is nothing left to wait for."""
        if not self.caller.admin:
            await quotas.require(self.caller.id, self._used, quotas.limits_of(self._services.settings.quotas))
        ended = True
        operation = None
        if self._accepted is not None:
            operation = self._accepted.operation
            if (told := REQUEST.get()) is not None:
                told["operation"] = str(operation)
            record = await operations.read(operation)
            ended = record.status.ended
            self._answer = await self._accepted_answer(self._accepted, record)
        if self._answer is None:
            raise RuntimeError("a write ended without done() or accepts()")
        if self._claim is not None:
            await claims.settle(self._claim.id)
        if self._key is not None:
            await idempotency.keep(self._key, self._answer, operation)
        return ended

    async def _foresee(self) -> None:
        """Refuse what is above the caller's quotas, and answer what the write would come to."""
        settings = self._services.settings
        if not self.caller.admin:
            await quotas.require(self.caller.id, self._used, quotas.limits_of(settings.quotas))
        assert self._foreseen is not None
        subject, holds = self._foreseen
        if self._accepted is None:
            (record,) = await operations.list_visible(self.caller, subject=subject.id, limit=1)
        else:
            record = await operations.read(self._accepted.operation)
        seen = await preview_of(record, subject, self.caller, settings, holds)
        self._answer = _answer(200, seen)

    async def _accepted_answer(self, accepted: "_Accepted", record: OperationRecord) -> StoredAnswer:
        view = view_of(record, self._services.settings)
        succeeded = record.status is OperationStatus.SUCCEEDED
        if succeeded and accepted.deletes:
            return _answer(204, None)
        if succeeded and accepted.final is not None:
            return _answer(200, await accepted.final(), version=accepted.version)
        if record.status.ended and accepted.body is None and not accepted.deletes:
            return _answer(200, view)
        return _answer(
            202,
            view if accepted.body is None else accepted.body,
            version=accepted.version,
            location=f"/operations/{accepted.operation}",
        )

    async def _wait(self, accepted: "_Accepted") -> None:
        """Replace the answer by the final one if the operation ends soon enough."""
        seconds = preferred_wait(self._request, accepted.wait)
        if seconds <= 0:
            return
        # The write is done and its answer is known: no trouble while waiting may turn it into a failure.
        try:
            record = await self._services.operation_events.end_of(accepted.operation, seconds)
            if record is None:
                return
            answer = await self._accepted_answer(accepted, record)
            if self._key is not None:
                await idempotency.keep(self._key, answer, accepted.operation)
            self._answer = answer
        except Exception as error:
            log.warning("waited_in_vain", operation=str(accepted.operation), error=type(error).__name__)


class _Accepted(msgspec.Struct, frozen=True):
    operation: UUID
    wakes: Subject
    body: object
    final: Body | None
    deletes: bool
    version: int | None
    wait: float


class _Undone(Exception):
    """Ends the transaction of a preview."""


def provide_previewed(request: Request[Caller, Any, Any], dry_run: DryRun = False) -> Write:
    """The dependency `write` of a route that can be previewed."""
    return Write(request, previewed=dry_run)


PREVIEWED: Dependencies = {"write": Provide(provide_previewed, sync_to_thread=False)}
"""The `dependencies` of a route that takes `dry_run=true`: it opens an operation, and changes nothing outside of its
transaction."""


def provide_write(request: Request[Caller, Any, Any]) -> Write:
    """The dependency `write`."""
    return Write(request)


def write_key(request: Request[Caller, Any, Any], body: bytes, secret: bytes) -> WriteKey | None:
    """What the request's `Idempotency-Key` stands for; None without one. Raises `RequestInvalid`."""
    given = request.headers.getall("idempotency-key", [])
    if not given or request.method == "GET":
        # What one gets may be asked for again as it is.
        return None
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise RequestInvalid.of(
            "Idempotency-Key", "format", "must be one key of 1 to 255 visible ASCII characters", **{"in": "header"}
        )
    path = request.scope["path"]
    digest = hmac.new(secret, digestmod=hashlib.sha256)
    for part in (request.method.encode(), path.encode(), request.scope["query_string"], body):
        # Each part with its length, so that no two requests make the same text.
        digest.update(len(part).to_bytes(8, "big") + part)
    if len(path) > _LONGEST_PATH:
        path = hashlib.sha256(path.encode()).hexdigest()
    return WriteKey(person=request.user.id, method=request.method, path=path, key=given[0], digest=digest.digest())


def preferred_wait(request: Request[Any, Any, Any], default: float) -> float:
    """Seconds that the client prefers to wait (RFC 7240); what cannot be understood is ignored."""
    for header in request.headers.getall("prefer", []):
        for preference in header.split(","):
            found = _WAIT.fullmatch(preference.split(";")[0].strip().lower())
            if found:
                return min(int(found[1]), LONGEST_WAIT)
    return default


def _answer(
    status: int, body: object, *, version: int | None = None, tag: str | None = None, location: str | None = None
) -> StoredAnswer:
    headers = {}
    content = b"" if status == 204 else msgspec.json.encode(body)
    if version is not None:
        tag = etag_of(content, version)
    if tag is not None:
        headers["ETag"] = tag
    if location is not None:
        headers["Location"] = location
    return StoredAnswer(status=status, headers=headers, body=content)


def response_of(answer: StoredAnswer) -> Response[Any]:
    """A stored answer on its way to the client."""
    return Answer(
        answer.body or None, status_code=answer.status, headers=dict(answer.headers), media_type="application/json"
    )


def handle_replayed(_: Request[Any, Any, Any], replayed: Replayed) -> Response[Any]:
    """The exception handler that ends a repeated request."""
    return response_of(replayed.answer)
