"""What handlers use beside the database: made once in `api.app`, found at `app.state.services`."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from api.http.denials import Denials
from api.http.operation_events import OperationEvents
from api.http.rates import Rates
from api.http.shared_look import SharedLook
from integrations.file_threads import FileThreads
from integrations.oidc import OidcClient
from integrations.turns import Turns
from integrations.vault import Vault
from models.domain.profiles import Profiles
from models.domain.settings import Settings
from workflows.client import Workflows


@dataclass(frozen=True, slots=True)
class Services:
    """The clients of one API process."""

    settings: Settings
    profiles: Profiles
    workflows: Workflows
    operation_events: OperationEvents
    oidc: OidcClient
    vault: Vault
    rates: Rates
    denials: Denials = field(default_factory=Denials)
    file_threads: FileThreads = field(default_factory=FileThreads)
    health: SharedLook[Any] = field(default_factory=SharedLook)
    readiness: SharedLook[bool] = field(default_factory=SharedLook)
    # Of one person's secrets so many are written at once: whoever writes many waits for oneself.
    secret_turns: Turns = field(default_factory=lambda: Turns(2))
    # Vault may answer many writes at the same moment. Few are recorded at once, so that others get their turn.
    value_turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
