"""Datasets over the API: what is answered, and what is refused with which field named."""

from uuid import UUID

import pytest

from models.domain.values import Subject
from tests.unit.api.bench import NO_DIRECTORY_NAMES, Api, problems, unique


async def test_a_dataset_is_made_accepted_and_listed(api: Api) -> None:
    name = unique("cells ")
    made = await api.alice.dataset(name=name, description="of\n\tmice", write_access=False)
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


@pytest.mark.parametrize("name", NO_DIRECTORY_NAMES)
async def test_a_name_that_can_be_no_directory_is_refused(api: Api, name: object) -> None:
    assert problems(await api.alice.post("/datasets", json={"name": name})) == {"/name"}
    made = await api.alice.dataset()
    assert problems(await api.alice.patch(f"/datasets/{made['_id']}", json={"name": name})) == {"/name"}


async def test_names_are_unique_to_an_owner_and_free_again_in_the_trash(api: Api) -> None:
    name = unique("d")
    made = await api.alice.dataset(name=name)
    assert (await api.alice.post("/datasets", json={"name": name})).status_code == 409
    await api.bob.dataset(name=name)
    other = await api.alice.dataset()
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
    made = await api.alice.dataset()
    path = f"/datasets/{made['_id']}"
    old = (await api.alice.get(path)).headers["etag"]
    change = {"description": "newer"}
    assert (await api.alice.patch(path, json=change, headers={"if-match": old})).status_code == 200
    assert (await api.alice.patch(path, json=change, headers={"if-match": old})).status_code == 412
    assert (await api.alice.delete(path, headers={"if-match": old})).status_code == 412


async def test_readers_writers_and_owners(api: Api) -> None:
    made = await api.alice.dataset()
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


async def test_what_stands_in_a_record_cannot_be_cancelled(api: Api) -> None:
    made = await api.alice.dataset()
    (create,) = (await api.alice.get("/operations", params={"subject": made["_id"]})).json()
    share = await api.alice.made(f"/datasets/{made['_id']}/share", relation="read", userArray=api.bob.email)
    for operation in (create, share):
        answer = await api.alice.post(f"/operations/{operation['_id']}/cancel")
        assert answer.status_code == 409, answer.text


async def test_lists_are_pages_of_what_one_may_use(api: Api) -> None:
    made = [await api.alice.dataset() for _ in range(5)]
    for one in made[:3]:
        await api.alice.made(f"/datasets/{one['_id']}/share", relation="read", userArray=api.bob.email)
    own = await api.bob.dataset()
    first, second, third = (one["_id"] for one in made[:3])
    assert await api.bob.pages("/datasets?limit=2") == [[own["_id"], third], [second, first]]
    of_alice = {"owner": api.alice.email}
    assert (await api.bob.get("/datasets", params=of_alice)).status_code == 403
    for who in ("alice", "admin"):
        listed = (await api.person(who).get("/datasets", params=of_alice)).json()
        assert {one["_id"] for one in made} <= {one["_id"] for one in listed}


async def test_a_page_is_of_objects_and_not_of_grants(api: Api) -> None:
    """Both levels granted to one principal are two rows of one object."""
    made = [await api.alice.dataset() for _ in range(6)]
    for one in made:
        for relation in ("read", "write"):
            path = f"/datasets/{one['_id']}/share"
            await api.alice.made(path, relation=relation, userArray=api.bob.email)
    answer = await api.bob.get("/datasets?limit=4")
    assert [one["_id"] for one in answer.json()] == [one["_id"] for one in reversed(made[2:])]
    assert "next" in answer.links


async def test_a_dataset_goes_into_the_trash_and_comes_back_to_whom_it_was_shared_with(api: Api) -> None:
    made = await api.alice.dataset()
    path = f"/datasets/{made['_id']}"
    await api.alice.made(f"{path}/share", relation="write", userArray=api.bob.email)
    assert (await api.alice.post(f"{path}/restore")).status_code == 409, "it is in no trash"
    deletion = await api.alice.delete(path)
    assert (deletion.status_code, deletion.json()["kind"]) == (202, "dataset.delete")
    assert api.bench.wakes.subjects[-1] == Subject("dataset", UUID(made["_id"]))
    for who in (api.alice, api.bob, api.admin):
        assert await who.statuses(path) == [404] * 5
    for stranger, status in ((api.nobody, 401), (api.bob, 404)):
        assert (await stranger.post(f"{path}/restore")).status_code == status
    restored = await api.alice.post(f"{path}/restore")
    assert (restored.status_code, restored.json()) == (202, made)
    assert await api.bob.got(path) == made


async def test_a_change_of_nothing_changes_nothing(api: Api) -> None:
    made = await api.alice.dataset(description="of mice")
    read = await api.alice.get(f"/datasets/{made['_id']}")
    answer = await api.alice.patch(f"/datasets/{made['_id']}", json={})
    assert (answer.json(), answer.headers["etag"]) == (made, read.headers["etag"])
