"""What workflows tell activities and hear from them: one struct in, one struct out.

Fields may be added with defaults and never change their type, because an old worker has to read what a new one wrote.
"""

from uuid import UUID

from msgspec import Struct

from models.domain.values import Subject
from models.ledger.operations import OperationError
from models.records.lifecycles import ObjectPlan
from models.records.server_settling import ServerPlan


class WorkflowRun(Struct, frozen=True, kw_only=True):
    """Which run of a workflow works on a record; `kind` where the activity serves several."""

    subject: UUID
    workflow_id: str
    run_id: str
    kind: str = ""


class PersonSeen(Struct, frozen=True, kw_only=True):
    """Whether a person has released the e-mail, and so is to have nothing in JupyterHub."""

    released: bool = False


class PlanSeen(Struct, frozen=True, kw_only=True):
    """The plan of a server, if there is one, and how long its start may take in seconds, waiting included."""

    plan: ServerPlan | None
    start_patience: float


class ServerWish(Struct, frozen=True, kw_only=True):
    """A server and the generation of the wish that is to be made true."""

    server_id: UUID
    generation: int


class ObjectSeen(Struct, frozen=True, kw_only=True):
    """The plan of a shared record, if it is there."""

    plan: ObjectPlan | None


class ObjectWish(Struct, frozen=True, kw_only=True):
    """A shared record and the generation of the wish that is to be made true."""

    kind: str
    id: UUID
    generation: int

    @property
    def subject(self) -> Subject:
        """The record."""
        return Subject(self.kind, self.id)


class AccessScope(Struct, frozen=True, kw_only=True):
    """Which servers' holdings are looked at: of one `server`, of an `object`, of a `group`, or `all`.

    `subject_kind` tells whose operations hear of it; with `force` the object itself goes away.
    """

    kind: str
    object: UUID | None = None
    subject_kind: str = ""
    force: bool = False


class HoldersSeen(Struct, frozen=True, kw_only=True):
    """Whether servers, or those with whom they are shared, have what they should not, as far as PostgreSQL tells."""

    some: bool


class Withdrawn(Struct, frozen=True, kw_only=True):
    """How many servers are left that hold what they should not, and in how many seconds to look again."""

    left: int = 0
    next_in: float = 0


class FailedStart(Struct, frozen=True, kw_only=True):
    """A start that is given up, and why."""

    server_id: UUID
    generation: int
    error: OperationError
    log: str = ""


class Done(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether the step was taken, or found that a later wish came first; `settled`: nothing more was wished then."""

    done: bool
    settled: bool = False


class Seen(Struct, frozen=True, kw_only=True):
    """What a look at everything came to, for the history."""

    watched: int = 0
    vanished: int = 0
    unwanted: int = 0
    unknown: int = 0


class Drift(Struct, frozen=True, kw_only=True):
    """What a look at JupyterHub's groups came to, for the history."""

    groups: int = 0
    drifted: int = 0


class Woken(Struct, frozen=True, kw_only=True):
    """How many subjects were woken."""

    count: int


class Reaped(Struct, frozen=True, kw_only=True):
    """How many values in Vault that no record names were removed, or kept because they are too many."""

    values: int = 0
    kept: int = 0


class Settled(Struct, frozen=True, kw_only=True):
    """How many files of requests that were cut off were recorded after all, and how many had come to nothing."""

    made: int = 0
    cleared: int = 0


class Cleaned(Struct, frozen=True, kw_only=True):
    """How many expired rows were removed, and how much was wished purged or looked at again."""

    rows: int
    purged: int = 0
    expired: int = 0
