"""A share with many people through us, against a workflow that starts one activity for each of them."""

import asyncio
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from models.database import engine
from models.database.sql import row
from models.domain.settings import Settings
from tests.bench.verdicts import told
from tests.e2e.people import Member
from tests.stacks import Stack

ALICE = "alice@example.org"
# Temporal lets a workflow have 2,000 activities under way; fewer keep the development server from choking.
_AT_ONCE = 200
# Half of what it was before what is a statement or two ran where the workflow does.
MOST_EVENTS = 12.0


@activity.defn
async def grant_one(dataset: str, email: str) -> None:
    """What a naive design does for each person."""
    await row(
        """WITH made AS (INSERT INTO person (id, issuer, subject, email)
                         VALUES (gen_random_uuid(), 'naive', :email::text, :email)
                         RETURNING id)
           INSERT INTO access_grant (id, object, object_kind, person, level)
           SELECT gen_random_uuid(), :dataset, 'dataset', id, 1 FROM made""",
        email=email,
        dataset=UUID(dataset),
    )


@workflow.defn
class OneActivityEach:
    """The naive design."""

    @workflow.run
    async def run(self, dataset: str, prefix: str, users: int) -> None:
        """Grant to everybody, one by one."""
        free = asyncio.Semaphore(_AT_ONCE)

        async def one(number: int) -> None:
            async with free:
                await workflow.execute_activity(
                    grant_one,
                    args=[dataset, f"{prefix}{number}@example.org"],
                    start_to_close_timeout=timedelta(seconds=30),
                )

        await asyncio.gather(*(one(number) for number in range(users)))


async def measure(stack: Stack, users: int) -> dict[str, Any]:
    """Seconds and events of both, from the request to the end of the operation or the workflow."""
    async with Member.signed_in(stack.info.api, ALICE, await stack.token(ALICE)) as alice:
        dataset = await alice.call("POST", "/datasets", json={"name": "shared"}, headers={"Prefer": "wait=30"})
        begun = time.perf_counter()
        body = {"relation": "read", "userArray": [f"ours{number}@example.org" for number in range(users)]}
        operation = await alice.call("POST", f"/datasets/{dataset['_id']}/share", expect=202, json=body)
        answered = time.perf_counter() - begun
        await alice.succeeded(operation)
        ours = time.perf_counter() - begun
        client = await stack.temporal_client()
        events = len((await client.get_workflow_handle(f"access-dataset-{dataset['_id']}").fetch_history()).events)
    naive, naive_events = await _naive(stack, client, dataset["_id"], users)
    beside = {"of_the_naive": ours / naive, "naive_seconds": naive}
    return {
        "until it has ended": told(f"{users:,} people, until it has ended", ours, unit=" s", beside=beside),
        "answer": told("answer", answered, unit=" s"),
        "Temporal events": told("Temporal events", events, MOST_EVENTS, beside={"naive": naive_events}),
    }


async def _naive(stack: Stack, client: Client, dataset: str, users: int) -> tuple[float, int]:
    settings = Settings(database_url=stack.layout.database_url(), database_pool_size=20)
    worker = Worker(
        client,
        task_queue="naive",
        workflows=[OneActivityEach],
        activities=[grant_one],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    async with engine.pool(settings), worker:
        begun = time.perf_counter()
        await client.execute_workflow(
            OneActivityEach.run, args=[dataset, "naive", users], id="naive-share", task_queue="naive"
        )
        seconds = time.perf_counter() - begun
        events = len((await client.get_workflow_handle("naive-share").fetch_history()).events)
    return seconds, events
