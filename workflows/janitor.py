"""Removes what has expired. Runs by a schedule."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

from activities.expiry import Expiry
from activities.filesystem import Filesystem
from activities.messages import Cleaned
from activities.values import Values
from workflows.options import best_effort


@workflow.defn
class JanitorWorkflow:
    """One pass over everything that expires."""

    @workflow.run
    async def run(self) -> Cleaned:
        """Remove a bounded number of expired rows; the next pass goes on."""
        cleaned = await workflow.execute_activity_method(
            Expiry.remove_expired, **best_effort("Remove what has expired")
        )
        try:
            await workflow.execute_activity_method(
                Values.reap_values, **best_effort("Remove values that no record names")
            )
        except ActivityError:
            workflow.logger.warning("Vault could not be looked at")
        if workflow.patched("settle-files"):
            try:
                await workflow.execute_activity_method(
                    Filesystem.settle_files, **best_effort("Settle files of requests that were cut off")
                )
            except ActivityError:
                workflow.logger.warning("the shared file system could not be looked at")
        return cleaned
