"""Removes what has expired. Runs by a schedule."""

from temporalio import workflow

from activities.messages import Cleaned
from activities.records import Records
from workflows.options import best_effort


@workflow.defn
class JanitorWorkflow:
    """One pass over everything that expires."""

    @workflow.run
    async def run(self) -> Cleaned:
        """Remove a bounded number of expired rows; the next pass goes on."""
        return await workflow.execute_activity_method(Records.remove_expired, **best_effort("Remove what has expired"))
