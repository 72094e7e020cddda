"""Activities on the shared file system."""

import asyncio
from pathlib import Path

from temporalio import activity

from activities.messages import WorkflowRun
from integrations.filesystem import Volumes
from models import operations
from models.settings import Settings
from models.values import OperationStatus


class Filesystem:
    """Makes the directories that records stand for."""

    def __init__(self, settings: Settings) -> None:
        self._homes = Path(settings.notebook_location)
        self._volumes = Volumes(uid=settings.files_uid, gid=settings.files_gid)

    @activity.defn
    async def make_home(self, run: WorkflowRun) -> None:
        """Make a person's home directory where it is missing."""
        await operations.step_all(run.subject, "Make the home directory", OperationStatus.RUNNING)
        # A file system may hang: never on the event loop.
        await asyncio.to_thread(self._volumes.make_directory, self._homes, run.subject)
        await operations.step_all(run.subject, "Make the home directory", OperationStatus.SUCCEEDED)
