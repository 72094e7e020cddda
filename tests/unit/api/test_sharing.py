"""Datasets and groups over the API: what is answered, and what is refused with which field named."""

import asyncio
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from uuid import UUID

import pytest

from models.database.sql import row
from models.domain.errors import ActionForbidden
from models.domain.values import Subject
from models.records import persons
from models.records.persons import Identity
from tests.unit.api.bench import NOBODY, Api, Bench, Json, problems, unique

TEMPLATE: Json = {
    "name": "T",
    "description": "",
    "type": "user",
    "applicationType": "jupyterlab",
    "hardware": "cpuSmall",
    "public": True,
}


async def test_a_dataset_is_made_accepted_and_listed(api: Api) -> None:
    name = unique("cells ")
    made = await api.alice.made("/datasets", name=name, description="of\n\tmice", write_access=False)
    assert made == {
        "_id": made["_id"],
        "name": name,
        "description": "of\n\tmice",
        "owner": api.alice.email,
        "write_access": True,
    }
    assert api.bench.wakes.subjects[-1] == Subject("dataset", UUID(made["_id"]))
    listed = (await api.alice.get("/datasets")).json()
    assert listed[0] == made
    assert (await api.bob.get("/datasets")).json() == []
    answer = await api.alice.get(f"/datasets/{made['_id']}")
    assert answer.headers["etag"]
    assert (await api.bob.get(f"/datasets/{made['_id']}")).status_code == 404


@pytest.mark.parametrize(
    "name", ["", " ", ".x", "a/b", "..", "a\nb", "é", "x" * 65, NOBODY, "-a", "a\u202eb", "a:b", "a\0b", 7, None, ["a"]]
)
async def test_a_name_that_can_be_no_directory_is_refused(api: Api, name: object) -> None:
    assert problems(await api.alice.post("/datasets", json={"name": name})) == {"/name"}
    assert problems(await api.alice.post("/groups", json={"name": name})) == {"/name"}


async def test_names_are_unique_to_an_owner_and_free_again_in_the_trash(api: Api) -> None:
    name = unique("d")
    made = await api.alice.made("/datasets", name=name)
    assert (await api.alice.post("/datasets", json={"name": name})).status_code == 409
    await api.bob.made("/datasets", name=name)
    other = await api.alice.made("/datasets", name=unique("d"))
    path = f"/datasets/{other['_id']}"
    assert (await api.alice.patch(path, json={"name": name})).status_code == 409
    assert (await api.alice.delete(f"/datasets/{made['_id']}")).status_code == 202
    assert (await api.alice.patch(path, json={"name": name})).status_code == 200
    assert (await api.alice.post(f"/datasets/{made['_id']}/restore")).status_code == 409


async def test_only_an_admin_makes_something_for_somebody_else(api: Api) -> None:
    body = {"name": unique("d"), "owner": api.bob.email}
    assert problems(await api.alice.post("/datasets", json=body)) == {"/owner"}
    assert (await api.admin.made("/datasets", **body))["owner"] == api.bob.email
    assert problems(await api.admin.post("/datasets", json=body | {"owner": "no@one.org"})) == {"/owner"}


