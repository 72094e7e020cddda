"""Activities that bring running servers into line with what their owners may use."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from temporalio import activity

from activities.messages import AccessScope, Withdrawn, WorkflowRun
from models import crash_points, mounts, operations
from models.mounts import LostMount
from models.settings import Settings
from models.values import OperationStatus, Subject

STOP = "Stop servers that hold what their owners may no longer use"

Wake = Callable[[Subject], Awaitable[bool]]

# Servers that one look stops, and how many of them are woken at once.
_PAGE = 500
_AT_ONCE = 25
_LOOK_AGAIN = 0.25
# A look waits so long for servers to be gone; then the workflow looks again, so that its story goes on.
_LOOK_SECONDS = 20.0


class Access:
    """Activities on what servers hold."""

    def __init__(self, settings: Settings, wake: Wake) -> None:
        self._settings = settings
        self._wake = wake

    @activity.defn
    async def begin_access(self, run: WorkflowRun) -> None:
        """Note on the shares and revokes of an object which run works on them."""
        await operations.begin(Subject(run.kind, run.subject), run.workflow_id, run.run_id)

    @activity.defn
    async def settle_access(self, run: WorkflowRun) -> None:
        """No server holds what it may not: the shares and revokes that were worked on have succeeded."""
        await operations.succeed_all(Subject(run.kind, run.subject))

    @activity.defn
    async def withdraw(self, scope: AccessScope) -> Withdrawn:
        """Warn and then stop the servers of a scope that hold what their owners may no longer use.

        Returns once they are proven gone, or after a while with what is left and when to look again. With
        `force` what hangs on an object goes away altogether, so its holders are stopped whatever the setting says.
        """
        await mounts.mark_lost(scope.kind, scope.object)
        if self._settings.on_revoke == "defer" and not scope.force:
            return Withdrawn()
        subject = Subject(scope.subject_kind, scope.object) if scope.subject_kind and scope.object else None
        told = False
        deadline = asyncio.get_running_loop().time() + _LOOK_SECONDS
        while True:
            lost = await mounts.lost(scope.kind, scope.object, _PAGE)
            if not lost:
                if told and subject is not None:
                    await operations.step_all(subject, STOP, OperationStatus.SUCCEEDED)
                return Withdrawn()
            if subject is not None and not told:
                servers = len({one.server for one in lost})
                await operations.step_all(subject, STOP, OperationStatus.RUNNING, f"{servers} of them")
                told = True
            due = await self._stop_due(lost)
            if not due or asyncio.get_running_loop().time() > deadline:
                return Withdrawn(left=len(lost), next_in=0.5 if due else _seconds_until(lost, self._grace_ends()))
            await asyncio.sleep(_LOOK_AGAIN)
            await mounts.mark_lost(scope.kind, scope.object)

    @activity.defn
    async def sweep(self) -> Withdrawn:
        """Look at all servers once: what expired, or whose owner left an organisation, is nobody's operation."""
        await mounts.mark_lost("all")
        lost = await mounts.lost("all", None, _PAGE)
        if self._settings.on_revoke == "stop":
            await self._stop_due(lost)
        return Withdrawn(left=len(lost))

    async def _stop_due(self, lost: list[LostMount]) -> bool:
        """Wish those stopped whose grace has ended; whether there are any."""
        grace_ends = self._grace_ends()
        due = {one.server: one for one in lost if one.lost_at <= grace_ends}
        stopped = [one for one in due.values() if await mounts.stop(one)]
        crash_points.reach("withdraw.effect", activity.info().workflow_id or "")
        for start in range(0, len(stopped), _AT_ONCE):
            await asyncio.gather(*(self._wake(mounts.subject_of(one)) for one in stopped[start : start + _AT_ONCE]))
        return bool(due)

    def _grace_ends(self) -> datetime:
        """What was lost before this moment is due."""
        return datetime.now(UTC) - timedelta(seconds=self._settings.revoke_grace)


def _seconds_until(lost: list[LostMount], grace_ends: datetime) -> float:
    first = min(one.lost_at for one in lost)
    return max(0.5, (first - grace_ends).total_seconds())
