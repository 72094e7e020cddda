"""Named scenarios of modules and secrets; each is also recorded and replayed by `test_replay`."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from temporalio.client import Client

from hub.unwrap import SecretRefused, unwrap
from integrations.vault import Vault
from models.access.permissions import Level
from models.database.sql import row, rows
from models.database.transactions import Transaction
from models.domain.errors import RecordMissing
from models.domain.ids import new_id
from models.domain.server_spec import SecretMount
from models.domain.settings import Settings
from models.domain.values import Caller, ModuleCall, OperationStatus, Subject, Wish
from models.ledger import claims, operations
from models.ledger.operations import OperationRecord
from models.records import modules, persons, secrets, servers
from models.records.modules import ModuleRecord
from stack.vault_setup import VaultKeys, role_of, unseal
from tests.stacks import Stack
from tests.workflows.conftest import Scene
from workflows.client import workflow_id
from workflows.janitor import JanitorWorkflow

Record = Callable[[str, str], Awaitable[None]]
CALLS = [ModuleCall(id="setenv", arguments=["GCC_HOME", '"); os.execute("id") --'])]


class Shelf:
    """Modules of the scene's person, on disk and in the database."""

    def __init__(self, scene: Scene, settings: Settings) -> None:
        self.scene = scene
        self.root = Path(settings.module_location)

    @property
    def owner(self) -> Caller:
        return self.scene.caller

    async def make(self, name: str, version: str = "1.0") -> UUID:
        values = {"name": name, "module_version": version, "description": "", "featured": False}
        async with Transaction():
            identity, operation = await modules.create(self.owner.id, values, CALLS, self.owner)
        await self.succeeds(identity, operation)
        return identity

    async def change(self, identity: UUID, calls: list[ModuleCall] | None = None, **values: Any) -> UUID:
        async with Transaction():
            found = await modules.read(identity, self.owner, Level.WRITE, lock=True)
            return await modules.update_file(found, values, calls, self.owner)

    async def trash(self, identity: UUID) -> UUID:
        async with Transaction():
            found: ModuleRecord = await modules.read(identity, self.owner, Level.OWNER, lock=True)
            return await modules.RECORDS.trash(found, self.owner)

    async def succeeds(self, identity: UUID, operation: UUID) -> None:
        ended = await self.scene.wakes(Subject("module", identity), operation)
        assert ended.status is OperationStatus.SUCCEEDED, ended

    def file(self, name: str, version: str = "1.0") -> Path:
        return self.root / "modulefiles" / str(self.owner.id) / name / f"{version}.lua"

    def binaries(self, identity: UUID) -> Path:
        return self.root / "binaries" / str(identity)

    def files(self) -> list[str]:
        """Everything that stands beneath the owner's directory."""
        top = self.root / "modulefiles" / str(self.owner.id)
        return sorted(str(path.relative_to(top)) for path in top.rglob("*"))


@pytest.fixture
def shelf(scene: Scene, settings: Settings) -> Shelf:
    return Shelf(scene, settings)


@pytest.fixture
async def values(vault: Stack) -> AsyncIterator[Vault]:
    """Vault as the API reaches it."""
    made = Vault(vault.info.vault, role_of("api"), vault.secrets.vault_api_secret_id, engine="secret")
    yield made
    await made.close()


