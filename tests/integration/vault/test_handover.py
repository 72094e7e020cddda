"""The secrets of one start, handed over as an activity does it: what becomes of the tokens."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from temporalio import activity
from temporalio.testing import ActivityEnvironment

from activities.handover import Handover
from hub.secrets import handed_over, open_all
from integrations.turns import PersonsTurns
from integrations.vault import Vault
from models.domain.errors import HubRefused, HubThrottled, HubUnavailable, SpawnFailed, VaultUnavailable
from models.domain.ids import new_id
from models.ledger.operations import LeftOut
from models.records.secrets import Placed, SecretType
from tests.integration.vault.conftest import MakeClient, Operator
from tests.slow_link import SlowLink
from tests.specs import make_spec
from tests.stacks import Stack

Make = Callable[..., Awaitable[list[Placed]]]


@pytest.fixture(scope="module")
def make(api: Vault) -> Make:
    """Makes secrets that have values, of one kind after the other."""

    async def one(number: int) -> Placed:
        identity, kind = new_id(), list(SecretType)[number % 3]
        version = await api.put(identity, f"value {number}", after=0)
        path = f"/opt/secret/own/{number}" if number % 2 else None
        return Placed(id=identity, name=f"NAME_{number}", type=kind, mount_path=path, value_version=version)

    async def several(count: int) -> list[Placed]:
        return list(await asyncio.gather(*map(one, range(count))))

    return several


@pytest.fixture
def living(outside: httpx.AsyncClient) -> Callable[[Handover], Awaitable[int]]:
    """How many of a start's tokens open something."""

    async def count(handover: Handover) -> int:
        answers = [await outside.post("sys/wrapping/lookup", json={"token": one.token}) for one in handover.wrapped]
        return sum(answer.is_success for answer in answers)

    return count


Living = Callable[[Handover], Awaitable[int]]


Then = Callable[[], Awaitable[None]]


async def nothing() -> None:
    """A start that goes well."""


def fails(failure: BaseException) -> Then:
    """A start that fails."""

    async def fail() -> None:
        raise failure

    return fail


async def start(
    handover: Handover, secrets: list[Placed], then: Then = nothing, within: ActivityEnvironment | None = None
) -> None:
    """Hand secrets over within an activity, as `Starts.spawn_server` does, and go on with what comes then."""

    @activity.defn
    async def spawn() -> None:
        async with handover.ended_on_failure():
            await handover.wrap(secrets)
            await then()

    await (within or ActivityEnvironment()).run(spawn)


async def test_each_secret_has_its_place_and_a_token(make: Make, living: Living, worker: Vault, vault: Stack) -> None:
    secrets = await make(20)
    handover = Handover(worker, PersonsTurns(4), 60)
    await start(handover, secrets)
    assert [mount.id for mount in handover.mounts] == [str(secret.id) for secret in secrets]
    assert {one.id for one in handover.wrapped} == {str(secret.id) for secret in secrets}
    assert handover.left_out == []
    assert await living(handover) == 20
    assert all(one.token not in repr(handover.wrapped) + repr(handover.mounts) for one in handover.wrapped)
    # The hub takes it as it is.
    spec = make_spec(secrets=tuple(handover.mounts))
    opened = await open_all(handed_over(spec, handover.wrapped), vault.info.vault)
    variables = {name: f"value {name[5:]}" for name in (f"NAME_{number}" for number in range(0, 20, 3))}
    assert opened.variables == variables
    assert opened.files["/opt/secret/own/1"] == "value 1"
    assert opened.files["/opt/secret/own/5/NAME_5"] == "value 5"
    assert opened.files[f"/opt/secret/{secrets[2].id}/NAME_2"] == "value 2"
    assert len(opened.files) == 13


async def test_what_vault_does_not_have_is_left_out(make: Make, living: Living, worker: Vault) -> None:
    kept, lost, never = [
        *await make(2),
        Placed(id=new_id(), name="x", type=SecretType.RAW, mount_path=None, value_version=1),
    ]
    await worker.destroy(lost.id)
    handover = Handover(worker, PersonsTurns(4), 60)
    await start(handover, [lost, kept, never])
    assert [mount.id for mount in handover.mounts] == [str(kept.id)]
    assert [one.id for one in handover.wrapped] == [str(kept.id)]
    reason = "Vault has no value of it."
    assert handover.left_out == [LeftOut(kind="secret", id=str(one.id), reason=reason) for one in (lost, never)]
    assert await living(handover) == 1


async def test_no_secrets_ask_nobody() -> None:
    handover = Handover(Vault("", "", "", engine="secret"), PersonsTurns(4), 60)
    await start(handover, [])
    assert (handover.mounts, handover.wrapped, handover.left_out) == ([], [], [])


