"""Programs that reach Temporal run workflows of their own, which tell our workers to do something.

Most have no payload keys: nothing that they say is heard. What has them gets no more than what is wished.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ActivityError
from temporalio.worker import Worker

from models.database.transactions import Transaction
from models.domain.ids import new_id
from models.domain.settings import Settings
from models.domain.values import OperationStatus, ServerStatus, Wish
from models.records import servers
from tests.workflows.conftest import Scene
from tests.workflows.forged import Forged
from workflows.client import connect, workflow_id

Forge = Callable[[str, dict[str, Any]], Awaitable[object]]

QUEUE = "forged"
FAR = 10**15


@pytest.fixture
async def forge(client: Client, settings: Settings) -> AsyncIterator[Forge]:
    """Has an activity of our workers run, by somebody who knows the payload keys."""

    async def execute(activity: str, told: dict[str, Any]) -> object:
        return await client.execute_workflow(
            Forged.run, args=[activity, settings.temporal_task_queue, told], id=f"forged-{new_id()}", task_queue=QUEUE
        )

    async with Worker(client, task_queue=QUEUE, workflows=[Forged]):
        yield execute


async def started(scene: Scene) -> None:
    assert (await scene.ended(await scene.wish(Wish.RUNNING))).status is OperationStatus.SUCCEEDED
    await scene.at_rest()


@pytest.mark.parametrize("activity", ["fail_start", "stop_server", "delete_server"])
@pytest.mark.parametrize("generation", [FAR, 2, 1, 0])
async def test_a_forged_workflow_ends_no_server_that_is_wished_to_run(
    scene: Scene, forge: Forge, activity: str, generation: int
) -> None:
    await started(scene)
    told = {"server_id": str(scene.server), "generation": generation, "error": {"code": "X", "message": "forged"}}
    assert await forge(activity, told) == {"done": False}
    assert scene.hub.living
    assert (await servers.read_visible(scene.server, scene.caller)).status is ServerStatus.RUNNING


async def test_what_is_wished_is_done_for_who_asks_with_its_generation(scene: Scene, forge: Forge) -> None:
    await started(scene)
    async with Transaction():
        # Nobody wakes our own workflow.
        await servers.intend(scene.server, Wish.STOPPED, scene.caller)
    assert await forge("stop_server", {"server_id": str(scene.server), "generation": 2}) == {
        "done": True,
        "settled": True,
    }
    assert scene.hub.living == {}
    assert (await servers.read_visible(scene.server, scene.caller)).status is ServerStatus.STOPPED


@pytest.fixture
async def stranger(settings: Settings, pool: None) -> Client:
    """Somebody without the payload keys."""
    return await connect(msgspec.structs.replace(settings, payload_keys=""), lazy=False)


async def test_what_is_not_encrypted_has_our_workers_do_nothing(
    scene: Scene, stranger: Client, settings: Settings
) -> None:
    """Not even what is wished."""
    await started(scene)
    async with Transaction():
        await servers.intend(scene.server, Wish.STOPPED, scene.caller)
    told = {"server_id": str(scene.server), "generation": 2}
    async with Worker(stranger, task_queue=QUEUE, workflows=[Forged]):
        with pytest.raises(WorkflowFailureError) as raised:
            await stranger.execute_workflow(
                Forged.run,
                args=["stop_server", settings.temporal_task_queue, told],
                id=f"forged-{new_id()}",
                task_queue=QUEUE,
            )
    assert isinstance(raised.value.cause, ActivityError)
    assert scene.hub.living


async def test_a_workflow_that_is_started_with_what_is_not_encrypted_ends_and_holds_up_nobody(
    scene: Scene, stranger: Client, settings: Settings
) -> None:
    """It has the id, and so the lock, of a server's own workflow."""
    forged = await stranger.start_workflow(
        "ServerWorkflow", scene.subject, id=workflow_id(scene.subject), task_queue=settings.temporal_task_queue
    )
    async with asyncio.timeout(30):
        with pytest.raises(WorkflowFailureError):
            await forged.result()
    await started(scene)


async def test_a_signal_that_is_not_encrypted_is_dropped_and_ours_is_heard(scene: Scene, stranger: Client) -> None:
    scene.hub.ready.clear()
    start = await scene.wish(Wish.RUNNING)
    await scene.step(start, "Wait until it is ready")
    await stranger.get_workflow_handle(workflow_id(scene.subject)).signal("woken", "forged")
    assert (await scene.ended(await scene.wish(Wish.STOPPED))).status is OperationStatus.SUCCEEDED
    await scene.at_rest()
