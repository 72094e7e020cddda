"""A wake-up is never lost: the order of reset and read is the whole secret, and the other order fails here."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from activities.messages import PlanSeen, WorkflowRun
from models.domain.ids import new_id
from models.domain.values import Subject
from tests.workflows.wrong_order import WrongOrder
from workflows.server import ServerWorkflow

QUEUE = "wake-ups"


class SlowRead:
    """Reads of the wish that last until the test lets them end: the moment in which a wake-up may be lost."""

    def __init__(self) -> None:
        self.reads = 0
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()

    @activity.defn
    async def begin_server(self, run: WorkflowRun) -> PlanSeen:
        self.reads += 1
        self.began.set()
        await self.may_end.wait()
        return PlanSeen(plan=None, start_patience=1)


@asynccontextmanager
async def working(client: Client, kind: type, reads: SlowRead) -> AsyncIterator[None]:
    async with Worker(client, task_queue=QUEUE, workflows=[kind], activities=[reads.begin_server]):
        yield


@pytest.mark.parametrize(("kind", "reads_made"), [(ServerWorkflow, 2), (WrongOrder, 1)])
async def test_a_wake_up_during_the_read_is_seen(client: Client, kind: type, reads_made: int) -> None:
    reads = SlowRead()
    async with working(client, kind, reads):
        handle = await client.start_workflow(
            "ServerWorkflow", Subject("server", new_id()), id=f"wake-up-{new_id()}", task_queue=QUEUE
        )
        await reads.began.wait()
        # The answer of the read was fixed before this wish.
        await handle.signal("woken")
        reads.may_end.set()
        async with asyncio.timeout(20):
            await handle.result()
    assert reads.reads == reads_made, "the right order reads again; the wrong one has lost the wake-up"
