"""Activities on the shared file system."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from temporalio import activity

from activities.messages import Done, ObjectWish, Settled, WorkflowRun
from activities.steps import of_subject, told
from integrations import lmod
from integrations.filesystem import Volumes
from models.database.transactions import Transaction
from models.domain import crash_points
from models.domain.errors import RecordMissing, RequestInvalid
from models.domain.kinds import DIRECTORIES, ROOTS
from models.domain.settings import Settings
from models.domain.values import Caller, Subject
from models.ledger import claims, idempotency
from models.ledger.claims import Claim
from models.ledger.idempotency import StoredAnswer
from models.records import lifecycles, modules, persons, volumes
from models.records.lifecycles import Presence
from models.records.modules import ModulePlace, PlaceHeld
from models.records.volumes import NewEntry

# A request that claimed a file and has not recorded it by then has ended.
_UNSETTLED_FOR = timedelta(minutes=10)
# Claims that one pass settles; the next pass goes on.
_CLAIMS = 200

HOME = "Make the home directory"


class Filesystem:
    """Makes the directories and files that records stand for."""

    def __init__(self, settings: Settings) -> None:
        self._modulefiles = Path(settings.module_location, lmod.MODULEFILES)
        self._roots = {kind: directory.location(settings) for kind, directory in DIRECTORIES.items()}
        self._volumes = Volumes(uid=settings.files_uid, gid=settings.files_gid)

    @activity.defn
    async def make_home(self, run: WorkflowRun) -> None:
        """Make a person's home directory where it is missing."""
        person = Subject("person", run.subject)
        async with told(of_subject(person, HOME)):
            # A file system may hang: never on the event loop.
            homes, called = self._roots[person.kind], DIRECTORIES[person.kind].called
            await asyncio.to_thread(self._volumes.make_directory, homes, run.subject, called)

    @activity.defn
    async def place_directory(self, wish: ObjectWish) -> Done:
        """Have a record's directory where the wish wants it: in place, in the trash, or nowhere."""
        subject = Subject(wish.kind, wish.id)
        plan = await lifecycles.read_plan(subject)
        if plan is None or plan.generation != wish.generation:
            return Done(done=False)
        verb, step = {
            Presence.PRESENT: (self._volumes.restore_directory, "Have its directory in place"),
            Presence.TRASHED: (self._volumes.trash_directory, "Move its directory to the trash"),
            Presence.PURGED: (self._volumes.purge_directory, "Remove its directory"),
        }[plan.wish]
        async with told(of_subject(subject, step)):
            root = self._roots[wish.kind]
            if DIRECTORIES[wish.kind].below:
                await asyncio.to_thread(self._volumes.make_root, root)
            await asyncio.to_thread(verb, root, wish.id)
            crash_points.reach("place_directory.effect", activity.info().workflow_id or "")
        return Done(done=True)

    @activity.defn
    async def place_modulefile(self, wish: ObjectWish) -> Done:
        """Have a module's file at the one place where the wish wants it, or nowhere. Raises `PlaceHeld`."""
        subject = Subject(wish.kind, wish.id)
        placement = await modules.take_place(wish.id, wish.generation)
        if placement is None:
            return Done(done=False)
        step = "Remove its modulefile" if placement.wanted is None else "Write its modulefile"
        async with told(of_subject(subject, step)):
            if placement.wanted is not None and not placement.waits:
                content = _header(wish.id) + lmod.render(placement.calls)
                await asyncio.to_thread(self._write, placement.wanted, content)
            crash_points.reach("place_modulefile.effect", activity.info().workflow_id or "")
            for place in placement.left:
                await asyncio.to_thread(self._remove, place, wish.id)
            await modules.give_up(wish.id, placement.left)
            if placement.waits:
                # Given up all the same, because the other may wait for what this one left.
                raise PlaceHeld("The module that had this name and version is still being moved away.")
        return Done(done=True)

    @activity.defn
    async def settle_files(self) -> Settled:
        """Settle what requests made that were cut off before they recorded it, and clear what they left unfinished."""
        made = cleared = 0
        for claim in await claims.abandon(volumes.CLAIM, datetime.now(UTC) - _UNSETTLED_FOR, _CLAIMS):
            entry = NewEntry.of(claim)
            try:
                found = await asyncio.to_thread(self._clear, claim, entry)
            except (RecordMissing, RequestInvalid):
                # The directory that it was to be made in is gone, and all that was in it.
                found = False
            async with Transaction():
                if found:
                    maker = Caller(id=claim.person, email=await persons.email_of(claim.person))
                    await volumes.record_made(entry, maker, claim.request_id)
                    # Whoever repeats the request is answered as if it had never been cut off.
                    await idempotency.answer(claim.id, StoredAnswer(status=200))
                await claims.drop(claim.id)
            made, cleared = made + found, cleared + (not found)
        return Settled(made=made, cleared=cleared)

    def _clear(self, claim: Claim, entry: NewEntry) -> bool:
        return self._volumes.clear_unfinished(self._roots[ROOTS[entry.root]], entry.path, entry.name, _CutOff(claim))

    def _write(self, place: ModulePlace, content: bytes) -> None:
        self._volumes.make_root(self._modulefiles)
        self._volumes.place_file(self._modulefiles, _directories(place), lmod.file_name(place.module_version), content)

    def _remove(self, place: ModulePlace, module: UUID) -> None:
        self._volumes.make_root(self._modulefiles)
        self._volumes.remove_file(
            self._modulefiles, _directories(place), lmod.file_name(place.module_version), _header(module)
        )


class _CutOff:
    """Who was making something and will not go on."""

    def __init__(self, claim: Claim) -> None:
        self.mark = claim.id.hex
        self._made = claim.made

    def note(self, identity: str) -> None:
        raise RuntimeError("nothing is made any more")

    def made(self, identity: str) -> bool:
        return identity in self._made


def _directories(place: ModulePlace) -> tuple[str, ...]:
    return str(place.owner), place.name


def _header(module: UUID) -> bytes:
    """What a modulefile begins with: whose it is."""
    return f"-- {module}\n".encode("ascii")
