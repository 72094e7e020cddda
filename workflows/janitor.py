"""Removes what has expired. Runs by a schedule."""

from temporalio import workflow

from activities.expiry import Expiry
from activities.filesystem import Filesystem
from activities.messages import Cleaned
from activities.values import Values
from workflows.options import attempt
from workflows.rules import rules


@workflow.defn
class JanitorWorkflow:
    """One pass over everything that expires."""

    @workflow.run
    async def run(self) -> Cleaned:
        """Remove a bounded number of expired rows; the next pass goes on."""
        cleaned = await attempt(Expiry.remove_expired, "Remove what has expired")
        await attempt(Values.reap_values, "Remove values that no record names")
        if rules() >= 2 or workflow.patched("settle-files"):
            await attempt(Filesystem.settle_files, "Settle files of requests that were cut off")
        return cleaned or Cleaned(rows=0)
