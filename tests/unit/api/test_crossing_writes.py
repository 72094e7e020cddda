"""Two writes that cross: a share, and the deletion of what is shared or of whom it is shared with. Nothing stays."""

import asyncio
import contextvars
from uuid import UUID

import pytest

from models.access import principals, sharing
from models.access.permissions import Level
from models.database.sql import row
from models.database.transactions import Transaction
from models.domain.kinds import TRASHABLE
from models.domain.values import Subject
from models.records import groups, lifecycles
from tests.unit.api.bench import Api, Json, unique

KINDS = ("dataset", "module", "secret")
PATHS = {"dataset": "/datasets", "module": "/modules", "secret": "/secret", "group": "/groups"}


async def make(api: Api, kind: str) -> Json:
    if kind == "secret":
        answer = await api.alice.post("/secrets", json={"secretName": unique("s"), "type": "raw"})
        made: Json = answer.json()
        return made
    more = {"version": "1"} if kind == "module" else {}
    return await api.alice.made(PATHS[kind], name=unique(kind[0]), **more)


async def purge(api: Api, kind: str, identity: str) -> None:
    """Delete for good, as far as workflows do their part at once."""
    subject = Subject(kind, UUID(identity))
    assert (await api.alice.delete(f"{PATHS[kind]}/{identity}")).status_code == 202
    if kind in TRASHABLE:
        async with Transaction():
            await lifecycles.purge(subject)
    plan = await lifecycles.read_plan(subject)
    assert plan is not None
    assert await lifecycles.settle(plan)


async def grants_left(identity: str) -> int:
    found = await row(
        "SELECT count(*) AS count FROM access_grant WHERE object = :id OR user_group = :id", id=UUID(identity)
    )
    assert found is not None
    count: int = found["count"]
    return count


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("purged", ["object", "group"])
async def test_a_share_and_a_purge_at_once_leave_no_grant(api: Api, kind: str, purged: str) -> None:
    """The share has looked everything up; before it writes, the deletion comes."""
    made, group = await make(api, kind), await make(api, "group")
    gone = (kind, made["_id"]) if purged == "object" else ("group", group["_id"])
    caller, outside = api.alice.caller, contextvars.copy_context()
    async with Transaction():
        shareable = await sharing.read(kind, UUID(made["_id"]), caller, Level.OWNER, hold=True)
        found = await principals.find([api.bob.email], [group["name"]], [], ())
        deleting = asyncio.create_task(purge(api, *gone), context=outside)
        # It waits for this transaction, or is through with everything.
        await asyncio.wait([deleting], timeout=0.5)
        assert not deleting.done()
        await sharing.grant(shareable, found, Level.READ, None, caller)
    await deleting
    assert await grants_left(gone[1]) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("purged", ["object", "group"])
async def test_a_share_after_a_deletion_is_refused(api: Api, kind: str, purged: str) -> None:
    made, group = await make(api, kind), await make(api, "group")
    gone = (kind, made["_id"]) if purged == "object" else ("group", group["_id"])
    body = {"relation": "read", "groupArray": [group["name"]]}
    path, outside = f"{PATHS[kind]}/{made['_id']}/share", contextvars.copy_context()
    async with Transaction():
        # Wished by a transaction that has not ended: the share waits for it.
        await lifecycles.intend(Subject(gone[0], UUID(gone[1])), lifecycles.Presence.PURGED, "delete", None, owner=None)
        sharing_it = asyncio.create_task(api.alice.post(path, json=body), context=outside)
        await asyncio.wait([sharing_it], timeout=0.5)
        assert not sharing_it.done()
    answer = await sharing_it
    assert answer.status_code == (404 if purged == "object" else 422), answer.text
    assert await grants_left(gone[1]) == 0


async def test_a_member_added_while_the_group_is_deleted_does_not_stay(api: Api) -> None:
    group = await make(api, "group")
    bob = api.bob.caller
    caller, outside = api.alice.caller, contextvars.copy_context()
    async with Transaction():
        found = await groups.read_managed(UUID(group["_id"]), caller)
        deleting = asyncio.create_task(purge(api, "group", group["_id"]), context=outside)
        await asyncio.wait([deleting], timeout=0.5)
        assert not deleting.done()
        await groups.add_member(found, bob.id, bob.email, caller)
    await deleting
    left = await row(
        "SELECT count(*) AS count FROM group_member WHERE user_group = :user_group", user_group=UUID(group["_id"])
    )
    assert left == {"count": 0}


async def test_shares_of_one_object_do_not_wait_for_each_other(api: Api) -> None:
    made = await make(api, "dataset")
    caller, outside = api.alice.caller, contextvars.copy_context()
    async with Transaction():
        await sharing.read("dataset", UUID(made["_id"]), caller, Level.OWNER, hold=True)
        body = {"relation": "read", "userArray": [api.bob.email]}
        async with asyncio.timeout(1.5):
            path = f"/datasets/{made['_id']}/share"
            answer = await asyncio.create_task(api.alice.post(path, json=body), context=outside)
    assert answer.status_code == 202
