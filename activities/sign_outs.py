"""Activities of workers after the end of a person's sessions."""

from temporalio import activity

from activities.messages import WorkflowRun
from activities.steps import of_subject, told
from integrations.jupyterhub import JupyterHub
from models.domain.logins import hub_session_of
from models.domain.values import Subject
from models.ledger import operations
from models.records import persons, sessions


class SignOuts:
    """Sees that what others have of ended sessions ends, too."""

    def __init__(self, hub: JupyterHub) -> None:
        self._hub = hub

    @activity.defn
    async def begin_sign_out(self, run: WorkflowRun) -> None:
        """Note on a person's sign-outs which run works on them."""
        await operations.begin(Subject(Subject.SIGN_OUT, run.subject), run.workflow_id, run.run_id)

    @activity.defn
    async def end_hub_sessions(self, run: WorkflowRun) -> None:
        """End what a person's browsers have in JupyterHub, but for those that are signed in here."""
        hub_user = await persons.hub_user_of(run.subject)
        async with told(of_subject(Subject(Subject.SIGN_OUT, run.subject), "End it in JupyterHub")):
            kept = [hub_session_of(login) for login in await sessions.live_logins(run.subject)]
            await self._hub.end_sessions(hub_user, kept)

    @activity.defn
    async def settle_sign_out(self, run: WorkflowRun) -> None:
        """End the sign-outs on which the run works."""
        await operations.succeed_all(Subject(Subject.SIGN_OUT, run.subject), run.run_id)
