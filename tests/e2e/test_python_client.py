"""The Python client against the whole stack, also while its API dies."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from nbhub import AsyncHub, Hub
from nbhub.errors import Forbidden, Invalid, NotFound, OperationCancelled, OperationTimedOut, Stale, Unauthorized
from nbhub.models import Change, Reset
from tests.project import PROJECT
from tests.stacks import Stack

POINTS = ("api.claimed", "api.made", "api.committed")


@pytest.fixture
async def hub(stack: Stack) -> AsyncIterator[AsyncHub]:
    """Notebooks Hub as Alice sees it."""
    async with AsyncHub(stack.info.api, await stack.token("alice@example.org")) as hub:
        yield hub


@pytest.fixture
async def bobs(stack: Stack) -> AsyncIterator[AsyncHub]:
    """Notebooks Hub as Bob sees it."""
    async with AsyncHub(stack.info.api, await stack.token("bob@example.org")) as hub:
        yield hub


def fresh(name: str) -> str:
    """A name that no other test has."""
    return f"{name}-{uuid4().hex[:8]}"


async def test_a_server_is_started_by_its_name_and_stops_with_the_block(hub: AsyncHub) -> None:
    name = fresh("lab")
    made = await hub.servers.create(name, hardware="cpuSmall")
    assert made.status == "stopped"
    async with hub.servers.running(name, timeout=90) as server:
        assert (server.id, server.status, server.template.name) == (made.id, "running", name)
        assert server.url.startswith("http")
    assert (await (await hub.servers.stop(name)).wait(90)).status == "stopped"
    await (await hub.servers.delete(name)).wait(90)
    with pytest.raises(NotFound):
        await hub.servers.get(made.id)


async def test_an_operation_is_followed_step_by_step_and_can_be_taken_back(hub: AsyncHub) -> None:
    name = fresh("lab")
    await hub.servers.create(name, hardware="cpuSmall")
    operation = await hub.servers.start(name)
    states = [one async for one in operation.events()]
    assert states[-1].status == "succeeded"
    assert {step.name for step in states[-1].steps}
    assert (await hub.operations.get(operation.id)).status == "succeeded"
    again = await hub.servers.start(name)
    assert (await again).status == "running", "it runs: there is nothing to wait for"
    await (await hub.servers.stop(name))
    begun = await hub.servers.start(name)
    with pytest.raises(OperationTimedOut):
        await begun.wait(timeout=0.01)
    await begun.cancel()
    with pytest.raises(OperationCancelled):
        await begun.wait(90)
    await (await hub.servers.delete(name))


async def test_a_dataset_is_shared_found_by_its_name_and_taken_back(hub: AsyncHub, bobs: AsyncHub) -> None:
    name = fresh("ice")
    made = await hub.datasets.get((await hub.datasets.create(name, description="cores")).id)
    assert made.etag
    results = await (await hub.datasets.share(name, users=["bob@example.org"])).wait(60)
    assert [(one.entity, one.type) for one in results] == [("bob@example.org", "user")]
    theirs = await bobs.datasets.find(name)
    assert (theirs.id, theirs.write_access) == (made.id, False)
    with pytest.raises(Forbidden):
        await bobs.datasets.update(theirs, description="mine")
    assert {one.entity async for one in await hub.datasets.access(name)} == {"alice@example.org", "bob@example.org"}
    assert (await hub.datasets.explain(name, "bob@example.org")).access == "read"
    changed = await hub.datasets.update(made, description="cores of 2026")
    with pytest.raises(Stale):
        await hub.datasets.update(made, description="cores of 2025")
    assert (await hub.datasets.update(changed, description=None)).description in (None, "")
    await (await hub.datasets.revoke(name, users="bob@example.org")).wait(60)
    with pytest.raises(NotFound):
        await bobs.datasets.find(name)
    await (await hub.datasets.delete(name)).wait(60)
    assert (await hub.datasets.restore(made.id)).name == name
    await (await hub.datasets.delete(name)).wait(60)


async def test_a_list_is_gone_through_page_by_page(hub: AsyncHub) -> None:
    made = [(await hub.datasets.create(fresh("page"))).id for _ in range(5)]
    pages = hub.datasets.list().in_pages_of(2)
    found = [one.id async for one in pages if one.id in made]
    assert found == made[::-1], "newest first, each once"
    first = await pages.page()
    assert len(first) == 2
    assert first.cursor is not None
    second = await pages.page(cursor=first.cursor)
    assert [one.id for one in (*first, *second)][:4] == made[:0:-1]
    with pytest.raises(Invalid):
        await hub.groups.list().page(cursor=first.cursor)
    for identity in made:
        await (await hub.datasets.delete(identity)).wait(60)


async def test_a_file_goes_there_and_back(hub: AsyncHub, tmp_path: Path) -> None:
    await (await hub.initialize(wait=60)).wait(60)
    name = fresh("ice")
    made = await hub.datasets.create(name)
    content = bytes(range(256)) * 4096
    (tmp_path / "cores.bin").write_bytes(content)
    place = await hub.files.place(f"datasets:{name}/cores.bin")
    assert (await hub.files.upload(tmp_path / "cores.bin", *place)).size == len(content)
    assert await hub.files.download(*place, tmp_path / "back.bin") == len(content)
    assert (tmp_path / "back.bin").read_bytes() == content
    with pytest.raises(Stale):
        await hub.files.write(*place, b"", replace=False)
    assert [one.name async for one in hub.files.list("datasets", made.id)] == ["cores.bin"]
    await (await hub.datasets.delete(name)).wait(60)


async def test_nobody_is_let_in_without_a_token(stack: Stack) -> None:
    async with AsyncHub(stack.info.api, "forged") as hub:
        assert not await hub.is_signed_in()
        with pytest.raises(Unauthorized):
            await hub.whoami()


async def while_the_api_dies(stack: Stack, point: str, write: Awaitable[object]) -> None:
    """Have a write done in the middle of which the API is killed; it is started again, as a supervisor does."""
    stack.arm(point)
    writing = asyncio.ensure_future(write)
    await stack.died("api")
    await stack.start_part("api")
    await writing


@pytest.mark.parametrize("point", POINTS)
async def test_a_write_in_which_the_api_dies_is_done_once(stack: Stack, hub: AsyncHub, point: str) -> None:
    """One call, of which nobody notices more than that it takes longer."""
    name = fresh("KEY").replace("-", "_")
    await while_the_api_dies(stack, point, hub.secrets.create(name, value="a value"))
    made = [one async for one in hub.secrets.list(name=name)]
    assert [one.name for one in made] == [name]
    operations = [one async for one in hub.operations.list(subject=made[0].id)]
    assert [one.kind for one in operations] == ["secret.create"]
    await (await hub.secrets.delete(name)).wait(60)


@pytest.mark.parametrize("point", POINTS)
async def test_a_file_in_whose_upload_the_api_dies_is_whole(
    stack: Stack, hub: AsyncHub, tmp_path: Path, point: str
) -> None:
    await (await hub.initialize(wait=60)).wait(60)
    name, content = fresh("cores"), bytes(range(256)) * 4096
    (tmp_path / name).write_bytes(content)
    await while_the_api_dies(stack, point, hub.files.upload(tmp_path / name, "notebooks", name))
    assert await hub.files.read("notebooks", name) == content


async def test_the_synchronous_client_bears_it_too(stack: Stack) -> None:
    hub, name = Hub(stack.info.api, await stack.token("alice@example.org")), fresh("ice")
    create: Callable[[str], object] = hub.datasets.create
    await while_the_api_dies(stack, "api.committed", asyncio.to_thread(create, name))

    def look() -> list[str]:
        with hub:
            found = [one.name for one in hub.datasets.list() if one.name == name]
            hub.datasets.delete(name).wait(60)
        return found

    assert await asyncio.to_thread(look) == [name]


async def test_who_waits_while_the_api_dies_goes_on_waiting(stack: Stack, hub: AsyncHub) -> None:
    name = fresh("lab")
    await hub.servers.create(name, hardware="cpuSmall")
    waiting = asyncio.ensure_future((await hub.servers.start(name)).wait(120))
    await asyncio.sleep(0.3)
    stack.kill("api")
    await stack.died("api")
    await stack.start_part("api")
    assert (await waiting).status == "running"
    await (await hub.servers.delete(name)).wait(90)


class Follower:
    """A process that follows everything, and what it was told so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.told: list[Change] = []

    async def next(self, kind: type[Change | Reset] = Change) -> Change | Reset:
        """What is told next."""
        assert self.process.stdout is not None
        return msgspec.json.decode(await self.process.stdout.readline(), type=kind)

    async def until(self, kind: str, identity: str, status: str) -> None:
        """Read on until a record has a status; a `Reset` is an error."""
        async with asyncio.timeout(120):
            while not [one for one in self.told if (one.kind, one.id, one.status) == (kind, identity, status)]:
                change = await self.next()
                assert isinstance(change, Change)
                self.told.append(change)

    def versions(self, identity: str) -> list[int | None]:
        """What was told of a record."""
        return [one.version for one in self.told if one.id == identity]


