"""What Temporal keeps of a workflow, counted."""

from collections import Counter

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle, WorkflowHistoryEventFilterType


async def closed(handle: WorkflowHandle[object, object]) -> None:
    """Returns once the last run of a workflow has ended. Its result may be nobody's to read: it is encrypted."""
    close = WorkflowHistoryEventFilterType.CLOSE_EVENT
    async for _ in handle.fetch_history_events(wait_new_event=True, event_filter_type=close):
        pass


async def events_of(handle: WorkflowHandle[object, object]) -> Counter[str]:
    """How many events of each type a history has."""
    found = [event.event_type async for event in handle.fetch_history_events()]
    return Counter(EventType.Name(one).removeprefix("EVENT_TYPE_") for one in found)
