"""Makes JupyterHub share a server as was asked: makes its link, and takes back link and access."""

from temporalio import workflow

from activities.access import Access
from activities.share_links import ShareLinks
from models.domain.values import Subject
from workflows.looking import Looking, run_of
from workflows.options import on_records, outside


@workflow.defn
class ServerShareWorkflow(Looking):
    """Beside the server's own workflow: a start that waits keeps nobody in."""

    @workflow.run
    async def run(self, subject: Subject) -> None:
        """Work until nothing more is asked for."""
        workflow.set_current_details("The link that shares a server is made, or it and people's access are taken back.")
        await self.keep(subject)

    async def look(self, subject: Subject) -> bool:
        """Do what is asked for so far."""
        run = run_of(subject)
        await on_records(Access.begin_access, run, "Read what is asked")
        await workflow.execute_activity_method(ShareLinks.keep_shares, run, **outside("Have JupyterHub share it so"))
        await on_records(Access.settle_access, run, "Write that it is done")
        return True
