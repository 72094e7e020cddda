"""Activities on the shared file system."""

import asyncio
from pathlib import Path

from temporalio import activity

from activities.messages import Done, ObjectWish, WorkflowRun
from integrations.filesystem import Volumes
from models import crash_points, lifecycles, operations
from models.lifecycles import Presence
from models.settings import Settings
from models.values import OperationStatus, Subject

HOME = "Make the home directory"


class Filesystem:
    """Makes the directories that records stand for."""

    def __init__(self, settings: Settings) -> None:
        self._homes = Path(settings.notebook_location)
        self._roots = {"dataset": Path(settings.dataset_location), "group": Path(settings.group_location)}
        self._volumes = Volumes(uid=settings.files_uid, gid=settings.files_gid)

    @activity.defn
    async def make_home(self, run: WorkflowRun) -> None:
        """Make a person's home directory where it is missing."""
        person = Subject("person", run.subject)
        await operations.step_all(person, HOME, OperationStatus.RUNNING)
        # A file system may hang: never on the event loop.
        await asyncio.to_thread(self._volumes.make_directory, self._homes, run.subject)
        await operations.step_all(person, HOME, OperationStatus.SUCCEEDED)

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
        await operations.step_all(subject, step, OperationStatus.RUNNING)
        await asyncio.to_thread(verb, self._roots[wish.kind], wish.id)
        crash_points.reach("place_directory.effect", activity.info().workflow_id or "")
        await operations.step_all(subject, step, OperationStatus.SUCCEEDED)
        return Done(done=True)
