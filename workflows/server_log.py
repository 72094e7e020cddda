"""Looks at the end of a server's log for the API, which has no way to JupyterHub's side of its own."""

from uuid import UUID

from temporalio import workflow

from activities.server_logs import ServerLogs
from models.domain.values import LogSeen
from workflows.options import once


@workflow.defn
class ServerLogWorkflow:
    """One look. Whoever asks meanwhile is told the same."""

    @workflow.run
    async def run(self, server: UUID) -> LogSeen:
        """The end of the log, as far as it may be shown."""
        workflow.set_current_details("Somebody who may manage the server looks at the end of its log.")
        return await workflow.execute_activity_method(ServerLogs.read_server_log, server, **once("Read the log"))
