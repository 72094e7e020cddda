"""Ends what others have of a person's sessions that have ended, however long they are away."""

import asyncio

from temporalio import workflow

from activities.revocations import Revocations
from activities.sign_outs import SignOuts
from models.domain.values import Subject
from workflows.looking import Looking, run_of
from workflows.options import at_an_api, on_records, outside


@workflow.defn
class SignOutWorkflow(Looking):
    """Ends what others have of a person's sessions that have ended."""

    @workflow.run
    async def run(self, subject: Subject) -> None:
        """Work until nothing is left of them."""
        workflow.set_current_details(
            "Sessions of a person have ended here; they end in JupyterHub and at the sign-in provider, too."
        )
        await self.keep(subject)

    async def look(self, subject: Subject) -> bool:
        """End what is left of all sessions that have ended so far."""
        run = run_of(subject)
        await on_records(SignOuts.begin_sign_out, run, "Read what is asked")
        # Beside each other: neither waits for the other one's part, and a later sign-out waits for neither.
        steps = [
            workflow.start_activity_method(SignOuts.end_hub_sessions, run, **outside("End the sessions in JupyterHub")),
            workflow.start_activity_method(
                Revocations.revoke_tokens, run, **at_an_api("Revoke the refresh tokens at the sign-in provider")
            ),
        ]
        await workflow.wait_condition(lambda: self.was_woken or all(step.done() for step in steps))
        if self.was_woken:
            for step in steps:
                step.cancel()
            await asyncio.gather(*steps, return_exceptions=True)
            return False
        await asyncio.gather(*steps)
        await on_records(SignOuts.settle_sign_out, run, "Write that it is done")
        return True
