"""What it means to cancel an operation, by its kind.

A start becomes a stop. What was not begun yet and changed no record is taken back. Anything else is refused:
its wish stands in a record already, and the way out is to ask for the opposite.
"""

from models.database.sql import row
from models.domain.errors import StateConflict
from models.domain.values import Caller, OperationStatus, Subject, Wish
from models.ledger import audit, operations
from models.ledger.operations import ENDS_NOW, OperationRecord
from models.records import servers

_OPPOSITES = {
    "stop": "Start it instead.",
    "delete": "A deletion is final.",
    "share": "Revoke the access instead.",
    "revoke": "Share it again instead.",
    "unshare": "Ask for a new link instead.",
    "create": "Delete it instead.",
    "restore": "Delete it again instead.",
    "update": "Change it back instead.",
    "add_member": "Remove the member instead.",
    "remove_member": "Add the member again instead.",
    "update_member": "Change the member back instead.",
    "purge": "What is purged is gone.",
    "sign_out": "Sign in again instead.",
    "release": "The address is free; its person may sign in with another one.",
    "expire": "Share it again instead.",
}


async def cancel(operation: OperationRecord, caller: Caller) -> None:
    """Cancel an operation that the caller may see, within the caller's transaction; raises `StateConflict`."""
    verb = operation.kind.rpartition(".")[2]
    if not operation.status.ended and operation.kind == "server.start":
        await _cancel_start(operation, caller)
        return
    if not operation.status.ended and verb in _OPPOSITES:
        raise StateConflict(f"A {verb} cannot be cancelled.", hint=_OPPOSITES[verb])
    taken_back = await row(
        f"""
        WITH ended AS (
          UPDATE operation o SET status = 'cancelled', {ENDS_NOW} WHERE id = :id AND status = 'queued'
          RETURNING {operations.CHANGED}),
        told AS ({operations.told("ended")})
        SELECT id FROM ended
        """,
        id=operation.id,
    )
    if taken_back is None:
        now = await operations.read(operation.id)
        if now.status is OperationStatus.RUNNING:
            raise StateConflict("The work has begun and will be finished.", hint="Wait for its end.")
        raise StateConflict(f"The operation has already ended: {now.status}.")
    await audit.record(
        "operation.cancel",
        Subject(operation.subject_kind, operation.subject),
        caller,
        operation=operation.id,
    )


async def _cancel_start(operation: OperationRecord, caller: Caller) -> None:
    # The lock keeps other wishes away until this one is decided.
    server = await row("SELECT generation FROM server WHERE id = :id FOR UPDATE", id=operation.subject)
    now = await operations.read(operation.id)
    if server is None or now.status.ended:
        raise StateConflict(f"The operation has already ended: {now.status}.")
    # A start that a later wish has overtaken will end as cancelled anyway; that wish must stand.
    if server["generation"] == operation.generation:
        await servers.intend(operation.subject, Wish.STOPPED, caller)