async def test_a_stale_change_is_refused(api: Api) -> None:
    made = await api.alice.made("/datasets", name=unique("d"))
    path = f"/datasets/{made['_id']}"
    old = (await api.alice.get(path)).headers["etag"]
    change = {"description": "newer"}
    assert (await api.alice.patch(path, json=change, headers={"if-match": old})).status_code == 200
    assert (await api.alice.patch(path, json=change, headers={"if-match": old})).status_code == 412
    assert (await api.alice.delete(path, headers={"if-match": old})).status_code == 412


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
        ({"relation": "read", "userArray": "a@b.org", "expires_at": "9999-12-31T23:59:59-01:00"}, {"/expires_at"}),
        ({"relation": "read", "userArray": "a@b.org", "expires_at": "0001-01-01T00:00:00+01:00"}, {"/expires_at"}),
        ({"relation": "read", "userArray": ["bob@example.org.", "bob@a..b"]}, {"/userArray/0", "/userArray/1"}),
        ({"relation": "read", "userArray": "no mail", "groupArray": NOBODY}, {"/userArray", "/groupArray/0"}),
        (
            {
                "relation": "read",
                "userArray": ["x@"],
                "groupArray": ["a\0b", "none"],
                "orgArray": ["", "x" * 256, "none"],
            },
            {"/userArray/0", "/groupArray/0", "/groupArray/1", "/orgArray/0", "/orgArray/1", "/orgArray/2"},
        ),
        ({"relation": "read", "userArray": ["x@", 5]}, {"/userArray/0", "/userArray/1"}),
        ({"relation": "read", "userArray": ["a@b.org"] * 10_001}, {"/userArray"}),
        ({"relation": "read", "userArray": ["a@b.org"], "isAdmin": True}, {"/isAdmin"}),
    ],
)
async def test_a_share_that_cannot_be_is_refused_whole(api: Api, body: Json, fields: set[str]) -> None:
    made = await api.alice.made("/datasets", name=unique("d"))
    path = f"/datasets/{made['_id']}"
    assert problems(await api.alice.post(f"{path}/share", json=body)) == fields
    assert len((await api.alice.get(f"{path}/access")).json()) == 1


async def test_as_many_problems_are_named_as_are_looked_for(api: Api) -> None:
    made = await api.alice.made("/datasets", name=unique("d"))
    for some in (["x@"] * 10_000, []):
        body = {"relation": "read", "userArray": some, "groupArray": ["none"] * 10_000, "orgArray": ["none"] * 10_000}
        answer = await api.alice.post(f"/datasets/{made['_id']}/share", json=body)
        assert len(answer.json()["error"]["details"]) == 100


async def test_a_refusal_names_the_value_in_words_for_people(api: Api) -> None:
    made = await api.alice.made("/datasets", name=unique("d"))
    share = {"relation": "own", "userArray": "not-an-email", "groupArray": ["none\u202e"], "orgArray": ["none"]}
    words = await said(api, "POST", f"/datasets/{made['_id']}/share", share)
    assert words == {"/relation": "must be one of read, reader, viewer, write, writer, editor, not 'own'"}
    words = await said(api, "POST", f"/datasets/{made['_id']}/share", share | {"relation": "read"})
    assert words == {
        "/userArray": "'not-an-email' is not an e-mail address",
        "/groupArray/0": "must not hold control characters",
        "/orgArray/0": "'none' is not a known organisation",
    }
    template = TEMPLATE | {"datasets": ["xyz", made["_id"], NOBODY], "secrets": ["y" * 70]}
    assert await said(api, "POST", "/template", template) == {
        "/datasets/0": "'xyz' is not the id of a dataset",
        "/datasets/2": f"'{NOBODY}' is no dataset that the creator may use",
        "/secrets/0": f"'{'y' * 64}…' is not the id of a secret",
    }
    (name,) = (await said(api, "POST", "/datasets", {"name": "../etc\n\x1b"})).values()
    assert name == "must not hold control characters"
    (name,) = (await said(api, "POST", "/datasets", {"name": "../etc"})).values()
    assert name.startswith("'../etc' must begin with a letter or digit")


async def said(api: Api, method: str, path: str, body: Json) -> dict[str, str]:
    """The sentence about each field that alice is refused for."""
    answer = await api.alice.request(method, path, json=body)
    assert answer.status_code == 422, answer.text
    return {one["path"]: one["message"] for one in answer.json()["error"]["details"]}


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("PUT", "/initialize", "email"),
        ("GET", "/healthcheck", "email"),
        ("GET", "/datasets", "owner"),
        ("GET", "/modules", "owner"),
        ("GET", "/secrets", "owner"),
        ("GET", "/servers", "owner"),
        ("GET", "/templates", "email"),
        ("GET", "/templates/tags", "email"),
        ("GET", "/volume/files?root=notebooks", "email"),
        ("GET", f"/datasets/{NOBODY}/access/explain", "email"),
        ("POST", f"/groups/{NOBODY}/members", "memberEmail"),
        ("POST", "/persons/release", "email"),
    ],
)
@pytest.mark.parametrize("email", ["not-an-email", "bob@example.org.", "bob@a..b", ""])
async def test_an_email_in_a_query_that_is_none_is_refused(
    api: Api, method: str, path: str, name: str, email: str
) -> None:
    query = dict([pair.split("=") for pair in path.partition("?")[2].split("&") if pair])
    answer = await api.admin.request(method, path.partition("?")[0], params={**query, name: email})
    assert problems(answer) == {name}
    (detail,) = answer.json()["error"]["details"]
    assert detail["info"] == {"in": "query"}
    assert detail["message"] == f"'{email}' is not an e-mail address"


