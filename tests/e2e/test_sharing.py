"""Datasets and groups on the whole stack: what a share gives inside servers, and what a revoke takes from them."""

import contextlib
import errno
import itertools
from collections.abc import AsyncIterator

import httpx
import pytest

from stack.notebook import Notebook
from tests.e2e.people import Json, Member, until
from tests.e2e.processes import processes_of
from tests.stacks import Stack

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
async def carol(stack: Stack) -> AsyncIterator[Member]:
    async with Member.signed_in(stack.info.api, "carol@example.org", await stack.token("carol@example.org")) as member:
        yield member


class Shelf:
    """Alice's dataset, on disk too, with a public template that names it."""

    def __init__(self, stack: Stack, alice: Member, dataset: Json, template: Json) -> None:
        self.stack, self.alice, self.dataset, self.template = stack, alice, dataset, template
        self.path = f"/opt/datasets/{dataset['name']}"
        self.directory = stack.data_root / "datasets" / dataset["_id"]

    async def share(self, relation: str = "read", **arrays: list[str]) -> Json:
        return await self._change("share", relation, arrays)

    async def revoke(self, relation: str = "read", **arrays: list[str]) -> Json:
        return await self._change("revoke", relation, arrays)

    async def _change(self, verb: str, relation: str, arrays: dict[str, list[str]]) -> Json:
        body = {"relation": relation, **arrays}
        operation: Json = await self.alice.call(
            "POST", f"/datasets/{self.dataset['_id']}/{verb}", expect=202, json=body
        )
        return operation

    async def opened(self, person: Member) -> Json:
        """A running server of somebody from the template."""
        server = await person.launch(self.template["_id"])
        await person.succeeded(await person.wish(server, "start"))
        return await person.see(server)

    async def says(self, person: Member, server: Json, code: str) -> str:
        async with Notebook(server["url"], await self.stack.hub_token(person.email)) as notebook:
            return (await notebook.run(code)).strip()

    async def reads(self, person: Member, server: Json) -> str:
        return await self.says(person, server, f"print(open('{self.path}/readme.txt').read())")

    async def writes(self, person: Member, server: Json) -> int:
        """0 when a kernel can write into the dataset, else the number of the error."""
        code = f"try:\n    open('{self.path}/new.txt', 'w').close(); print(0)\nexcept OSError as e:\n    print(e.errno)"
        return int(await self.says(person, server, code))


@pytest.fixture
async def shelf(stack: Stack, alice: Member) -> AsyncIterator[Shelf]:
    number = next(_numbers)
    dataset = await alice.call("POST", "/datasets", json={"name": f"cells{number}"}, headers={"Prefer": "wait=30"})
    template = await alice.make_template(name=f"Cells {number}", public=True, datasets=[dataset["_id"]])
    shelf = Shelf(stack, alice, dataset, template)
    (shelf.directory / "readme.txt").write_text("forty-two cells")
    yield shelf
    with contextlib.suppress(AssertionError):
        await alice.call("DELETE", f"/datasets/{dataset['_id']}", expect=(202, 204))


async def test_a_read_share_is_read_only_and_a_write_share_is_not(shelf: Shelf, bob: Member) -> None:
    await shelf.alice.succeeded(await shelf.share("read", userArray=[bob.email]))
    server = await shelf.opened(bob)
    assert await shelf.reads(bob, server) == "forty-two cells"
    assert await shelf.writes(bob, server) == errno.EROFS
    # Gaining more stops nothing; the next start has it.
    await shelf.alice.succeeded(await shelf.share("write", userArray=[bob.email]))
    assert (await bob.see(server))["status"] == "running"
    await bob.succeeded(await bob.wish(server, "stop"))
    await bob.succeeded(await bob.wish(server, "start"))
    assert await shelf.writes(bob, server) == 0
    assert (shelf.directory / "new.txt").exists()
    # Losing the write, with a read left, must take the writable mount.
    await shelf.alice.succeeded(await shelf.revoke("write", userArray=[bob.email]))
    assert (await bob.see(server))["status"] == "stopped"
    await bob.succeeded(await bob.wish(server, "start"))
    assert await shelf.writes(bob, server) == errno.EROFS
    await bob.succeeded(await bob.delete(server))


