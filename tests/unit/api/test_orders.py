"""Lists in the order that was asked for, narrowed by what people look for."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlencode
from uuid import UUID

import pytest

from models.database import lists
from models.database.sql import row
from tests.unit.api.bench import NOBODY, TEMPLATE, Api, Client, Json, problems, unique

Make = Callable[..., Awaitable[Json]]
KINDS: dict[str, tuple[str, Callable[[Client], Make], str]] = {
    "datasets": ("/datasets", lambda who: who.dataset, "name"),
    "groups": ("/groups", lambda who: who.group, "name"),
    "modules": ("/modules", lambda who: who.module, "name"),
    "secrets": ("/secrets", lambda who: who.secret, "secretName"),
    "servers": ("/servers", lambda who: who.server, "name"),
    "templates": ("/templates", lambda who: who.template, "name"),
}
TABLES = {kind: kind.removesuffix("s") for kind in KINDS} | {"groups": "user_group"}
ORDERS = [sign + sort for sort in ("newest", "name", "updated") for sign in ("", "-")]
WAYS = {"among the first": (1000, 1000), "by the index": (1, 1000), "from the first on": (1, 0)}


async def scene(api: Api, kind: str) -> tuple[str, list[str], dict[str, list[str]]]:
    """A word that four records have in their names, their ids, and in which order they have to come."""
    _, maker, field = KINDS[kind]
    word = unique("w")
    make, made = maker(api.alice), []
    for letter in ("c", "A", "b", "d"):
        made.append((await make(**{field: f"{letter}-{word}"}))["_id"])
        await make(**{field: unique("other")})
    table = TABLES[kind]
    for one in (made[2], made[0]):
        await row(f"UPDATE {table} SET version = version + 1 WHERE id = :id", id=UUID(one))  # noqa: S608
    keys = {}
    for one in made:
        found = await row(f"SELECT name, updated_at FROM {table} WHERE id = :id", id=UUID(one))  # noqa: S608
        assert found is not None
        keys[one] = found
    wanted = {
        "newest": made[::-1],
        "name": sorted(made, key=lambda one: (keys[one]["name"].lower(), one)),
        "updated": sorted(made, key=lambda one: (keys[one]["updated_at"], one), reverse=True),
    }
    assert wanted["updated"] == [made[0], made[2], made[3], made[1]]
    return word, made, wanted | {f"-{name}": ids[::-1] for name, ids in wanted.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
async def test_a_list_has_the_order_that_was_asked_for_however_it_is_read(
    api: Api, monkeypatch: pytest.MonkeyPatch, kind: str, way: str
) -> None:
    word, made, wanted = await scene(api, kind)
    first, few = WAYS[way]
    monkeypatch.setattr(lists, "FIRST", first)
    monkeypatch.setattr(lists, "FEW", few)
    path = KINDS[kind][0]
    for who in [api.alice, *([api.admin] if kind in ("servers", "templates", "groups") else [])]:
        for order in ORDERS:
            for limit in ("1", "3", "1000"):
                pages = await who.pages(f"{path}?{urlencode({'q': word.upper(), 'sort': order, 'limit': limit})}")
                assert [one for page in pages for one in page] == wanted[order], (order, limit)
            everything = await who.pages(f"{path}?sort={order}")
            assert [one for page in everything for one in page if one in made] == wanted[order], order


@pytest.mark.parametrize("kind", ["datasets", "modules", "secrets"])
async def test_what_was_shared_is_in_order_among_what_is_ones_own(api: Api, kind: str) -> None:
    path, maker, field = KINDS[kind]
    word = unique("w")
    shared = (await maker(api.bob)(**{field: f"b-{word}"}))["_id"]
    hidden = (await maker(api.bob)(**{field: f"bb-{word}"}))["_id"]
    own = [(await maker(api.alice)(**{field: f"{one}-{word}"}))["_id"] for one in ("c", "a")]
    at = "/secret/share/{}" if kind == "secrets" else f"{path}/{{}}/share"
    for relation in ("read", "write"):
        body = {"relation": relation, "userArray": [api.alice.email]}
        assert (await api.bob.post(at.format(shared), json=body)).status_code == 202
    found = [one["_id"] for one in await api.alice.got(path, q=word, sort="name")]
    assert found == [own[1], shared, own[0]]
    assert hidden not in found


async def test_a_cursor_is_for_its_order_alone(api: Api) -> None:
    word = unique("w")
    for letter in "abc":
        await api.alice.dataset(name=f"{letter}-{word}")
    answer = await api.alice.get("/datasets", params={"q": word, "sort": "name", "limit": "1"})
    cursor = answer.links["next"]["url"].rpartition("cursor=")[2]
    for sort in ("-name", "updated", "newest"):
        query = {"q": word, "sort": sort, "limit": "1", "cursor": cursor}
        assert problems(await api.alice.get("/datasets", params=query)) == {"cursor"}
    query = {"q": word, "sort": "name", "limit": "1", "cursor": cursor}
    (second,) = await api.alice.got("/datasets", **query)
    assert second["name"] == f"b-{word}"


@pytest.mark.parametrize("path", ["/datasets", "/servers", "/operations", "/groups"])
async def test_an_order_that_there_is_not_is_refused_with_those_that_there_are(api: Api, path: str) -> None:
    answer = await api.alice.get(path, params={"sort": "size"})
    assert problems(answer) == {"sort"}
    assert "newest" in answer.text
    assert (await api.alice.get(path, params={"sort": "-newest"})).status_code == 200


async def test_a_status_that_there_is_not_is_refused_with_those_that_there_are(api: Api) -> None:
    answer = await api.alice.get("/servers", params={"status": "asleep"})
    assert problems(answer) == {"status"}
    assert "stopping" in answer.text


async def test_servers_of_one_status(api: Api) -> None:
    name = unique("w")
    servers = [(await api.alice.server(name=name))["_id"] for _ in range(4)]
    states = {
        "running": "wish = 'running', observed = 'running'",
        "starting": "wish = 'running', generation = 7",
        "stopping": "observed = 'running', generation = 7",
    }
    for one, state in zip(servers, states.values(), strict=False):
        await row(f"UPDATE server SET {state} WHERE id = :id", id=UUID(one))  # noqa: S608
    for who in (api.alice, api.admin):
        for one, status in zip(servers, (*states, "stopped"), strict=True):
            for narrowed in ({"q": name}, {"q": name, "sort": "name"}, {"q": name, "type": "user"}, {}):
                found = await who.got("/servers", status=status, **narrowed)
                assert {listed["status"] for listed in found} == {status}
                assert [listed["_id"] for listed in found if listed["_id"] in servers] == [one]


async def test_templates_of_one_tag(api: Api) -> None:
    tag, other = unique("t"), unique("t")
    public = await api.alice.template(tags=[other, tag])
    private = await api.alice.template(tags=[tag], public=False)
    for_others = {"alice": [private["_id"], public["_id"]], "bob": [public["_id"]]}
    for name, wanted in for_others.items():
        found = await api.person(name).got("/templates", tag=tag)
        assert [one["_id"] for one in found] == wanted
        found = await api.person(name).got("/templates", tag=tag, email=api.alice.email)
        assert [one["_id"] for one in found] == wanted
    assert [one["_id"] for one in await api.bob.got("/templates", tag=other)] == [public["_id"]]
    assert await api.bob.got("/templates", tag=tag[:-1]) == []


async def test_operations_oldest_first(api: Api) -> None:
    for _ in range(3):
        await api.alice.dataset()
    newest = await api.alice.pages("/operations?limit=2")
    oldest = await api.alice.pages("/operations?limit=2&sort=-newest&kind=dataset.create")
    assert [one for page in oldest for one in page] == [one for page in newest for one in page][::-1]


async def test_what_nobody_has_is_an_empty_list(api: Api) -> None:
    assert TEMPLATE["name"]
    for path in ("/datasets", "/groups", "/modules", "/secrets", "/servers", "/templates"):
        assert await api.alice.got(path, q=NOBODY, sort="-updated") == []
