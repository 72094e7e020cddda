"""Activities that bring running servers into line with what their owners may use."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from temporalio import activity

from activities.looks import looks
from activities.messages import AccessScope, HoldersSeen, Withdrawn, WorkflowRun
from activities.share_links import ShareLinks
from activities.trying import try_each
from activities.waking import Wake, wake_all
from models.domain import crash_points
from models.domain.settings import Settings
from models.domain.values import OperationStatus, Subject
from models.ledger import audit, operations
from models.records import lifecycles, mounts, server_shares
from models.records.lifecycles import Presence
from models.records.mounts import LostMount
from models.records.server_shares import LostGuest, Taken

STOP = "Stop servers that hold what their owners may no longer use"
# What the log calls a guest whose access does not end.
_STAYS = "access_not_ended"

# Servers that one look stops: above what one person may have.
_PAGE = 500
# A look waits so long for servers to be gone; then the workflow looks again, so that its story goes on.
_LOOK_SECONDS = 20.0
# Who is to stop for longer than this is named; the longer it takes, the rarer are the looks.
_LONG_SECONDS = 60.0
_SOONEST, _LATEST = 0.5, 30.0


class Access:
    """Activities on what servers hold."""

    def __init__(self, settings: Settings, wake: Wake, links: ShareLinks) -> None:
        self._links = links
        self._settings = settings
        self._wake = wake

    @activity.defn
    async def begin_access(self, run: WorkflowRun) -> None:
        """Note on the shares and revokes of an object which run works on them."""
        await operations.begin(Subject(run.kind, run.subject), run.workflow_id, run.run_id)

    @activity.defn
    async def settle_access(self, run: WorkflowRun) -> None:
        """No server holds what it may not: the shares and revokes that were worked on have succeeded."""
        await operations.succeed_all(Subject(run.kind, run.subject), run.run_id)

    @activity.defn
    async def find_holders(self, scope: AccessScope) -> HoldersSeen:
        """Mark what servers of a scope hold and may not, and tell whether `withdraw` has anything to do.

        Nothing outside is looked at. Who starts a server meanwhile finds what was taken before it was started.
        """
        await mounts.mark_lost(scope.kind, scope.object)
        # Asked anew: what another was marking meanwhile, the reconciler for one, the statement that marks may not see.
        if await mounts.lost(scope.kind, scope.object, 1) and await self._stops(scope):
            return HoldersSeen(some=True)
        taken = await _taken(scope)
        if taken is None:
            return HoldersSeen(some=False)
        shared = await server_shares.holders(taken.scope, taken.id)
        return HoldersSeen(some=bool(shared or await server_shares.lost(taken.scope, taken.id, 1)))

    @activity.defn
    async def withdraw(self, scope: AccessScope) -> Withdrawn:
        """Warn and then stop the servers of a scope that hold what their owners may no longer use.

        Returns once they are proven gone, or after a while with what is left and when to look again. With
        `force` what hangs on an object goes away altogether, so its holders are stopped whatever the setting says.
        """
        hindered = await self._end_guests(scope)
        found = await self._withdraw(scope)
        if hindered is not None:
            raise hindered
        return found

    async def _end_guests(self, scope: AccessScope) -> Exception | None:
        """End the access of those with whom a server is shared and who lost a right to what it holds.

        What was in the way, if anything: servers stop all the same.
        """
        taken = await _taken(scope)
        if taken is None:
            return None
        holders = await server_shares.holders(taken.scope, taken.id)
        hindered = await try_each((self._look(one, taken) for one in holders), _STAYS)
        while guests := await server_shares.lost(taken.scope, taken.id, _PAGE):
            stays = await try_each(map(self._end_guest, guests), _STAYS)
            if stays is not None:
                return stays
        return hindered

    async def _look(self, server: UUID, taken: Taken) -> None:
        await server_shares.note_look(server)
        await self._links.look(server, taken=taken)

    async def _end_guest(self, guest: LostGuest) -> None:
        """At once: nothing of the guest's own is lost by it."""
        await server_shares.note_try(guest)
        await self._links.take_back(guest.server, [guest.hub_user])
        await audit.record("server.guest_lost", Subject("server", guest.server), None, detail={"guest": guest.email})

    async def _withdraw(self, scope: AccessScope) -> Withdrawn:
        await mounts.mark_lost(scope.kind, scope.object)
        if not await self._stops(scope):
            return Withdrawn()
        subject = Subject(scope.subject_kind, scope.object) if scope.subject_kind and scope.object else None
        told, lost, next_in = False, list[LostMount](), _SOONEST
        async for _ in looks(_LOOK_SECONDS):
            if lost:
                await mounts.mark_lost(scope.kind, scope.object)
            lost = await mounts.lost(scope.kind, scope.object, _PAGE)
            if not lost:
                if told and subject is not None:
                    await operations.step_all(subject, STOP, OperationStatus.SUCCEEDED)
                return Withdrawn()
            if subject is not None and not told:
                detail = _who(lost, self._grace_ends())
                await operations.step_all(subject, STOP, OperationStatus.RUNNING, detail)
                told = True
            due = await self._stop_due(lost)
            next_in = _seconds_until(lost, self._grace_ends())
            if not due:
                break
        return Withdrawn(left=len(lost), next_in=next_in)

    async def _stops(self, scope: AccessScope) -> bool:
        """Whether servers stop that hold what they may not."""
        return self._settings.on_revoke == "stop" or (scope.force and await _goes_away(scope))

    @activity.defn
    async def sweep(self) -> Withdrawn:
        """Look at all servers once: what expired, or was lost with an organisation, is nobody's operation."""
        marked = await mounts.mark_lost("all")
        lost = await mounts.lost("all", None, _PAGE) if marked.lost else []
        if self._settings.on_revoke == "stop":
            await self._stop_due(lost)
        # Whose access stays is tried again by a later sweep.
        await try_each(map(self._end_guest, await server_shares.lost("all", None, _PAGE)), _STAYS)
        return Withdrawn(left=len(lost))

    async def _stop_due(self, lost: list[LostMount]) -> bool:
        """Wish those stopped whose grace has ended; whether there are any."""
        grace_ends = self._grace_ends()
        due = {one.server: one for one in lost if one.lost_at <= grace_ends}
        stopped = [one for one in due.values() if await mounts.stop(one)]
        crash_points.reach("withdraw.effect", activity.info().workflow_id or "")
        await wake_all(self._wake, [Subject("server", one.server) for one in stopped])
        return bool(due)

    def _grace_ends(self) -> datetime:
        """What was lost before this moment is due."""
        return datetime.now(UTC) - timedelta(seconds=self._settings.revoke_grace)