async def test_a_revoke_stops_the_server_and_the_next_start_says_what_is_left_out(shelf: Shelf, bob: Member) -> None:
    await shelf.share("read", userArray=[bob.email])
    server = await shelf.opened(bob)
    before = processes_of(server)
    assert before
    operation = await shelf.revoke("read", userArray=[bob.email])
    await bob.call("GET", f"/datasets/{shelf.dataset['_id']}", expect=404)
    ended = await shelf.alice.succeeded(operation)
    assert processes_of(server) == []
    assert any("Stop servers" in step["name"] for step in ended["steps"])
    (result,) = await shelf.alice.call("GET", f"/operations/{operation['_id']}/results")
    assert result == {"type": "user", "entity": bob.email, "outcome": "revoked"}
    seen = await bob.see(server)
    assert seen["status"] == "stopped"
    assert seen["last_error"]["code"] == "ACCESS_WITHDRAWN"
    start = await bob.succeeded(await bob.wish(server, "start"))
    assert [one["_id"] for one in start["left_out"]] == [shelf.dataset["_id"]]
    assert await shelf.says(bob, server, f"import os; print(os.path.exists('{shelf.path}'))") == "False"
    await bob.succeeded(await bob.delete(server))


async def test_a_revoke_reaches_a_server_that_is_starting(shelf: Shelf, bob: Member) -> None:
    await shelf.share("read", userArray=[bob.email])
    server = await bob.launch(shelf.template["_id"])
    await bob.wish(server, "start")
    await until(lambda: shelf_processes(server), lambda found: bool(found), within=30, what="the process of the start")
    await shelf.alice.succeeded(await shelf.revoke("read", userArray=[bob.email]))
    assert processes_of(server) == []
    await bob.becomes(server, "stopped")
    await bob.succeeded(await bob.delete(server))


async def shelf_processes(server: Json) -> list[object]:
    return list(processes_of(server))


async def test_who_has_another_way_to_it_is_not_stopped(shelf: Shelf, bob: Member) -> None:
    await shelf.share("read", userArray=[bob.email], orgArray=["biology"])
    server = await shelf.opened(bob)
    await shelf.alice.succeeded(await shelf.revoke("read", userArray=[bob.email]))
    assert (await bob.see(server))["status"] == "running"
    await shelf.alice.succeeded(await shelf.revoke("read", orgArray=["biology"]))
    assert (await bob.see(server))["status"] == "stopped"
    await bob.succeeded(await bob.delete(server))


async def test_a_member_gets_what_the_group_has_and_loses_it_with_the_membership(
    shelf: Shelf, carol: Member, stack: Stack
) -> None:
    alice, name = shelf.alice, f"team{next(_numbers)}"
    group = await alice.call("POST", "/groups", json={"name": name}, headers={"Prefer": "wait=30"})
    await shelf.share("write", groupArray=[name])
    await carol.call("GET", f"/datasets/{shelf.dataset['_id']}", expect=404)
    await alice.call("POST", f"/groups/{group['_id']}/members", params={"memberEmail": carol.email}, expect=(200, 202))
    await carol.call("GET", f"/datasets/{shelf.dataset['_id']}")
    server = await shelf.opened(carol)
    assert await shelf.writes(carol, server) == 0
    await shelf.says(carol, server, f"open('/opt/groups/{name}/note.txt', 'w').write('from carol')")
    assert (stack.data_root / "groups" / group["_id"] / "note.txt").read_text() == "from carol"
    await alice.call(
        "DELETE", f"/groups/{group['_id']}/members/{carol.email}", expect=(202, 204), headers={"Prefer": "wait=60"}
    )
    assert (await carol.see(server))["status"] == "stopped"
    assert processes_of(server) == []
    await carol.call("GET", f"/datasets/{shelf.dataset['_id']}", expect=404)
    await alice.call("DELETE", f"/groups/{group['_id']}", expect=204, headers={"Prefer": "wait=60"})
    assert not (stack.data_root / "groups" / group["_id"]).exists()
    entries = await alice.call("GET", f"/datasets/{shelf.dataset['_id']}/access")
    assert [one["entity"] for one in entries] == [alice.email]
    await carol.succeeded(await carol.delete(server))


