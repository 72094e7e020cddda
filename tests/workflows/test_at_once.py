"""What is done where a workflow runs is not lost when it fails there, nor when a worker of another release goes on."""

import asyncio

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Replayer, Worker

from activities.messages import AccessScope, HoldersSeen, PlanSeen, Withdrawn, WorkflowRun
from models.domain.ids import new_id
from models.domain.values import Subject
from tests.events import events_of
from tests.workflows.conftest import PAYLOAD_KEYS
from workflows.access import AccessWorkflow
from workflows.plugin import plugin
from workflows.rules import deployment
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
    async with Worker(
        client,
        task_queue=QUEUE,
        workflows=[ServerWorkflow],
        activities=[reads.begin_server],
        deployment_config=deployment(),
    ):
        handle = await client.start_workflow(
            "ServerWorkflow", Subject("server", new_id()), id=f"events-{new_id()}", task_queue=QUEUE
        )
        await handle.result()
    assert reads.reads == 2
    assert (await events_of(handle))["ACTIVITY_TASK_SCHEDULED"] == 1


class Revoke:
    """A revoke, with `holders` as what it is told of them; nothing where that fails."""

    def __init__(self, holders: HoldersSeen | None) -> None:
        self._holders = holders
        self.done: list[str] = []

    @activity.defn
    async def begin_access(self, run: WorkflowRun) -> None:
        self.done.append("begin")

    @activity.defn
    async def find_holders(self, scope: AccessScope) -> HoldersSeen:
        self.done.append("find")
        if self._holders is None:
            raise RuntimeError("the database went away")
        return self._holders

    @activity.defn
    async def withdraw(self, scope: AccessScope) -> Withdrawn:
        self.done.append("withdraw")
        return Withdrawn()

    @activity.defn
    async def settle_access(self, run: WorkflowRun) -> None:
        self.done.append("settle")

    def worker(self, client: Client) -> Worker:
        return Worker(
            client,
            task_queue=QUEUE,
            workflows=[AccessWorkflow],
            activities=[self.begin_access, self.find_holders, self.withdraw, self.settle_access],
            deployment_config=deployment(),
        )


@pytest.mark.parametrize("holders", [HoldersSeen(some=False), HoldersSeen(some=True), None])
async def test_what_servers_hold_is_withdrawn_unless_nothing_is_for_sure(
    client: Client, holders: HoldersSeen | None
) -> None:
    revoke = Revoke(holders)
    async with revoke.worker(client):
        handle = await client.start_workflow(
            "AccessWorkflow", Subject.access_of("dataset", new_id()), id=f"events-{new_id()}", task_queue=QUEUE
        )
        await handle.result()
    withdrawn = [] if holders is not None and not holders.some else ["withdraw"]
    assert revoke.done == ["begin", "find", *withdrawn, "settle"]


async def test_a_run_that_a_worker_of_an_earlier_release_began_goes_on(client: Client) -> None:
    before, after = Revoke(HoldersSeen(some=False)), Revoke(HoldersSeen(some=False))
    # One that does not say by which rules it works, and takes no step that any worker may take.
    async with Worker(
        client,
        task_queue=QUEUE,
        workflows=[AccessWorkflow],
        activities=[before.begin_access],
        no_remote_activities=True,
        max_cached_workflows=0,
    ):
        handle = await client.start_workflow(
            "AccessWorkflow", Subject.access_of("dataset", new_id()), id=f"events-{new_id()}", task_queue=QUEUE
        )
        async with asyncio.timeout(20):
            while not (await events_of(handle))["ACTIVITY_TASK_SCHEDULED"]:
                await asyncio.sleep(0.05)
    async with after.worker(client):
        await handle.result()
    assert (before.done, after.done) == (["begin"], ["withdraw", "settle"])
    await Replayer(workflows=[AccessWorkflow], plugins=[plugin(PAYLOAD_KEYS)]).replay_workflow(
        await handle.fetch_history()
    )
