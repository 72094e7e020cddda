"""Values in the real Vault: written in versions, handed over, removed, listed."""

import asyncio

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hub.unwrap import unwrap
from integrations.vault import Value, Vault
from models.domain.errors import RecordMissing, StateConflict, VaultUnavailable
from models.domain.ids import new_id
from models.domain.settings import Settings
from tests.integration.vault.conftest import ENGINE, Operator
from tests.stacks import Stack

AWKWARD = "\ta \"quoted\" 'word'\\n,\r\n\u2028 {{braces}} $HOME `x` \x00\x1b \U0001f511 \u202e\ufeff%2e%2e\n"


async def test_versions_follow_each_other(api: Vault, operator: Operator) -> None:
    identity = new_id()
    assert await api.put(identity, "one", after=0) == 1
    assert await api.put(identity, "two", after=1) == 2
    assert await operator.value(identity, 1) == "one"
    assert await operator.value(identity, 2) == "two"


async def test_writes_at_once_end_with_a_version_each(api: Vault, operator: Operator) -> None:
    identity = new_id()
    texts = [f"value {number}" for number in range(6)]
    made = await asyncio.gather(*(api.put(identity, text, after=0) for text in texts))
    assert sorted(made) == [1, 2, 3, 4, 5, 6]
    for text, version in zip(texts, made, strict=True):
        assert await operator.value(identity, version) == text


async def test_versions_that_were_never_recorded_are_passed_over(api: Vault, operator: Operator) -> None:
    identity = new_id()
    recorded = await api.put(identity, "recorded", after=0)
    for number in range(7):
        assert await api.put(identity, "lost", after=recorded) == recorded + number + 1
    assert await api.put(identity, "found", after=recorded) == recorded + 8
    # As many are kept as it takes: the recorded one is still there.
    assert await operator.value(identity, recorded) == "recorded"
    assert await operator.value(identity, recorded + 8) == "found"


async def test_too_many_of_them_are_a_conflict(api: Vault, operator: Operator) -> None:
    identity = new_id()
    for _ in range(8):
        await api.put(identity, "lost", after=0)
    with pytest.raises(StateConflict) as conflict:
        await api.put(identity, "one more", after=0)
    assert conflict.value.code == "VALUE_CHANGED"
    assert conflict.value.hint
    assert await operator.versions(identity) == [1, 2, 3, 4, 5, 6, 7, 8]


async def test_a_removed_value_is_not_made_anew_by_a_late_write(api: Vault, worker: Vault) -> None:
    identity = new_id()
    version = await api.put(identity, "one", after=0)
    await worker.destroy(identity)
    with pytest.raises(StateConflict):
        await api.put(identity, "late", after=version)
    assert identity not in await worker.identities()


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.text(min_size=1, max_size=300) | st.dictionaries(st.text(max_size=20), st.text(), min_size=1))
@example(value=AWKWARD)
@example(value={"a.pem": AWKWARD, "b": "", AWKWARD: "c"})
@example(value="x" * 262_144)
@example(value="\U0001f511" * 65_536)
async def test_values_arrive_as_they_were(value: Value, api: Vault, worker: Vault, outside: httpx.AsyncClient) -> None:
    identity = new_id()
    token = await worker.wrap(identity, await api.put(identity, value, after=0), 60)
    answer = await outside.post("sys/wrapping/unwrap", headers={"X-Vault-Token": token})
    assert answer.json()["data"]["data"] == {"value": value}


async def test_values_arrive_as_they_were_through_the_hub(vault: Stack, api: Vault, worker: Vault) -> None:
    identity = new_id()
    version = await api.put(identity, AWKWARD, after=0)
    secret = {
        "id": str(identity),
        "kind": "raw",
        "name": "x",
        "target": "/opt/secret/x",
        "path": worker.path(identity),
        "version": version,
        "token": await worker.wrap(identity, version, 60),
    }
    assert await asyncio.to_thread(unwrap, [secret], vault.info.vault) == ({}, {"/opt/secret/x": {"": AWKWARD}})