async def test_a_module_from_its_making_to_its_purge(
    shelf: Shelf, record: Record, client: Client, settings: Settings
) -> None:
    identity = await shelf.make("gcc")
    subject = Subject("module", identity)
    await shelf.scene.at_rest(subject)
    assert shelf.binaries(identity).is_dir()
    text = shelf.file("gcc").read_text()
    assert text.startswith(f"-- {identity}\nsetenv(")
    assert '"); os' not in text
    await record("module-create", workflow_id(subject))

    await shelf.succeeds(identity, await shelf.change(identity, [], name="gcc-next", module_version="2.0"))
    await shelf.scene.at_rest(subject)
    assert shelf.files() == ["gcc-next", "gcc-next/2.0.lua"]
    assert shelf.file("gcc-next", "2.0").read_text() == f"-- {identity}\n"
    await record("module-update", workflow_id(subject))

    (shelf.binaries(identity) / "cc").write_text("kept")
    await shelf.succeeds(identity, await shelf.trash(identity))
    await shelf.scene.at_rest(subject)
    assert shelf.files() == []
    assert not shelf.binaries(identity).exists()
    await record("module-delete", workflow_id(subject))

    async with Transaction():
        operation = await modules.RECORDS.restore(
            await modules.RECORDS.read_restorable(identity, shelf.owner), shelf.owner
        )
    await shelf.succeeds(identity, operation)
    assert shelf.files() == ["gcc-next", "gcc-next/2.0.lua"]
    assert (shelf.binaries(identity) / "cc").read_text() == "kept"

    await shelf.succeeds(identity, await shelf.trash(identity))
    await shelf.scene.at_rest(subject)
    await row("UPDATE module SET trashed_at = now() - interval '8 days' WHERE id = :id", id=identity)
    janitor = f"janitor-module-{identity}"
    cleaned = await client.execute_workflow(JanitorWorkflow.run, id=janitor, task_queue=settings.temporal_task_queue)
    assert cleaned.purged == 1
    await shelf.scene.at_rest(subject)
    assert not (shelf.root / "binaries" / ".trash" / str(identity)).exists()
    assert await rows("SELECT 1 FROM module_place WHERE module = :module", module=identity) == []
    with pytest.raises(RecordMissing):
        await modules.RECORDS.read_restorable(identity, shelf.owner)


async def test_two_modules_change_places(shelf: Shelf) -> None:
    """Each waits until the other has given its place up; no file of one is taken for the other's."""
    first, second = await shelf.make("one"), await shelf.make("two")
    # Nothing was moved yet when both are on their way to the other's place.
    away = await shelf.change(first, name="between")
    to_first = await shelf.change(second, name="one")
    to_second = await shelf.change(first, name="two")
    ended = await asyncio.gather(
        shelf.scene.wakes(Subject("module", second), to_first), shelf.scene.wakes(Subject("module", first), to_second)
    )
    assert [one.status for one in ended] == [OperationStatus.SUCCEEDED] * 2
    assert (await operations.read(away)).status is OperationStatus.SUCCEEDED
    assert shelf.file("one").read_text().startswith(f"-- {second}\n")
    assert shelf.file("two").read_text().startswith(f"-- {first}\n")
    assert shelf.files() == ["one", "one/1.0.lua", "two", "two/1.0.lua"]


async def test_a_name_in_the_trash_can_be_taken_at_once(shelf: Shelf) -> None:
    old = await shelf.make("taken")
    delete = await shelf.trash(old)
    values = {"name": "taken", "module_version": "1.0", "description": "", "featured": False}
    async with Transaction():
        new, create = await modules.create(shelf.owner.id, values, CALLS, shelf.owner)
    made, deleted = await asyncio.gather(
        shelf.scene.wakes(Subject("module", new), create), shelf.scene.wakes(Subject("module", old), delete)
    )
    assert (made.status, deleted.status) == (OperationStatus.SUCCEEDED, OperationStatus.SUCCEEDED)
    assert shelf.file("taken").read_text().startswith(f"-- {new}\n")


async def test_a_file_of_another_is_not_removed(shelf: Shelf) -> None:
    """A late call must not take what came to stand in its place."""
    identity = await shelf.make("late")
    shelf.file("late").write_text("-- somebody else's\n")
    await shelf.succeeds(identity, await shelf.trash(identity))
    assert shelf.file("late").read_text() == "-- somebody else's\n"


async def make_secret(owner: Caller, values: Vault, value: Any, **columns: Any) -> UUID:
    identity = new_id()
    version = 0 if value is None else await values.put(identity, value, after=0)
    columns = {"name": "TOKEN", "type": "env_var", "description": "", "mount_path": None, **columns}
    async with Transaction():
        await secrets.create(identity, owner.id, {**columns, "value_version": version}, owner)
    return identity


async def names(scene: Scene, **named: list[UUID]) -> None:
    """Have the scene's server name modules and secrets."""
    found = await servers.read_visible(scene.server, scene.caller)
    changed = msgspec.structs.replace(
        found.template_data, **{kind: [str(one) for one in ids] for kind, ids in named.items()}
    )
    text = msgspec.json.encode(changed).decode()
    await row(
        "UPDATE server SET template_data = :template_data::jsonb WHERE id = :id", template_data=text, id=scene.server
    )


