"""Activities on JupyterHub: starting, stopping and removing servers with proof, and looking at what runs.

Each is told which server to look after, reads the wish itself, and writes down what it saw. So each may
be repeated, interrupted or come late.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import structlog
from temporalio import activity

from activities.handover import Handover
from activities.looks import looks
from activities.messages import Done, Drift, FailedStart, ObjectWish, Seen, ServerWish, WorkflowRun
from activities.start_order import modules_of, mounts_of
from activities.steps import of_operation, of_subject, told
from integrations.filesystem import Volumes
from integrations.jupyterhub import HubServer, JupyterHub, Process
from integrations.vault import Vault
from models.domain import crash_points
from models.domain.errors import DomainError, HubUserMissing, ServerNotEnding, SpawnFailed
from models.domain.ids import parse_id
from models.domain.kinds import DIRECTORIES
from models.domain.server_spec import ServerSpec, sign_spec
from models.domain.settings import Settings
from models.domain.values import ServerStatus, Subject, Wish
from models.records import groups, mounts, persons, server_settling, server_watch
from models.records.groups import Mirror
from models.records.mounts import Claim
from models.records.server_settling import ServerPlan
from models.records.server_watch import ObservedServer

log = structlog.get_logger(__name__)

# A worker that was frozen must not start anything when it wakes: its order has expired by then.
SPEC_SECONDS = 120
# A stop or removal that takes longer is told of, with what is in its way, and tried again.
_END_SECONDS = 60.0
# So long JupyterHub may take to end a server itself; then its processes are ended past it.
_HUB_SECONDS = 15.0
_PAGE = 1000
# Links that one pass makes anew.
_LINKS = 10

ASK = "Ask JupyterHub to start it"
READY = "Wait until it is ready"
STOP = "Stop it"
CLEAR = "Remove what the failed start left behind"
REMOVE = "Remove it from JupyterHub"
USER = "Make the JupyterHub user"

Wake = Callable[[Subject], Awaitable[bool]]


class Hub:
    """Activities that need JupyterHub, and the key that signs what may be started there."""

    def __init__(self, hub: JupyterHub, vault: Vault, settings: Settings, signing_key: bytes, wake: Wake) -> None:
        self._hub = hub
        self._vault = vault
        self._settings = settings
        self._signing_key = signing_key
        self._wake = wake

    @activity.defn
    async def make_hub_user(self, run: WorkflowRun) -> None:
        """Make a person's JupyterHub user where it is missing."""
        email = await persons.email_of(run.subject)
        person = Subject("person", run.subject)
        async with told(of_subject(person, USER)):
            await self._hub.ensure_user(email)

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
        async with _telling(plan, ASK):
            found, failure = await asyncio.gather(
                self._server_or_user(plan), self._hub.failure(str(plan.server_id), plan.generation)
            )
            if not found.active:
                if failure is not None:
                    # JupyterHub accepted this start before: there is one spawn to a start.
                    raise SpawnFailed(failure.reason or "The server ended while it started.", log=failure.log)
                handover = await self._start(plan)
                if handover is None:
                    return Done(done=False)
                crash_points.reach("spawn_server.effect")
            elif found.generation is None or found.generation < plan.process_floor:
                # Not ours to wait for: it has to stop first.
                return Done(done=False)
        async with _telling(plan, READY, last=True), handover.ended_on_failure() if handover else nullcontext():
            process = await self._ready(plan)
        await server_settling.settle_running(plan.server_id, plan.generation, process)
        await self._check_again(plan)
        return Done(done=True)

    @activity.defn
    async def stop_server(self, wish: ServerWish) -> Done:
        """See to it that no process of a server up to a generation lives, prove it, and say so."""
        plan = await server_settling.read_plan(wish.server_id)
        if plan is None:
            return Done(done=False)
        await self._stop(plan, wish.generation)
        return Done(done=await server_settling.settle_stopped(plan.server_id, wish.generation))

    @activity.defn
    async def fail_start(self, failed: FailedStart) -> Done:
        """Remove whatever a failed start left behind, prove it, and say that it failed."""
        plan = await server_settling.read_plan(failed.server_id)
        if plan is None:
            return Done(done=False)
        await self._stop(plan, failed.generation, CLEAR)
        return Done(
            done=await server_settling.settle_failed_start(
                failed.server_id, failed.generation, failed.error, failed.log
            )
        )

    @activity.defn
    async def delete_server(self, wish: ServerWish) -> Done:
        """Stop a server and remove it from JupyterHub, prove both, and remove its record."""
        plan = await server_settling.read_plan(wish.server_id)
        if plan is None or plan.wish is not Wish.DELETED:
            return Done(done=False)
        await self._stop(plan, wish.generation)
        async with _telling(plan, REMOVE, last=True):
            await self._remove(plan)
        return Done(done=await server_settling.settle_deleted(plan.server_id))

    @activity.defn
    async def note_shares(self, wish: ServerWish) -> None:
        """Write down with whom a server is shared, with a link to share it that has some life left."""
        await self._note_shares(wish.server_id)

    async def _note_shares(self, server: UUID) -> None:
        plan = await server_settling.read_plan(server)
        if plan is None:
            return
        code = None
        if plan.share_expires_at is None or plan.share_expires_at < datetime.now(UTC) + timedelta(hours=1):
            code = await self._hub.make_share_code(
                plan.hub_user, plan.hub_name, self._settings.share_link_lifetime, self._settings.browser_hub_url
            )
        shared_with = await self._hub.shared_with(plan.hub_user, plan.hub_name)
        await server_settling.note_shared(
            plan.server_id, code.url if code else None, code.expires_at if code else None, shared_with
        )

    @activity.defn
    async def mirror_group(self, wish: ObjectWish) -> None:
        """Have JupyterHub's group of a group hold its members who have a JupyterHub user, or have none."""
        name = self._group_name(wish.id)
        subject = Subject("group", wish.id)
        mirror = await groups.mirror_of(wish.id)
        step = "Remove JupyterHub's group" if mirror is None else "Have JupyterHub's group hold its members"
        async with told(of_subject(subject, step)):
            if mirror is None:
                await self._hub.remove_group(name)
            else:
                await self._hub.keep_group(name, set(mirror.users), _properties(mirror))
            crash_points.reach("mirror_group.effect", activity.info().workflow_id or "")

    @activity.defn
    async def observe_groups(self) -> Drift:
        """Compare JupyterHub's groups under our prefix with ours, and wake those that differ."""
        found = {group.name: group async for group in self._hub.groups(self._settings.hub_group_prefix)}
        drifted = 0
        after: UUID | None = None
        while True:
            page = await groups.settled_mirrors(after, _PAGE)
            for mirror in page:
                name = self._group_name(mirror.id)
                seen = found.get(name)
                if seen is None or set(seen.users) != set(mirror.users) or seen.properties != _properties(mirror):
                    drifted += await groups.note_drift(mirror.id)
                    await self._wake(Subject("group", mirror.id))
            if len(page) < _PAGE:
                break
            after = page[-1].id
        return Drift(groups=len(found), drifted=drifted)

    def _group_name(self, group: UUID) -> str:
        return f"{self._settings.hub_group_prefix}{group}"

    @activity.defn
    async def observe_servers(self) -> Seen:
        """Compare every server of which a process lives, or should, with what really runs; write what differs."""
        # Versions first: whatever changes while we look makes our write miss.
        rows = await self._watched()
        alive = defaultdict(list)
        for process in await self._hub.all_processes():
            alive[process.server_id].append(process)
        vanished = [row for row in rows.values() if not alive[str(row.server_id)] and _should_run(row)]
        for row in vanished:
            # A second look, at this server alone: the first may be older than the start.
            if not await self._hub.processes(str(row.server_id)):
                generation = row.generation if row.process_generation is None else row.process_generation
                failure = await self._hub.ending(str(row.server_id), generation)
                reason, log = (failure.reason, failure.log) if failure is not None else ("", "")
                await server_watch.note_vanished(row.server_id, row.generation, row.version, reason=reason, log=log)
        others = [identity for identity in map(parse_id, alive) if identity is not None and identity not in rows]
        unwanted, unknown = await self._look_after(others, alive) if others else (0, 0)
        # What could not be made at the start, or has expired while the server runs.
        for server in await server_watch.without_link(_LINKS):
            with suppress(DomainError):
                await self._note_shares(server)
        return Seen(watched=len(rows), vanished=len(vanished), unwanted=unwanted, unknown=unknown)

    async def _watched(self) -> dict[UUID, ObservedServer]:
        found: dict[UUID, ObservedServer] = {}
        after: UUID | None = None
        while True:
            page = await server_watch.watched(after, _PAGE)
            found |= {row.server_id: row for row in page}
            if len(page) < _PAGE:
                return found
            after = page[-1].server_id

    async def _look_after(self, others: list[UUID], alive: dict[str, list[Process]]) -> tuple[int, int]:
        """Processes of servers that are stopped or gone: what is proven ours and unwanted goes, others are reported."""
        known = {row.server_id: row for row in await server_watch.observed(others)}
        deleted = await server_watch.tombstones([identity for identity in others if identity not in known])
        unwanted = unknown = 0
        for identity in others:
            row = known.get(identity)
            if row is None and identity in deleted:
                generation = max(process.generation for process in alive[str(identity)])
                await self._hub.end_processes(str(identity), generation)
                unwanted += 1
            elif row is None:
                log.warning("unknown_server_process", server=str(identity))
                unknown += 1
            elif row.generation == row.observed_generation and row.wish is Wish.STOPPED:
                processes = await self._hub.processes(str(identity))
                if processes and await server_watch.note_unwanted(identity, processes[0].generation, row.version):
                    await self._wake(Subject("server", identity))
                    unwanted += 1
        return unwanted, unknown

    async def _server_or_user(self, plan: ServerPlan) -> HubServer:
        """The server as JupyterHub sees it; its user is made where JupyterHub does not know it."""
        try:
            return await self._hub.server(plan.hub_user, plan.hub_name)
        except HubUserMissing:
            await self._hub.ensure_user(plan.hub_user)
            return HubServer(user=plan.hub_user, name=plan.hub_name)

    async def _check_again(self, plan: ServerPlan) -> None:
        """Who lost an access while the server started was not found by those who looked at running ones."""
        if not await mounts.mark_lost("server", plan.server_id) or self._settings.on_revoke == "defer":
            return
        if self._settings.revoke_grace == 0:
            for lost in await mounts.lost("server", plan.server_id, 1):
                # The workflow looks at the wish again when this returns.
                await mounts.stop(lost)

    async def _start(self, plan: ServerPlan) -> Handover | None:
        """Ask for the spawn; what was handed over for it, or None when a later wish has come."""
        # Here, where it is told in people's words: JupyterHub may be on a machine that only sees a path.
        homes = Path(self._settings.notebook_location)
        await asyncio.to_thread(Volumes().require_directory, homes, plan.owner_id, DIRECTORIES["person"].called)
        claims = await mounts.claim(plan.server_id, plan.generation, plan.template.objects())
        if claims is None:
            return None
        handover = Handover(self._vault, self._settings.wrapping_seconds)
        async with handover.ended_on_failure():
            await handover.wrap([claim.secret for claim in claims.kept if claim.secret is not None])
            left_out = claims.left_out + handover.left_out
            if left_out and plan.operation is not None:
                await mounts.note_left_out(plan.operation, left_out)
            token = sign_spec(self._spec(plan, claims.kept, handover), self._signing_key, self._settings.spec_key_id)
            options = {"spec": token, "wrapped_secrets": msgspec.to_builtins(handover.wrapped)}
            await self._hub.start(plan.hub_user, plan.hub_name, plan.template.name, options)
        return handover

    def _spec(self, plan: ServerPlan, claims: list[Claim], handover: Handover) -> ServerSpec:
        now = int(time.time())
        return ServerSpec(
            server_id=str(plan.server_id),
            hub_user=plan.hub_user,
            hub_name=plan.hub_name,
            generation=plan.generation,
            person_id=str(plan.owner_id),
            application=plan.template.application_type,
            hardware=plan.template.hardware,
            file_path=plan.template.file_path or "",
            home=str(Path(self._settings.notebook_location) / str(plan.owner_id)),
            mounts=mounts_of(claims, self._settings),
            modules=modules_of(claims),
            secrets=tuple(handover.mounts),
            issued_at=now,
            expires_at=now + SPEC_SECONDS,
        )

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
                        failure = await self._hub.failure(str(plan.server_id), plan.generation)
                        reason = failure.reason if failure and failure.reason else message
                        raise SpawnFailed(
                            reason or "The server ended while it started.", log=failure.log if failure else ""
                        )
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

    async def _stop(self, plan: ServerPlan, up_to: int, step: str = STOP) -> None:
        """Return once JupyterHub and the processes themselves show that nothing up to a generation lives.

        Raises `ServerNotEnding` when they do not in time.
        """
        if plan.observed is not ServerStatus.STOPPED:
            await server_settling.observe(plan.server_id, plan.generation, ServerStatus.STOPPING)
        async with _telling(plan, step):
            asked_at: float | None = None
            sought = False
            old: HubServer | None = None
            processes: list[Process] = []
            async for _ in looks(_END_SECONDS):
                old, processes = await asyncio.gather(
                    self._active(plan, up_to), self._living(str(plan.server_id), up_to)
                )
                if old is None and not processes:
                    return
                if old is not None and asked_at is None:
                    # What the answer says is no proof; the next look is.
                    await self._hub.stop(plan.hub_user, plan.hub_name)
                    asked_at = time.monotonic()
                elif old is None and not sought:
                    sought = True
                    await self._stop_elsewhere(plan)
                elif processes and (asked_at is None or time.monotonic() - asked_at > _HUB_SECONDS):
                    # JupyterHub has forgotten a process that lives, or does not end it.
                    await self._hub.end_processes(str(plan.server_id), up_to)
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
        async for _ in looks(_END_SECONDS):
            if not await self._hub.knows(plan.hub_user, plan.hub_name):
                return
            await self._hub.remove(plan.hub_user, plan.hub_name)
        raise ServerNotEnding(
            "JupyterHub does not remove its record of the server.",
            hint=f"Ask an operator to look for {plan.hub_user}/{plan.hub_name} in JupyterHub's log.",
        )

    async def _living(self, server_id: str, up_to: int) -> list[Process]:
        return [process for process in await self._hub.processes(server_id) if process.generation <= up_to]


def _properties(mirror: Mirror) -> dict[str, str]:
    """What an operator of JupyterHub is told of a group, whose name there is an id."""
    return {"notebooks_hub_name": mirror.name}


def _should_run(row: ObservedServer) -> bool:
    return row.generation == row.observed_generation and row.wish is Wish.RUNNING


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


def _telling(plan: ServerPlan, step: str, *, last: bool = False) -> AbstractAsyncContextManager[None]:
    """Tell a step on the plan's operation, if it has one."""
    if plan.operation is None:
        return nullcontext()
    return told(of_operation(plan.operation, step), last=last)
