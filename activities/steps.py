"""Tells people on operations what an activity does: that a step began, why it has to wait, how it ended."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID

from models import operations
from models.errors import DependencyUnavailable
from models.values import OperationStatus, Subject

Tell = Callable[..., Awaitable[None]]
"""Takes the step's status and a detail."""

_LONGEST_DETAIL = 500


def of_operation(operation: UUID, step: str) -> Tell:
    """Tell a step of one operation."""
    return partial(operations.step, operation, step)


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
        await tell(OperationStatus.RUNNING, f"{error.message} Trying again.")
        raise
    except Exception as error:
        await tell(OperationStatus.FAILED, str(error)[:_LONGEST_DETAIL])
        raise
    if not last:
        await tell(OperationStatus.SUCCEEDED)
