"""Tells people on operations what an activity does: that a step began, what hinders it and until when, how it ended."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID

from temporalio import activity

from models.domain.errors import DependencyUnavailable
from models.domain.values import OperationStatus, Subject
from models.ledger import operations

Tell = Callable[..., Awaitable[None]]
"""Takes the step's status, a detail and, as `next_in`, in how many seconds what hinders it is tried again."""

_LONGEST_DETAIL = 500


def of_operation(operation: UUID | None, step: str) -> Tell:
    """Tell a step of one operation, if there is one."""
    return _nobody if operation is None else partial(operations.step, operation, step)


def of_subject(subject: Subject, step: str) -> Tell:
    """Tell a step of all operations of a subject that have not ended."""
    return partial(operations.step_all, subject, step)


@asynccontextmanager
async def told(tell: Tell, *, last: bool = False) -> AsyncIterator[None]:
    """Tell a step around what is done within. The `last` step is ended by the settlement that follows."""
    await tell(OperationStatus.RUNNING)
    try:
        yield
    except DependencyUnavailable as error:
        detail = f"{error.message} {error.hint}".strip()
        await tell(OperationStatus.RUNNING, detail[:_LONGEST_DETAIL], next_in=_next_in())
        raise
    except Exception as error:
        await tell(OperationStatus.FAILED, str(error)[:_LONGEST_DETAIL])
        raise
    if not last:
        await tell(OperationStatus.SUCCEEDED)


async def _nobody(*_: object, **__: object) -> None:
    """Nobody asked for what is done."""


def _next_in() -> float:
    """In how many seconds Temporal tries this activity again."""
    info = activity.info()
    policy = info.retry_policy
    if policy is None:
        return 0
    seconds = policy.initial_interval.total_seconds() * policy.backoff_coefficient ** min(info.attempt - 1, 30)
    return seconds if policy.maximum_interval is None else min(seconds, policy.maximum_interval.total_seconds())
