"""The loop of every workflow that works on a subject: look at what is wished, make it true, and look again.

Whoever changes the wish wakes the workflow, whose id is the lock. A wake-up that arrives while it works is never lost:
`was_woken` is reset before the wish is read, and the workflow returns only if it is still unset, with no await in
between.
"""

from abc import ABC, abstractmethod

from temporalio import workflow

from activities.messages import WorkflowRun
from models.domain.values import Subject


class Looking(ABC):
    """A workflow that can be told to look again. Its `run`, which Temporal wants in its own class, calls `keep`."""

    def __init__(self) -> None:
        self.was_woken = False

    @workflow.signal
    def woken(self) -> None:
        """The wish, or what hangs on it, may have changed."""
        self.was_woken = True

    async def keep(self, subject: Subject) -> None:
        """Look until there is nothing more to do."""
        while True:
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(subject)
            # Before the wish is read: in the other order a wake-up between the two would be lost.
            self.was_woken = False
            if await self.look(subject) and not self.was_woken:
                return

    @abstractmethod
    async def look(self, subject: Subject) -> bool:
        """Read what is wished and make it true; False: look again, as it was worked on or something else came up."""


def run_of(subject: Subject) -> WorkflowRun:
    """This run, as operations name it."""
    info = workflow.info()
    return WorkflowRun(subject=subject.id, kind=subject.kind, workflow_id=info.workflow_id, run_id=info.run_id)
