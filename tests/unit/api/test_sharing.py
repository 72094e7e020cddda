"""Datasets and groups over the API: what is answered, and what is refused with which field named."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from models.database.sql import row
from models.domain.errors import ActionForbidden
from models.records import persons
from models.records.persons import Identity
from tests.unit.api.bench import NOBODY, Api, Json, problems, unique


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
    made = await api.alice.dataset()
    path = f"/datasets/{made['_id']}"
    assert problems(await api.alice.post(f"{path}/share", json=body)) == fields
    assert len((await api.alice.get(f"{path}/access")).json()) == 1


async def test_as_many_problems_are_named_as_are_looked_for(api: Api) -> None:
    made = await api.alice.dataset()
    for some in (["x@"] * 10_000, []):
        body = {"relation": "read", "userArray": some, "groupArray": ["none"] * 10_000, "orgArray": ["none"] * 10_000}
        answer = await api.alice.post(f"/datasets/{made['_id']}/share", json=body)
        assert len(answer.json()["error"]["details"]) == 100


async def test_access_says_until_when_it_is_and_who_gave_it(api: Api) -> None:
    path, group = f"/datasets/{(await api.alice.dataset())['_id']}", await api.alice.group()
    soon, later = ((datetime.now(UTC) + timedelta(days=days)).isoformat() for days in (1, 2))

    async def of_bob() -> Json:
        (found,) = [one for one in await api.alice.got(f"{path}/access") if one["entity"] == api.bob.email]
        return dict(found)

    who: Json = {"userArray": api.bob.email}
    await api.alice.made(f"{path}/share", relation="read", **who)
    plain = {"access": "read", "entity": api.bob.email, "type": "user", "granted_by": api.alice.email}
    assert await of_bob() == plain
    # The highest level is the one that is told of, whenever it ends, and the next one when it has.
    await api.admin.made(f"{path}/share", relation="write", expires_at=soon, **who)
    found = await of_bob()
    assert (found["access"], found["granted_by"]) == ("write", api.admin.email)
    assert datetime.fromisoformat(found["expires_at"]) == datetime.fromisoformat(soon)
    await row("UPDATE access_grant SET expires_at = now() WHERE object = :id AND level = 2", id=path.split("/")[2])
    assert await of_bob() == plain
    for named in ({"groupArray": group["_id"]}, {"orgArray": "known"}):
        shared = api.bench.api(org_names=("known",)).alice
        await shared.made(f"{path}/share", relation="read", expires_at=later, **named)
    owner, *others = await api.alice.got(f"{path}/access")
    ends = {one["entity"]: one["expires_at"][:19] for one in (owner, *others) if "expires_at" in one}
    assert ends == dict.fromkeys((group["name"], "known"), later[:19])
    # Nobody gave the owner what is the owner's.
    (own,) = [one for one in (owner, *others) if one["access"] == "owner"]
    assert own == {"access": "owner", "entity": api.alice.email, "type": "user"}


async def test_a_share_tells_what_it_came_to_for_each(api: Api) -> None:
    made = await api.alice.dataset()
    path, stranger = f"/datasets/{made['_id']}", f"{unique('new')}@example.org"
    until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    people = [api.bob.email.upper(), stranger, api.alice.email, api.bob.email]
    body = {"relation": "editor", "userArray": people, "expires_at": until}
    operation = await api.alice.made(f"{path}/share", **body)
    assert (operation["kind"], operation["status"]) == ("dataset.share", "queued")
    results = (await api.alice.get(f"/operations/{operation['_id']}/results")).json()
    assert {one["entity"]: one["outcome"] for one in results} == {
        api.bob.email: "granted",
        stranger: "granted",
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


async def test_in_which_groups_and_organisations_somebody_is_stays_with_those_who_may_know(api: Api) -> None:
    carol, org = await api.bench.join("carol"), unique("org")
    await row("INSERT INTO person_org (id, person, org) VALUES (gen_random_uuid(), :id, :org)", id=carol.id, org=org)
    group = await api.alice.group()
    await api.alice.post(f"/groups/{group['_id']}/members", params={"memberEmail": carol.email})
    made = await api.alice.dataset()
    path = f"/datasets/{made['_id']}"
    named = {"groupArray": group["_id"], "orgArray": [org]}
    await api.alice.made(f"{path}/share", relation="write", userArray=api.bob.email, **named)

    async def told(name: str) -> list[tuple[str, str | None]]:
        explained = await api.person(name).got(f"{path}/access/explain", email=carol.email)
        assert explained["access"] == "write"
        return [(way["type"], way.get("entity")) for way in explained["via"]]

    assert await told("bob") == [("group", None), ("org", None)]
    assert await told("alice") == [("group", group["name"]), ("org", None)]
    for name in ("carol", "admin"):
        assert await told(name) == [("group", group["name"]), ("org", org)]


async def test_a_share_does_not_tell_who_has_ever_signed_in(api: Api) -> None:
    made = await api.alice.dataset()
    never = f"{unique('never')}@example.org"
    for verb, outcome in (("share", "granted"), ("revoke", "revoked")):
        body = {"relation": "read", "userArray": [never, api.bob.email]}
        operation = await api.alice.made(f"/datasets/{made['_id']}/{verb}", **body)
        results = await api.alice.got(f"/operations/{operation['_id']}/results")
        assert {one["entity"]: one for one in results} == {
            email: {"type": "user", "entity": email, "outcome": outcome} for email in (never, api.bob.email)
        }


async def test_what_waits_for_somebody_is_found_at_the_first_sign_in_and_inherited_by_nobody(api: Api) -> None:
    made = await api.alice.dataset()
    email = f"{unique('late')}@example.org"
    share = {"relation": "read", "userArray": [email]}
    await api.alice.made(f"/datasets/{made['_id']}/share", **share)
    # An invitation is no person: nothing can be made for it.
    body = {"name": unique("d"), "owner": email}
    assert problems(await api.admin.post("/datasets", json=body)) == {"/owner"}

    async def signs_in(subject: str) -> list[str]:
        person = await persons.bind(Identity(issuer="https://idp", subject=subject, email=email, email_verified=True))
        caller = await persons.as_caller(person)
        api.bench.callers[subject] = caller
        return [one["_id"] for one in (await api.person(subject).get("/datasets")).json()]

    assert await signs_in(unique("first")) == [made["_id"]]
    await persons.release(email, api.admin.caller)
    assert await signs_in(unique("second")) == []


async def test_what_is_granted_can_be_revoked_whoever_is_left(api: Api) -> None:
    made = await api.alice.dataset()
    path, org = f"/datasets/{made['_id']}", unique("org")
    bob = api.bob.caller
    await row(
        "INSERT INTO person_org (id, person, org) VALUES (gen_random_uuid(), :person, :org)", person=bob.id, org=org
    )
    await api.alice.made(f"{path}/share", relation="read", orgArray=org, userArray=bob.email)
    # The last member leaves, and a person gives the address up.
    await row("DELETE FROM person_org WHERE org = :org", org=org)
    await persons.release(bob.email, api.admin.caller)
    await api.alice.made(f"{path}/revoke", relation="read", orgArray=org, userArray=bob.email)
    assert await row("SELECT 1 AS one FROM access_grant WHERE object = :object", object=UUID(made["_id"])) is None


async def test_who_was_released_comes_back_when_an_invitation_is_released(api: Api) -> None:
    made = await api.alice.dataset()
    identity = Identity(issuer="https://idp", subject=unique("s"), email=f"{unique('back')}@example.org")
    person = await persons.bind(identity)
    await persons.settle(person, "run", released=False)
    admin = api.admin.caller
    await persons.release(identity.email, admin)
    await api.alice.made(f"/datasets/{made['_id']}/share", relation="read", userArray=identity.email)
    with pytest.raises(ActionForbidden):
        await persons.bind(identity)
    await persons.release(identity.email, admin)
    assert await persons.bind(identity) == person
    again = await row("SELECT initialized_at FROM person WHERE id = :id", id=person)
    assert again == {"initialized_at": None}, "JupyterHub knows nobody of a new address"


async def test_a_share_repeated_after_its_own_end_gets_its_first_answer(api: Api) -> None:
    made = await api.alice.dataset()
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