async def started(scene: Scene) -> OperationRecord:
    ended = await scene.ended(await scene.wish(Wish.RUNNING))
    await scene.at_rest()
    return ended


def opened(scene: Scene, vault: Stack) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """What JupyterHub's side would find in the tokens of the last start."""

    spec = msgspec.json.decode(base64.urlsafe_b64decode(scene.hub.options["spec"].split(".")[1] + "=="))
    tokens = {one["id"]: one["token"] for one in scene.hub.options["wrapped_secrets"]}
    places = msgspec.convert(spec["secrets"], list[SecretMount])
    return unwrap([{**msgspec.to_builtins(one), "token": tokens[one.id]} for one in places], vault.info.vault)


async def test_a_start_hands_secrets_over_once(scene: Scene, values: Vault, vault: Stack) -> None:
    variable = await make_secret(scene.caller, values, "one")
    same = await make_secret(scene.caller, values, "two")
    empty = await make_secret(scene.caller, values, None, name="EMPTY")
    file = await make_secret(scene.caller, values, {"a": "three", "b": "four"}, name="pair", type="file")
    raw = await make_secret(scene.caller, values, "five", name="key", type="raw", mount_path="/run/secrets/key")
    await names(scene, secrets=[variable, same, empty, file, raw])
    ended = await started(scene)
    assert ended.status is OperationStatus.SUCCEEDED
    assert {one.id for one in ended.left_out} == {str(same), str(empty)}
    assert opened(scene, vault) == (
        {"TOKEN": "one"},
        {f"/opt/secret/{file}": {"a": "three", "b": "four"}, "/run/secrets/key": {"": "five"}},
    )
    with pytest.raises(SecretRefused):
        opened(scene, vault)
    assert await scene.holds(variable)


@pytest.mark.parametrize("how", ["refused", "failed"])
async def test_the_tokens_of_a_failed_start_are_ended(scene: Scene, values: Vault, vault: Stack, how: str) -> None:
    await names(scene, secrets=[await make_secret(scene.caller, values, "one")])
    if how == "refused":
        scene.hub.refusal = "RStudio is not installed here."
    else:
        scene.hub.failure_reason = "the server ran out of memory"
    assert (await started(scene)).status is OperationStatus.FAILED
    with pytest.raises(SecretRefused):
        opened(scene, vault)


async def test_a_start_gets_the_version_that_is_recorded(scene: Scene, values: Vault, vault: Stack) -> None:
    """A value that was written and never recorded is nobody's."""
    identity = await make_secret(scene.caller, values, "recorded")
    await values.put(identity, "never recorded", after=1)
    await names(scene, secrets=[identity])
    await started(scene)
    assert opened(scene, vault)[0] == {"TOKEN": "recorded"}


async def test_a_start_waits_for_vault(scene: Scene, values: Vault, vault: Stack, record: Record) -> None:
    await names(scene, secrets=[await make_secret(scene.caller, values, "one")])
    serve_again = await seal(vault)
    start = await scene.wish(Wish.RUNNING)
    async with asyncio.timeout(30):
        while not [one for one in (await operations.read(start)).steps if one.detail and "sealed" in one.detail]:
            await asyncio.sleep(0.05)
    await serve_again()
    assert (await scene.ended(start)).status is OperationStatus.SUCCEEDED
    await scene.at_rest()
    await record("server-start-waits-for-vault", f"server-{scene.server}")


async def seal(vault: Stack) -> Callable[[], Awaitable[None]]:
    """Seal Vault; what unseals it again."""
    keys = msgspec.json.decode((vault.directory / "vault" / "keys.json").read_bytes(), type=VaultKeys)
    headers = {"X-Vault-Token": keys.root_token}
    async with httpx.AsyncClient(base_url=f"{vault.info.vault}/v1/", headers=headers, timeout=30) as client:
        (await client.put("sys/seal")).raise_for_status()

    async def again() -> None:
        async with httpx.AsyncClient(base_url=f"{vault.info.vault}/v1/", timeout=30) as client:
            await unseal(client, keys)

    return again