async def test_an_email_in_a_path_that_is_none_is_refused(api: Api) -> None:
    answer = await api.admin.delete(f"/groups/{NOBODY}/members/not-an-email")
    assert problems(answer) == {"memberEmail"}
    assert (await api.admin.delete(f"/groups/{NOBODY}/members/bob@example.org")).status_code == 404


@pytest.mark.parametrize("email", ["o'neil{}@example.org", "jürgen{}@bücher.example", "straße{}@example.org"])
async def test_a_person_of_an_unusual_address_is_shared_with_and_signs_in(api: Api, email: str) -> None:
    email = email.format(unique(""))
    made = await api.alice.made("/datasets", name=unique("d"))
    path = f"/datasets/{made['_id']}"
    spelled = email.upper().replace("SS", "ß").replace("BÜCHER", "xn--bcher-kva").replace("Ü", "U\u0308")
    await api.alice.made(f"{path}/share", relation="read", userArray=spelled)
    person = await persons.bind(Identity(issuer="https://idp", subject=unique("s"), email=spelled))
    api.bench.callers["unusual"] = await persons.as_caller(person)
    unusual = api.person("unusual")
    assert unusual.email == email
    assert [one["_id"] for one in (await unusual.get("/datasets")).json()] == [made["_id"]]
    assert (await api.alice.got(f"{path}/access/explain", email=spelled))["email"] == email
    group = await api.alice.made("/groups", name=unique("g"))
    members = f"/groups/{group['_id']}/members"
    assert (await api.alice.post(members, params={"memberEmail": spelled})).status_code == 202
    assert email in await unusual.got(members)
    assert (await unusual.delete(f"{members}/{quote(spelled)}")).status_code == 202


async def test_an_account_of_no_address_does_not_sign_in(api: Api) -> None:
    for email in ("bob@example.org.", "bob@a..b", "a/b@example.org", "", "bob"):
        with pytest.raises(ActionForbidden, match="no e-mail address"):
            await persons.bind(Identity(issuer="https://idp", subject=unique("s"), email=email))


@pytest.mark.parametrize(
    ("path", "body", "record"),
    [
        ("/datasets", {"name": "{}"}, "/datasets/{}"),
        ("/modules", {"name": "{}", "version": "1"}, "/modules/{}"),
        ("/secrets", {"secretName": "{}", "type": "raw"}, "/secret/{}"),
    ],
)
async def test_a_description_that_was_not_given_or_is_cleared_is_absent(
    api: Api, path: str, body: Json, record: str
) -> None:
    answer = await api.alice.post(path, json={name: value.format(unique("n")) for name, value in body.items()})
    made = answer.json()
    assert "description" not in made
    record = record.format(made["_id"])
    assert (await api.alice.patch(record, json={"description": "x"})).json()["description"] == "x"
    cleared = await api.alice.patch(record, json={"description": None})
    assert (cleared.status_code, "description" in cleared.json()) == (200, False)
    name = next(iter(body))
    assert problems(await api.alice.patch(record, json={name: None})) == {f"/{name}"}


