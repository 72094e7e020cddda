"""A workflow that is not ours, as a program with a way to Temporal can run it."""

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy


@workflow.defn
class Forged:
    """Has our workers do something."""

    @workflow.run
    async def run(self, activity: str, task_queue: str, told: dict[str, Any]) -> object:
        """What they answered."""
        return await workflow.execute_activity(
            activity,
            told,
            task_queue=task_queue,
            schedule_to_close_timeout=timedelta(seconds=60),
            retry_policy=RetryPolicy(maximum_attempts=1),
        )
