"""Groups over the API: who sees them, who changes them, and what goes with them."""

from uuid import UUID

import pytest

from models.domain.values import Subject
from tests.unit.api.bench import NO_DIRECTORY_NAMES, NOBODY, Api, problems, unique


async def test_groups_are_everybodys_to_see_and_their_managers_to_change(api: Api) -> None:
    name = unique("Team")
    group = await api.alice.group(name=name)
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
    made = await api.alice.dataset()
    group = await api.alice.group()
    await api.alice.post(f"/groups/{group['_id']}/members", params={"memberEmail": api.bob.email})
    path = f"/datasets/{made['_id']}"
    await api.alice.made(f"{path}/share", relation="write", groupArray=[group["_id"]])
    entries = (await api.alice.get(f"{path}/access", params={"type": "group"})).json()
    given = {"_id": group["_id"], "granted_by": api.alice.email}
    assert entries == [{"access": "write", "entity": group["name"], "type": "group", **given}]
    assert (await api.bob.get(path)).status_code == 200
    await api.alice.delete(f"/groups/{group['_id']}")
    assert (await api.bob.get(path)).status_code == 404
    assert (await api.alice.get(f"{path}/access", params={"type": "group"})).json() == []


async def test_leaving_a_group_twice_succeeds(api: Api) -> None:
    group = await api.alice.group()
    path = f"/groups/{group['_id']}/members/{api.bob.email}"
    for _ in range(2):
        assert (await api.bob.delete(path)).status_code == 202


@pytest.mark.parametrize("name", NO_DIRECTORY_NAMES)
async def test_a_name_that_can_be_no_directory_is_refused(api: Api, name: object) -> None:
    assert problems(await api.alice.post("/groups", json={"name": name})) == {"/name"}
    made = await api.alice.group()
    assert problems(await api.alice.patch(f"/groups/{made['_id']}", json={"name": name})) == {"/name"}


async def test_a_group_is_renamed_by_its_managers_to_a_name_that_is_free(api: Api) -> None:
    made, other = await api.alice.group(), await api.alice.group()
    path, old = f"/groups/{made['_id']}", (await api.alice.get(f"/groups/{made['_id']}")).headers["etag"]
    assert (await api.alice.patch(path, json={"name": other["name"].upper()})).status_code == 409
    name = unique("new")
    answer = await api.alice.patch(path, json={"name": name}, headers={"if-match": old})
    assert (answer.status_code, answer.json()) == (202, made | {"name": name})
    assert api.bench.wakes.subjects[-1] == Subject("group", UUID(made["_id"]))
    assert (await api.alice.patch(path, json={"name": name}, headers={"if-match": old})).status_code == 412
    assert (await api.alice.delete(path, headers={"if-match": old})).status_code == 412
    assert (await api.admin.patch(path, json={"name": unique("by admin")})).status_code == 202


async def test_a_group_keeps_a_manager(api: Api) -> None:
    group = await api.alice.group()
    members = f"/groups/{group['_id']}/members"
    own, hers = f"{members}/{api.alice.email}", f"{members}/{api.bob.email}"
    assert (await api.alice.patch(own, json={"manager": False})).status_code == 409
    assert (await api.alice.patch(hers, json={"manager": True})).status_code == 404, "no member yet"
    await api.alice.post(members, params={"memberEmail": api.bob.email})
    assert (await api.bob.patch(hers, json={"manager": True})).status_code == 403
    assert problems(await api.alice.patch(hers, json={"manager": "yes"})) == {"/manager"}
    assert (await api.alice.patch(hers, json={"manager": True})).status_code == 202
    assert (await api.bob.got(f"/groups/{group['_id']}"))["manager"] is True
    assert (await api.alice.patch(own, json={"manager": False})).status_code == 202
    assert (await api.alice.patch(hers, json={"manager": False})).status_code == 403


async def test_members_are_shown_to_members_and_admins_in_pages(api: Api) -> None:
    group = await api.alice.group()
    path = f"/groups/{group['_id']}/members"
    late = f"{unique('late')}@example.org"
    for email in (api.bob.email, late):
        assert (await api.alice.post(path, params={"memberEmail": email})).status_code == 202
    everybody = sorted([api.alice.email, api.bob.email, late])
    first = await api.bob.get(f"{path}?limit=2")
    assert first.json() == everybody[:2]
    assert (await api.bob.get(first.links["next"]["url"])).json() == everybody[2:]
    assert await api.admin.got(path) == everybody
    assert (await api.nobody.get(path)).status_code == 401
    await api.alice.delete(f"{path}/{api.bob.email}")
    assert (await api.bob.get(path)).status_code == 403


async def test_every_group_is_listed_newest_first(api: Api) -> None:
    made = [await api.alice.group(), await api.bob.group()]
    listed = (await api.bob.got("/groups", limit="2"))[::-1]
    assert [(one["_id"], one["member"]) for one in listed] == [(made[0]["_id"], False), (made[1]["_id"], True)]


async def test_a_group_that_is_none_is_missing_whatever_is_asked(api: Api) -> None:
    for identity in (NOBODY, "x"):
        path = f"/groups/{identity}"
        for answer in (
            await api.alice.get(path),
            await api.alice.patch(path, json={"name": unique("g")}),
            await api.alice.delete(path),
            await api.alice.get(f"{path}/members"),
            await api.alice.post(f"{path}/members", params={"memberEmail": api.bob.email}),
            await api.alice.patch(f"{path}/members/{api.bob.email}", json={"manager": True}),
            await api.alice.delete(f"{path}/members/{api.alice.email}"),
        ):
            assert answer.status_code == 404


async def test_whether_servers_show_a_group_is_said_by_the_member_alone(api: Api) -> None:
    group = await api.alice.group()
    path = f"/groups/{group['_id']}"
    hers = f"{path}/members/{api.bob.email}"
    assert (await api.bob.patch(hers, json={"shown": True})).status_code == 404, "no member yet"
    await api.alice.post(f"{path}/members", params={"memberEmail": api.bob.email})
    for other in (api.alice, api.admin):
        assert (await other.patch(hers, json={"shown": True})).status_code == 403
    for body in ({}, {"shown": True, "manager": True}):
        assert problems(await api.bob.patch(hers, json=body)) == {"/manager"}
    assert problems(await api.bob.patch(hers, json={"shown": None})) == {"/shown"}
    assert "shown" not in await api.bob.got(path)
    for shown in (True, False):
        assert (await api.bob.patch(hers, json={"shown": shown})).status_code == 202
        assert (await api.bob.got(path))["shown"] is shown
    assert "shown" not in await api.alice.got(path), "each has said it for oneself"
    assert (await api.bob.got(f"{path}/members")) == sorted([api.alice.email, api.bob.email])