async def test_a_share_tells_what_it_came_to_for_each(api: Api) -> None:
    made = await api.alice.made("/datasets", name=unique("d"))
    path, stranger = f"/datasets/{made['_id']}", f"{unique('new')}@example.org"
    until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    people = [api.bob.email.upper(), stranger, api.alice.email, api.bob.email]
    body = {"relation": "editor", "userArray": people, "expires_at": until}
    operation = await api.alice.made(f"{path}/share", **body)
    assert (operation["kind"], operation["status"]) == ("dataset.share", "queued")
    results = (await api.alice.get(f"/operations/{operation['_id']}/results")).json()
    assert {one["entity"]: one["outcome"] for one in results} == {
        api.bob.email: "granted",
        stranger: "waiting",
        api.alice.email: "owner",
    }
    entries = (await api.bob.get(f"{path}/access", params={"type": "users"})).json()
    assert {one["entity"]: one["access"] for one in entries} == {
        api.alice.email: "owner",
        api.bob.email: "write",
        stranger: "write",
    }
    explained = (await api.bob.get(f"{path}/access/explain", params={"email": api.bob.email})).json()
    assert explained["via"][0]["expires_at"].startswith(until[:19])
    assert problems(await api.bob.get(f"{path}/access", params={"type": "team"})) == {"type"}


async def test_what_waits_for_somebody_is_found_at_the_first_sign_in_and_inherited_by_nobody(api: Api) -> None:
    made = await api.alice.made("/datasets", name=unique("d"))
    email = f"{unique('late')}@example.org"
    share = {"relation": "read", "userArray": [email]}
    await api.alice.made(f"/datasets/{made['_id']}/share", **share)
    # An invitation is no person: nothing can be made for it.
    body = {"name": unique("d"), "owner": email}
    assert problems(await api.admin.post("/datasets", json=body)) == {"/owner"}

    async def signs_in(subject: str) -> list[str]:
        person = await persons.bind(Identity(issuer="https://idp", subject=subject, email=email))
        caller = await persons.as_caller(person)
        api.bench.callers[subject] = caller
        return [one["_id"] for one in (await api.person(subject).get("/datasets")).json()]

    assert await signs_in(unique("first")) == [made["_id"]]
    await persons.release(email, api.admin.caller)
    assert await signs_in(unique("second")) == []


async def test_readers_writers_and_owners(api: Api) -> None:
    made = await api.alice.made("/datasets", name=unique("d"))
    path, bob = f"/datasets/{made['_id']}", {"userArray": api.bob.email}

    assert await api.bob.statuses(path) == [404] * 5
    await api.alice.made(f"{path}/share", relation="viewer", **bob)
    assert await api.bob.statuses(path) == [200, 403, 403, 403, 403]
    await api.alice.made(f"{path}/share", relation="write", **bob)
    assert await api.bob.statuses(path) == [200, 200, 200, 403, 403]
    await api.alice.made(f"{path}/share", relation="read", **bob)
    assert await api.bob.statuses(path) == [200, 200, 200, 403, 403], "sharing read never lowers a write"
    await api.alice.made(f"{path}/revoke", relation="write", **bob)
    assert await api.bob.statuses(path) == [200, 403, 403, 403, 403]
    await api.alice.made(f"{path}/revoke", relation="read", **bob)
    await api.alice.made(f"{path}/revoke", relation="read", **bob)
    assert await api.bob.statuses(path) == [404] * 5


async def test_a_template_names_only_what_its_creator_may_use(api: Api) -> None:
    mine, hers = (
        await api.bob.made("/datasets", name=unique("d")),
        await api.alice.made("/datasets", name=unique("d")),
    )
    body = TEMPLATE | {"datasets": [mine["_id"], hers["_id"], NOBODY]}
    assert problems(await api.bob.post("/template", json=body)) == {"/datasets/1", "/datasets/2"}
    body["datasets"] = [mine["_id"]]
    template = (await api.bob.post("/template", json=body)).json()
    change = {"datasets": [hers["_id"]]}
    for who in ("bob", "admin"):
        answer = await api.person(who).patch("/template", params={"templateId": template["_id"]}, json=change)
        assert problems(answer) == {"/datasets/0"}
    server = (await api.alice.put("/servers", params={"templateId": template["_id"]})).json()
    (operation,) = (await api.alice.get("/operations", params={"subject": server["_id"]})).json()
    assert [one["_id"] for one in operation["left_out"]] == [mine["_id"]]


