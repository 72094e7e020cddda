"""Groups over the API: who sees them, who changes them, and what goes with them."""

from tests.unit.api.bench import Api, problems, unique


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
    assert entries == [{"access": "write", "entity": group["name"], "type": "group", "_id": group["_id"]}]
    assert (await api.bob.get(path)).status_code == 200
    await api.alice.delete(f"/groups/{group['_id']}")
    assert (await api.bob.get(path)).status_code == 404
    assert (await api.alice.get(f"{path}/access", params={"type": "group"})).json() == []


async def test_leaving_a_group_twice_succeeds(api: Api) -> None:
    group = await api.alice.group()
    path = f"/groups/{group['_id']}/members/{api.bob.email}"
    for _ in range(2):
        assert (await api.bob.delete(path)).status_code == 202