async def test_what_is_handed_over_is_the_version_that_was_asked_for(
    api: Vault, worker: Vault, outside: httpx.AsyncClient
) -> None:
    identity = new_id()
    for version, text in ((1, "one"), (2, "two")):
        assert await api.put(identity, text, after=version - 1) == version
    token = await worker.wrap(identity, 1, 60)
    await api.put(identity, "three", after=2)
    answer = await outside.post("sys/wrapping/unwrap", headers={"X-Vault-Token": token})
    assert answer.json()["data"]["data"] == {"value": "one"}
    assert answer.json()["data"]["metadata"]["version"] == 1


async def test_what_vault_does_not_have_is_not_handed_over(api: Vault, worker: Vault) -> None:
    identity = new_id()
    with pytest.raises(RecordMissing):
        await worker.wrap(identity, 1, 60)
    await api.put(identity, "one", after=0)
    with pytest.raises(RecordMissing):
        await worker.wrap(identity, 2, 60)
    await worker.destroy(identity)
    with pytest.raises(RecordMissing):
        await worker.wrap(identity, 1, 60)


async def test_half_a_second_of_handing_over_is_a_second(api: Vault, worker: Vault, outside: httpx.AsyncClient) -> None:
    """Without a time Vault would wrap nothing."""
    identity = new_id()
    await api.put(identity, "one", after=0)
    token = await worker.wrap(identity, 1, 0.5)
    answer = await outside.post("sys/wrapping/lookup", json={"token": token})
    assert answer.json()["data"]["creation_ttl"] == 1


async def test_tokens_end_when_they_are_revoked(api: Vault, worker: Vault, outside: httpx.AsyncClient) -> None:
    identity = new_id()
    await api.put(identity, "one", after=0)
    unused, used = [await worker.wrap(identity, 1, 60) for _ in range(2)]
    assert (await outside.post("sys/wrapping/unwrap", headers={"X-Vault-Token": used})).status_code == 200
    for token in (unused, used, unused, "hvs.nobody-ever-had-it", "not a token at all"):
        await worker.revoke(token)
    assert (await outside.post("sys/wrapping/unwrap", headers={"X-Vault-Token": unused})).status_code == 400


async def test_removing_may_be_repeated(api: Vault, worker: Vault, operator: Operator) -> None:
    identity = new_id()
    for version in range(3):
        await api.put(identity, "value", after=version)
    await worker.destroy(identity)
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        await operator.versions(identity)
    await worker.destroy(identity)
    await worker.destroy(new_id())


async def test_ids_are_listed_and_nothing_else(api: Vault, worker: Vault, operator: Operator) -> None:
    for identity in await worker.identities():
        await worker.destroy(identity)
    assert await worker.identities() == []
    identities = {new_id() for _ in range(3)}
    for identity in identities:
        await api.put(identity, "value", after=0)
    upper = str(new_id()).upper()
    foreign = (f"secrets/{upper}", "secrets/of-an-operator", f"secrets/{new_id()}/deeper", str(new_id()))
    for path in foreign:
        await operator.ask("POST", f"{ENGINE}/data/{path}", {"data": {"value": "x"}})
    assert set(await worker.identities()) == identities
    for path in foreign:
        await operator.ask("DELETE", f"{ENGINE}/metadata/{path}")
    for identity in identities:
        await worker.destroy(identity)
    assert await worker.identities() == []


async def test_without_a_vault_every_call_says_so() -> None:
    client = Vault.from_settings(Settings(database_url="postgresql:///unused"))
    assert not client.configured
    for call in (
        client.put(new_id(), "value", after=0),
        client.wrap(new_id(), 1, 60),
        client.revoke("token"),
        client.destroy(new_id()),
        client.identities(),
    ):
        with pytest.raises(VaultUnavailable) as refusal:
            await call
        assert "NBHUB_VAULT_URL" in refusal.value.hint
    await client.close()
