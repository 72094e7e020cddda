"""The audit trail: who changed what, when. Written in the transaction of the change itself."""

from uuid import UUID

from models.database.sql import to_json
from models.database.tables import Audit
from models.domain.ids import new_id
from models.domain.values import Caller, Subject

SYSTEM = "system"


async def record(
    action: str,
    subject: Subject,
    actor: Caller | None,
    *,
    operation: UUID | None = None,
    detail: dict[str, object] | None = None,
) -> None:
    """Add a row. `detail` must hold no secret. Without an actor it was the system."""
    await Audit.insert(
        Audit(
            id=new_id(),
            actor=actor.id if actor else None,
            actor_name=actor.email if actor else SYSTEM,
            action=action,
            subject_kind=subject.kind,
            subject=subject.id,
            operation=operation,
            request_id=actor.request_id if actor else None,
            client_request_id=actor.client_request_id if actor else None,
            detail=to_json(detail),
        )
    )
