"""New keys of the payload codec and of the spec, on a stack that goes on: nothing becomes unreadable, nothing waits."""

import base64
import json

import httpx
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from stack.notebook import Notebook
from tests.e2e.people import Json, Member, until
from tests.stacks import Stack
from worker import WORKFLOWS
from workflows.plugin import plugin


async def history_of(stack: Stack, server: Json) -> WorkflowHistory:
    client = await stack.temporal_client()
    handle = client.get_workflow_handle(f"server-{server['_id']}")
    # To its end: what it was about is done before its last step is written down.
    return WorkflowHistory(handle.id, [event async for event in handle.fetch_history_events(wait_new_event=True)])


def payloads(history: WorkflowHistory) -> list[Payload]:
    """What went into a workflow and its activities, and what activities answered."""
    found: list[Payload] = []
    for event in history.events:
        found += _of(event)
    return found


def _of(event: HistoryEvent) -> list[Payload]:
    kind = event.WhichOneof("attributes")
    attributes = getattr(event, kind) if kind else None
    return [
        payload for name in ("input", "result") for payload in getattr(getattr(attributes, name, None), "payloads", [])
    ]


def key_ids(history: WorkflowHistory) -> set[bytes]:
    return {payload.metadata["encryption-key-id"] for payload in payloads(history)}


async def test_keys_are_rotated_while_work_goes_on(stack: Stack, alice: Member) -> None:
    before = await alice.started()
    old = await history_of(stack, before)
    secret = await alice.call("POST", "/secrets", json={"secretName": "ROTATED", "type": "env_var", "value": "there"})
    between = await alice.make_server(secrets=[secret["_id"]])
    await stack.stop_part("vault")
    start = await alice.wish(between, "start")

    async def look() -> Json:
        found: Json = await alice.call("GET", f"/operations/{start['_id']}")
        return found

    await until(look, lambda seen: "next_try_at" in str(seen["steps"]), within=40, what="the start waits for Vault")
    (first,) = key_ids(old)
    hub = stack.info.pids["jupyterhub"]

    await stack.rotate_keys()

    await stack.start_part("vault")
    await alice.succeeded(start)
    crossed = await history_of(stack, between)
    assert len(key_ids(crossed)) == 2, "it began with the old key and ended with the new one"
    assert first in key_ids(crossed)
    async with Notebook(between["url"], await stack.hub_token(alice.email)) as notebook:
        assert (await notebook.run("import os; print(os.environ['ROTATED'])")).strip() == "there"
    assert stack.info.pids["jupyterhub"] == hub, "the spec's new key needed no restart"
    assert (await alice.see(before))["status"] == "running"

    for history in (old, crossed):
        await Replayer(workflows=WORKFLOWS, plugins=[plugin(stack.secrets.payload_keys)]).replay_workflow(history)
    # As the Temporal web UI reads what was encrypted with the old key.
    encrypted = payloads(old)[0]
    body = {
        "payloads": [
            {
                "metadata": {name: base64.b64encode(value).decode() for name, value in encrypted.metadata.items()},
                "data": base64.b64encode(encrypted.data).decode(),
            }
        ]
    }
    async with httpx.AsyncClient(base_url=stack.info.api, timeout=30) as client:
        answer = (await client.post(f"/codec/{stack.secrets.codec_token}/decode", json=body)).raise_for_status().json()
    assert before["_id"] in json.dumps(json.loads(base64.b64decode(answer["payloads"][0]["data"])))
    for server in (before, between):
        await alice.succeeded(await alice.delete(server))
