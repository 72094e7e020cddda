"""Lists that are counted, and of whose entries some fields are asked for."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from models.database.sql import row
from tests.unit.api.bench import Api, Bench, Client, answered, problems, unique

RECORDS = ("/servers", "/templates", "/datasets", "/modules", "/secrets", "/groups", "/operations")


async def counted(client: Client, path: str, **query: str) -> tuple[int, list[Any]]:
    answer = await client.get(path, params={"count": "true", **query})
    return int(answer.headers["total-count"]), answered(answer, 200)  # type: ignore[return-value]


async def test_each_list_says_how_many_there_are_in_all(api: Api) -> None:
    name = unique("carol")
    await api.bench.join(name)
    carol = api.person(name)
    word = unique("w")
    for number in range(3):
        template = await carol.template(name=f"{word} {number}", public=False)
        await carol.launched(template)
        await carol.module(name=f"{word}{number}")
        await carol.secret(secretName=f"{word}{number}")
        await carol.group(name=f"{word}{number}")
        dataset = await api.alice.dataset(name=f"{word}{number}")
        body = {"relation": "read", "userArray": [carol.email]}
        for relation in ("read", "write"):  # twice the same way, and once
            answered(await api.alice.post(f"/datasets/{dataset['_id']}/share", json=body | {"relation": relation}), 202)
    for path in ("/servers", "/datasets", "/modules", "/secrets"):
        for sort in ("newest", "-name"):
            assert await counted(carol, path, limit="1", sort=sort) == (3, await carol.got(path, limit="1", sort=sort))
        assert (await counted(carol, path, q=f"{word}1"))[0] == (0 if path == "/servers" else 1)
        assert await counted(carol, path, q="nowhere") == (0, [])
    assert (await counted(carol, "/datasets", owner=carol.email))[0] == 0
    assert (await counted(carol, "/modules", owner=carol.email))[0] == 3
    assert (await counted(carol, "/templates", q=word, limit="2"))[0] == 3
    assert (await counted(api.bob, "/templates", q=word)) == (0, [])
    assert (await counted(api.admin, "/templates", q=word, sort="name"))[0] == 3
    assert (await counted(api.admin, "/servers", q=word, limit="1"))[0] == 3
    assert (await counted(api.admin, "/servers", owner=carol.email, status="stopped", limit="1"))[0] == 3
    assert (await counted(carol, "/groups", q=word, limit="1"))[0] == 3
    mine = await carol.got("/operations")
    assert (await counted(carol, "/operations", limit="1"))[0] == len(mine) > 3
    assert (await counted(api.admin, "/operations", kind="server.create", limit="1"))[0] >= 3
    path = f"/datasets/{dataset['_id']}"
    assert (await counted(api.alice, f"{path}/access", limit="1"))[0] == 2
    assert (await counted(api.alice, f"{path}/access", type="group")) == (0, [])
    (share, *_) = await api.alice.got("/operations", subject=dataset["_id"], kind="dataset.share")
    assert (await counted(api.alice, f"/operations/{share['_id']}/results", limit="1"))[0] == 1
    group = await api.alice.group()
    answered(await api.alice.post(f"/groups/{group['_id']}/members", params={"memberEmail": carol.email}), 202)
    assert await counted(api.alice, f"/groups/{group['_id']}/members", limit="1") == (2, [api.alice.email])


async def test_the_trash_and_organisations_are_counted(bench: Bench) -> None:
    api = bench.api(org_names=("biology", "chemistry", "zoology"))
    name = unique("carol")
    await bench.join(name)
    carol = api.person(name)
    assert await counted(carol, "/trash") == (0, [])
    for path, made in (("/datasets", await carol.dataset()), ("/modules", await carol.module())):
        answered(await carol.delete(f"{path}/{made['_id']}"), 202)
    assert await counted(carol, "/trash", limit="1") == (2, await carol.got("/trash", limit="1"))
    body = {"relation": "read", "orgArray": ["biology"]}
    answered(await carol.post(f"/datasets/{(await carol.dataset())['_id']}/share", json=body), 202)
    assert await counted(carol, "/orgs", limit="1") == (1, [{"name": "biology", "member": False}])
    orgs = await api.admin.got("/orgs")
    assert await counted(api.admin, "/orgs", limit="1") == (len(orgs), orgs[:1])
    assert len(orgs) >= 3
    second = (await api.admin.get("/orgs", params={"limit": "1"})).links["next"]["url"]
    cursor = httpx.URL(second).params["cursor"]
    assert await counted(api.admin, "/orgs", limit="1", cursor=cursor) == (len(orgs), orgs[1:2])


async def test_shared_servers_are_counted(api: Api) -> None:
    shared, other = await api.alice.server(), await api.alice.server()
    before, _ = await counted(api.alice, "/servers/shares")
    for server in (shared, other):
        await row("UPDATE server SET share_url = 'https://hub.example.org/x' WHERE id = :id", id=UUID(server["_id"]))
    listed = await api.alice.got("/servers/shares", limit="1")
    assert await counted(api.alice, "/servers/shares", limit="1") == (before + 2, listed)
    assert (await counted(api.admin, "/servers/shares", owner=api.alice.email))[0] == before + 2
    assert await counted(api.bob, "/servers/shares") == (0, [])
    (sparse,) = await api.alice.got("/servers/shares", fields="name,users", limit="1")
    assert sparse == {name: listed[0][name] for name in ("_id", "name", "users")}


async def test_fields_of_what_has_no_id_of_its_own(bench: Bench) -> None:
    api = bench.api(org_names=("biology",))
    dataset = await api.alice.dataset()
    access = f"/datasets/{dataset['_id']}/access"
    for path, query, field in (
        ("/orgs", {}, "name"),
        (access, {}, "entity"),
        ("/volume/files", {"root": "datasets"}, "title"),
    ):
        who = api.admin if path == "/orgs" else api.alice
        whole = await who.got(path, limit="3", **query)
        assert whole
        assert await who.got(path, limit="3", fields=field, **query) == [{field: one[field]} for one in whole]
        assert problems(await who.get(path, params={**query, "fields": "nonsense"})) == {"fields"}
    # How many there are in a directory, its file system tells of those that it has read.
    assert problems(await api.admin.get("/volume/files", params={"root": "datasets", "count": "true"})) == {"count"}


async def test_the_number_is_the_same_on_each_page_and_is_asked_for_anew(api: Api) -> None:
    for _ in range(3):
        await api.bob.secret()
    first = await api.bob.get("/secrets", params={"count": "true", "limit": "1"})
    (link,) = (httpx.URL(first.links["next"]["url"]).copy_with(scheme="http", host="api.test", port=None),)
    assert "count" not in link.params
    second = await api.bob.get(link)
    assert "total-count" not in second.headers
    again = await api.bob.get(link.copy_merge_params({"count": "true"}))
    assert (again.json(), again.headers["total-count"]) == (second.json(), first.headers["total-count"])
    # Beyond the end there is nothing, of as many.
    ids = [one["_id"] for one in await api.bob.got("/secrets")]
    assert len(ids) == int(first.headers["total-count"])
    tag = {"if-none-match": first.headers["etag"]}
    unchanged = await api.bob.get("/secrets", params={"count": "true", "limit": "1"}, headers=tag)
    assert (unchanged.status_code, unchanged.headers["total-count"]) == (304, first.headers["total-count"])


async def test_who_asks_for_nothing_gets_no_number(api: Api) -> None:
    for path in RECORDS:
        assert "total-count" not in (await api.alice.get(path)).headers


@pytest.mark.parametrize("path", RECORDS)
async def test_entries_have_what_is_asked_for_and_their_id(api: Api, path: str) -> None:
    await api.alice.server()
    for make in (api.alice.dataset, api.alice.module, api.alice.secret, api.alice.group):
        await make()
    whole = (await api.alice.got(path, limit="2"))[0]
    names = sorted(whole.keys() - {"_id"})
    for asked in (names, names[:1], names[-2:], ["_id"]):
        (sparse, *_) = await api.alice.got(path, fields=",".join(asked), limit="2")
        assert sparse == {name: whole[name] for name in (*asked, "_id")}
    refused = await api.alice.get(path, params={"fields": f"{names[0]},nonsense,_id,Name"})
    assert problems(refused) == {"fields"}
    assert "nonsense" in refused.text
    for wrong in ("", ",", f"{names[0]},", f"{names[0]}.x", " "):
        assert problems(await api.alice.get(path, params={"fields": wrong})) == {"fields"}
    assert problems(await api.alice.get(path, params=[("fields", "_id"), ("fields", "_id")])) == {"fields"}


async def test_what_is_optional_is_absent_where_it_is_asked_for_too(api: Api) -> None:
    await api.alice.server()
    (found, *_) = await api.alice.got("/servers", fields="started_at,name", limit="1")
    assert found.keys() == {"_id", "name"}


async def test_a_list_may_be_gone_through_with_other_fields(api: Api) -> None:
    for _ in range(2):
        await api.alice.dataset()
    first = await api.alice.get("/datasets", params={"limit": "1", "fields": "name"})
    link = httpx.URL(first.links["next"]["url"])
    assert link.params["fields"] == "name"
    rest = await api.alice.got("/datasets", cursor=link.params["cursor"], limit="1", fields="owner")
    assert rest[0].keys() == {"_id", "owner"}
