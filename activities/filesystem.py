"""Activities on the shared file system."""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog
from temporalio import activity

from activities.messages import Done, ObjectWish, Settled
from activities.steps import of_subject, told
from integrations.file_threads import FileThreads
from integrations.filesystem import Volumes
from models.database.transactions import Transaction
from models.domain import crash_points
from models.domain.errors import RecordMissing, RequestInvalid
from models.domain.kinds import DIRECTORIES, ROOTS
from models.domain.settings import Settings
from models.domain.values import Caller
from models.ledger import claims, idempotency
from models.ledger.claims import Claim
from models.ledger.idempotency import StoredAnswer
from models.records import lifecycles, persons, volumes
from models.records.lifecycles import Presence
from models.records.volumes import NewEntry

log = structlog.get_logger(__name__)

# A request that claimed a file and has not recorded it by then has ended.
_UNSETTLED_FOR = timedelta(minutes=10)
# Claims that one pass settles; the next pass goes on.
_CLAIMS = 200
_RECORDED_AT_ONCE = 2


class Filesystem:
    """Makes the directories and files that records stand for."""

    def __init__(self, settings: Settings, threads: FileThreads) -> None:
        self._roots = {kind: directory.location(settings) for kind, directory in DIRECTORIES.items()}
        self._volumes = Volumes(uid=settings.files_uid, gid=settings.files_gid)
        self._threads = threads
        self._uploads_last = timedelta(hours=settings.upload_hours)

    @activity.defn
    async def place_directory(self, wish: ObjectWish) -> Done:
        """Have a record's directory where the wish wants it: in place, in the trash, or nowhere."""
        plan = await lifecycles.read_plan(wish.subject)
        if plan is None or plan.generation != wish.generation:
            return Done(done=False)
        verb, step = {
            Presence.PRESENT: (self._volumes.restore_directory, "Have its directory in place"),
            Presence.TRASHED: (self._volumes.trash_directory, "Move its directory to the trash"),
            Presence.PURGED: (self._volumes.purge_directory, "Remove its directory"),
        }[plan.wish]
        async with told(of_subject(wish.subject, step)):
            root = self._roots[wish.kind]
            threads = self._threads.of(plan.owner or plan.id)
            if DIRECTORIES[wish.kind].below:
                await threads.run_soon(self._volumes.make_root, root)
            await threads.run_soon(verb, root, wish.id)
            crash_points.reach("place_directory.effect", activity.info().workflow_id or "")
        return Done(done=True)

    @activity.defn
    async def settle_files(self) -> Settled:
        """Settle what requests made that were cut off before they recorded it, and clear what they left unfinished."""
        now = datetime.now(UTC)
        abandoned = await claims.abandon(volumes.CLAIM, now - _UNSETTLED_FOR, _CLAIMS)
        abandoned += await claims.abandon(volumes.UPLOAD, now - self._uploads_last, _CLAIMS)
        # Side by side, because each person has a share of the threads: one's directories keep nobody else's from being
        # looked at, however long they take, and whatever is wrong with them.
        recording = asyncio.Semaphore(_RECORDED_AT_ONCE)
        found = await asyncio.gather(*(self._settle(claim, recording) for claim in abandoned), return_exceptions=True)
        for claim, outcome in zip(abandoned, found, strict=True):
            if isinstance(outcome, BaseException):
                log.warning("claim_not_settled", claim=str(claim.id), error=str(outcome))
        return Settled(made=found.count(True), cleared=found.count(False))

    async def _settle(self, claim: Claim, recording: asyncio.Semaphore) -> bool:
        """Settle one claim; whether what it is about was made."""
        entry = NewEntry.of(claim)
        try:
            found = await self._threads.of(claim.person).run(self._clear, claim, entry)
        except (RecordMissing, RequestInvalid):
            # The directory that it was to be made in is gone, and all that was in it.
            found = False
        async with recording, Transaction():
            if found:
                maker = Caller(
                    id=claim.person,
                    email=await persons.email_of(claim.person),
                    request_id=claim.request_id,
                    client_request_id=claim.client_request_id,
                )
                await volumes.record_made(entry, maker)
                # Whoever repeats the request is answered as if it had never been cut off.
                await idempotency.answer(claim.id, StoredAnswer(status=204 if entry.removed else 200))
            await claims.drop(claim.id)
        return found

    def _clear(self, claim: Claim, entry: NewEntry) -> bool:
        return self._volumes.clear_unfinished(self._roots[ROOTS[entry.root]], entry.path, entry.name, _CutOff(claim))


class _CutOff:
    """Who was making something and will not go on."""

    def __init__(self, claim: Claim) -> None:
        self.mark = claim.id.hex
        self._made = claim.made

    def note(self, identity: str) -> None:
        raise RuntimeError("nothing is made any more")

    def made(self, identity: str) -> bool:
        return identity in self._made
