"""The real parts that tests run on: the whole stack, or as little of it as a test needs."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from stack.supervisor import make_database
from tests.stacks import Stack
from tests.told import FilesTold

# What is made up for after a while is made up for sooner: tests wait for it often.
IMPATIENT = {
    "NBHUB_STALLED_AFTER": "8",
    "NBHUB_RECONCILE_INTERVAL": "5",
    "NBHUB_REVOKE_GRACE": "1",
    "NBHUB_HUB_LET_IN_SECONDS": "5",
}


# A worker takes a whole file: of those that take minutes none is begun last, while the others have nothing to do.
LONGEST = (
    "tests/integration/models/test_lists.py",
    "tests/e2e/test_canary.py",
    "tests/integration/api/test_document.py",
    "tests/e2e/test_origins.py",
    "tests/e2e/test_sharing_faults.py",
    "tests/e2e/test_released_address.py",
    "tests/e2e/test_faults.py",
    "tests/e2e/test_modules_and_secrets.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {file: number for number, file in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], len(LONGEST)))


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    if reporter := config.pluginmanager.get_plugin("terminalreporter"):
        config.pluginmanager.register(FilesTold(reporter))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-histories", action="store_true", help="write the histories of the workflow scenarios, to be replayed"
    )
    parser.addoption("--every-combination", action="store_true", help="narrow lists by all combinations of filters")
    parser.addoption("--every-kill", action="store_true", help="kill at every crash point, and not at a third of them")
    parser.addoption("--every-manner", action="store_true", help="make the page's journeys in all manners, not in two")
    parser.addoption("--screenshots", action="store_true", help="write the screenshots of the documentation")


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Everything, with crash points."""
    async with Stack(tmp_path_factory.mktemp("stack"), fault_injection=True, settings=IMPATIENT) as stack:
        yield stack


@pytest.fixture(scope="session")
async def _postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with Stack(tmp_path_factory.mktemp("postgres"), only=("postgres",)) as stack:
        yield stack


@pytest.fixture(scope="session")
async def new_database(_postgres: Stack) -> Callable[[], Awaitable[str]]:
    """Makes a migrated database of its own; its address."""
    numbers = itertools.count(1)

    async def make() -> str:
        name = f"test{next(numbers)}"
        await make_database(_postgres.layout, name)
        address = _postgres.layout.database_url(name)
        await _postgres.migrate(address)
        return address

    return make


@pytest.fixture(scope="session")
async def postgres(new_database: Callable[[], Awaitable[str]]) -> str:
    """The address of a migrated database that tests of this process share."""
    return await new_database()


@pytest.fixture(scope="session")
async def temporal(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of a Temporal server."""
    async with Stack(tmp_path_factory.mktemp("temporal"), only=("temporal",)) as stack:
        yield stack.info.temporal


@pytest.fixture(scope="session")
async def provider(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack of the sign-in provider alone."""
    async with Stack(tmp_path_factory.mktemp("provider"), only=("oidc",)) as stack:
        yield stack


@pytest.fixture(scope="session")
async def vault(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack of Vault alone."""
    async with Stack(tmp_path_factory.mktemp("vault"), only=("vault",)) as stack:
        yield stack
