"""How a client comes by its own token, keeps it, and gets another: Vault's own log counts."""

import asyncio
import time

import pytest

from models.domain.errors import RecordMissing, VaultUnavailable
from models.domain.ids import new_id
from stack.vault_setup import role_of
from tests.integration.vault.conftest import MakeClient, Operator
from tests.slow_link import SlowLink
from tests.stacks import Stack

RENEWAL = "auth/token/renew-self"


async def test_a_client_logs_in_when_it_first_has_to(make_client: MakeClient, operator: Operator) -> None:
    before = len(operator.logins())
    client = make_client()
    assert len(operator.logins()) == before
    await client.identities()
    assert len(operator.logins()) == before + 1
    await asyncio.gather(*(client.identities() for _ in range(20)))
    assert len(operator.logins()) == before + 1


async def test_many_first_calls_are_one_login(make_client: MakeClient, operator: Operator) -> None:
    before = len(operator.logins())
    client = make_client()
    await asyncio.gather(*(client.identities() for _ in range(50)))
    assert len(operator.logins()) == before + 1


async def test_a_token_that_was_revoked_is_replaced_once(make_client: MakeClient, operator: Operator) -> None:
    client = make_client()
    await client.identities()
    before = len(operator.logins())
    for number in range(1, 4):
        await operator.revoke(operator.logins()[-1]["auth"]["accessor"])
        await asyncio.gather(*(client.identities() for _ in range(50)))
        assert len(operator.logins()) == before + number


async def test_a_token_lives_on_before_half_of_its_life_is_over(make_client: MakeClient, operator: Operator) -> None:
    client = make_client(*await operator.make_role(role_of("worker"), token_period="6s"))
    await client.identities()
    logins, renewals = len(operator.logins()), len(operator.answered(RENEWAL))
    accessor = operator.logins()[-1]["auth"]["accessor"]
    begun = time.monotonic()
    async with asyncio.timeout(30):
        while len(operator.answered(RENEWAL)) < renewals + 2:
            await client.identities()
            # What the call itself left of it.
            assert (await operator.life_of(accessor))["ttl"] >= 1
            await asyncio.sleep(0.1)
    assert time.monotonic() - begun > 5, "it was renewed before it had to be"
    assert len(operator.logins()) == logins


async def test_a_token_that_was_not_used_for_its_life_is_replaced(make_client: MakeClient, operator: Operator) -> None:
    client = make_client(*await operator.make_role(role_of("worker"), token_period="1s"))
    await client.identities()
    ended = operator.logins()[-1]["auth"]["accessor"]
    async with asyncio.timeout(30):
        while ended in (await operator.ask("LIST", "auth/token/accessors"))["data"]["keys"]:
            await asyncio.sleep(0.05)
    await client.identities()
    assert operator.logins()[-1]["auth"]["accessor"] != ended


async def test_a_token_that_cannot_be_renewed_is_used_to_its_end(make_client: MakeClient, operator: Operator) -> None:
    role = await operator.make_role(role_of("worker"), token_period=0, token_type="batch", token_ttl="2s")
    client = make_client(*role)
    before = len(operator.logins())
    async with asyncio.timeout(30):
        while len(operator.logins()) < before + 2:
            await client.identities()
            await asyncio.sleep(0.05)


async def test_without_its_secret_id_a_client_is_refused_with_a_hint(
    make_client: MakeClient, operator: Operator
) -> None:
    role, secret_id = await operator.make_role(role_of("worker"))
    client = make_client(role, secret_id)
    await client.identities()
    accessor = operator.logins()[-1]["auth"]["accessor"]
    await operator.destroy_secret_id(role, secret_id)
    # It holds a token, and that is enough.
    await client.identities()
    await operator.revoke(accessor)
    before = len(operator.logins())
    with pytest.raises(VaultUnavailable) as refusal:
        await client.identities()
    assert "role" in refusal.value.hint
    assert len(operator.logins()) == before + 1
    # An operator gives the same secret id again: nothing has to be restarted.
    await operator.ask("POST", f"auth/approle/role/{role}/custom-secret-id", {"secret_id": secret_id})
    await client.identities()


async def test_wrong_credentials_are_tried_once_a_call(make_client: MakeClient, operator: Operator) -> None:
    client = make_client("nobody", "nothing")
    before = len(operator.logins())
    for number in range(1, 4):
        with pytest.raises(VaultUnavailable) as refusal:
            await client.identities()
        assert refusal.value.hint
        assert len(operator.logins()) == before + number


async def test_what_the_policy_refuses_is_not_asked_for_ever(make_client: MakeClient, operator: Operator) -> None:
    client = make_client(*await operator.make_role("default"))
    identity = new_id()
    before = len(operator.logins())
    for number in range(1, 4):
        with pytest.raises(VaultUnavailable) as refusal:
            await client.wrap(identity, 1, 60)
        assert "policy" in refusal.value.hint
        assert len(operator.answered(client.path(identity))) == 2 * number
        # The first call had to log in anyhow; each has the other token that it is worth trying once.
        assert len(operator.logins()) == before + number + 1


async def test_who_waits_for_a_login_that_fails_fails_with_it(make_client: MakeClient, vault: Stack) -> None:
    host, port = vault.info.vault.removeprefix("http://").split(":")
    async with SlowLink(host, int(port)) as link:
        link.hold()
        client = make_client(url=link.url, threads=16, seconds=1)
        begun = time.monotonic()
        outcomes = await asyncio.gather(*(client.identities() for _ in range(16)), return_exceptions=True)
        # One deadline, and not one after the other.
        assert time.monotonic() - begun < 4
        assert all(isinstance(outcome, VaultUnavailable) for outcome in outcomes), outcomes
        link.release()
        await client.identities()


async def test_a_new_policy_is_enough(make_client: MakeClient, operator: Operator) -> None:
    """The token of before it does not allow what the policy allows: policies belong to roles."""
    role, secret_id = await operator.make_role("default")
    client = make_client(role, secret_id)
    with pytest.raises(VaultUnavailable):
        await client.wrap(new_id(), 1, 60)
    await operator.ask("POST", f"auth/approle/role/{role}", {"token_policies": [role_of("worker")]})
    with pytest.raises(RecordMissing):
        await client.wrap(new_id(), 1, 60)
