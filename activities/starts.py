"""The activity that has a server run, and says so once it is ready.

It is told which server to look after, reads the wish itself, and writes down what it saw. So it may be repeated,
interrupted or come late.
"""

import asyncio
from contextlib import nullcontext
from pathlib import Path

import msgspec
from temporalio import activity

from activities.handover import Handover
from activities.looks import looks
from activities.messages import Done, ServerWish
from activities.share_links import ShareLinks
from activities.start_order import spec_of
from activities.steps import of_operation, told
from integrations.file_threads import FileThreads
from integrations.filesystem import Volumes
from integrations.jupyterhub import HubServer, JupyterHub
from integrations.truth import Truth
from integrations.turns import Turns
from integrations.vault import Vault
from models.domain import crash_points
from models.domain.errors import HubUserMissing, SpawnFailed
from models.domain.kinds import DIRECTORIES
from models.domain.server_spec import sign_spec
from models.domain.settings import Settings
from models.domain.values import ServerStatus, Wish
from models.records import mounts, server_settling
from models.records.server_settling import ServerPlan


class Starts:
    """Starts servers, with the key that signs what may be started."""

    def __init__(
        self,
        hub: JupyterHub,
        truth: Truth,
        vault: Vault,
        settings: Settings,
        signing_key: bytes,
        threads: FileThreads,
        vault_turns: Turns,
        links: ShareLinks,
    ) -> None:
        self._links = links
        self._hub = hub
        self._truth = truth
        self._vault = vault
        self._settings = settings
        self._signing_key = signing_key
        self._threads, self._vault_turns = threads, vault_turns

    @activity.defn
    async def spawn_server(self, wish: ServerWish) -> Done:
        """Have a server run for a wish, and say so once it is ready.

        Raises `SpawnFailed`, `HubRefused`, or for a home that cannot be used `RecordMissing` or `StateConflict`, of
        which no repetition is of use, and `DependencyUnavailable`.
        """
        plan = await server_settling.read_plan(wish.server_id)
        if plan is None or plan.wish is not Wish.RUNNING or plan.generation != wish.generation:
            return Done(done=False)
        await server_settling.observe(plan.server_id, plan.generation, ServerStatus.STARTING)
        # What an earlier try handed over, which was cut off, ends by itself.
        handover: Handover | None = None
        async with told(of_operation(plan.operation, "Ask JupyterHub to start it")):
            found, failure = await asyncio.gather(
                self._server_or_user(plan), self._truth.failure(str(plan.server_id), plan.generation)
            )
            if not found.active:
                if failure is not None and not failure.stopped:
                    # JupyterHub accepted this start before: there is one spawn to a start.
                    raise SpawnFailed(failure.reason or "The server ended while it started.", log=failure.log)
                handover = await self._start(plan)
                if handover is None:
                    return Done(done=False)
                crash_points.reach("spawn_server.effect")
            elif found.generation is None or found.generation < plan.process_floor:
                # Not ours to wait for: it has to stop first.
                return Done(done=False)
        async with (
            told(of_operation(plan.operation, "Wait until it is ready"), last=True),
            handover.ended_on_failure() if handover else nullcontext(),
        ):
            process = await self._ready(plan)
        await server_settling.settle_running(plan.server_id, plan.generation, process)
        await self._check_again(plan)
        return Done(done=True, settled=await server_settling.is_settled(plan.server_id))

    async def _server_or_user(self, plan: ServerPlan) -> HubServer:
        """The server as JupyterHub sees it; its user is made where JupyterHub does not know it."""
        try:
            return await self._hub.server(plan.hub_user, plan.hub_name)
        except HubUserMissing:
            await self._hub.ensure_user(plan.hub_user)
            return HubServer(user=plan.hub_user, name=plan.hub_name)

    async def _check_again(self, plan: ServerPlan) -> None:
        """Who lost an access while the server started was not found by those who looked at running ones."""
        if not (await mounts.mark_lost("server", plan.server_id)).changed or self._settings.on_revoke == "defer":
            return
        if self._settings.revoke_grace == 0:
            for lost in await mounts.lost("server", plan.server_id, 1):
                # The workflow looks at the wish again when this returns.
                await mounts.stop(lost)

    async def _start(self, plan: ServerPlan) -> Handover | None:
        """Ask for the spawn; what was handed over for it, or None when a later wish has come."""
        # Here, where it is told in people's words: JupyterHub may be on a machine that only sees a path.
        homes = Path(self._settings.notebook_location)
        await self._threads.of(plan.owner_id).run_soon(
            Volumes().require_directory, homes, plan.owner_id, DIRECTORIES["person"].called
        )
        # It may have stopped by itself: then nobody has taken its shares back.
        await self._links.end_with_stop(plan)
        claims = await mounts.claim(plan.server_id, plan.generation, plan.template.objects())
        if claims is None:
            return None
        handover = Handover(self._vault, self._vault_turns.of(plan.owner_id), self._settings.wrapping_seconds)
        async with handover.ended_on_failure():
            await handover.wrap([claim.secret for claim in claims.kept if claim.secret is not None])
            left_out = claims.left_out + handover.left_out
            if left_out and plan.operation is not None:
                await mounts.note_left_out(plan.operation, left_out)
            spec = spec_of(plan, claims.kept, handover.mounts, self._settings)
            token = sign_spec(spec, self._signing_key, self._settings.spec_key_id)
            options = {"spec": token, "wrapped_secrets": msgspec.to_builtins(handover.wrapped)}
            await self._hub.start(plan.hub_user, plan.hub_name, plan.template.name, options)
        return handover

    async def _ready(self, plan: ServerPlan) -> int:
        """Wait until JupyterHub says that the server is ready; the generation of its process."""
        try:
            async with asyncio.timeout(self._settings.server_start_timeout):
                async for _ in looks(self._settings.server_start_timeout):
                    message = await self._follow(plan)
                    found = await self._hub.server(plan.hub_user, plan.hub_name)
                    if found.ready:
                        return plan.generation if found.generation is None else found.generation
                    if found.pending is None:
                        failure = await self._truth.failure(str(plan.server_id), plan.generation)
                        # JupyterHub itself stops what does not answer, and knows why.
                        if failure is None or failure.stopped or not failure.reason:
                            raise SpawnFailed(message or "The server ended while it started.")
                        raise SpawnFailed(failure.reason, log=failure.log)
        except TimeoutError:
            pass
        raise SpawnFailed(
            f"The server was not ready within {self._settings.server_start_timeout:g} s.",
            hint="Look at the server's log; NBHUB_SERVER_START_TIMEOUT allows more time.",
        )

    async def _follow(self, plan: ServerPlan) -> str:
        """Follow a spawn to its end; what JupyterHub said last if it failed."""
        async for event in self._hub.progress(plan.hub_user, plan.hub_name):
            if event.failed:
                return event.message
            if event.ready:
                break
        return ""
