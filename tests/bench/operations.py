"""What an operation takes that has nothing to do outside: a stop of what is stopped, a share of what nobody mounts.

From the answer that it is accepted until it is seen ended, by asking again and again.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tests.bench.verdicts import told
from tests.e2e.people import ENDED, Json, Member
from tests.events import closed, events_of
from tests.stacks import Stack

ALICE = "alice@example.org"
TIMES = 40
MOST_MS, MOST_TASKS, MOST_ACTIVITIES = 60.0, 2.0, 2.0
_BETWEEN = 0.002


async def measure(stack: Stack, *, short: bool = False) -> dict[str, Any]:
    """Milliseconds of each, the median; workflow tasks and activities of the share. The stop needs no workflow."""
    times = 2 if short else TIMES
    async with Member.signed_in(stack.info.api, ALICE, await stack.token(ALICE)) as alice:
        server = await alice.make_server()
        dataset = await alice.call("POST", "/datasets", json={"name": "shared alone"}, headers={"Prefer": "wait=30"})

        async def stop(_: int) -> Json:
            return await alice.wish(server, "stop")

        async def share(number: int) -> Json:
            body = {"relation": "read", "userArray": [f"guest{number}@example.org"]}
            operation: Json = await alice.call("POST", f"/datasets/{dataset['_id']}/share", expect=202, json=body)
            return operation

        stopped, shared = await _milliseconds(alice, stop, times), await _milliseconds(alice, share, times)
    run = (await stack.temporal_client()).get_workflow_handle(f"access-dataset-{dataset['_id']}")
    await closed(run)
    events = await events_of(run)
    tasks, activities = events["WORKFLOW_TASK_COMPLETED"], events["ACTIVITY_TASK_SCHEDULED"]
    return {
        "a settled stop": told("a settled stop", statistics.median(stopped), MOST_MS, " ms"),
        "a share": told("a share", statistics.median(shared), MOST_MS, " ms", {"slowest": max(shared)}),
        "its workflow tasks": told("its workflow tasks", tasks, MOST_TASKS),
        "its activities": told("its activities", activities, MOST_ACTIVITIES),
    }


async def _milliseconds(alice: Member, ask: Callable[[int], Awaitable[Json]], times: int) -> list[float]:
    """Of each operation, once one was not counted."""
    found = []
    for number in range(times + 1):
        operation = await ask(number)
        acknowledged = time.perf_counter()
        while operation["status"] not in ENDED:
            await asyncio.sleep(_BETWEEN)
            operation = await alice.call("GET", f"/operations/{operation['_id']}")
        found.append(1000 * (time.perf_counter() - acknowledged))
        assert operation["status"] == "succeeded", operation
    return found[1:]
