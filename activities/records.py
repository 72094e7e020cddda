"""Activities on the database: reading wishes, taking them back, waking what was forgotten, removing what expired."""

import asyncio
from collections.abc import Awaitable, Callable

from temporalio import activity

from activities.messages import Cleaned, PlanSeen, ServerWish, Woken, WorkflowRun
from models import expiry, operations, persons, servers
from models.settings import Settings
from models.values import Subject

# The most that one pass wakes; the next pass goes on with the rest.
WAKE_LIMIT = 500
_AT_ONCE = 25

Wake = Callable[[Subject], Awaitable[bool]]


class Records:
    """Activities that need nothing but the database, and a way to wake workflows."""

    def __init__(self, settings: Settings, wake: Wake) -> None:
        self._settings = settings
        self._wake = wake

    @activity.defn
    async def begin_server(self, run: WorkflowRun) -> PlanSeen:
        """Read what is wished of a server, and note on its operations which run works on them."""
        plan = await servers.begin(run.subject, run.workflow_id, run.run_id)
        patience = self._settings.dependency_patience + self._settings.server_start_timeout
        return PlanSeen(plan=plan, start_patience=patience)

    @activity.defn
    async def revert_server(self, wish: ServerWish) -> None:
        """Take back a wish whose workflow was cancelled by an operator."""
        await servers.revert(wish.server_id, wish.generation)

    @activity.defn
    async def begin_person(self, run: WorkflowRun) -> None:
        """Note on a person's operations which run works on them."""
        await operations.begin(run.subject, run.workflow_id, run.run_id)

    @activity.defn
    async def settle_person(self, run: WorkflowRun) -> None:
        """The person's place is prepared: note it, and end the operations that were opened for it."""
        await persons.mark_initialized(run.subject)
        await operations.succeed_all(run.subject)

    @activity.defn
    async def wake_stalled(self) -> Woken:
        """Wake every subject with work to do on which nothing happened for a while."""
        stalled = await operations.stalled(self._settings.stalled_after, WAKE_LIMIT)
        woken: list[Subject] = []
        for start in range(0, len(stalled), _AT_ONCE):
            some = stalled[start : start + _AT_ONCE]
            reached = await asyncio.gather(*map(self._wake, some))
            woken += [subject for subject, done in zip(some, reached, strict=True) if done]
        await operations.touch(woken)
        return Woken(count=len(woken))

    @activity.defn
    async def remove_expired(self) -> Cleaned:
        """Remove sessions, sign-ins and idempotency rows past their time."""
        return Cleaned(rows=await expiry.remove_expired(self._settings.idempotency_hours))