@pytest.mark.parametrize(
    "failure",
    [SpawnFailed("it broke"), HubRefused("no"), ValueError("a mistake"), asyncio.CancelledError()],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_start_that_fails_ends_its_tokens(
    make: Make, living: Living, worker: Vault, failure: BaseException
) -> None:
    handover = Handover(worker, PersonsTurns(4), 60)
    with pytest.raises(type(failure)):
        await start(handover, await make(10), fails(failure))
    assert len(handover.wrapped) == 10
    assert await living(handover) == 0


@pytest.mark.parametrize(
    ("failure", "left"), [(HubUnavailable("away"), 3), (HubThrottled("later"), 0)], ids=["away", "throttled"]
)
async def test_a_start_that_may_have_been_accepted_leaves_them(
    make: Make, living: Living, worker: Vault, failure: Exception, left: int
) -> None:
    """One that was put off was not accepted."""
    handover = Handover(worker, PersonsTurns(4), 60)
    with pytest.raises(type(failure)):
        await start(handover, await make(3), fails(failure))
    assert await living(handover) == left


@pytest.mark.parametrize(("shutdown", "left"), [(False, 0), (True, 3)], ids=["unwanted", "worker-ends"])
async def test_a_cancelled_start_ends_them_unless_another_worker_goes_on(
    make: Make, living: Living, worker: Vault, shutdown: bool, left: int
) -> None:
    handover = Handover(worker, PersonsTurns(4), 60)
    waiting = asyncio.Event()

    async def wait() -> None:
        waiting.set()
        await asyncio.Event().wait()

    environment = ActivityEnvironment()
    running = asyncio.create_task(start(handover, await make(3), wait, environment))
    await waiting.wait()
    environment.cancel(activity.ActivityCancellationDetails(cancel_requested=not shutdown, worker_shutdown=shutdown))
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await living(handover) == left


async def test_a_start_that_goes_well_leaves_them_to_the_hub(make: Make, living: Living, worker: Vault) -> None:
    handover = Handover(worker, PersonsTurns(4), 60)
    await start(handover, await make(3))
    assert await living(handover) == 3


async def test_used_tokens_do_not_keep_the_others_from_ending(
    make: Make, living: Living, worker: Vault, outside: httpx.AsyncClient
) -> None:
    handover = Handover(worker, PersonsTurns(4), 60)

    async def use_two() -> None:
        for one in handover.wrapped[:2]:
            opened = await outside.post("sys/wrapping/unwrap", headers={"X-Vault-Token": one.token})
            assert opened.is_success
        raise SpawnFailed("it broke")

    with pytest.raises(SpawnFailed):
        await start(handover, await make(4), use_two)
    assert await living(handover) == 0


class Flaky(Vault):
    """The real Vault, of which some calls fail."""

    def __init__(self, real: Vault, fails: Callable[[str, int], bool]) -> None:
        self._real = real
        self._fails = fails
        self.asked: dict[str, int] = {"wrap": 0, "revoke": 0}

    def _count(self, call: str) -> None:
        self.asked[call] += 1
        if self._fails(call, self.asked[call]):
            raise VaultUnavailable("Vault is sealed or starting.")

    def path(self, identity: Any) -> str:
        return self._real.path(identity)

    async def wrap(self, identity: Any, version: int, seconds: float) -> str:
        self._count("wrap")
        return await self._real.wrap(identity, version, seconds)

    async def revoke(self, token: str) -> None:
        self._count("revoke")
        await self._real.revoke(token)


async def test_tokens_that_were_made_before_vault_failed_are_ended(make: Make, living: Living, worker: Vault) -> None:
    secrets = await make(40)
    flaky = Flaky(worker, lambda call, number: call == "wrap" and number > 20)
    handover = Handover(flaky, PersonsTurns(4), 60)
    with pytest.raises(VaultUnavailable):
        await start(handover, secrets)
    assert len(handover.wrapped) == 20
    assert flaky.asked["revoke"] == 20
    assert await living(handover) == 0
    # What has not begun by then does not begin.
    assert flaky.asked["wrap"] < 40


async def test_one_that_cannot_be_ended_does_not_keep_the_others_from_ending(
    make: Make, living: Living, worker: Vault
) -> None:
    flaky = Flaky(worker, lambda call, number: call == "revoke" and number == 1)
    handover = Handover(flaky, PersonsTurns(4), 60)
    with pytest.raises(SpawnFailed):
        await start(handover, await make(5), fails(SpawnFailed("it broke")))
    assert await living(handover) == 1


async def test_a_vault_that_is_sealed_meanwhile_does_not_hide_why_it_failed(
    make: Make, worker: Vault, operator: Operator
) -> None:
    handover = Handover(worker, PersonsTurns(4), 60)

    async def seal() -> None:
        await operator.seal()
        raise SpawnFailed("it broke")

    try:
        with pytest.raises(SpawnFailed):
            await start(handover, await make(3), seal)
    finally:
        await operator.unseal()


async def test_a_vault_that_goes_silent_holds_a_start_up_for_a_moment(
    make: Make, vault: Stack, make_client: MakeClient
) -> None:
    secrets = await make(60)
    host, port = vault.info.vault.removeprefix("http://").split(":")
    async with SlowLink(host, int(port)) as link:

        async def go_silent() -> None:
            link.hold()
            raise SpawnFailed("it broke")

        # One after the other, four at once, they would wait for a quarter of a minute.
        client = make_client(url=link.url, threads=4, seconds=1)
        for then, expected in ((go_silent, SpawnFailed), (nothing, VaultUnavailable)):
            begun = time.monotonic()
            with pytest.raises(expected):
                await start(Handover(client, PersonsTurns(4), 60), secrets, then)
            assert time.monotonic() - begun < 8
        link.release()
