"""How much one person may have: what is refused above it, to whom, and what it is not refused for."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from uuid import UUID

import httpx
import pytest

from models.database.sql import row
from models.domain.environment import SettingsInvalid
from models.domain.kinds import KINDS
from models.domain.values import OperationStatus
from models.ledger.quotas import QUOTAS, limits_of
from tests.project import PROJECT
from tests.unit.api.bench import TEMPLATE, Api, Bench, Client, Json, end, unique

Make = Callable[[Client], Awaitable[httpx.Response]]


def post(path: str, **body: object) -> Make:
    async def make(who: Client) -> httpx.Response:
        given = {name: unique(value) if value == "n" else value for name, value in body.items()}
        return await who.post(path, json=given)

    return make


async def start(who: Client) -> httpx.Response:
    return await who.put(f"/servers/{(await who.server())['_id']}/start")


async def add_member(who: Client) -> httpx.Response:
    group = await who.group()
    return await who.post(f"/groups/{group['_id']}/members", params={"memberEmail": f"{unique('m')}@example.org"})


async def invite(who: Client) -> httpx.Response:
    path = f"/datasets/{(await who.dataset())['_id']}/share"
    return await who.post(path, json={"relation": "read", "userArray": f"{unique('i')}@example.org"})


TEMPLATE_BODY: Json = {**TEMPLATE, "public": False}
MADE: dict[str, Make] = {
    "servers": post("/servers", **TEMPLATE),
    "datasets": post("/datasets", name="n"),
    "modules": post("/modules", name="n", version="1"),
    "secrets": post("/secrets", secretName="n", type="raw"),
    "groups": post("/groups", name="n"),
    "running_servers": start,
    "templates": post("/template", **TEMPLATE_BODY),
    "public_templates": post("/template", **TEMPLATE),
    "featured_templates": post("/template", **TEMPLATE_BODY | {"type": "featured"}),
    "memberships": add_member,
    "invitations": invite,
    "operations_in_flight": post("/datasets", name="n"),
}


def test_every_quota_is_tried() -> None:
    # Uploads need directories: tests/unit/api/test_uploads.py.
    assert set(MADE) | {"uploads"} == set(QUOTAS)
    assert {kind.plural for kind in KINDS.values() if kind.owned_by} <= set(QUOTAS)


def limited(bench: Bench, **quotas: int) -> Api:
    """The application, with quotas."""
    given = tuple(f"{name}={most}" for name, most in quotas.items())
    return bench.api(quotas=given, featured_templates_by_admins_only=False)


async def used(who: Client, name: str) -> Json:
    found: Json = (await who.got("/me/usage"))[name]
    return found


@pytest.mark.parametrize("name", MADE)
async def test_one_person_at_a_limit_is_told_so_and_hinders_nobody(bench: Bench, name: str) -> None:
    api, make = limited(bench, **{name: 2}), MADE[name]
    assert (await used(api.alice, name)) == {"used": 0, "limit": 2}
    for _ in range(2):
        assert (await make(api.alice)).is_success
    assert (await used(api.alice, name)) == {"used": 2, "limit": 2}
    answer = await make(api.alice)
    passes = QUOTAS[name].passes
    assert answer.status_code == (429 if passes else 409), answer.text
    error = answer.json()["error"]
    assert error["code"] == ("THROTTLED" if passes else "QUOTA_REACHED")
    assert "one person may have 2" in error["message"]
    assert error["hint"]
    assert error["details"][0]["info"] == {"quota": name, "limit": 2, "used": 2}
    assert ("retry-after" in answer.headers) is passes
    # Nothing is left of what was refused, and others have their own.
    assert (await used(api.alice, name))["used"] == 2
    assert (await make(api.bob)).is_success
    for _ in range(3):
        assert (await make(api.admin)).is_success
    assert "limit" not in await used(api.admin, name)


@pytest.mark.parametrize("name", ["groups", "datasets", "public_templates"])
async def test_of_many_at_the_same_time_as_many_get_through_as_may(bench: Bench, name: str) -> None:
    api = limited(bench, **{name: 3})
    answers = await asyncio.gather(*(MADE[name](who) for _ in range(8) for who in (api.alice, api.bob)))
    for mine in (answers[::2], answers[1::2]):
        assert sorted(one.status_code // 100 for one in mine) == [2] * 3 + [4] * 5
        assert {one.json()["error"]["code"] for one in mine if one.is_error} == {"QUOTA_REACHED"}
    assert (await used(api.alice, name))["used"] == 3


async def test_whoever_has_more_than_a_lowered_limit_may_do_what_raises_nothing(bench: Bench) -> None:
    rich = bench.api()
    server, dataset, group = await rich.alice.server(), await rich.alice.dataset(), await rich.alice.group()
    await rich.alice.dataset()
    assert (await rich.alice.put(f"/servers/{server['_id']}/start")).status_code == 202
    api = limited(bench, datasets=1, servers=1, groups=1, running_servers=1, templates=1)
    path = f"/datasets/{dataset['_id']}"
    assert (await api.alice.patch(path, json={"description": "x"})).status_code == 200
    assert (await api.alice.patch(f"/groups/{group['_id']}", json={"name": unique("g")})).status_code == 202
    assert (await api.alice.put(f"/servers/{server['_id']}/start")).status_code == 202
    assert (await api.alice.put(f"/servers/{server['_id']}/stop")).status_code == 202
    assert (await api.alice.delete(path)).status_code == 202
    assert (await api.alice.post(f"{path}/restore")).status_code == 202
    assert (await api.alice.post("/datasets", json={"name": unique("d")})).status_code == 409


async def test_what_is_in_the_trash_counts_until_it_is_gone(bench: Bench) -> None:
    api = limited(bench, datasets=1)
    made = await api.alice.dataset()
    assert (await api.alice.delete(f"/datasets/{made['_id']}")).status_code == 202
    assert (await api.alice.post("/datasets", json={"name": unique("d")})).status_code == 409
    await row("DELETE FROM dataset WHERE id = :id", id=made["_id"])
    assert (await api.alice.post("/datasets", json={"name": unique("d")})).status_code == 202


async def test_a_server_counts_as_running_until_its_process_is_gone(bench: Bench) -> None:
    api = limited(bench, running_servers=1)
    first, second = await api.alice.server(), await api.alice.server()
    assert (await api.alice.put(f"/servers/{first['_id']}/start")).status_code == 202
    await row(
        "UPDATE server SET observed = 'running', observed_generation = generation WHERE id = :id", id=first["_id"]
    )
    assert (await api.alice.put(f"/servers/{first['_id']}/stop")).status_code == 202
    assert (await api.alice.put(f"/servers/{second['_id']}/start")).status_code == 409
    await row(
        "UPDATE server SET observed = 'stopped', observed_generation = generation WHERE id = :id", id=first["_id"]
    )
    assert (await api.alice.put(f"/servers/{second['_id']}/start")).status_code == 202


async def test_what_others_do_with_somebody_uses_up_nothing_of_that_person(bench: Bench) -> None:
    api = limited(bench, memberships=2, groups=1, datasets=1, invitations=1)
    group = f"/groups/{(await api.bob.group())['_id']}/members"
    assert (await api.bob.post(group, params={"memberEmail": api.alice.email})).status_code == 202
    assert (await api.bob.patch(f"{group}/{api.alice.email}", json={"manager": True})).status_code == 202
    share = {"relation": "write", "userArray": api.alice.email}
    assert (await api.bob.post(f"/datasets/{(await api.bob.dataset())['_id']}/share", json=share)).status_code == 202
    usage = await api.alice.got("/me/usage")
    assert {name: one["used"] for name, one in usage.items() if one["used"]} == {}
    assert (await add_member(api.alice)).status_code == 202


async def test_a_repeated_request_is_answered_as_the_first_at_the_limit_too(bench: Bench) -> None:
    api, key = limited(bench, groups=1), {"idempotency-key": unique("k")}
    body = {"name": unique("g")}
    first = await api.alice.post("/groups", json=body, headers=key)
    again = await api.alice.post("/groups", json=body, headers=key)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    # What was refused may be sent again when there is room.
    body, key = {"name": unique("g")}, {"idempotency-key": unique("k")}
    assert (await api.alice.post("/groups", json=body, headers=key)).status_code == 409
    await row("DELETE FROM user_group WHERE id = :id", id=first.json()["_id"])
    assert (await api.alice.post("/groups", json=body, headers=key)).status_code == 202


async def test_operations_in_flight_are_fewer_when_some_have_ended(bench: Bench) -> None:
    api = limited(bench, operations_in_flight=1)
    made = await api.alice.post("/datasets", json={"name": unique("d")})
    path = f"/datasets/{made.json()['_id']}"
    assert (await api.alice.delete(path)).status_code == 429
    operation = made.headers["location"].rpartition("/")[2]
    await end(UUID(operation), OperationStatus.SUCCEEDED)
    assert (await api.alice.delete(path)).status_code == 202


def test_a_limit_is_a_setting_and_one_of_nothing_is_refused() -> None:
    defaults = limits_of(())
    assert all(defaults.values())
    page = (PROJECT / "docs" / "operations.md").read_text()
    assert re.findall(r"^\| `(\w+)` \| (\d+) \|", page, re.MULTILINE) == [
        (name, str(most)) for name, most in defaults.items()
    ]
    assert limits_of(("servers=7", "datasets=0", "groups=")) == defaults | {"servers": 7, "datasets": 0, "groups": 0}
    with pytest.raises(SettingsInvalid, match="there is no serves; there are servers, "):
        limits_of(("serves=7",))


async def test_no_limit_is_no_limit(bench: Bench) -> None:
    api = limited(bench, groups=0)
    for _ in range(3):
        await api.alice.group()
    assert await used(api.alice, "groups") == {"used": 3}
