"""Brings the outside into line after a share or a revoke: servers that hold what they may not are stopped."""

from contextlib import suppress
from datetime import timedelta

from temporalio import workflow

from activities.access import Access
from activities.messages import AccessScope
from models.domain.values import Subject
from workflows.looking import Looking, run_of
from workflows.options import FailedHere, here, on_records, outside
from workflows.rules import rules


@workflow.defn
class AccessWorkflow(Looking):
    """Makes the effects of an object's grants true."""

    @workflow.run
    async def run(self, subject: Subject) -> None:
        """Work until no server holds what it may not. Gaining a grant stops nothing."""
        kind = subject.object_kind
        workflow.set_current_details(
            f"After a change of who may use a {kind}, servers that may no longer hold it stop."
        )
        await self.keep(subject)

    async def look(self, subject: Subject) -> bool:
        """Work on all shares and revokes that were asked for so far."""
        run = run_of(subject)
        await on_records(Access.begin_access, run, "Read what is asked")
        if not await withdraw(self, subject):
            return False
        await on_records(Access.settle_access, run, "Write that it is done")
        return True


async def withdraw(this: Looking, subject: Subject, *, force: bool = False) -> bool:
    """Stop servers that hold what their owners may no longer use; False when something else came up first.

    The operations of the subject hear of it; with `force` the subject goes away, and all servers that hold it stop.
    A history that has grown long counts as something else: the caller goes on with a new one.
    """
    scope = AccessScope(
        kind="group" if subject.kind == "group" else "object",
        object=subject.id,
        subject_kind=subject.kind,
        force=force,
    )
    if rules() >= 2:
        # Mostly there is nothing, and that is all.
        with suppress(FailedHere):
            if not (await here(Access.find_holders, scope, "Look who holds what they may no longer use")).some:
                return True
    while not workflow.info().is_continue_as_new_suggested():
        found = await workflow.execute_activity_method(
            Access.withdraw, scope, **outside("Stop servers that hold what their owners may no longer use")
        )
        if not found.left:
            return True
        try:
            await workflow.wait_condition(lambda: this.was_woken, timeout=timedelta(seconds=found.next_in))
        except TimeoutError:
            continue
        break
    return False
