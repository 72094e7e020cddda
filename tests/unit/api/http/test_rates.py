"""How fast somebody may ask: who is refused, who is not, and what is told."""

import asyncio
import dataclasses
from typing import Any, cast

import asyncpg
import httpx
import pytest
from litestar import Request
from litestar.types import HTTPScope

from api.app import HANDLERS, assemble
from api.http import rates as http_rates
from api.http.authentication import Authentication
from api.http.rates import Rates, address_of
from models.database.sql import row, rows
from models.domain.errors import RequestThrottled
from models.domain.ids import new_id
from models.domain.values import Caller
from models.ledger import expiry, rates
from models.ledger.rates import Spent
from tests.unit.api.bench import Bench, bench_settings, unique
from tests.unit.integrations.fake_provider import CLIENT, FakeProvider, HeldProvider


def an_address() -> str:
    """One from which no other test asks."""
    number = new_id().hex
    return f"2001:db8:{number[-12:-8]}:{number[-4:]}::1"


def client(app: object, address: str) -> httpx.AsyncClient:
    """Somebody who asks from an address."""
    transport = httpx.ASGITransport(app=cast(Any, app), raise_app_exceptions=False, client=(address, 1234))
    return httpx.AsyncClient(transport=transport, base_url="http://api.test", timeout=30)


async def whoami(who: httpx.AsyncClient, token: str) -> httpx.Response:
    """Ask with a token."""
    return await who.get("/whoami", headers={"authorization": f"Bearer {token}"})


async def session_of(person: Caller) -> str:
    """The token of a session."""
    token = unique("session")
    await row(
        """INSERT INTO session (token_hash, person, orgs, expires_at, id_token_hash, sid)
           VALUES (sha256(:token::bytea), :person, ARRAY[]::text[], now() + interval '1 hour', 'x', 's')""",
        token=token.encode(),
        person=person.id,
    )
    return token


def throttled(answer: httpx.Response, limit: int) -> bool:
    """Whether a request was one too many, which is told with all that belongs to it."""
    if answer.status_code != 429:
        return False
    assert answer.json()["error"]["code"] == "THROTTLED"
    assert answer.headers["ratelimit-limit"] == str(limit)
    assert answer.headers["ratelimit-remaining"] == "0"
    wait, reset = int(answer.headers["retry-after"]), int(answer.headers["ratelimit-reset"])
    assert 0 < wait <= 60 / limit + 1
    assert wait <= reset <= 60
    return True


async def test_one_person_who_writes_too_fast_waits_and_nobody_else(bench: Bench) -> None:
    api = bench.api(writes_per_minute=3)
    for _ in range(3):
        await api.alice.group()
    for method, path in (("POST", "/groups"), ("PUT", "/initialize"), ("DELETE", f"/groups/{new_id()}")):
        answer = await api.alice.request(method, path, json={"name": unique("g")} if method == "POST" else None)
        assert throttled(answer, 3), answer.text
    # What one reads is not counted, and others have their own.
    for _ in range(10):
        assert (await api.alice.get("/groups")).status_code == 200
    await api.bob.group()
    assert len(await api.alice.got("/groups", limit="1000")) >= 4


async def test_of_many_writes_at_the_same_time_as_many_are_let_through_as_may(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where PostgreSQL does not count in time nobody is refused, and a machine with much to do is slow.
    monkeypatch.setattr("api.http.rates.PATIENCE_SECONDS", 15.0)
    api = bench.api(writes_per_minute=3)
    people = (api.alice, api.bob)
    answers = await asyncio.gather(
        *(who.post("/groups", json={"name": unique("g")}) for _ in range(8) for who in people)
    )
    for mine in (answers[::2], answers[1::2]):
        assert sorted(one.status_code for one in mine) == [202] * 3 + [429] * 5


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", f"/auth/{one}") for one in ("authorize", "token", "refresh", "logout")),
        ("GET", "/healthcheck"),
    ],
)
async def test_one_address_that_asks_too_fast_waits_and_no_other(bench: Bench, method: str, path: str) -> None:
    api = bench.api(auth_per_minute=2, health_per_minute=2)
    here, there = an_address(), an_address()
    async with client(api.app, here) as one, client(api.app, there) as other:
        for _ in range(2):
            assert (await one.request(method, path, json={"x": 1})).status_code != 429
        assert throttled(await one.request(method, path, json={"x": 1}), 2)
        assert (await other.request(method, path, json={"x": 1})).status_code != 429
        assert (await one.get("/version")).status_code == 200


async def test_whoever_waits_as_long_as_is_said_is_let_through(bench: Bench) -> None:
    key = f"test {new_id()}"
    for _ in range(2):
        assert (await rates.spend(key, 2)).admitted
    refused = await rates.spend(key, 2)
    assert not refused.admitted
    assert 30 < refused.whole_in <= 60
    await row("UPDATE request_rate SET whole_at = whole_at - interval '30 s' WHERE key = :key", key=key)
    assert [(await rates.spend(key, 2)).admitted for _ in range(2)] == [True, False]
    await row("UPDATE request_rate SET whole_at = whole_at - interval '1 hour' WHERE key = :key", key=key)
    assert [(await rates.spend(key, 2)).admitted for _ in range(3)] == [True, True, False]


