"""Wakes what was forgotten and compares what is written with what runs. Runs by a schedule."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

from activities.access import Access
from activities.groups import Groups
from activities.messages import Seen
from activities.watching import Watching
from workflows.options import best_effort


@workflow.defn
class ReconcileWorkflow:
    """One look at everything that is under way or runs."""

    @workflow.run
    async def run(self) -> Seen:
        """Wake first: that needs neither JupyterHub nor anything else outside."""
        try:
            await workflow.execute_activity_method(Watching.wake_stalled, **best_effort("Wake what made no progress"))
        except ActivityError:
            workflow.logger.warning("nothing could be woken")
        try:
            await workflow.execute_activity_method(
                Access.sweep, **best_effort("Stop servers that hold what their owners may no longer use")
            )
        except ActivityError:
            workflow.logger.warning("what servers hold could not be looked at")
        try:
            await workflow.execute_activity_method(
                Groups.observe_groups, **best_effort("Compare JupyterHub's groups with ours")
            )
        except ActivityError:
            workflow.logger.warning("JupyterHub's groups could not be looked at")
        try:
            return await workflow.execute_activity_method(
                Watching.observe_servers, **best_effort("Compare what is written with what runs")
            )
        except ActivityError:
            # The next pass looks again; until then what was last seen stands.
            workflow.logger.warning("JupyterHub could not be looked at")
            return Seen()
