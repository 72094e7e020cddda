"""Brings the outside into line after a share or a revoke: servers that hold what they may not are stopped."""

from temporalio import workflow

from activities.access import Access
from models.domain.values import Subject
from workflows.options import records
from workflows.shared_object import Wakeable, run_of, withdraw


@workflow.defn
class AccessWorkflow(Wakeable):
    """Makes the effects of an object's grants true."""

    @workflow.run
    async def run(self, subject: Subject) -> None:
        """Work until no server holds what it may not. Gaining a grant stops nothing."""
        kind = subject.kind.removesuffix("-access")
        workflow.set_current_details(
            f"After a change of who may use a {kind}, servers that may no longer hold it stop."
        )
        while True:
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(subject)
            # Before the work is begun: what changes later wakes again.
            self.was_woken = False
            run = run_of(subject)
            await workflow.execute_activity_method(Access.begin_access, run, **records("Read what is asked"))
            if not await withdraw(kind, subject.id, self, subject_kind=subject.kind):
                continue
            await workflow.execute_activity_method(Access.settle_access, run, **records("Write that it is done"))
            if not self.was_woken:
                return