async def test_nothing_is_kept_of_whoever_may_ask_again(bench: Bench) -> None:
    past, now = f"test {new_id()}", f"test {new_id()}"
    for key in (past, now):
        await rates.spend(key, 2)
    await row("UPDATE request_rate SET whole_at = now() - interval '1 s' WHERE key = :key", key=past)
    await expiry.remove_expired(24)
    kept = await rows("SELECT key FROM request_rate WHERE key IN (:past, :now)", past=past, now=now)
    assert [one["key"] for one in kept] == [now]


@pytest.mark.parametrize(
    "problem", [ConnectionRefusedError, asyncpg.CannotConnectNowError, asyncpg.UndefinedTableError]
)
async def test_nobody_is_refused_while_nothing_can_be_counted(
    postgres: str, monkeypatch: pytest.MonkeyPatch, problem: type[Exception]
) -> None:
    asked = 0

    async def away(key: str, per_minute: int) -> Spent:
        nonlocal asked
        asked += 1
        raise problem

    monkeypatch.setattr(rates, "spend", away)
    limits = Rates(bench_settings(postgres, auth_per_minute=1))
    for _ in range(5):
        await limits.spend("auth", "203.0.113.9")
    assert asked == 1, "the others did not wait for it"


async def test_nobody_waits_long_for_what_does_not_count(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(key: str, per_minute: int) -> Spent:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(rates, "spend", hangs)
    monkeypatch.setattr(http_rates, "PATIENCE_SECONDS", 0.01)
    limits = Rates(bench_settings(postgres, auth_per_minute=1))
    async with asyncio.timeout(5):
        for _ in range(5):
            await limits.spend("auth", "203.0.113.9")


async def test_whoever_was_told_to_wait_costs_the_database_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits, who = Rates(bench_settings("postgresql:///none", auth_per_minute=1)), an_address()
    await limits.spend("auth", who)
    with pytest.raises(RequestThrottled):
        await limits.spend("auth", who)
    monkeypatch.setattr(rates, "spend", None)
    for _ in range(3):
        with pytest.raises(RequestThrottled):
            await limits.spend("auth", who)


async def test_an_address_whose_tokens_are_refused_is_told_to_wait_and_signed_in_people_there_are_not(
    bench: Bench,
) -> None:
    provider = FakeProvider()
    provider.says("/introspect", {"active": False})
    api = bench.api(refused_per_minute=3)
    app = assemble(HANDLERS, settings=api.bench.settings, middleware=[Authentication()])
    oidc = provider.client()
    app.state.services = dataclasses.replace(api.bench.services, oidc=oidc)
    here, there = an_address(), an_address()

    async with client(app, here) as one, client(app, there) as other:
        refused = [await whoami(one, unique("t")) for _ in range(5)]
        assert [answer.status_code for answer in refused] == [401, 401, 401, 429, 429]
        assert throttled(refused[-1], 3)
        assert provider.asked.count("/introspect") == 4, "nobody asks about the tokens of whoever has to wait"
        assert (await whoami(other, unique("t"))).status_code == 401
        session = await session_of(bench.callers["alice"])
        assert (await whoami(one, session)).status_code == 200
        # A token that the provider has accepted before is no unknown one.
        provider.says(
            "/introspect",
            {
                **{"active": True, "client_id": CLIENT, "sub": unique("s"), "token_type": "Bearer"},
                **{"email": f"{unique('carol')}@example.org", "email_verified": True},
            },
        )
        assert (await whoami(other, "carol's")).status_code == 200
        assert (await whoami(one, "carol's")).status_code == 200
        assert (await whoami(one, unique("t"))).status_code == 429
    await oidc.close()


async def test_twenty_unknown_tokens_delay_nobody_who_is_signed_in(bench: Bench) -> None:
    provider = HeldProvider()
    app = assemble(HANDLERS, settings=bench.settings, middleware=[Authentication()])
    oidc = provider.client()
    app.state.services = dataclasses.replace(bench.services, oidc=oidc)
    session = await session_of(bench.callers["alice"])
    async with client(app, an_address()) as who:
        crowd = [asyncio.create_task(whoami(who, unique("t"))) for _ in range(20)]
        async with asyncio.timeout(10):
            await provider.busy.wait()
            for _ in range(20):
                assert (await whoami(who, session)).status_code == 200
        assert not any(one.done() for one in crowd)
        provider.let.set()
        assert {answer.status_code for answer in await asyncio.gather(*crowd)} == {401}
    await oidc.close()


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("x" * 100, "x" * 64),
        (None, ""),
    ],
)
def test_an_address_is_that_of_one_who_asks(peer: str | None, address: str) -> None:
    scope = {"type": "http", "client": None if peer is None else (peer, 1)}
    assert address_of(Request(cast(HTTPScope, scope))) == address
