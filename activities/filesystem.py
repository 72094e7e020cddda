"""Activities on the shared file system."""

import asyncio
from pathlib import Path
from uuid import UUID

from temporalio import activity

from activities.messages import Done, ObjectWish, WorkflowRun
from activities.steps import of_subject, told
from integrations import lmod
from integrations.filesystem import Volumes
from models import crash_points, lifecycles, modules
from models.lifecycles import Presence
from models.modules import ModulePlace, PlaceHeld
from models.settings import Settings
from models.values import Subject
from models.volumes import DIRECTORIES, Root

HOME = "Make the home directory"


class Filesystem:
    """Makes the directories and files that records stand for."""

    def __init__(self, settings: Settings) -> None:
        self._homes = Path(settings.notebook_location)
        self._modulefiles = Path(settings.module_location, lmod.MODULEFILES)
        self._roots = {
            "dataset": Path(settings.dataset_location),
            "group": Path(settings.group_location),
            "module": Path(settings.module_location, lmod.BINARIES),
        }
        self._volumes = Volumes(uid=settings.files_uid, gid=settings.files_gid)

    @activity.defn
    async def make_home(self, run: WorkflowRun) -> None:
        """Make a person's home directory where it is missing."""
        person = Subject("person", run.subject)
        async with told(of_subject(person, HOME)):
            # A file system may hang: never on the event loop.
            await asyncio.to_thread(self._volumes.make_directory, self._homes, run.subject, DIRECTORIES[Root.NOTEBOOKS])

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
            if wish.kind == "module":
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

    def _write(self, place: ModulePlace, content: bytes) -> None:
        self._volumes.make_root(self._modulefiles)
        self._volumes.place_file(self._modulefiles, _directories(place), lmod.file_name(place.module_version), content)

    def _remove(self, place: ModulePlace, module: UUID) -> None:
        self._volumes.make_root(self._modulefiles)
        self._volumes.remove_file(
            self._modulefiles, _directories(place), lmod.file_name(place.module_version), _header(module)
        )


def _directories(place: ModulePlace) -> tuple[str, ...]:
    return str(place.owner), place.name


def _header(module: UUID) -> bytes:
    """What a modulefile begins with: whose it is."""
    return f"-- {module}\n".encode("ascii")
