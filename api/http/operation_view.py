"""What clients see of an operation."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from api.http.fields import AnswerBody, Url
from models.domain.settings import Settings
from models.domain.values import OperationStatus
from models.ledger.operations import LeftOut, OperationError, OperationRecord, Step
from workflows.client import run_link

_NO_WORKER = "No worker runs at the moment. Nothing is lost: this goes on when one is back."


class PhaseView(AnswerBody, frozen=True, kw_only=True):
    """The step at which a start is."""

    name: Annotated[str, Meta(description="Which one, for programs.")]
    started_at: Annotated[datetime, Meta(description="When it began.")]
    usual_seconds: Annotated[
        float | None, Meta(description="What it takes as a rule: the median of the template's last starts.")
    ] = None


class OperationView(AnswerBody, frozen=True, kw_only=True):
    """Something that was asked for, how far it is, and how it ended."""

    id: Annotated[UUID, Meta(description="Id of the operation.")] = msgspec.field(name="_id")
    kind: Annotated[str, Meta(description="What was asked for, as `server.start` or `dataset.share`.")]
    subject: Annotated[UUID, Meta(description="Id of the record that it is about.")]
    subject_kind: Annotated[str, Meta(description="Kind of the record that it is about.")]
    actor: Annotated[str, Meta(description="E-mail of whoever asked for it, or `system`.")]
    status: OperationStatus
    created_at: Annotated[datetime, Meta(description="When it was asked for.")]
    steps: Annotated[list[Step], Meta(description="What was done so far, in order.")]
    superseded_by: Annotated[UUID, Meta(description="Id of the later operation that overtook it.")] | None = None
    started_at: Annotated[datetime, Meta(description="When the work began.")] | None = None
    ended_at: Annotated[datetime, Meta(description="When it ended.")] | None = None
    error: OperationError | None = None
    left_out: (
        Annotated[list[LeftOut], Meta(description="What a server does not have of what it should, and why.")] | None
    ) = None
    workflow_url: Annotated[Url, Meta(description="The run of its workflow, in Temporal's web UI.")] | None = None
    waits_for: Annotated[str, Meta(description="What is missing for it to go on, in words.")] | None = None
    phase: Annotated[PhaseView | None, Meta(description="Where a start is that has not ended.")] = None
    usual_seconds: Annotated[
        float | None, Meta(description="What such a start takes as a rule, from the request to its end.")
    ] = None


def view_of(record: OperationRecord, settings: Settings) -> OperationView:
    """The view of a stored operation, with the link to the exact run of its workflow."""
    workflow_url = None
    if record.workflow_id and record.run_id and settings.temporal_ui_url:
        workflow_url = run_link(settings, record.workflow_id, record.run_id)
    return msgspec.structs.replace(
        msgspec.convert(record, OperationView, from_attributes=True),
        left_out=record.left_out or None,
        workflow_url=workflow_url,
        waits_for=_NO_WORKER if record.worker_missing else None,
        phase=_phase_of(record),
        usual_seconds=record.usual.get(""),
    )


def _phase_of(record: OperationRecord) -> PhaseView | None:
    if record.kind != "server.start" or record.status.ended:
        return None
    at = next((step for step in reversed(record.steps) if step.ended_at is None), None)
    if at is None:
        return None
    return PhaseView(name=at.name, started_at=at.started_at, usual_seconds=record.usual.get(at.name))
