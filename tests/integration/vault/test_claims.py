"""Values of secrets over the API, sent again and all at once: each that is in Vault has a record or a claim."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from integrations.vault import Vault
from models.database.sql import rows
from models.domain.errors import StateConflict, VaultUnavailable
from models.records import secrets
from stack.vault_setup import role_of
from tests.stacks import Stack
from tests.unit.api.bench import Api, bench_settings, open_bench, unique


@pytest.fixture
async def api(postgres: str, vault: Stack) -> AsyncIterator[Api]:
    settings = bench_settings(
        postgres,
        vault_url=vault.info.vault,
        vault_role_id=role_of("api"),
        vault_secret_id=vault.secrets.vault_api_secret_id,
    )
    async with open_bench(settings) as bench:
        await bench.join("alice")
        yield bench.api()


@pytest.fixture
async def worker(vault: Stack) -> AsyncIterator[Vault]:
    secret_id = vault.secrets.vault_worker_secret_id
    client = Vault(vault.info.vault, role_of("worker"), secret_id, engine="secret")
    yield client
    await client.close()


def a_secret(**fields: Any) -> dict[str, Any]:
    return {"secretName": unique("s"), "type": "raw", "value": "a value", **fields}


async def unrecorded(worker: Vault, before: set[Any]) -> list[Any]:
    """Values that came since and have no record."""
    return [one for one in await worker.identities() if one not in before and not await secrets.exists(one)]


async def claimed(api: Api) -> list[Any]:
    return await rows("SELECT subject FROM write_claim WHERE person = :person", person=api.alice.caller.id)


async def test_one_key_sent_many_times_at_once_makes_one_secret_and_one_value(api: Api, worker: Vault) -> None:
    before = set(await worker.identities())
    body, key = a_secret(), {"idempotency-key": unique("k")}
    answers = await asyncio.gather(*(api.alice.post("/secrets", json=body, headers=key) for _ in range(48)))
    # Some of many may be told that another of them is still being written.
    assert {answer.status_code for answer in answers} <= {200, 409}
    made = {answer.json()["_id"] for answer in answers if answer.status_code == 200}
    assert len(made) == 1
    assert await unrecorded(worker, before) == []
    assert await claimed(api) == []
    assert len(await api.alice.got("/secrets")) == 1


async def test_a_request_goes_on_where_an_earlier_one_was_cut_off(
    api: Api, worker: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(await worker.identities())
    body, key = a_secret(), {"idempotency-key": unique("k")}

    async def ask() -> httpx.Response:
        return await api.alice.post("/secrets", json=body, headers=key)

    class Killed(BaseException):
        """What no handler outlives."""

    async def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(secrets, "create", die)
        patched.setattr("models.ledger.idempotency.release", die)
        with pytest.raises(Killed):
            await ask()
    (left,) = await unrecorded(worker, before)
    assert [one["subject"] for one in await claimed(api)] == [left]
    # The same key for something else is refused, as ever.
    other = await api.alice.post("/secrets", json=a_secret(), headers=key)
    assert other.status_code == 422
    answer = await ask()
    assert (answer.status_code, answer.json()["_id"]) == (200, str(left)), answer.text
    assert (await ask()).json() == answer.json()
    assert await unrecorded(worker, before) == []
    assert await claimed(api) == []


async def test_a_request_that_is_refused_leaves_those_of_its_key_alone(
    api: Api, worker: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(await worker.identities())
    body, key = a_secret(), {"idempotency-key": unique("k")}
    put, first, refused = Vault.put, asyncio.Event(), asyncio.Event()

    async def in_turn(self: Vault, *arguments: Any, **more: Any) -> int:
        if not first.is_set():
            first.set()
            await refused.wait()
            return await put(self, *arguments, **more)
        raise StateConflict("Others wrote it all the time.")

    with monkeypatch.context() as patched:
        patched.setattr(Vault, "put", in_turn)
        making = asyncio.ensure_future(api.alice.post("/secrets", json=body, headers=key))
        await first.wait()
        answer = await api.alice.post("/secrets", json=body, headers=key)
        assert answer.status_code == 409, answer.text
        refused.set()
        made = await making
    assert made.status_code == 200, made.text
    assert await unrecorded(worker, before) == []
    assert await claimed(api) == []
    assert (await api.alice.post("/secrets", json=body, headers=key)).json() == made.json()


async def test_a_claim_that_was_given_up_is_not_recorded(
    api: Api, worker: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a request that was held up for so long that the janitor has come."""
    body, key = a_secret(), {"idempotency-key": unique("k")}
    put = Vault.put

    async def held_up(self: Vault, *arguments: Any, **more: Any) -> int:
        version = await put(self, *arguments, **more)
        await rows("UPDATE write_claim SET abandoned = true WHERE subject = :subject", subject=arguments[0])
        return version

    with monkeypatch.context() as patched:
        patched.setattr(Vault, "put", held_up)
        answer = await api.alice.post("/secrets", json=body, headers=key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "CLAIM_LOST")
    assert await api.alice.got("/secrets") == []
    assert (await api.alice.post("/secrets", json=body, headers=key)).status_code == 200


async def test_a_value_that_vault_did_not_take_leaves_its_key_free(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    body, key = a_secret(), {"idempotency-key": unique("k")}

    async def away(*_: object, **__: object) -> int:
        raise VaultUnavailable("Vault is away.")

    with monkeypatch.context() as patched:
        patched.setattr(Vault, "put", away)
        assert (await api.alice.post("/secrets", json=body, headers=key)).status_code == 503
    # It may have taken it all the same: the claim stays, to be looked after.
    assert len(await claimed(api)) == 1
    del body["value"]
    assert (await api.alice.post("/secrets", json=body, headers=key)).status_code == 200


async def test_a_value_for_a_secret_that_is_purged_meanwhile_is_found(
    api: Api, worker: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(await worker.identities())
    body = a_secret()
    del body["value"]
    made = (await api.alice.post("/secrets", json=body)).json()
    put = Vault.put

    async def purged_meanwhile(self: Vault, *arguments: Any, **more: Any) -> int:
        await rows("DELETE FROM secret WHERE id = :id", id=arguments[0])
        return await put(self, *arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Vault, "put", purged_meanwhile)
        answer = await api.alice.patch(f"/secret/{made['_id']}", json={"value": "too late"})
    assert answer.status_code == 404
    left = await unrecorded(worker, before)
    assert [str(one) for one in left] == [made["_id"]]
    assert [one["subject"] for one in await claimed(api)] == left


async def test_a_changed_value_is_claimed_and_settled_too(api: Api) -> None:
    made = (await api.alice.post("/secrets", json=a_secret())).json()
    changes = [api.alice.patch(f"/secret/{made['_id']}", json={"value": str(one)}) for one in range(5)]
    answers = await asyncio.gather(*changes)
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert 200 in {answer.status_code for answer in answers}
    assert await claimed(api) == []
