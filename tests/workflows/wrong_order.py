"""`ServerWorkflow`'s loop in the order that loses wake-ups."""

from temporalio import workflow

from activities.messages import WorkflowRun
from models.domain.values import Subject
from workflows.options import records


@workflow.defn(name="ServerWorkflow")
class WrongOrder:
    """Resets after it has read."""

    def __init__(self) -> None:
        self._woken = False

    @workflow.signal
    def woken(self) -> None:
        """The wish may have changed."""
        self._woken = True

    @workflow.run
    async def run(self, subject: Subject) -> None:
        """Work until wish and world agree, or so it thinks."""
        while True:
            info = workflow.info()
            await workflow.execute_activity(
                "begin_server",
                WorkflowRun(subject=subject.id, workflow_id=info.workflow_id, run_id=info.run_id),
                **records("Read what is wished"),
            )
            self._woken = False
            if not self._woken:
                return
