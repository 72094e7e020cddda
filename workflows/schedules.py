"""The schedules, as one table, and what makes Temporal agree with it.

Converged by every worker at its start and again and again: Temporal's database may be new or lost.
"""

from dataclasses import dataclass
from datetime import timedelta

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from models.domain.settings import Settings
from workflows.janitor import JanitorWorkflow
from workflows.reconcile import ReconcileWorkflow
from workflows.server import WISH

# After an outage one pass is enough; a year of missed ones is what Temporal would make up for otherwise.
_CATCH_UP = timedelta(minutes=2)
_LONGEST_PASS = timedelta(minutes=5)


@dataclass(frozen=True)
class _Entry:
    workflow: type[ReconcileWorkflow] | type[JanitorWorkflow]
    every: timedelta
    note: str


def _table(settings: Settings) -> dict[str, _Entry]:
    return {
        "reconcile": _Entry(
            ReconcileWorkflow,
            timedelta(seconds=settings.reconcile_interval),
            "Wakes what was forgotten and compares what is written with what runs.",
        ),
        "janitor": _Entry(JanitorWorkflow, timedelta(seconds=settings.janitor_interval), "Removes what has expired."),
    }


async def converge(client: Client, settings: Settings) -> None:
    """Make the search attribute and the schedules exist as they are written here. A pause by an operator stays."""
    await _register_search_attribute(client, settings)
    for identity, entry in _table(settings).items():
        wanted = _schedule(identity, entry, settings)
        try:
            await client.create_schedule(identity, wanted, trigger_immediately=True)
        except ScheduleAlreadyRunningError:
            await _update(client, identity, wanted)


async def _update(client: Client, identity: str, wanted: Schedule) -> None:
    async def differing(input: ScheduleUpdateInput) -> ScheduleUpdate | None:
        found = input.description.schedule
        if found.spec.intervals == wanted.spec.intervals and found.policy == wanted.policy:
            return None
        wanted.state.paused = found.state.paused
        return ScheduleUpdate(wanted)

    await client.get_schedule_handle(identity).update(differing)


def _schedule(identity: str, entry: _Entry, settings: Settings) -> Schedule:
    return Schedule(
        action=ScheduleActionStartWorkflow(
            entry.workflow.run,
            id=identity,
            task_queue=settings.temporal_task_queue,
            static_summary=entry.note,
            # The next pass does what this one could not, also where a new version cannot go on with an old one's.
            run_timeout=_LONGEST_PASS,
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=entry.every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=_CATCH_UP),
        state=ScheduleState(note=entry.note),
    )


async def _register_search_attribute(client: Client, settings: Settings) -> None:
    operator = client.operator_service
    listed = await operator.list_search_attributes(ListSearchAttributesRequest(namespace=settings.temporal_namespace))
    if WISH.name in listed.custom_attributes:
        return
    try:
        await operator.add_search_attributes(
            AddSearchAttributesRequest(
                namespace=settings.temporal_namespace,
                search_attributes={WISH.name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD},
            )
        )
    except RPCError as error:
        # Another worker that starts at the same moment was faster.
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise
