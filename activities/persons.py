"""Activities that prepare a person's place, the home directory and the JupyterHub user, or take the user away."""

from temporalio import activity

from activities.looks import looks
from activities.messages import Done, PersonSeen, WorkflowRun
from activities.steps import of_subject, told
from activities.trying import try_each
from activities.waking import Wake, wake_all
from integrations.file_threads import FileThreads
from integrations.filesystem import Volumes
from integrations.jupyterhub import JupyterHub
from models.domain.errors import HubUserStays
from models.domain.kinds import DIRECTORIES
from models.domain.settings import Settings
from models.domain.values import Subject
from models.ledger import operations
from models.records import persons

# What takes longer is told of, with what is in its way, and tried again.
END_SECONDS = 60.0
# Servers that one look stops.
_PAGE = 500


class Persons:
    """Prepares a person's place, and ends what JupyterHub has of one whose e-mail was released."""

    def __init__(self, hub: JupyterHub, settings: Settings, wake: Wake, threads: FileThreads) -> None:
        self._hub = hub
        self._wake = wake
        self._homes = DIRECTORIES["person"].location(settings)
        self._volumes = Volumes(uid=settings.files_uid, gid=settings.files_gid)
        self._threads = threads

    @activity.defn
    async def begin_person(self, run: WorkflowRun) -> PersonSeen | None:
        """Note on a person's operations which run works on them, and read what is to be done; None of old workers."""
        await operations.begin(Subject("person", run.subject), run.workflow_id, run.run_id)
        return PersonSeen(released=await persons.is_released(run.subject))

    @activity.defn
    async def make_home(self, run: WorkflowRun) -> None:
        """Make a person's home directory where it is missing; raises `RecordMissing` for nobody's."""
        await persons.email_of(run.subject)
        async with told(of_subject(Subject("person", run.subject), "Make the home directory")):
            called = DIRECTORIES["person"].called
            await self._threads.of(run.subject).run_soon(self._volumes.make_directory, self._homes, run.subject, called)

    @activity.defn
    async def make_hub_user(self, run: WorkflowRun) -> None:
        """Make a person's JupyterHub user where it is missing; one who has released the e-mail gets none."""
        hub_user = await persons.hub_user_of(run.subject)
        if await persons.is_released(run.subject):
            return
        async with told(of_subject(Subject("person", run.subject), "Make the JupyterHub user")):
            await self._hub.ensure_user(hub_user)

    @activity.defn
    async def settle_person(self, run: WorkflowRun) -> None:
        """The person's place is prepared: note it, and end the operations that were opened for it."""
        await persons.settle(run.subject, run.run_id, released=False)

    @activity.defn
    async def stop_servers(self, run: WorkflowRun) -> None:
        """Stop the servers of a person who has released the e-mail, and return once it is proven of each.

        Raises `HubUserStays` when it is not in time.
        """
        async with told(of_subject(Subject("person", run.subject), "Stop the person's servers")):
            left: list[Subject] = []
            async for _ in looks(END_SECONDS):
                before, left = left, await persons.stop_servers(run.subject, _PAGE)
                if not left:
                    return
                await wake_all(self._wake, [one for one in left if one not in before])
            raise HubUserStays(
                f"{len(left)} servers of the person are not proven stopped.",
                hint=f"The operation of the server {left[0].id} says what is in the way.",
            )

    @activity.defn
    async def remove_hub_user(self, run: WorkflowRun) -> Done:
        """Remove the JupyterHub user of a person who has released the e-mail, with tokens, sign-ins, memberships and
        shares; prove it, and end the operations that were opened for it.

        Not done: the person has come back. Raises `HubUserStays` when it is not proven in time.
        """
        hub_user = await persons.hub_user_of(run.subject)
        async with told(of_subject(Subject("person", run.subject), "Remove the JupyterHub user")):
            async for _ in looks(END_SECONDS):
                if not await persons.is_released(run.subject):
                    return Done(done=False)
                # Also what runs there without our knowing.
                running = await self._hub.active(hub_user)
                if running is None:
                    break
                hindered = await try_each((self._hub.stop(hub_user, one) for one in running), "server_not_stopped")
                if hindered is not None:
                    raise hindered
                if not running:
                    await self._hub.remove_user(hub_user)
            else:
                raise HubUserStays(
                    f"JupyterHub does not remove its user {hub_user}.",
                    hint="Ask an operator to look for it in JupyterHub's log.",
                )
        return Done(done=await persons.settle(run.subject, run.run_id, released=True))
