"""A workflow of a stranger's own, on the whole stack."""

import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.worker import Worker

from models.domain.ids import new_id
from stack.notebook import Notebook
from tests.e2e.people import Member
from tests.stacks import Stack
from tests.workflows.forged import Forged
from workflows.plugin import plugin

QUEUE = "forged"


@pytest.mark.parametrize("activity", ["fail_start", "stop_server"])
async def test_a_workflow_of_a_strangers_own_ends_nobodys_server(stack: Stack, alice: Member, activity: str) -> None:
    server = await alice.started()
    told = {"server_id": server["_id"], "generation": 10**15, "error": {"code": "X", "message": "forged"}}
    stranger = await stack.temporal_client()
    insider = await Client.connect(stack.info.temporal, plugins=[plugin(stack.secrets.payload_keys)])
    async with (
        Notebook(server["url"], await stack.hub_token(alice.email)) as notebook,
        Worker(stranger, task_queue=f"{QUEUE}-plain", workflows=[Forged]),
        Worker(insider, task_queue=QUEUE, workflows=[Forged]),
    ):
        await notebook.run("mine = 'still here'")
        with pytest.raises(WorkflowFailureError):
            await stranger.execute_workflow(
                Forged.run, args=[activity, "notebooks-hub", told], id=str(new_id()), task_queue=f"{QUEUE}-plain"
            )
        # Nor if the payload keys are known.
        answer = await insider.execute_workflow(
            Forged.run, args=[activity, "notebooks-hub", told], id=str(new_id()), task_queue=QUEUE
        )
        assert answer == {"done": False}
        assert (await notebook.run("print(mine)")).strip() == "still here"
    await alice.succeeded(await alice.wish(server, "stop"))
