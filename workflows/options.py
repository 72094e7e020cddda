"""How activities are executed, by kind of step: what it may take, and when it is tried again.

Errors say themselves whether trying again may help (see `workflows.plugin`), so none is listed here.
"""

from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, FailureError, is_cancelled_exception
from temporalio.types import MethodAsyncNoParam, MethodAsyncSingleParam
from temporalio.workflow import ActivityCancellationType, ActivityConfig

from workflows.rules import rules

T = TypeVar("T")
P = TypeVar("P")
C = TypeVar("C")

_STEADILY = RetryPolicy(
    initial_interval=timedelta(milliseconds=500), backoff_coefficient=2, maximum_interval=timedelta(seconds=10)
)

_ONCE = RetryPolicy(maximum_attempts=1)
# Within what a workflow task may take.
_AT_ONCE = timedelta(seconds=3)


def records(summary: str) -> ActivityConfig:
    """A statement or two in PostgreSQL: tried until it succeeds."""
    return ActivityConfig(
        summary=summary,
        start_to_close_timeout=timedelta(seconds=20),
        # Nothing here takes so long; it is how soon a dead worker's step is taken up by another.
        heartbeat_timeout=timedelta(seconds=5),
        retry_policy=_STEADILY,
    )


class FailedHere(Exception):
    """Executed where the workflow runs, it failed."""


async def here(activity: MethodAsyncSingleParam[C, P, T], argument: P, summary: str) -> T:
    """Execute what is a statement or two where the workflow runs; raises `FailedHere` where one try is not enough."""
    try:
        return await workflow.execute_local_activity_method(
            activity, argument, summary=summary, start_to_close_timeout=_AT_ONCE, retry_policy=_ONCE
        )
    except FailureError as error:
        # Not always an `ActivityError`: what fails here is told as it is.
        if is_cancelled_exception(error):
            raise
        raise FailedHere from error


async def on_records(activity: MethodAsyncSingleParam[C, P, T], argument: P, summary: str) -> T:
    """Execute what is a statement or two in PostgreSQL, and idempotent, where the workflow runs: at once.

    That is fewer events and less time than an activity that any worker takes. Where it fails it becomes one, so that
    operators see what hinders it and it is tried until it succeeds.
    """
    if rules() >= 2 or workflow.patched("records-at-once"):
        try:
            return await here(activity, argument, summary)
        except FailedHere:
            pass
    return await workflow.execute_activity_method(activity, argument, **records(summary))


def outside(summary: str) -> ActivityConfig:
    """Makes something true outside and proves it: tried until it is."""
    return ActivityConfig(
        summary=summary,
        start_to_close_timeout=timedelta(seconds=150),
        heartbeat_timeout=timedelta(seconds=5),
        retry_policy=_STEADILY,
        cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    )


def queue_of_apis(task_queue: str) -> str:
    """The task queue that API processes poll, by that of the workers."""
    return f"{task_queue}-api"


def at_an_api(summary: str) -> ActivityConfig:
    """As `outside`, in an API process: for what needs a key that no worker has."""
    config = outside(summary)
    config["task_queue"] = queue_of_apis(workflow.info().task_queue)
    return config


def best_effort(summary: str) -> ActivityConfig:
    """Nice to have: two tries, and nobody waits for it."""
    return ActivityConfig(
        summary=summary,
        start_to_close_timeout=timedelta(seconds=10),
        retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=2),
    )


def once(summary: str) -> ActivityConfig:
    """A look for somebody who waits: one try."""
    return ActivityConfig(summary=summary, schedule_to_close_timeout=timedelta(seconds=8), retry_policy=_ONCE)


async def attempt(activity: MethodAsyncNoParam[Any, T], summary: str) -> T | None:
    """Execute an activity with best effort; None: it failed, which the log says."""
    try:
        return await workflow.execute_activity_method(activity, **best_effort(summary))
    except ActivityError:
        workflow.logger.warning("in vain: %s", summary)
        return None
