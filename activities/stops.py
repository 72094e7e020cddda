"""Activities that end servers, with proof: a stop, what a failed start left behind, and a removal.

Each is told which server to look after, reads the wish itself, and writes down what it saw. So each may
be repeated, interrupted or come late, and does nothing for another wish than the one that it is told of.
"""

import asyncio
import time

import structlog
from temporalio import activity

from activities.looks import looks
from activities.messages import Done, FailedStart, ServerWish
from activities.share_links import ShareLinks
from activities.steps import of_operation, told
from integrations.jupyterhub import HubServer, JupyterHub
from integrations.truth import Process, Truth
from models.domain.errors import HubUserMissing, ServerNotEnding
from models.domain.values import ServerStatus, Wish
from models.records import server_settling
from models.records.server_settling import ServerPlan

log = structlog.get_logger(__name__)

# A stop or removal that takes longer is told of, with what is in its way, and tried again.
END_SECONDS = 60.0
# So long JupyterHub may take to end a server itself; then its processes are ended past it.
HUB_SECONDS = 15.0

STOP = "Stop it"
CLEAR = "Remove what the failed start left behind"
REMOVE = "Remove it from JupyterHub"


class Stops:
    """Ends servers."""

    def __init__(self, hub: JupyterHub, truth: Truth, links: ShareLinks) -> None:
        self._links = links
        self._hub = hub
        self._truth = truth

    @activity.defn
    async def stop_server(self, wish: ServerWish) -> Done:
        """See to it that no process of a server up to a generation lives, prove it, and say so."""
        plan = await server_settling.read_plan(wish.server_id)
        if plan is None or plan.settled or plan.unwanted != wish.generation:
            return Done(done=False)
        if not await self._stop(plan, wish.generation):
            return Done(done=False)
        await self._links.end_with_stop(plan)
        return await _done(plan, await server_settling.settle_stopped(plan.server_id, wish.generation))

    @activity.defn
    async def fail_start(self, failed: FailedStart) -> Done:
        """Remove whatever a failed start left behind, prove it, and say that it failed."""
        plan = await server_settling.read_plan(failed.server_id)
        if plan is None or plan.settled or (plan.wish, plan.generation) != (Wish.RUNNING, failed.generation):
            return Done(done=False)
        if not await self._stop(plan, failed.generation, CLEAR):
            return Done(done=False)
        noted = await self._truth.failure(str(failed.server_id), failed.generation)
        done = await server_settling.settle_failed_start(
            failed.server_id,
            failed.generation,
            failed.error,
            failed.log,
            exit_code=None if noted is None else noted.exit_code,
        )
        return await _done(plan, done)

    @activity.defn
    async def delete_server(self, wish: ServerWish) -> Done:
        """Stop a server and remove it from JupyterHub, prove both, and remove its record."""
        plan = await server_settling.read_plan(wish.server_id)
        if plan is None or (plan.wish, plan.generation) != (Wish.DELETED, wish.generation):
            return Done(done=False)
        if not await self._stop(plan, wish.generation):
            return Done(done=False)
        async with told(of_operation(plan.operation, REMOVE), last=True):
            await self._remove(plan)
        return await _done(plan, await server_settling.settle_deleted(plan.server_id, plan.generation))

    async def _stop(self, plan: ServerPlan, up_to: int, step: str = STOP) -> bool:
        """Return once JupyterHub and the processes themselves show that nothing up to a generation lives.

        False: it may not be ended any more, as the wish was taken back. Raises `ServerNotEnding` when they do not in
        time.
        """
        if plan.observed is not ServerStatus.STOPPED:
            await server_settling.observe(plan.server_id, plan.generation, ServerStatus.STOPPING)
        async with told(of_operation(plan.operation, step)):
            asked_at: float | None = None
            sought = False
            old: HubServer | None = None
            processes: list[Process] = []
            async for _ in looks(END_SECONDS):
                old, processes = await asyncio.gather(
                    self._active(plan, up_to), self._living(str(plan.server_id), up_to)
                )
                if old is None and not processes:
                    return True
                now = await server_settling.read_plan(plan.server_id)
                if now is None or not now.may_end(up_to):
                    return False
                if old is not None and asked_at is None:
                    # What the answer says is no proof; the next look is.
                    await self._hub.stop(plan.hub_user, plan.hub_name)
                    asked_at = time.monotonic()
                elif old is None and not sought:
                    sought = True
                    await self._stop_elsewhere(plan)
                elif processes and (asked_at is None or time.monotonic() - asked_at > HUB_SECONDS):
                    # JupyterHub has forgotten a process that lives, or does not end it.
                    await self._truth.end_processes(str(plan.server_id), up_to)
                if old is None:
                    asked_at = None
            raise _not_ending(plan, old, processes)

    async def _stop_elsewhere(self, plan: ServerPlan) -> None:
        """Stop the server where JupyterHub has it under another user, because its user was renamed there.

        What it has there, process and sign-in client, would make the next start here fail.
        """
        found = await self._hub.elsewhere(plan.hub_user, plan.hub_name)
        if found is not None:
            log.warning("hub_user_renamed", server=str(plan.server_id))
            await self._hub.stop(found.user, found.name)

    async def _active(self, plan: ServerPlan, up_to: int) -> HubServer | None:
        """The server as JupyterHub sees it, if anything up to a generation is going on there."""
        try:
            found = await self._hub.server(plan.hub_user, plan.hub_name)
        except HubUserMissing:
            return None
        return found if found.active and (found.generation is None or found.generation <= up_to) else None

    async def _remove(self, plan: ServerPlan) -> None:
        """Return once JupyterHub does not know the server; raises `ServerNotEnding` when it does not forget it."""
        async for _ in looks(END_SECONDS):
            if not await self._hub.knows(plan.hub_user, plan.hub_name):
                return
            await self._hub.remove(plan.hub_user, plan.hub_name)
        raise ServerNotEnding(
            "JupyterHub does not remove its record of the server.",
            hint=f"Ask an operator to look for {plan.hub_user}/{plan.hub_name} in JupyterHub's log.",
        )

    async def _living(self, server_id: str, up_to: int) -> list[Process]:
        return [process for process in await self._truth.processes(server_id) if process.generation <= up_to]


async def _done(plan: ServerPlan, done: bool) -> Done:
    return Done(done=done, settled=await server_settling.is_settled(plan.server_id))


def _not_ending(plan: ServerPlan, old: HubServer | None, processes: list[Process]) -> ServerNotEnding:
    """What is in the way of a stop, by its name."""
    where = f"{plan.hub_user}/{plan.hub_name}"
    if processes:
        names = {f"{process.hub_user}/{process.hub_name}" for process in processes}
        return ServerNotEnding(
            "A process of the server lives on, although it was ended.",
            hint=f"Ask an operator to look at the process or container of {', '.join(sorted(names))}.",
        )
    doing = "shows that it runs" if old is None or old.pending is None else f"is busy with it (`{old.pending}`)"
    return ServerNotEnding(
        f"JupyterHub {doing}, although no process of the server lives.",
        hint=f"Ask an operator to look for {where} in JupyterHub's log, and to restart JupyterHub: servers live on.",
    )
