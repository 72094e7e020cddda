"""Temporal as the API and the workers reach it: connecting, the ids of workflows, and waking them."""

import asyncio
from datetime import timedelta
from urllib.parse import quote
from uuid import UUID

import structlog
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError, TLSConfig

from models.domain.errors import DependencyUnavailable, HubUnavailable
from models.domain.kinds import WORK
from models.domain.settings import Settings
from models.domain.values import LogSeen, Subject
from workflows.plugin import plugin

log = structlog.get_logger(__name__)

# A request waits no longer for a wake-up, all attempts together: the reconciler makes up for one that is lost.
WAKE_DEADLINE = timedelta(seconds=2)

# So long a request waits for a look at a log, and a look for a worker.
LOG_DEADLINE = timedelta(seconds=10)

# How soon a dead worker's task, with the statements that it executes, is taken up by another.
_TASK_TIMEOUT = timedelta(seconds=5)


async def connect(settings: Settings, *, lazy: bool = True) -> Client:
    """A client. A lazy one connects when it is first used, so that a process starts while Temporal is away."""
    return await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        tls=_tls(settings),
        plugins=[plugin(settings.payload_keys, accept_plain=settings.payload_plain == "accept")],
        lazy=lazy,
    )


def _tls(settings: Settings) -> TLSConfig | bool:
    if not settings.temporal_tls_ca and not settings.temporal_tls_cert:
        return False
    return TLSConfig(
        server_root_ca_cert=settings.temporal_tls_ca.encode() or None,
        domain=settings.temporal_tls_server_name or None,
        client_cert=settings.temporal_tls_cert.encode() or None,
        client_private_key=settings.temporal_tls_key.encode() or None,
    )


def workflow_id(subject: Subject) -> str:
    """The id of the one workflow that works on a subject: the id is the lock."""
    return f"{WORK[subject.kind].prefix}-{subject.id}"


def run_link(settings: Settings, workflow: str, run: str) -> str:
    """Where the Temporal web UI shows a run."""
    parts = ("namespaces", settings.temporal_namespace, "workflows", workflow, run, "history")
    return "/".join((settings.temporal_ui_url.rstrip("/"), *(quote(part, safe="") for part in parts)))


class Workflows:
    """Wakes workflows and tells whether Temporal is there."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    async def wake(self, subject: Subject) -> bool:
        """Tell a subject's workflow to look at the wish again, starting it if none runs. False: it was not told.

        A wake-up too many is harmless; one that is lost is made up for by the reconciler.
        """
        try:
            work = WORK[subject.kind]
            # The SDK's own deadline is one for each attempt, and begins when there is a connection.
            async with asyncio.timeout(WAKE_DEADLINE.total_seconds()):
                await self._client.start_workflow(
                    work.workflow,
                    subject,
                    id=workflow_id(subject),
                    task_queue=self._settings.temporal_task_queue,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    start_signal="woken",
                    static_summary=work.summary,
                    task_timeout=_TASK_TIMEOUT,
                    rpc_timeout=WAKE_DEADLINE,
                )
        except Exception as error:
            # What was asked for is committed: whatever goes wrong here may not make a failure of it.
            log.warning("wake_up_lost", subject=str(subject.id), kind=subject.kind, error=type(error).__name__)
            return False
        return True

    async def read_log(self, server: UUID) -> str | None:
        """The end of a running server's log, free of secrets; None where there is none to be read.

        Raises `DependencyUnavailable`. Those who ask at the same time are told by the same look.
        """
        try:
            async with asyncio.timeout(LOG_DEADLINE.total_seconds()):
                seen: LogSeen = await self._client.execute_workflow(
                    "ServerLogWorkflow",
                    server,
                    id=f"server-log-{server}",
                    task_queue=self._settings.temporal_task_queue,
                    result_type=LogSeen,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    static_summary="Looks at the end of a server's log",
                    execution_timeout=LOG_DEADLINE,
                    task_timeout=_TASK_TIMEOUT,
                    rpc_timeout=LOG_DEADLINE,
                )
        except (TimeoutError, RPCError, RuntimeError, WorkflowFailureError) as error:
            log.warning("log_not_read", server=str(server), error=type(error).__name__)
            raise DependencyUnavailable("The log cannot be looked at now: Temporal or a worker is away.") from None
        if seen.away:
            raise HubUnavailable("The log cannot be looked at now: JupyterHub does not answer.")
        return seen.lines

    async def ping(self) -> None:
        """Raise if Temporal does not serve."""
        if not await self._client.service_client.check_health(timeout=WAKE_DEADLINE):
            raise RuntimeError("Temporal does not serve")
