"""Programs that reach Temporal run workflows of their own, which tell our workers to do something."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.worker import Worker

from models.database.transactions import Transaction
from models.domain.ids import new_id
from models.domain.settings import Settings
from models.domain.values import OperationStatus, ServerStatus, Wish
from models.records import servers
from tests.workflows.conftest import Scene
from tests.workflows.forged import Forged

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
    assert await forge("stop_server", {"server_id": str(scene.server), "generation": 2}) == {"done": True}
    assert scene.hub.living == {}
    assert (await servers.read_visible(scene.server, scene.caller)).status is ServerStatus.STOPPED
