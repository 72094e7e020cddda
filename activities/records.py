"""Activities on records: reading what is wished of them, taking it back, and writing that it is so."""

from temporalio import activity

from activities.messages import Done, ObjectSeen, ObjectWish, PlanSeen, ServerWish, WorkflowRun
from models.domain.settings import Settings
from models.domain.values import OperationStatus, Subject
from models.ledger import operations
from models.records import lifecycles, server_settling
from models.records.lifecycles import Presence


class Records:
    """Activities that need nothing but the database."""

    def __init__(self, settings: Settings) -> None:
        self._start_patience = settings.dependency_patience + settings.server_start_timeout

    @activity.defn
    async def begin_server(self, run: WorkflowRun) -> PlanSeen:
        """Read what is wished of a server, and note on its operations which run works on them."""
        plan = await server_settling.begin(run.subject, run.workflow_id, run.run_id)
        return PlanSeen(plan=plan, start_patience=self._start_patience)

    @activity.defn
    async def revert_server(self, wish: ServerWish) -> None:
        """Take back a wish whose workflow was cancelled by an operator."""
        await server_settling.revert(wish.server_id, wish.generation)

    @activity.defn
    async def begin_object(self, run: WorkflowRun) -> ObjectSeen:
        """Read what is wished of a shared record, and note on its operations which run works on them."""
        return ObjectSeen(plan=await lifecycles.begin(Subject(run.kind, run.subject), run.workflow_id, run.run_id))

    @activity.defn
    async def settle_object(self, wish: ObjectWish) -> Done:
        """The wish of a generation is true outside: say so, and end its operations."""
        plan = await lifecycles.read_plan(wish.subject)
        if plan is None or plan.generation != wish.generation:
            return Done(done=False)
        if plan.wish is Presence.PURGED:
            # In the statement that ends the operation, and this step with it.
            step = "Remove its record and everything that was granted"
            await operations.step_all(wish.subject, step, OperationStatus.RUNNING)
        done = await lifecycles.settle(plan)
        return Done(done=done, settled=done)
