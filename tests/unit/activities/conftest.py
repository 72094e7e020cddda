"""Activities one by one, on a real database and with a JupyterHub that obeys the test."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import UUID

import pytest
from temporalio.common import RetryPolicy
from temporalio.testing import ActivityEnvironment

from activities.access import Access
from activities.messages import ServerWish
from activities.records import Records
from activities.share_links import ShareLinks
from activities.starts import Starts
from activities.stops import Stops
from activities.waking import Wake
from activities.watching import Watching
from integrations.file_threads import FileThreads
from integrations.jupyterhub import JupyterHub
from integrations.truth import Truth
from integrations.turns import Turns
from integrations.vault import Vault
from models.database import engine
from models.database.transactions import Transaction
from models.domain.settings import Settings
from models.domain.values import Caller, Subject, Wish
from models.ledger import operations
from models.ledger.operations import OperationRecord, Step
from models.records import server_settling, servers
from models.records.servers import ServerRecord
from tests.keys import key_pair
from tests.people import make_person
from tests.servers import make_server
from tests.workflows.simulated_hub import SimulatedHub

T = TypeVar("T")


class Scene:
    """One person with one server, a JupyterHub, and the activities between them."""

    def __init__(
        self, settings: Settings, hub: SimulatedHub, vault: Vault, wake: Wake, caller: Caller, server: UUID
    ) -> None:
        self.settings, self.hub, self.wake, self.caller, self.server = settings, hub, wake, caller, server
        api, truth = cast(JupyterHub, hub), cast(Truth, hub)
        self.records, self.links = Records(settings), ShareLinks(api, settings)
        self.starts = Starts(api, truth, vault, settings, key_pair()[0], FileThreads(), Turns(4), self.links)
        self.stops, self.access = Stops(api, truth, self.links), Access(settings, wake, self.links)
        self.watching = Watching(truth, self.links, settings, wake)

    async def wish(self, wish: Wish) -> ServerWish:
        """A wish, with its operation."""
        async with Transaction():
            await servers.intend(self.server, wish, self.caller)
        plan = await server_settling.begin(self.server, "workflow", "run")
        assert plan is not None
        return ServerWish(server_id=self.server, generation=plan.generation)

    async def run(self, activity: Callable[..., Awaitable[T]], *arguments: Any, attempt: int = 1) -> T:
        """Run an activity as Temporal would at this attempt."""
        environment = ActivityEnvironment()
        environment.info = replace(environment.info, attempt=attempt, retry_policy=RetryPolicy())
        result: T = await environment.run(activity, *arguments)
        return result

    async def started(self) -> None:
        """Returns once the server runs, and was seen to."""
        await self.run(self.starts.spawn_server, await self.wish(Wish.RUNNING))

    async def seen(self) -> ServerRecord:
        """The server as its owner sees it."""
        return await servers.read_visible(self.server, self.caller)

    async def operation(self) -> OperationRecord:
        """The newest operation of the server."""
        (found,) = await operations.list_visible(self.caller, subject=self.server, limit=1)
        return found

    async def step(self, name: str) -> Step:
        """A step of the newest operation."""
        return next(step for step in (await self.operation()).steps if step.name == name)


@pytest.fixture
async def scene(postgres: str, tmp_path: Path) -> AsyncIterator[Scene]:
    settings = Settings(database_url=postgres, database_pool_size=3, notebook_location=str(tmp_path))
    hub, vault = SimulatedHub(), Vault.from_settings(settings)

    async def wake(_: Subject) -> bool:
        return True

    async with engine.pool(settings):
        caller = await make_person("ada")
        (tmp_path / str(caller.id)).mkdir()
        server = await make_server(caller)
        yield Scene(settings, hub, vault, wake, caller, server)
    await vault.close()