async def test_groups_are_everybodys_to_see_and_their_managers_to_change(api: Api) -> None:
    name = unique("Team")
    group = await api.alice.made("/groups", name=name)
    path = f"/groups/{group['_id']}"
    assert (await api.bob.post("/groups", json={"name": name.upper()})).status_code == 409
    assert (await api.bob.get(path)).json() == {
        "_id": group["_id"],
        "name": name,
        "member": False,
        "manager": False,
    }
    assert (await api.bob.get(f"{path}/members")).status_code == 403
    add = {"memberEmail": api.bob.email}
    assert (await api.bob.post(f"{path}/members", params=add)).status_code == 403
    assert problems(await api.alice.post(f"{path}/members", params={"memberEmail": "x"})) == {"memberEmail"}
    for _ in range(2):
        assert (await api.alice.post(f"{path}/members", params=add)).status_code == 202
    members = (await api.bob.get(f"{path}/members")).json()
    assert members == sorted([api.alice.email, api.bob.email])
    assert problems(await api.alice.patch(path, json={})) == {"/name"}
    assert (await api.bob.patch(path, json={"name": unique("x")})).status_code == 403
    assert (await api.bob.delete(path)).status_code == 403
    own = f"{path}/members/{api.alice.email}"
    assert (await api.alice.delete(own)).status_code == 409, "the last manager"
    promote = f"{path}/members/{api.bob.email}"
    assert (await api.alice.patch(promote, json={"manager": True})).status_code == 202
    assert (await api.alice.delete(own)).status_code == 202
    assert (await api.alice.delete(promote)).status_code == 403
    assert (await api.bob.delete(path)).status_code == 202
    assert (await api.bob.get(path)).status_code == 404


async def test_a_group_in_use_can_be_deleted_and_takes_its_grants_along(api: Api) -> None:
    made = await api.alice.made("/datasets", name=unique("d"))
    group = await api.alice.made("/groups", name=unique("g"))
    await api.alice.post(f"/groups/{group['_id']}/members", params={"memberEmail": api.bob.email})
    path = f"/datasets/{made['_id']}"
    await api.alice.made(f"{path}/share", relation="write", groupArray=[group["_id"]])
    entries = (await api.alice.get(f"{path}/access", params={"type": "group"})).json()
    assert entries == [{"access": "write", "entity": group["name"], "type": "group", "_id": group["_id"]}]
    assert (await api.bob.get(path)).status_code == 200
    await api.alice.delete(f"/groups/{group['_id']}")
    assert (await api.bob.get(path)).status_code == 404
    assert (await api.alice.get(f"{path}/access", params={"type": "group"})).json() == []


async def test_what_stands_in_a_record_cannot_be_cancelled(api: Api) -> None:
    made = await api.alice.made("/datasets", name=unique("d"))
    (create,) = (await api.alice.get("/operations", params={"subject": made["_id"]})).json()
    share = await api.alice.made(f"/datasets/{made['_id']}/share", relation="read", userArray=api.bob.email)
    for operation in (create, share):
        answer = await api.alice.post(f"/operations/{operation['_id']}/cancel")
        assert answer.status_code == 409, answer.text


async def test_lists_are_pages_of_what_one_may_use(api: Api) -> None:
    made = [await api.alice.made("/datasets", name=unique("d")) for _ in range(5)]
    for one in made[:3]:
        await api.alice.made(f"/datasets/{one['_id']}/share", relation="read", userArray=api.bob.email)
    own = await api.bob.made("/datasets", name=unique("d"))
    first, second, third = (one["_id"] for one in made[:3])
    assert await api.bob.pages("/datasets?limit=2") == [[own["_id"], third], [second, first]]
    of_alice = {"owner": api.alice.email}
    assert (await api.bob.get("/datasets", params=of_alice)).status_code == 403
    for who in ("alice", "admin"):
        listed = (await api.person(who).get("/datasets", params=of_alice)).json()
        assert {one["_id"] for one in made} <= {one["_id"] for one in listed}


