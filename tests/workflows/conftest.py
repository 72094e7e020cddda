"""A real worker on a real Temporal server and a real database, with a JupyterHub that obeys the test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast
from uuid import UUID

import pytest
from temporalio.client import Client, WorkflowHandle

from integrations.jupyterhub import JupyterHub
from integrations.truth import Truth
from integrations.vault import Vault
from models.database import engine
from models.database.sql import row
from models.database.transactions import Transaction
from models.domain.settings import Settings
from models.domain.values import Caller, Subject, Wish
from models.ledger import operations
from models.ledger.operations import OperationRecord
from models.records import servers
from stack.vault_setup import role_of
from tests.keys import key_pair
from tests.people import make_person
from tests.project import PROJECT
from tests.servers import make_server
from tests.stacks import Stack
from tests.workflows.simulated_hub import SimulatedHub
from worker import make_worker
from workflows.client import Workflows, connect, workflow_id
from workflows.rules import RULES
from workflows.schedules import converge

HISTORIES = PROJECT / "tests" / "histories"
"""A directory to the rules that runs went by; what was recorded is kept until no run goes by it."""

# Histories are recorded and replayed with it; it protects nothing.
PAYLOAD_KEYS = (HISTORIES / "payload-keys").read_text().strip()


@pytest.fixture(scope="session")
async def settings(
    new_database: Callable[[], Awaitable[str]], temporal: str, vault: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    directory = tmp_path_factory.mktemp("worker")
    for name in ("notebooks", "datasets", "groups", "modules"):
        (directory / name).mkdir()
    key = directory / "key.pem"
    key.write_bytes(key_pair()[0])
    return Settings(
        database_url=await new_database(),
        database_pool_size=5,
        temporal_address=temporal,
        temporal_task_queue="tests",
        payload_keys=PAYLOAD_KEYS,
        spec_signing_key_file=str(key),
        notebook_location=str(directory / "notebooks"),
        dataset_location=str(directory / "datasets"),
        group_location=str(directory / "groups"),
        module_location=str(directory / "modules"),
        vault_url=vault.info.vault,
        vault_role_id=role_of("worker"),
        vault_secret_id=vault.secrets.vault_worker_secret_id,
        revoke_grace=1,
        server_start_timeout=20,
        dependency_patience=20,
        # Only what a test wakes is woken.
        reconcile_interval=3600,
        stalled_after=3600,
    )


# One process has one pool at a time, and other tests have databases of their own.
@pytest.fixture(scope="module")
async def pool(settings: Settings) -> AsyncIterator[None]:
    async with engine.pool(settings):
        yield


@pytest.fixture(scope="module")
async def client(settings: Settings, pool: None) -> Client:
    made = await connect(settings, lazy=False)
    await converge(made, settings)
    return made


class Scene:
    """One person with one server, a JupyterHub, and a worker between them."""

    def __init__(self, client: Client, settings: Settings, hub: SimulatedHub, caller: Caller, server: UUID) -> None:
        self.client, self.hub, self.caller, self.server = client, hub, caller, server
        self.subject = Subject("server", server)
        self._workflows = Workflows(client, settings)

    async def wish(self, wish: Wish) -> UUID:
        """Wish, and wake the workflow as the API does; the operation."""
        async with Transaction():
            intent = await servers.intend(self.server, wish, self.caller)
        assert await self._workflows.wake(self.subject)
        return intent.operation

    async def wake(self, subject: Subject | None = None) -> None:
        """Wake the workflow of the server, or of another subject."""
        assert await self._workflows.wake(subject or self.subject)

    async def holds(self, identity: UUID) -> bool:
        """Whether it is written down that the server may hold an object."""
        statement = "SELECT 1 AS one FROM server_mount WHERE server = :server AND object = :object"
        return await row(statement, server=self.server, object=identity) is not None

    @property
    def handle(self) -> WorkflowHandle[object, object]:
        return self.client.get_workflow_handle(workflow_id(self.subject))

    async def ended(self, operation: UUID) -> OperationRecord:
        """The operation once it has ended."""
        async with asyncio.timeout(60):
            while not (found := await operations.read(operation)).status.ended:
                await asyncio.sleep(0.02)
            return found

    async def step(self, operation: UUID, name: str) -> None:
        """Returns once an operation is at a step."""
        async with asyncio.timeout(30):
            while name not in {step.name for step in (await operations.read(operation)).steps}:
                await asyncio.sleep(0.02)

    async def at_rest(self, subject: Subject | None = None) -> None:
        """Returns once the workflow of the server, or of another subject, has completed."""
        async with asyncio.timeout(60):
            await self.client.get_workflow_handle(workflow_id(subject or self.subject)).result()

    async def wakes(self, subject: Subject, operation: UUID) -> OperationRecord:
        """Wake a subject's workflow as the API does; the operation once it has ended."""
        assert await self._workflows.wake(subject)
        return await self.ended(operation)


@pytest.fixture
def activities_at_once() -> int:
    """What the worker of a scene does at once."""
    return 100


@pytest.fixture
async def scene(client: Client, settings: Settings, activities_at_once: int) -> AsyncIterator[Scene]:
    caller = await make_person("ada")
    server = await make_server(caller)
    hub = SimulatedHub()
    vault = Vault.from_settings(settings)
    simulated = cast(JupyterHub, hub), cast(Truth, hub)
    async with make_worker(client, settings, *simulated, vault, activities_at_once=activities_at_once):
        yield Scene(client, settings, hub, caller, server)
    await vault.close()


@pytest.fixture
def record(request: pytest.FixtureRequest, client: Client) -> Callable[[str, str], Awaitable[None]]:
    """Writes the history of a workflow under the name of a scenario, when histories are being recorded."""

    async def write(scenario: str, identity: str) -> None:
        if request.config.getoption("--record-histories"):
            history = await client.get_workflow_handle(identity).fetch_history()
            path = HISTORIES / f"rules-{RULES}" / f"{scenario}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(history.to_json())

    return write
