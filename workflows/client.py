"""Temporal as the API and the workers reach it: connecting, the ids of workflows, and waking them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import structlog
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from models.domain.settings import Settings
from models.domain.values import Subject
from workflows.access import AccessWorkflow
from workflows.plugin import plugin
from workflows.server import ServerWorkflow
from workflows.shared_object import DatasetWorkflow, GroupWorkflow, ModuleWorkflow, SecretWorkflow
from workflows.user import UserWorkflow

log = structlog.get_logger(__name__)

# A request waits no longer for a wake-up, all attempts together: the reconciler makes up for one that is lost.
WAKE_DEADLINE = timedelta(seconds=2)

_SHARED: dict[str, Callable[[Any, Subject], Awaitable[None]]] = {
    "dataset": DatasetWorkflow.run,
    "module": ModuleWorkflow.run,
    "secret": SecretWorkflow.run,
}
_WORKFLOWS: dict[str, Callable[[Any, Subject], Awaitable[None]]] = {
    "server": ServerWorkflow.run,
    "person": UserWorkflow.run,
    "group": GroupWorkflow.run,
    **_SHARED,
    **{f"{kind}-access": AccessWorkflow.run for kind in _SHARED},
}
_SUMMARIES = {
    "server": "Make a server what is wished of it",
    "person": "Prepare a person's place",
    "group": "Make a group what is wished of it",
    **{kind: f"Make a {kind} what is wished of it" for kind in _SHARED},
    **{f"{kind}-access": f"Bring servers into line with who may use a {kind}" for kind in _SHARED},
}
_PREFIXES = {
    "server": "server",
    "person": "user",
    "group": "group",
    **{kind: kind for kind in _SHARED},
    **{f"{kind}-access": f"access-{kind}" for kind in _SHARED},
}


async def connect(settings: Settings, *, lazy: bool = True) -> Client:
    """A client. A lazy one connects when it is first used, so that a process starts while Temporal is away."""
    return await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        plugins=[plugin(settings.payload_keys)],
        lazy=lazy,
    )


def workflow_id(subject: Subject) -> str:
    """The id of the one workflow that works on a subject: the id is the lock."""
    return f"{_PREFIXES[subject.kind]}-{subject.id}"


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
            # The SDK's own deadline is one for each attempt, and begins when there is a connection.
            async with asyncio.timeout(WAKE_DEADLINE.total_seconds()):
                await self._client.start_workflow(
                    _WORKFLOWS[subject.kind],
                    subject,
                    id=workflow_id(subject),
                    task_queue=self._settings.temporal_task_queue,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    start_signal="woken",
                    static_summary=_SUMMARIES[subject.kind],
                    rpc_timeout=WAKE_DEADLINE,
                )
        except Exception as error:
            # What was asked for is committed: whatever goes wrong here may not make a failure of it.
            log.warning("wake_up_lost", subject=str(subject.id), kind=subject.kind, error=type(error).__name__)
            return False
        return True

    async def ping(self) -> None:
        """Raise if Temporal does not serve."""
        if not await self._client.service_client.check_health(timeout=WAKE_DEADLINE):
            raise RuntimeError("Temporal does not serve")