async def test_a_page_is_of_objects_and_not_of_grants(api: Api) -> None:
    """Both levels granted to one principal are two rows of one object."""
    made = [await api.alice.made("/datasets", name=unique("d")) for _ in range(6)]
    for one in made:
        for relation in ("read", "write"):
            path = f"/datasets/{one['_id']}/share"
            await api.alice.made(path, relation=relation, userArray=api.bob.email)
    answer = await api.bob.get("/datasets?limit=4")
    assert [one["_id"] for one in answer.json()] == [one["_id"] for one in reversed(made[2:])]
    assert "next" in answer.links


async def test_what_is_granted_can_be_revoked_whoever_is_left(api: Api) -> None:
    made = await api.alice.made("/datasets", name=unique("d"))
    path, org = f"/datasets/{made['_id']}", unique("org")
    bob = api.bob.caller
    await row("INSERT INTO person_org (id, person, org) VALUES (gen_random_uuid(), {}, {})", bob.id, org)
    await api.alice.made(f"{path}/share", relation="read", orgArray=org, userArray=bob.email)
    # The last member leaves, and a person gives the address up.
    await row("DELETE FROM person_org WHERE org = {}", org)
    await persons.release(bob.email, api.admin.caller)
    await api.alice.made(f"{path}/revoke", relation="read", orgArray=org, userArray=bob.email)
    assert await row("SELECT 1 AS one FROM access_grant WHERE object = {}", UUID(made["_id"])) is None


async def test_who_was_released_comes_back_when_an_invitation_is_released(api: Api) -> None:
    made = await api.alice.made("/datasets", name=unique("d"))
    identity = Identity(issuer="https://idp", subject=unique("s"), email=f"{unique('back')}@example.org")
    person = await persons.bind(identity)
    await persons.mark_initialized(person)
    admin = api.admin.caller
    await persons.release(identity.email, admin)
    await api.alice.made(f"/datasets/{made['_id']}/share", relation="read", userArray=identity.email)
    with pytest.raises(ActionForbidden):
        await persons.bind(identity)
    await persons.release(identity.email, admin)
    assert await persons.bind(identity) == person
    again = await row("SELECT initialized_at FROM person WHERE id = {}", person)
    assert again == {"initialized_at": None}, "JupyterHub knows nobody of a new address"


async def test_leaving_a_group_twice_succeeds(api: Api) -> None:
    group = await api.alice.made("/groups", name=unique("g"))
    path = f"/groups/{group['_id']}/members/{api.bob.email}"
    for _ in range(2):
        assert (await api.bob.delete(path)).status_code == 202


async def test_a_share_repeated_after_its_own_end_gets_its_first_answer(api: Api) -> None:
    made = await api.alice.made("/datasets", name=unique("d"))
    path, key = f"/datasets/{made['_id']}/share", {"idempotency-key": unique("k")}
    ends = datetime.now(UTC) + timedelta(seconds=1.5)
    body = {"relation": "read", "userArray": [api.bob.email], "expires_at": ends.isoformat()}
    first = await api.alice.post(path, json=body, headers=key)
    assert first.status_code == 202, first.text
    await asyncio.sleep((ends - datetime.now(UTC)).total_seconds() + 0.01)
    again = await api.alice.post(path, json=body, headers=key)
    assert (again.status_code, again.json()) == (202, first.json())
    # One that comes for the first time is refused, with a key or without, and may be repeated when it is put right.
    other = {"idempotency-key": unique("k")}
    for headers in ({}, other):
        assert problems(await api.alice.post(path, json=body, headers=headers)) == {"/expires_at"}
    body["expires_at"] = (ends + timedelta(hours=1)).isoformat()
    assert (await api.alice.post(path, json=body, headers=other)).status_code == 202


async def test_a_featured_module_is_answered_for_again_whoever_may_feature_by_now(bench: Bench) -> None:
    body, key = {"name": unique("m"), "version": "1", "featured": True}, {"idempotency-key": unique("k")}
    api = bench.api(featured_by_admins_only=False)
    first = await api.alice.post("/modules", json=body, headers=key)
    assert first.status_code == 202, first.text
    api = bench.api(featured_by_admins_only=True)
    again = await api.alice.post("/modules", json=body, headers=key)
    assert (again.status_code, again.json()) == (202, first.json())
    body["name"] = unique("m")
    assert problems(await api.alice.post("/modules", json=body)) == {"/featured"}
