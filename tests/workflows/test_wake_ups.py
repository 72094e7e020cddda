"""A wake-up is never lost: the order of reset and read is the whole secret, and the other order fails here."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from uuid import UUID

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from activities.messages import Done, PlanSeen, ServerWish, WorkflowRun
from models.domain.ids import new_id
from models.domain.values import ServerStatus, Subject, Wish
from models.records.server_settling import ServerPlan
from models.records.servers import TemplateData
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


def plan(server: UUID, wish: Wish, generation: int, observed_generation: int) -> PlanSeen:
    """That of a server that was stopped before."""
    return PlanSeen(
        plan=ServerPlan(
            server_id=server,
            owner_id=new_id(),
            hub_user="ada",
            hub_name="a-lab",
            template=TemplateData(
                id=str(new_id()),
                name="A lab",
                description="",
                type="user",
                application_type="jupyterlab",
                hardware="cpuSmall",
                public=False,
                creator="ada@example.org",
                server_name="a-lab",
            ),
            wish=wish,
            generation=generation,
            observed=ServerStatus.STOPPED,
            observed_generation=observed_generation,
            process_generation=None,
            process_floor=1,
            initialized=True,
            operation=None,
        ),
        start_patience=60,
    )


class Overtaken:
    """A start that is settled while a stop is wished of which its workflow hears before it hears of the start."""

    def __init__(self) -> None:
        self.settled, self.stopped = asyncio.Event(), asyncio.Event()

    @activity.defn
    async def begin_server(self, run: WorkflowRun) -> PlanSeen:
        if not self.settled.is_set():
            return plan(run.subject, Wish.RUNNING, 1, 0)
        return plan(run.subject, Wish.STOPPED, 2, 2 if self.stopped.is_set() else 1)

    @activity.defn
    async def spawn_server(self, wish: ServerWish) -> Done:
        self.settled.set()
        with suppress(asyncio.CancelledError):
            while True:
                activity.heartbeat()
                await asyncio.sleep(0.1)
        return Done(done=True, settled=True)

    @activity.defn
    async def stop_server(self, wish: ServerWish) -> Done:
        self.stopped.set()
        return Done(done=True, settled=True)


async def test_a_wish_that_comes_between_a_settled_start_and_the_word_of_it_is_seen(client: Client) -> None:
    server = Overtaken()
    second = timedelta(seconds=1)
    async with Worker(
        client,
        task_queue=QUEUE,
        workflows=[ServerWorkflow],
        activities=[server.begin_server, server.spawn_server, server.stop_server],
        max_heartbeat_throttle_interval=second,
        default_heartbeat_throttle_interval=second,
    ):
        handle = await client.start_workflow(
            "ServerWorkflow", Subject("server", new_id()), id=f"wake-up-{new_id()}", task_queue=QUEUE
        )
        await server.settled.wait()
        await handle.signal("woken")
        async with asyncio.timeout(20):
            await handle.result()
    assert server.stopped.is_set()
