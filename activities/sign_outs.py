"""Activities of workers after the end of a person's sessions."""

from temporalio import activity

from activities.messages import WorkflowRun
from models.domain.values import Subject
from models.ledger import operations


class SignOuts:
    """Sees that what others have of ended sessions ends, too."""

    @activity.defn
    async def begin_sign_out(self, run: WorkflowRun) -> None:
        """Note on a person's sign-outs which run works on them."""
        await operations.begin(Subject(Subject.SIGN_OUT, run.subject), run.workflow_id, run.run_id)

    @activity.defn
    async def settle_sign_out(self, run: WorkflowRun) -> None:
        """End the sign-outs on which the run works."""
        await operations.succeed_all(Subject(Subject.SIGN_OUT, run.subject), run.run_id)
