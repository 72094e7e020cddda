"""Activities on the database: reading wishes, taking them back, waking what was forgotten, removing what expired."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from temporalio import activity

from activities.messages import Cleaned, Done, ObjectSeen, ObjectWish, PlanSeen, ServerWish, Woken, WorkflowRun
from models.access import sharing
from models.database.transactions import Transaction
from models.domain.settings import Settings
from models.domain.values import OperationStatus, Subject
from models.ledger import expiry, operations
from models.records import lifecycles, persons, server_settling
from models.records.lifecycles import Presence

REMOVE_GRANTS = "Remove its record and everything that was granted"

# The most that one pass wakes; the next pass goes on with the rest.
WAKE_LIMIT = 500
_AT_ONCE = 25
# Grants that one pass removes.
_GRANTS = 200

Wake = Callable[[Subject], Awaitable[bool]]


class Records:
    """Activities that need nothing but the database, and a way to wake workflows."""

    def __init__(self, settings: Settings, wake: Wake) -> None:
        self._settings = settings
        self._wake = wake

    @activity.defn
    async def begin_server(self, run: WorkflowRun) -> PlanSeen:
        """Read what is wished of a server, and note on its operations which run works on them."""
        plan = await server_settling.begin(run.subject, run.workflow_id, run.run_id)
        patience = self._settings.dependency_patience + self._settings.server_start_timeout
        return PlanSeen(plan=plan, start_patience=patience)

    @activity.defn
    async def revert_server(self, wish: ServerWish) -> None:
        """Take back a wish whose workflow was cancelled by an operator."""
        await server_settling.revert(wish.server_id, wish.generation)

    @activity.defn
    async def begin_person(self, run: WorkflowRun) -> None:
        """Note on a person's operations which run works on them."""
        await operations.begin(Subject("person", run.subject), run.workflow_id, run.run_id)

    @activity.defn
    async def settle_person(self, run: WorkflowRun) -> None:
        """The person's place is prepared: note it, and end the operations that were opened for it."""
        await persons.mark_initialized(run.subject)
        await operations.succeed_all(Subject("person", run.subject))

    @activity.defn
    async def begin_object(self, run: WorkflowRun) -> ObjectSeen:
        """Read what is wished of a shared record, and note on its operations which run works on them."""
        return ObjectSeen(plan=await lifecycles.begin(Subject(run.kind, run.subject), run.workflow_id, run.run_id))

    @activity.defn
    async def settle_object(self, wish: ObjectWish) -> Done:
        """The wish of a generation is true outside: say so, and end its operations."""
        plan = await lifecycles.read_plan(Subject(wish.kind, wish.id))
        if plan is None or plan.generation != wish.generation:
            return Done(done=False)
        if plan.wish is Presence.PURGED:
            # In the statement that ends the operation, and this step with it.
            await operations.step_all(Subject(wish.kind, wish.id), REMOVE_GRANTS, OperationStatus.RUNNING)
        return Done(done=await lifecycles.settle(plan))

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
        """Remove sessions, sign-ins, idempotency rows and grants past their time; purge what was long in the trash."""
        rows = await expiry.remove_expired(self._settings.idempotency_hours)
        purged = await self._purge_trash()
        expired = await self._remove_grants()
        return Cleaned(rows=rows, purged=purged, expired=expired)

    async def _purge_trash(self) -> int:
        before = datetime.now(UTC) - timedelta(days=self._settings.trash_days)
        found = await lifecycles.expired_trash(before, WAKE_LIMIT)
        for subject in found:
            async with Transaction():
                await lifecycles.purge(subject)
            await self._wake(subject)
        return len(found)

    async def _remove_grants(self) -> int:
        """What an expired grant gave is lost at its time; here the rows go and servers are looked at."""
        async with Transaction():
            objects = await sharing.remove_expired(_GRANTS)
            for kind, identity in objects:
                await operations.open_operation(
                    f"{kind}.expire", Subject(f"{kind}-access", identity), owner=None, actor=None
                )
        for start in range(0, len(objects), _AT_ONCE):
            some = objects[start : start + _AT_ONCE]
            await asyncio.gather(*(self._wake(Subject(f"{kind}-access", identity)) for kind, identity in some))
        return len(objects)
