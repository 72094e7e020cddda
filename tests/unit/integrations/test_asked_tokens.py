"""What tokens that nobody knows cost the provider, and everybody else."""

import asyncio

import pytest

from integrations import asked_tokens
from integrations.asked_tokens import (
    MOST_ASKED,
    MOST_REMEMBERED,
    MOST_WAITING,
    REFUSED_SECONDS,
    Remembered,
)
from integrations.oidc import Claims, OidcClient
from models.domain.errors import IdentityUnknown, RequestThrottled
from tests.unit.integrations.fake_provider import HeldProvider


class Clock:
    """The time by which tokens are remembered."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(asked_tokens, "time", clock)
    return clock


@pytest.fixture
def provider() -> HeldProvider:
    return HeldProvider()


async def test_a_refused_token_is_refused_for_seconds_without_asking_and_no_longer(
    provider: HeldProvider, oidc: OidcClient, clock: Clock
) -> None:
    provider.let.set()
    for _ in range(3):
        with pytest.raises(IdentityUnknown):
            await oidc.read_access_token("tomorrow's")
    assert provider.asked.count("tomorrow's") == 1
    # What others are told of is nobody else's.
    provider.good = {"tomorrow's", "today's"}
    assert (await oidc.read_access_token("today's"))["sub"] == "s-1"
    clock.now += REFUSED_SECONDS - 0.1
    with pytest.raises(IdentityUnknown):
        await oidc.read_access_token("tomorrow's")
    clock.now += 0.2
    assert (await oidc.read_access_token("tomorrow's"))["sub"] == "s-1"
    provider.good = set()
    with pytest.raises(IdentityUnknown):
        await oidc.read_access_token("tomorrow's")


async def test_unknown_tokens_wait_for_each_other_and_delay_nobody_who_is_known(
    provider: HeldProvider, oidc: OidcClient
) -> None:
    provider.good = {"alice's"}
    await oidc.read_access_token("alice's")
    crowd = [asyncio.create_task(oidc.read_access_token(f"unknown {number}")) for number in range(20)]
    # Whoever is known is answered before any of them, as often as it is asked.
    async with asyncio.timeout(5):
        await provider.busy.wait()
        for _ in range(20):
            assert (await oidc.read_access_token("alice's"))["sub"] == "s-1"
    assert not any(one.done() for one in crowd)
    provider.let.set()
    refused = await asyncio.gather(*crowd, return_exceptions=True)
    assert all(isinstance(one, IdentityUnknown) for one in refused)
    # One address leaves a turn to others.
    assert provider.most == MOST_ASKED - 1


async def test_unknown_refresh_tokens_wait_for_each_other_and_delay_none_that_was_given_out_here(
    provider: HeldProvider, oidc: OidcClient
) -> None:
    provider.good = {"alice's"}
    crowd = [asyncio.create_task(oidc.refresh(f"unknown {number}")) for number in range(20)]
    async with asyncio.timeout(5):
        await provider.busy.wait()
        for _ in range(20):
            assert (await oidc.refresh("alice's", known=True)).access_token == "fresh"
    assert not any(one.done() for one in crowd)
    provider.let.set()
    refused = await asyncio.gather(*crowd, return_exceptions=True)
    assert all(isinstance(one, IdentityUnknown) for one in refused)
    # One address leaves a turn to others.
    assert provider.most == MOST_ASKED - 1
    with pytest.raises(IdentityUnknown):
        await oidc.refresh("unknown 7")
    assert provider.asked.count("unknown 7") == 1


async def test_more_unknown_tokens_than_may_wait_are_told_to_come_back(
    provider: HeldProvider, oidc: OidcClient
) -> None:
    await oidc.begin("https://ui.example.org/callback")
    most = MOST_ASKED - 1 + MOST_WAITING
    crowd = [asyncio.create_task(oidc.read_access_token(f"unknown {number}")) for number in range(most + 5)]
    await asyncio.wait(crowd[most:])
    assert [type(one.exception()) for one in crowd[most:]] == [RequestThrottled] * 5
    assert not any(one.done() for one in crowd[:most])
    provider.let.set()
    assert [type(one) for one in await asyncio.gather(*crowd[:most], return_exceptions=True)] == [
        IdentityUnknown
    ] * most
    # They left nothing behind that is in the way of the next.
    provider.good = {"bob's"}
    assert (await oidc.read_access_token("bob's"))["sub"] == "s-1"


async def ended(crowd: list[asyncio.Task[Claims]], count: int) -> None:
    """Return when so many have ended."""
    async with asyncio.timeout(5):
        while sum(one.done() for one in crowd) < count:
            await asyncio.wait([one for one in crowd if not one.done()], return_when=asyncio.FIRST_COMPLETED)


@pytest.mark.parametrize(
    "addresses", [["192.0.2.1"], ["192.0.2.1", "192.0.2.3"], ["192.0.2.1", "192.0.2.3", "192.0.2.4"]]
)
async def test_whoever_sends_many_unknown_tokens_keeps_no_other_address_out(
    provider: HeldProvider, oidc: OidcClient, addresses: list[str]
) -> None:
    await oidc.begin("https://ui.example.org/callback")
    crowd = [
        asyncio.create_task(oidc.read_access_token(f"unknown {number}", address=addresses[number % len(addresses)]))
        for number in range(300)
    ]
    # One address alone leaves a turn to others.
    let_in = min(MOST_ASKED, (MOST_ASKED - 1) * len(addresses)) + MOST_WAITING
    await ended(crowd, 300 - let_in)
    assert {type(one.exception()) for one in crowd if one.done()} == {RequestThrottled}
    # Who comes new from elsewhere finds room, and has a turn when each of the others has had one.
    provider.good = {"bob's", "carol's"}
    others = [
        asyncio.create_task(oidc.read_access_token("bob's", address="192.0.2.2")),
        asyncio.create_task(oidc.read_access_token("carol's", address="192.0.2.2")),
    ]
    if len(addresses) > 1:
        # The last of those of which most waited have gone for them.
        await ended(crowd, 300 - let_in + len(others))
        provider.answer(len(others) * (len(addresses) + 1))
    async with asyncio.timeout(5):
        assert [one["sub"] for one in await asyncio.gather(*others)] == ["s-1", "s-1"]
    assert sum(one.done() for one in crowd) <= 300 - let_in + len(others) * (len(addresses) + 2)
    # And the same address does when it has waited.
    provider.let.set()
    await asyncio.wait(crowd)
    assert (await oidc.read_access_token("carol's", address="192.0.2.1"))["sub"] == "s-1"


async def test_a_course_comes_from_one_address_and_each_of_it_is_let_in(
    provider: HeldProvider, oidc: OidcClient
) -> None:
    provider.good = {f"hers {number}" for number in range(MOST_WAITING)}
    course = [oidc.read_access_token(token, address="192.0.2.1") for token in provider.good]
    assert {one["sub"] for one in await asyncio.gather(*course)} == {"s-1"}


async def test_one_token_is_asked_about_once_for_all_who_bring_it_and_for_those_who_stay(
    provider: HeldProvider, oidc: OidcClient
) -> None:
    first, *others = (asyncio.create_task(oidc.read_access_token("same")) for _ in range(20))
    await asyncio.sleep(0)
    first.cancel()
    provider.let.set()
    assert {type(one) for one in await asyncio.gather(*others, return_exceptions=True)} == {IdentityUnknown}
    assert provider.asked.count("same") == 1


def test_of_many_tokens_the_oldest_are_forgotten(clock: Clock) -> None:
    remembered = Remembered(REFUSED_SECONDS)
    for number in range(MOST_REMEMBERED + 10):
        remembered.add(number.to_bytes(4, "big"))
    assert len(remembered) == MOST_REMEMBERED
    assert (0).to_bytes(4, "big") not in remembered
    assert (MOST_REMEMBERED + 9).to_bytes(4, "big") in remembered
