"""A change of `ServerWorkflow` that running workflows would not survive."""

from temporalio import workflow

from models.domain.values import Subject


@workflow.defn(name="ServerWorkflow")
class Incompatible:
    """Waits before it reads the wish, which no recorded workflow did."""

    @workflow.signal
    def woken(self) -> None:
        """Does nothing."""

    @workflow.run
    async def run(self, subject: Subject) -> None:
        """Wait."""
        await workflow.sleep(1)