async def _taken(scope: AccessScope) -> Taken | None:
    """The rights that are taken from people, if any; what goes away, goes away with the servers that hold it."""
    if scope.force or scope.object is None:
        return None
    since = await server_shares.takes_rights(Subject(scope.subject_kind, scope.object))
    return None if since is None else Taken(scope=scope.kind, id=scope.object, since=since)


async def _goes_away(scope: AccessScope) -> bool:
    """Whether the object itself is not wished to be there any more."""
    if scope.object is None:
        return False
    plan = await lifecycles.read_plan(Subject(scope.subject_kind, scope.object))
    return plan is None or plan.wish is not Presence.PRESENT


def _seconds_until(lost: list[LostMount], grace_ends: datetime) -> float:
    """In how many seconds to look again: when the first is due, or ever later while it does not end."""
    seconds = (min(one.lost_at for one in lost) - grace_ends).total_seconds()
    return max(_SOONEST, seconds if seconds > 0 else min(-seconds / 10, _LATEST))


def _who(lost: list[LostMount], grace_ends: datetime) -> str:
    """How many servers there are, and which of them does not end."""
    servers = len({one.server for one in lost})
    first = min(lost, key=lambda one: one.lost_at)
    overdue = (grace_ends - first.lost_at).total_seconds()
    if overdue < _LONG_SECONDS:
        return f"{servers} of them"
    return (
        f"{servers} of them; {first.server} does not end for {overdue / 60:.0f} min: its own operation says what is in "
        "the way. Ask an operator to look at it."
    )
