"""What Temporal stores is ciphertext; what an operator sees through the codec is a story."""

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest
from temporalio.client import Client

from models.domain.settings import Settings
from models.domain.values import Wish
from tests.workflows.conftest import Scene


async def test_payloads_on_the_wire_are_ciphertext(scene: Scene, settings: Settings) -> None:
    scene.hub.refusal = "RStudio is not installed here."
    operation = await scene.ended(await scene.wish(Wish.RUNNING))
    await scene.at_rest()
    plain = await Client.connect(settings.temporal_address)
    answer = await plain.workflow_service.get_workflow_execution_history(
        GetWorkflowExecutionHistoryRequest(
            namespace="default", execution=WorkflowExecution(workflow_id=operation.workflow_id or "")
        )
    )
    stored = answer.history.SerializeToString()
    assert b"binary/encrypted" in stored
    # Failures, summaries and details too.
    for text in (scene.caller.email, "Difference engine", "difference-engine", "RStudio", "Read what is wished"):
        assert text.encode() not in stored, text


async def test_a_workflow_reads_as_a_story(scene: Scene) -> None:
    scene.hub.ready.clear()
    operation = await scene.wish(Wish.RUNNING)
    await scene.step(operation, "Wait until it is ready")
    description = await scene.handle.describe()
    assert await description.static_summary() == "Make a server what is wished of it"
    details = await scene.handle.query("__temporal_workflow_metadata")
    assert "Difference engine" in str(details)
    assert description.typed_search_attributes.search_attributes
    scene.hub.ready.set()
    await scene.ended(operation)
    await scene.at_rest()
    summaries = []
    async for event in scene.handle.fetch_history_events():
        # The start of the workflow has a summary of another kind.
        if event.event_id > 1 and event.HasField("user_metadata"):
            payloads = await scene.client.data_converter.decode([event.user_metadata.summary], [str])
            summaries.append(payloads[0])
    assert "Read what is wished" in summaries
    assert "Start it and wait until it is ready" in summaries
