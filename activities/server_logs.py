"""The end of a running server's log, for whoever looks at it."""

from uuid import UUID

from temporalio import activity

from integrations.truth import Truth
from models.domain.errors import HubRefused, HubUnavailable
from models.domain.values import LogSeen


class ServerLogs:
    """Reads what servers write, where it is free of secrets."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    @activity.defn
    async def read_server_log(self, server: UUID) -> LogSeen:
        """Look once: who asked waits, and asks again."""
        try:
            return LogSeen(lines=await self._truth.log(str(server)))
        except (HubUnavailable, HubRefused):
            return LogSeen(away=True)
