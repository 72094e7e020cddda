"""Datasets and groups over the API: what is answered, and what is refused with which field named."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from models import persons
from models.errors import ActionForbidden
from models.persons import Identity
from models.sql import row
from models.values import Subject
from tests.unit.api.bench import NOBODY, Api, Bench, Json, problems, unique, whole_api


@pytest.fixture
async def api(bench: Bench) -> AsyncIterator[Api]:
    async with whole_api(bench) as api:
        yield api


async def test_a_dataset_is_made_accepted_and_listed(api: Api) -> None:
    name = unique("cells ")
    made = await api.made("alice", "/datasets", name=name, description="of\n\tmice", write_access=False)
    assert made == {
        "_id": made["_id"],
        "name": name,
        "description": "of\n\tmice",
        "owner": api.email("alice"),
        "write_access": True,
    }
    assert api.bench.wakes.subjects[-1] == Subject("dataset", UUID(made["_id"]))
    listed = (await api.ask("alice", "GET", "/datasets")).json()
    assert listed[0] == made
    assert (await api.ask("bob", "GET", "/datasets")).json() == []
    answer = await api.ask("alice", "GET", f"/datasets/{made['_id']}")
    assert answer.headers["etag"]
    assert (await api.ask("bob", "GET", f"/datasets/{made['_id']}")).status_code == 404


@pytest.mark.parametrize(
    "name", ["", " ", ".x", "a/b", "..", "a\nb", "é", "x" * 65, NOBODY, "-a", "a\u202eb", "a:b", "a\0b", 7, None, ["a"]]
)
async def test_a_name_that_can_be_no_directory_is_refused(api: Api, name: object) -> None:
    assert problems(await api.ask("alice", "POST", "/datasets", json={"name": name})) == {"/name"}
    assert problems(await api.ask("alice", "POST", "/groups", json={"name": name})) == {"/name"}


async def test_names_are_unique_to_an_owner_and_free_again_in_the_trash(api: Api) -> None:
    name = unique("d")
    made = await api.made("alice", "/datasets", name=name)
    assert (await api.ask("alice", "POST", "/datasets", json={"name": name})).status_code == 409
    await api.made("bob", "/datasets", name=name)
    other = await api.made("alice", "/datasets", name=unique("d"))
    path = f"/datasets/{other['_id']}"
    assert (await api.ask("alice", "PATCH", path, json={"name": name})).status_code == 409
    assert (await api.ask("alice", "DELETE", f"/datasets/{made['_id']}")).status_code == 202
    assert (await api.ask("alice", "PATCH", path, json={"name": name})).status_code == 200
    assert (await api.ask("alice", "POST", f"/datasets/{made['_id']}/restore")).status_code == 409


async def test_only_an_admin_makes_something_for_somebody_else(api: Api) -> None:
    body = {"name": unique("d"), "owner": api.email("bob")}
    assert problems(await api.ask("alice", "POST", "/datasets", json=body)) == {"/owner"}
    assert (await api.made("admin", "/datasets", **body))["owner"] == api.email("bob")
    assert problems(await api.ask("admin", "POST", "/datasets", json=body | {"owner": "no@one.org"})) == {"/owner"}


async def test_a_stale_change_is_refused(api: Api) -> None:
    made = await api.made("alice", "/datasets", name=unique("d"))
    path = f"/datasets/{made['_id']}"
    old = (await api.ask("alice", "GET", path)).headers["etag"]
    change = {"description": "newer"}
    assert (await api.ask("alice", "PATCH", path, json=change, headers={"if-match": old})).status_code == 200
    assert (await api.ask("alice", "PATCH", path, json=change, headers={"if-match": old})).status_code == 412
    assert (await api.ask("alice", "DELETE", path, headers={"if-match": old})).status_code == 412


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"relation": "owner", "userArray": ["a@b.org"]}, {"/relation"}),
        ({"userArray": ["a@b.org"]}, {"/relation"}),
        ({"relation": "read"}, {"/userArray"}),
        ({"relation": "read", "userArray": []}, {"/userArray"}),
        ({"relation": "read", "userArray": ["a@b.org", "no mail", "x@"]}, {"/userArray/1", "/userArray/2"}),
        ({"relation": "read", "groupArray": ["none", NOBODY]}, {"/groupArray/0", "/groupArray/1"}),
        ({"relation": "read", "orgArray": "none"}, {"/orgArray/0"}),
        ({"relation": "read", "userArray": "a@b.org", "expires_at": "2020-01-01T00:00:00Z"}, {"/expires_at"}),
        ({"relation": "read", "userArray": "a@b.org", "expires_at": "2099-01-01T00:00:00"}, {"/expires_at"}),
        ({"relation": "read", "userArray": ["a@b.org"] * 10_001}, {"/userArray"}),
        ({"relation": "read", "userArray": ["a@b.org"], "isAdmin": True}, {"/isAdmin"}),
    ],
)
async def test_a_share_that_cannot_be_is_refused_whole(api: Api, body: Json, fields: set[str]) -> None:
    made = await api.made("alice", "/datasets", name=unique("d"))
    path = f"/datasets/{made['_id']}"
    assert problems(await api.ask("alice", "POST", f"{path}/share", json=body)) == fields
    assert len((await api.ask("alice", "GET", f"{path}/access")).json()) == 1


async def test_a_share_tells_what_it_came_to_for_each(api: Api) -> None:
    made = await api.made("alice", "/datasets", name=unique("d"))
    path, stranger = f"/datasets/{made['_id']}", f"{unique('new')}@example.org"
    until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    people = [api.email("bob").upper(), stranger, api.email("alice"), api.email("bob")]
    body = {"relation": "editor", "userArray": people, "expires_at": until}
    operation = await api.made("alice", f"{path}/share", **body)
    assert (operation["kind"], operation["status"]) == ("dataset.share", "queued")
    results = (await api.ask("alice", "GET", f"/operations/{operation['_id']}/results")).json()
    assert {one["entity"]: one["outcome"] for one in results} == {
        api.email("bob"): "granted",
        stranger: "waiting",
        api.email("alice"): "owner",
    }
    entries = (await api.ask("bob", "GET", f"{path}/access", params={"type": "users"})).json()
    assert {one["entity"]: one["access"] for one in entries} == {
        api.email("alice"): "owner",
        api.email("bob"): "write",
        stranger: "write",
    }
    explained = (await api.ask("bob", "GET", f"{path}/access/explain", params={"email": api.email("bob")})).json()
    assert explained["via"][0]["expires_at"].startswith(until[:19])
    assert problems(await api.ask("bob", "GET", f"{path}/access", params={"type": "team"})) == {"type"}


async def test_what_waits_for_somebody_is_found_at_the_first_sign_in_and_inherited_by_nobody(api: Api) -> None:
    made = await api.made("alice", "/datasets", name=unique("d"))
    email = f"{unique('late')}@example.org"
    share = {"relation": "read", "userArray": [email]}
    await api.made("alice", f"/datasets/{made['_id']}/share", **share)
    # An invitation is no person: nothing can be made for it.
    body = {"name": unique("d"), "owner": email}
    assert problems(await api.ask("admin", "POST", "/datasets", json=body)) == {"/owner"}

    async def signs_in(subject: str) -> list[str]:
        person = await persons.bind(Identity(issuer="https://idp", subject=subject, email=email))
        caller = await persons.as_caller(person)
        api.bench.callers[subject] = caller
        return [one["_id"] for one in (await api.ask(subject, "GET", "/datasets")).json()]

    assert await signs_in(unique("first")) == [made["_id"]]
    await persons.release(email, api.bench.callers["admin"])
    assert await signs_in(unique("second")) == []


async def test_readers_writers_and_owners(api: Api) -> None:
    made = await api.made("alice", "/datasets", name=unique("d"))
    path, bob = f"/datasets/{made['_id']}", {"userArray": api.email("bob")}

    assert await api.statuses("bob", path) == [404] * 5
    await api.made("alice", f"{path}/share", relation="viewer", **bob)
    assert await api.statuses("bob", path) == [200, 403, 403, 403, 403]
    await api.made("alice", f"{path}/share", relation="write", **bob)
    assert await api.statuses("bob", path) == [200, 200, 200, 403, 403]
    await api.made("alice", f"{path}/share", relation="read", **bob)
    assert await api.statuses("bob", path) == [200, 200, 200, 403, 403], "sharing read never lowers a write"
    await api.made("alice", f"{path}/revoke", relation="write", **bob)
    assert await api.statuses("bob", path) == [200, 403, 403, 403, 403]
    await api.made("alice", f"{path}/revoke", relation="read", **bob)
    await api.made("alice", f"{path}/revoke", relation="read", **bob)
    assert await api.statuses("bob", path) == [404] * 5


async def test_a_template_names_only_what_its_creator_may_use(api: Api) -> None:
    mine, hers = (
        await api.made("bob", "/datasets", name=unique("d")),
        await api.made("alice", "/datasets", name=unique("d")),
    )
    body = {
        "name": "T",
        "description": "",
        "type": "user",
        "applicationType": "jupyterlab",
        "hardware": "cpuSmall",
        "public": True,
        "datasets": [mine["_id"], hers["_id"], NOBODY],
    }
    assert problems(await api.ask("bob", "POST", "/template", json=body)) == {"/datasets/1", "/datasets/2"}
    body["datasets"] = [mine["_id"]]
    template = (await api.ask("bob", "POST", "/template", json=body)).json()
    change = {"datasets": [hers["_id"]]}
    for who in ("bob", "admin"):
        answer = await api.ask(who, "PATCH", "/template", params={"templateId": template["_id"]}, json=change)
        assert problems(answer) == {"/datasets/0"}
    server = (await api.ask("alice", "PUT", "/servers", params={"templateId": template["_id"]})).json()
    (operation,) = (await api.ask("alice", "GET", "/operations", params={"subject": server["_id"]})).json()
    assert [one["_id"] for one in operation["left_out"]] == [mine["_id"]]


async def test_groups_are_everybodys_to_see_and_their_managers_to_change(api: Api) -> None:
    name = unique("Team")
    group = await api.made("alice", "/groups", name=name)
    path = f"/groups/{group['_id']}"
    assert (await api.ask("bob", "POST", "/groups", json={"name": name.upper()})).status_code == 409
    assert (await api.ask("bob", "GET", path)).json() == {
        "_id": group["_id"],
        "name": name,
        "member": False,
        "manager": False,
    }
    assert (await api.ask("bob", "GET", f"{path}/members")).status_code == 403
    add = {"memberEmail": api.email("bob")}
    assert (await api.ask("bob", "POST", f"{path}/members", params=add)).status_code == 403
    assert problems(await api.ask("alice", "POST", f"{path}/members", params={"memberEmail": "x"})) == {"memberEmail"}
    for _ in range(2):
        assert (await api.ask("alice", "POST", f"{path}/members", params=add)).status_code == 202
    members = (await api.ask("bob", "GET", f"{path}/members")).json()
    assert members == sorted([api.email("alice"), api.email("bob")])
    assert problems(await api.ask("alice", "PATCH", path, json={})) == {"/name"}
    assert (await api.ask("bob", "PATCH", path, json={"name": unique("x")})).status_code == 403
    assert (await api.ask("bob", "DELETE", path)).status_code == 403
    own = f"{path}/members/{api.email('alice')}"
    assert (await api.ask("alice", "DELETE", own)).status_code == 409, "the last manager"
    promote = f"{path}/members/{api.email('bob')}"
    assert (await api.ask("alice", "PATCH", promote, json={"manager": True})).status_code == 202
    assert (await api.ask("alice", "DELETE", own)).status_code == 202
    assert (await api.ask("alice", "DELETE", promote)).status_code == 403
    assert (await api.ask("bob", "DELETE", path)).status_code == 202
    assert (await api.ask("bob", "GET", path)).status_code == 404


async def test_a_group_in_use_can_be_deleted_and_takes_its_grants_along(api: Api) -> None:
    made = await api.made("alice", "/datasets", name=unique("d"))
    group = await api.made("alice", "/groups", name=unique("g"))
    await api.ask("alice", "POST", f"/groups/{group['_id']}/members", params={"memberEmail": api.email("bob")})
    path = f"/datasets/{made['_id']}"
    await api.made("alice", f"{path}/share", relation="write", groupArray=[group["_id"]])
    entries = (await api.ask("alice", "GET", f"{path}/access", params={"type": "group"})).json()
    assert entries == [{"access": "write", "entity": group["name"], "type": "group", "_id": group["_id"]}]
    assert (await api.ask("bob", "GET", path)).status_code == 200
    await api.ask("alice", "DELETE", f"/groups/{group['_id']}")
    assert (await api.ask("bob", "GET", path)).status_code == 404
    assert (await api.ask("alice", "GET", f"{path}/access", params={"type": "group"})).json() == []


async def test_what_stands_in_a_record_cannot_be_cancelled(api: Api) -> None:
    made = await api.made("alice", "/datasets", name=unique("d"))
    (create,) = (await api.ask("alice", "GET", "/operations", params={"subject": made["_id"]})).json()
    share = await api.made("alice", f"/datasets/{made['_id']}/share", relation="read", userArray=api.email("bob"))
    for operation in (create, share):
        answer = await api.ask("alice", "POST", f"/operations/{operation['_id']}/cancel")
        assert answer.status_code == 409, answer.text


async def test_lists_are_pages_of_what_one_may_use(api: Api) -> None:
    made = [await api.made("alice", "/datasets", name=unique("d")) for _ in range(5)]
    for one in made[:3]:
        await api.made("alice", f"/datasets/{one['_id']}/share", relation="read", userArray=api.email("bob"))
    own = await api.made("bob", "/datasets", name=unique("d"))
    first, second, third = (one["_id"] for one in made[:3])
    assert await api.pages("bob", "/datasets?limit=2") == [[own["_id"], third], [second, first]]
    of_alice = {"owner": api.email("alice")}
    assert (await api.ask("bob", "GET", "/datasets", params=of_alice)).status_code == 403
    for who in ("alice", "admin"):
        listed = (await api.ask(who, "GET", "/datasets", params=of_alice)).json()
        assert {one["_id"] for one in made} <= {one["_id"] for one in listed}


async def test_a_page_is_of_objects_and_not_of_grants(api: Api) -> None:
    """Both levels granted to one principal are two rows of one object."""
    made = [await api.made("alice", "/datasets", name=unique("d")) for _ in range(6)]
    for one in made:
        for relation in ("read", "write"):
            path = f"/datasets/{one['_id']}/share"
            await api.made("alice", path, relation=relation, userArray=api.email("bob"))
    answer = await api.ask("bob", "GET", "/datasets?limit=4")
    assert [one["_id"] for one in answer.json()] == [one["_id"] for one in reversed(made[2:])]
    assert "next" in answer.links


async def test_what_is_granted_can_be_revoked_whoever_is_left(api: Api) -> None:
    made = await api.made("alice", "/datasets", name=unique("d"))
    path, org = f"/datasets/{made['_id']}", unique("org")
    bob = api.bench.callers["bob"]
    await row("INSERT INTO person_org (id, person, org) VALUES (gen_random_uuid(), {}, {})", bob.id, org)
    await api.made("alice", f"{path}/share", relation="read", orgArray=org, userArray=bob.email)
    # The last member leaves, and a person gives the address up.
    await row("DELETE FROM person_org WHERE org = {}", org)
    await persons.release(bob.email, api.bench.callers["admin"])
    await api.made("alice", f"{path}/revoke", relation="read", orgArray=org, userArray=bob.email)
    assert await row("SELECT 1 AS one FROM access_grant WHERE object = {}", UUID(made["_id"])) is None


async def test_who_was_released_comes_back_when_an_invitation_is_released(api: Api) -> None:
    made = await api.made("alice", "/datasets", name=unique("d"))
    identity = Identity(issuer="https://idp", subject=unique("s"), email=f"{unique('back')}@example.org")
    person = await persons.bind(identity)
    await persons.mark_initialized(person)
    admin = api.bench.callers["admin"]
    await persons.release(identity.email, admin)
    await api.made("alice", f"/datasets/{made['_id']}/share", relation="read", userArray=identity.email)
    with pytest.raises(ActionForbidden):
        await persons.bind(identity)
    await persons.release(identity.email, admin)
    assert await persons.bind(identity) == person
    again = await row("SELECT initialized_at FROM person WHERE id = {}", person)
    assert again == {"initialized_at": None}, "JupyterHub knows nobody of a new address"


async def test_leaving_a_group_twice_succeeds(api: Api) -> None:
    group = await api.made("alice", "/groups", name=unique("g"))
    path = f"/groups/{group['_id']}/members/{api.email('bob')}"
    for _ in range(2):
        assert (await api.ask("bob", "DELETE", path)).status_code == 202


async def test_a_share_repeated_after_its_own_end_gets_its_first_answer(api: Api) -> None:
    made = await api.made("alice", "/datasets", name=unique("d"))
    path, key = f"/datasets/{made['_id']}/share", {"idempotency-key": unique("k")}
    ends = datetime.now(UTC) + timedelta(seconds=1.5)
    body = {"relation": "read", "userArray": [api.email("bob")], "expires_at": ends.isoformat()}
    first = await api.ask("alice", "POST", path, json=body, headers=key)
    assert first.status_code == 202, first.text
    await asyncio.sleep((ends - datetime.now(UTC)).total_seconds() + 0.01)
    again = await api.ask("alice", "POST", path, json=body, headers=key)
    assert (again.status_code, again.json()) == (202, first.json())
    # One that comes for the first time is refused, with a key or without, and may be repeated when it is put right.
    other = {"idempotency-key": unique("k")}
    for headers in ({}, other):
        assert problems(await api.ask("alice", "POST", path, json=body, headers=headers)) == {"/expires_at"}
    body["expires_at"] = (ends + timedelta(hours=1)).isoformat()
    assert (await api.ask("alice", "POST", path, json=body, headers=other)).status_code == 202


async def test_a_featured_module_is_answered_for_again_whoever_may_feature_by_now(bench: Bench) -> None:
    body, key = {"name": unique("m"), "version": "1", "featured": True}, {"idempotency-key": unique("k")}
    async with whole_api(bench, featured_by_admins_only=False) as api:
        first = await api.ask("alice", "POST", "/modules", json=body, headers=key)
        assert first.status_code == 202, first.text
    async with whole_api(bench, featured_by_admins_only=True) as api:
        again = await api.ask("alice", "POST", "/modules", json=body, headers=key)
        assert (again.status_code, again.json()) == (202, first.json())
        body["name"] = unique("m")
        assert problems(await api.ask("alice", "POST", "/modules", json=body)) == {"/featured"}
