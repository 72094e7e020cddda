"""A worker has so many places for activities: what one person waits for keeps none of them from others."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
import requests

from integrations.filesystem import Volumes
from integrations.vault import Vault
from models.database.transactions import Transaction
from models.domain.ids import new_id
from models.domain.values import Caller, OperationStatus, Subject
from models.ledger import operations
from models.records import datasets, secrets
from tests.people import make_person
from tests.workflows.conftest import Scene

Do = Callable[[Caller, int], Awaitable[tuple[Subject, UUID]]]

# What the worker does at once, and more than that.
PLACES = 24
MANY = 30
# The most that one person has of what they work with.
SHARE = 4


class Slow:
    """What takes as long as the test wants, for some ids."""

    def __init__(self) -> None:
        self.ids: set[UUID] = set()
        self.go_on = threading.Event()
        self.begun = 0

    def wait(self, identity: UUID, seconds: float) -> None:
        """Raises the client's error for a Vault that does not answer within some seconds."""
        if identity in self.ids:
            self.begun += 1
            if not self.go_on.wait(seconds):
                raise requests.Timeout


@pytest.fixture
def activities_at_once() -> int:
    return PLACES


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    """Directories and values that the file system and Vault take long for."""
    made, restore, destroy = Slow(), Volumes.restore_directory, Vault._destroy

    def restore_slowly(volumes: Volumes, root: Path, identity: UUID) -> None:
        made.wait(identity, 140)
        restore(volumes, root, identity)

    def destroy_slowly(vault: Vault, identity: UUID) -> None:
        made.wait(identity, 25)
        destroy(vault, identity)

    monkeypatch.setattr(Volumes, "restore_directory", restore_slowly)
    monkeypatch.setattr(Vault, "_destroy", destroy_slowly)
    yield made
    made.go_on.set()


async def make_dataset(owner: Caller, number: int) -> tuple[Subject, UUID]:
    async with Transaction():
        identity, operation = await datasets.create(owner.id, f"ice{number}", "", owner)
    return Subject("dataset", identity), operation


async def delete_secret(owner: Caller, number: int) -> tuple[Subject, UUID]:
    identity = new_id()
    async with Transaction():
        values = {"name": f"key{number}", "description": "", "type": "env_var", "value_version": 1}
        await secrets.create(identity, owner.id, values, owner)
    async with Transaction():
        found = await secrets.read_owned(identity, owner)
        return Subject("secret", identity), await secrets.delete(found, owner)


@pytest.mark.parametrize("do", [make_dataset, delete_secret])
async def test_what_one_person_waits_for_keeps_nobody_else_waiting(scene: Scene, slow: Slow, do: Do) -> None:
    many = [await do(scene.caller, number) for number in range(MANY)]
    slow.ids.update(subject.id for subject, _ in many)
    for subject, _ in many:
        await scene.wake(subject)
    async with asyncio.timeout(60):
        while sum([bool((await operations.read(one)).steps) for _, one in many]) < PLACES:
            await asyncio.sleep(0.1)
    before = slow.begun
    carols, operation = await do(await make_person("carol"), 0)
    assert (await scene.wakes(carols, operation)).status is OperationStatus.SUCCEEDED
    # It was no question of how many of the others had ended.
    assert slow.begun - before <= SHARE
    # And who waited is served as soon as there is an answer.
    slow.go_on.set()
    ended = [await scene.ended(operation) for _, operation in many]
    assert {one.status for one in ended} == {OperationStatus.SUCCEEDED}
