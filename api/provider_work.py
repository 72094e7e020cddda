"""Has an API process do the step of a workflow that needs the provider (decision 28): workers have neither credentials
for it nor the key of people's refresh tokens, and no way to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities.revocations import Revocations
from integrations.oidc import OidcClient
from models.domain.absence import Absence
from models.domain.settings import Settings
from workflows.client import connect
from workflows.options import queue_of_apis

_TRY_AGAIN = 1.0
_SAY_GOODBYE = 1.0
# Not more: requests come first, and each asks the provider.
_AT_ONCE = 4


def make_worker(client: Client, settings: Settings, oidc: OidcClient) -> Worker:
    """A worker with that step."""
    return Worker(
        client,
        task_queue=queue_of_apis(settings.temporal_task_queue),
        activities=[Revocations(oidc, settings).revoke_tokens],
        max_concurrent_activities=_AT_ONCE,
        max_concurrent_activity_task_polls=1,
    )


@asynccontextmanager
async def doing_provider_work(settings: Settings, oidc: OidcClient) -> AsyncIterator[None]:
    """Do that step meanwhile, whenever Temporal is there."""
    working = asyncio.create_task(_work(settings, oidc))
    try:
        yield
    finally:
        working.cancel()
        # It says goodbye to Temporal, and for half a minute to one that hangs.
        await asyncio.wait((working,), timeout=_SAY_GOODBYE)


async def _work(settings: Settings, oidc: OidcClient) -> None:
    absence = Absence("Temporal")
    while True:
        try:
            # A lazy client, as requests use one, cannot be a worker's.
            worker = make_worker(await connect(settings, lazy=False), settings, oidc)
            absence.over()
            await worker.run()
        except (RPCError, RuntimeError) as error:
            absence.noticed(error)
            await asyncio.sleep(_TRY_AGAIN)
