"""Wakes what was forgotten and compares what is written with what runs. Runs by a schedule."""

from temporalio import workflow

from activities.access import Access
from activities.groups import Groups
from activities.messages import Seen
from activities.watching import Watching
from workflows.options import attempt


@workflow.defn
class ReconcileWorkflow:
    """One look at everything that is under way or runs. What cannot be looked at stands until the next pass."""

    @workflow.run
    async def run(self) -> Seen:
        """Wake first: that needs neither JupyterHub nor anything else outside."""
        await attempt(Watching.wake_stalled, "Wake what made no progress")
        await attempt(Access.sweep, "Stop servers that hold what their owners may no longer use")
        await attempt(Groups.observe_groups, "Compare JupyterHub's groups with ours")
        return await attempt(Watching.observe_servers, "Compare what is written with what runs") or Seen()
