"""Workflows still do what the recorded ones did; a change that they would not survive is noticed."""

import asyncio
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from models.domain.ids import new_id
from models.domain.settings import Settings
from models.domain.values import Subject
from operating.histories import replay_live
from tests.workflows.conftest import HISTORIES, PAYLOAD_KEYS
from tests.workflows.incompatible import Incompatible
from worker import WORKFLOWS
from workflows.client import connect, workflow_id
from workflows.plugin import plugin
from workflows.rules import RULES

RECORDED = sorted(HISTORIES.glob("*/*.json"))
IDS = [f"{path.parent.name}/{path.stem}" for path in RECORDED]


def read(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, path.read_text())


@pytest.mark.parametrize("path", RECORDED, ids=IDS)
async def test_a_recorded_history_replays(path: Path) -> None:
    await Replayer(workflows=WORKFLOWS, plugins=[plugin(PAYLOAD_KEYS)]).replay_workflow(read(path))


@pytest.mark.parametrize("path", RECORDED, ids=IDS)
async def test_a_history_of_an_old_key_replays(path: Path) -> None:
    """Recorded with a key that has since been put behind another one."""
    keys = f"newer:{Fernet.generate_key().decode()},{PAYLOAD_KEYS}"
    await Replayer(workflows=WORKFLOWS, plugins=[plugin(keys)]).replay_workflow(read(path))


def test_every_workflow_has_a_history() -> None:
    recorded = {
        event.workflow_execution_started_event_attributes.workflow_type.name
        for path in HISTORIES.glob(f"rules-{RULES}/*.json")
        for event in read(path).events[:1]
    }
    assert recorded == {kind.__name__ for kind in WORKFLOWS}


async def test_what_runs_is_replayed_too(temporal: str) -> None:
    """As an operator has it done before an upgrade."""
    settings = Settings(database_url="postgresql:///none", temporal_address=temporal, payload_keys=PAYLOAD_KEYS)
    client = await connect(settings, lazy=False)
    subject = Subject("server", new_id())
    started = await client.start_workflow("ServerWorkflow", subject, id=workflow_id(subject), task_queue="none")
    try:
        # A list of workflows is told a little later of a new one.
        while (await replay_live(client, settings))[0] == 0:
            await asyncio.sleep(0.05)
        assert (await replay_live(client, settings))[1] == []
    finally:
        await started.terminate()


async def test_an_incompatible_change_is_noticed() -> None:
    path = HISTORIES / "rules-1" / "server-first-start.json"
    with pytest.raises(workflow.NondeterminismError):
        await Replayer(workflows=[Incompatible], plugins=[plugin(PAYLOAD_KEYS)]).replay_workflow(read(path))