@contextlib.asynccontextmanager
async def followers(stack: Stack) -> AsyncIterator[list[Follower]]:
    """Two of them."""
    environment = {**os.environ, "TOKEN": await stack.token("alice@example.org")}
    command = (sys.executable, "-m", "tests.e2e.follower", stack.info.api)
    found: list[Follower] = []
    try:
        for _ in range(2):
            process = await asyncio.create_subprocess_exec(
                *command, cwd=PROJECT, env=environment, stdout=asyncio.subprocess.PIPE
            )
            found.append(Follower(process))
            async with asyncio.timeout(30):
                assert await found[-1].next(Reset) == Reset(reason="began")
        yield found
    finally:
        for one in found:
            one.process.kill()
            await one.process.wait()


async def test_two_who_follow_through_a_kill_of_the_api_see_each_change_once_and_in_order(
    stack: Stack, hub: AsyncHub
) -> None:
    async with followers(stack) as found:
        server = await hub.servers.create(fresh("lab"), hardware="cpuSmall")
        start = await hub.servers.start(server.id)
        for one in found:
            await one.until("operation", start.id, "running")
        stack.kill("api")
        await stack.died("api")
        # While nobody can be told, the work goes on.
        await stack.start_part("api")
        await start.wait(120)
        stop = await hub.servers.stop(server.id)
        await stop.wait(90)
        for one in found:
            await one.until("operation", stop.id, "succeeded")
            await one.until("server", server.id, "stopped")
    for record in (server.id, start.id, stop.id):
        for one in found:
            versions = one.versions(record)
            assert versions == list(range(1, len(versions) + 1)), (record, one.told)
    assert len(found[0].versions(start.id)) > 3
    await (await hub.servers.delete(server.id)).wait(90)