async def test_a_deleted_dataset_can_be_restored_with_what_was_granted(shelf: Shelf, bob: Member) -> None:
    alice, identity = shelf.alice, shelf.dataset["_id"]
    await shelf.share("read", userArray=[bob.email])
    server = await shelf.opened(bob)
    await alice.call("DELETE", f"/datasets/{identity}", expect=204, headers={"Prefer": "wait=60"})
    assert processes_of(server) == []
    await alice.call("GET", f"/datasets/{identity}", expect=404)
    trash = shelf.directory.parent / ".trash" / identity
    assert (trash / "readme.txt").exists()
    assert not shelf.directory.exists()
    await bob.call("POST", f"/datasets/{identity}/restore", expect=404)
    await alice.call("POST", f"/datasets/{identity}/restore", expect=200, headers={"Prefer": "wait=30"})
    await alice.call("POST", f"/datasets/{identity}/restore", expect=409)
    assert (shelf.directory / "readme.txt").exists()
    await bob.succeeded(await bob.wish(server, "start"))
    assert await shelf.reads(bob, server) == "forty-two cells"
    await bob.succeeded(await bob.delete(server))


async def test_a_members_groups_are_mirrored_to_jupyterhub(alice: Member, stack: Stack) -> None:
    """Also after somebody changed them there."""
    group = await alice.call(
        "POST", "/groups", json={"name": f"mirrored{next(_numbers)}"}, headers={"Prefer": "wait=30"}
    )
    await alice.call("PUT", "/initialize", headers={"Prefer": "wait=30"})
    headers = {"Authorization": f"token {stack.secrets.worker_token}"}
    async with httpx.AsyncClient(base_url=stack.info.jupyterhub, headers=headers, timeout=30) as hub:
        name, name_there = f"nbhub-{group['_id']}", await alice.hub_user()

        async def users() -> list[str] | None:
            answer = await hub.get(f"/hub/api/groups/{name}")
            return sorted(answer.json()["users"]) if answer.status_code == 200 else None

        await until(users, lambda found: found == [name_there], within=40, what="the group is mirrored")
        answer = await hub.request("DELETE", f"/hub/api/groups/{name}/users", json={"users": [name_there]})
        assert answer.status_code == 200
        await until(users, lambda found: found == [name_there], within=40, what="the drift is repaired")
        await alice.call("DELETE", f"/groups/{group['_id']}", expect=204, headers={"Prefer": "wait=60"})
        assert await users() is None


async def test_two_of_one_name_in_one_server(shelf: Shelf, bob: Member) -> None:
    """The owner's own keeps the name."""
    name = shelf.dataset["name"]
    own = await bob.call("POST", "/datasets", json={"name": name}, headers={"Prefer": "wait=30"})
    await shelf.share("read", userArray=[bob.email])
    server = await bob.make_server(datasets=[shelf.dataset["_id"], own["_id"]])
    await bob.succeeded(await bob.wish(server, "start"))
    server = await bob.see(server)
    listed = await shelf.says(bob, server, "import os; print(sorted(os.listdir('/opt/datasets')))")
    assert listed == str([name, f"{name}--{shelf.alice.email}"])
    await bob.succeeded(await bob.delete(server))
    await bob.call("DELETE", f"/datasets/{own['_id']}", expect=204, headers={"Prefer": "wait=60"})


async def test_a_person_of_an_international_address_is_shared_with_and_starts_a_server(
    shelf: Shelf, stack: Stack
) -> None:
    email = "jürgen.o'neil@bücher.example"
    await shelf.alice.succeeded(await shelf.share("read", userArray=["Jürgen.O'Neil@xn--bcher-kva.example"]))
    async with Member.signed_in(stack.info.api, email, await stack.token(email)) as person:
        assert await person.call("GET", "/whoami") == email
        server = await shelf.opened(person)
        assert (server["owner"], server["status"]) == (email, "running")
        assert await shelf.reads(person, server) == "forty-two cells"
        await shelf.alice.succeeded(await shelf.revoke("read", userArray=[email]))
        assert (await person.see(server))["status"] == "stopped"
        await person.succeeded(await person.delete(server))
