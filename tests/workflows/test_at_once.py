"""What is done where a workflow runs is not lost when it fails there."""

from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from activities.messages import PlanSeen, WorkflowRun
from models.domain.ids import new_id
from models.domain.values import Subject
from tests.workflows.conftest import events_of
from workflows.server import ServerWorkflow

QUEUE = "events"


class Fails:
    """Reads of the wish of which the first fails."""

    def __init__(self) -> None:
        self.reads = 0

    @activity.defn
    async def begin_server(self, run: WorkflowRun) -> PlanSeen:
        self.reads += 1
        if self.reads == 1:
            raise RuntimeError("the database went away")
        return PlanSeen(plan=None, start_patience=1)


async def test_what_fails_where_the_workflow_runs_becomes_an_activity_that_is_tried_again(client: Client) -> None:
    reads = Fails()
    async with Worker(client, task_queue=QUEUE, workflows=[ServerWorkflow], activities=[reads.begin_server]):
        handle = await client.start_workflow(
            "ServerWorkflow", Subject("server", new_id()), id=f"events-{new_id()}", task_queue=QUEUE
        )
        await handle.result()
    assert reads.reads == 2
    assert (await events_of(handle))["ACTIVITY_TASK_SCHEDULED"] == 1