async def test_a_secret_is_destroyed_with_its_value(
    scene: Scene, values: Vault, settings: Settings, record: Record
) -> None:
    worker = Vault.from_settings(settings)
    identity = await make_secret(scene.caller, values, "one")
    await names(scene, secrets=[identity])
    await started(scene)
    async with Transaction():
        found = await secrets.read(identity, scene.caller, Level.OWNER, lock=True)
        operation = await secrets.delete(found, scene.caller)
    subject = Subject("secret", identity)
    ended = await scene.wakes(subject, operation)
    assert ended.status is OperationStatus.SUCCEEDED
    assert scene.hub.living == {}, "who held it was stopped first"
    assert identity not in await worker.identities()
    assert await row("SELECT 1 FROM secret WHERE id = :id", id=identity) is None
    await scene.at_rest(subject)
    await record("secret-delete", workflow_id(subject))
    await worker.close()


async def pass_of_the_janitor(client: Client, settings: Settings) -> None:
    identity = f"janitor-values-{new_id()}"
    await client.execute_workflow(JanitorWorkflow.run, id=identity, task_queue=settings.temporal_task_queue)


async def test_the_janitor_removes_what_requests_left_however_many_they_were(
    scene: Scene, values: Vault, settings: Settings, client: Client
) -> None:
    """A value of a claim that nobody settled; not where the request may go on, or has a record."""
    worker = Vault.from_settings(settings)
    left, under_way, kept = [new_id() for _ in range(48)], new_id(), await make_secret(scene.caller, values, "kept")
    for subject in (*left, under_way, kept):
        await claims.take(new_id(), "secret", subject, scene.caller)
        if subject != kept:
            await values.put(subject, "left behind", after=0)
    await row(
        """UPDATE write_claim SET claimed_at = now() - interval '11 minutes'
            WHERE subject <> :subject AND person = :person""",
        subject=under_way,
        person=scene.caller.id,
    )
    await pass_of_the_janitor(client, settings)
    there = set(await worker.identities())
    assert not there & set(left)
    assert {under_way, kept} <= there
    claimed = await rows("SELECT subject FROM write_claim WHERE person = :person", person=scene.caller.id)
    assert [one["subject"] for one in claimed] == [under_way]
    await worker.close()


async def test_the_janitor_removes_what_nothing_explains_when_it_is_old_and_the_exception(
    scene: Scene, values: Vault, settings: Settings, client: Client
) -> None:
    """A few such values were forgotten; many are what a restored old backup does not know, and stay."""
    worker = Vault.from_settings(settings)
    first = UUID("01900000-0000-7000-8000-000000000000").int + new_id().int % 2**60
    old = UUID(int=first)
    hour = UUID(int=((new_id().int >> 80) - 3_600_000 << 80) + new_id().int % 2**60 + (7 << 76) + (2 << 62))
    kept = [await make_secret(scene.caller, values, f"kept{number}") for number in range(3)]
    for one in (old, hour):
        await values.put(one, "left behind", after=0)
    await pass_of_the_janitor(client, settings)
    there = set(await worker.identities())
    assert old not in there
    assert {hour, *kept} <= there, "an hour is too soon to say"
    # More than half of all, whatever other tests have left there.
    more = [UUID(int=first + number) for number in range(1, len(there) + 20)]
    await asyncio.gather(*(values.put(one, "of a lost record", after=0) for one in more))
    await pass_of_the_janitor(client, settings)
    assert set(more) <= set(await worker.identities())
    await asyncio.gather(*map(worker.destroy, [*more, hour]))
    await worker.close()


async def test_modules_are_mounted_one_by_one(scene: Scene, shelf: Shelf, settings: Settings) -> None:

    used, other = await shelf.make("used"), await shelf.make("other")
    await names(scene, modules=[used])
    await started(scene)
    spec = msgspec.json.decode(base64.urlsafe_b64decode(scene.hub.options["spec"].split(".")[1] + "=="))
    assert spec["modules"] == ["used/1.0"]
    email = await persons.email_of(scene.caller.id)
    assert {(one["target"], one["read_only"]) for one in spec["mounts"] if one["kind"] == "module"} == {
        (f"/opt/modules/binaries/{used}", False),
        (f"/opt/modules/modulefiles/{email}/used/1.0.lua", True),
    }
    assert str(other) not in str(spec)
