"""What handlers use beside the database: made once in `api.app`, found at `app.state.services`."""

from dataclasses import dataclass, field

from api.file_threads import FileThreads
from api.operation_events import OperationEvents
from integrations.oidc import OidcClient
from models.profiles import Profiles
from models.settings import Settings
from workflows.client import Workflows


@dataclass(frozen=True, slots=True)
class Services:
    """The clients of one API process."""

    settings: Settings
    profiles: Profiles
    workflows: Workflows
    operation_events: OperationEvents
    oidc: OidcClient
    file_threads: FileThreads = field(default_factory=FileThreads)
