"""Makes a dataset what is wished of it: it is its directory."""

from temporalio import workflow

from models.domain.values import Subject
from workflows.shared_object import SharedObject


@workflow.defn
class DatasetWorkflow(SharedObject):
    """Makes a dataset what is wished of it."""

    @workflow.run
    async def run(self, subject: Subject) -> None:
        """Work until wish and world agree."""
        await self.keep(subject)
