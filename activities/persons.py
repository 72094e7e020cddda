"""Activities that prepare a person's place: the home directory and the JupyterHub user."""

import asyncio

from temporalio import activity

from activities.messages import WorkflowRun
from activities.steps import of_subject, told
from integrations.filesystem import Volumes
from integrations.jupyterhub import JupyterHub
from models.domain.kinds import DIRECTORIES
from models.domain.settings import Settings
from models.domain.values import Subject
from models.ledger import operations
from models.records import persons


class Persons:
    """Prepares a person's place."""

    def __init__(self, hub: JupyterHub, settings: Settings) -> None:
        self._hub = hub
        self._homes = DIRECTORIES["person"].location(settings)
        self._volumes = Volumes(uid=settings.files_uid, gid=settings.files_gid)

    @activity.defn
    async def begin_person(self, run: WorkflowRun) -> None:
        """Note on a person's operations which run works on them."""
        await operations.begin(Subject("person", run.subject), run.workflow_id, run.run_id)

    @activity.defn
    async def make_home(self, run: WorkflowRun) -> None:
        """Make a person's home directory where it is missing; raises `RecordMissing` for nobody's."""
        await persons.email_of(run.subject)
        async with told(of_subject(Subject("person", run.subject), "Make the home directory")):
            # A file system may hang: never on the event loop.
            called = DIRECTORIES["person"].called
            await asyncio.to_thread(self._volumes.make_directory, self._homes, run.subject, called)

    @activity.defn
    async def make_hub_user(self, run: WorkflowRun) -> None:
        """Make a person's JupyterHub user where it is missing."""
        hub_user = await persons.hub_user_of(run.subject)
        async with told(of_subject(Subject("person", run.subject), "Make the JupyterHub user")):
            await self._hub.ensure_user(hub_user)

    @activity.defn
    async def settle_person(self, run: WorkflowRun) -> None:
        """The person's place is prepared: note it, and end the operations that were opened for it."""
        await persons.mark_initialized(run.subject)
        await operations.succeed_all(Subject("person", run.subject), run.run_id)
