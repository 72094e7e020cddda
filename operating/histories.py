"""Whether workflows go on as they began: recorded histories, and those of workflows that run now, are replayed."""

from collections.abc import AsyncIterator
from pathlib import Path

from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer

from models.domain.settings import Settings
from worker import WORKFLOWS
from workflows.plugin import plugin

RECORDED = Path(__file__).resolve().parent.parent / "tests" / "histories"
"""Where the source is there, and not the image alone."""
MOST_LIVE = 20


def recorded() -> list[Path]:
    """The files of recorded histories, if they are there."""
    return sorted(RECORDED.glob("*/*.json"))


async def replay_recorded(files: list[Path]) -> list[str]:
    """Replay recorded histories; the names of those that the program would not go on with."""
    replayer = Replayer(workflows=WORKFLOWS, plugins=[plugin((RECORDED / "payload-keys").read_text().strip())])
    failed = []
    for path in files:
        history = WorkflowHistory.from_json(path.stem, path.read_text())
        if (await replayer.replay_workflow(history, raise_on_replay_failure=False)).replay_failure is not None:
            failed.append(f"{path.parent.name}/{path.stem}")
    return failed


async def replay_live(client: Client, settings: Settings) -> tuple[int, list[str]]:
    """Replay some of the workflows that run now: how many, and the ids of those that would not go on."""
    plain = settings.payload_plain == "accept"
    replayer = Replayer(workflows=WORKFLOWS, plugins=[plugin(settings.payload_keys, accept_plain=plain)])
    number, failed = 0, []
    async for history in _live(client):
        number += 1
        if (await replayer.replay_workflow(history, raise_on_replay_failure=False)).replay_failure is not None:
            failed.append(history.workflow_id)
    return number, failed


async def _live(client: Client) -> AsyncIterator[WorkflowHistory]:
    kinds = ", ".join(f"'{kind.__name__}'" for kind in WORKFLOWS)
    query = f"ExecutionStatus = 'Running' AND WorkflowType IN ({kinds})"
    async for found in client.list_workflows(query, limit=MOST_LIVE):
        yield await client.get_workflow_handle(found.id, run_id=found.run_id).fetch_history()
