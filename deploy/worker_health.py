"""Whether the worker of this container works: Temporal has seen it poll the task queue within some minutes."""

import asyncio
import socket
from datetime import timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from models.process import leave
from models.settings import Settings

_DEADLINE = timedelta(seconds=5)


async def polls(settings: Settings, host: str) -> bool:
    """Whether a worker of this host polls; the SDK calls each one `pid@host`."""
    client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
    answer = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=settings.temporal_namespace,
            task_queue=TaskQueue(name=settings.temporal_task_queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        ),
        timeout=_DEADLINE,
    )
    return any(poller.identity.endswith(f"@{host}") for poller in answer.pollers)


if __name__ == "__main__":
    leave(0 if asyncio.run(polls(Settings.from_environment(), socket.gethostname())) else 1)
