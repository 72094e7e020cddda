"""What is in one's trash: of all kinds, in pages, and nobody else's."""

from datetime import datetime, timedelta
from uuid import UUID

import httpx

from models.database.sql import row
from models.domain.kinds import KINDS, TABLES, TRASHABLE
from models.domain.values import Subject
from models.records import lifecycles
from tests.unit.api.bench import Api, Bench, Client, Json, problems


async def trashed(who: Client, kind: str) -> Json:
    """A record that its owner has deleted."""
    made: Json = await getattr(who, kind)()
    assert (await who.delete(f"/{KINDS[kind].plural}/{made['_id']}")).status_code == 202
    return made


async def test_what_is_deleted_of_each_kind_is_there_until_it_is_restored_or_purged(bench: Bench) -> None:
    api = bench.api(trash_days=3)
    assert await api.alice.got("/trash") == []
    made = {kind: await trashed(api.alice, kind) for kind in TRASHABLE}
    found = await api.alice.got("/trash")
    # The latest first.
    assert [(one["kind"], one["_id"], one["name"]) for one in found] == [
        (kind, made[kind]["_id"], made[kind]["name"]) for kind in reversed(TRASHABLE)
    ]
    for one in found:
        deleted, gone = (datetime.fromisoformat(one[name]) for name in ("trashed_at", "purged_at"))
        assert gone - deleted == timedelta(days=3)
    first, *others = TRASHABLE
    assert (await api.alice.post(f"/{KINDS[first].plural}/{made[first]['_id']}/restore")).status_code == 202
    assert {one["kind"] for one in await api.alice.got("/trash")} == {*others}
    for kind in others:
        await lifecycles.purge(Subject(kind, UUID(made[kind]["_id"])))
    assert await api.alice.got("/trash") == []


async def test_nobody_sees_what_others_have_deleted(api: Api) -> None:
    dataset = await api.alice.dataset()
    share = {"relation": "write", "userArray": api.bob.email}
    assert (await api.alice.post(f"/datasets/{dataset['_id']}/share", json=share)).status_code == 202
    assert (await api.admin.delete(f"/datasets/{dataset['_id']}")).status_code == 202
    for who in (api.bob, api.admin):
        assert await who.got("/trash") == []
    # It is its owner's, whoever has deleted it.
    assert [one["_id"] for one in await api.alice.got("/trash")] == [dataset["_id"]]
    assert (await api.nobody.get("/trash")).status_code == 401


async def test_it_comes_in_pages_whatever_was_deleted_at_the_same_moment(api: Api) -> None:
    made = [await trashed(api.alice, TRASHABLE[number % len(TRASHABLE)]) for number in range(5)]
    for kind in TRASHABLE:
        await row(
            f"UPDATE {TABLES[kind]} SET trashed_at = '2026-01-01T00:00:00.123456Z' WHERE owner = :alice",  # noqa: S608
            alice=api.alice.caller.id,
        )
    pages = await api.alice.pages("/trash?limit=2")
    assert [len(one) for one in pages] == [2, 2, 1]
    assert sorted(identity for one in pages for identity in one) == sorted(one["_id"] for one in made)
    cursor = httpx.URL((await api.alice.get("/trash?limit=2")).links["next"]["url"]).params["cursor"]
    assert problems(await api.bob.get("/trash", params={"cursor": cursor})) == {"cursor"}
    # What came meanwhile is in nobody's way.
    later = await trashed(api.alice, TRASHABLE[0])
    rest = await api.alice.got("/trash", limit="2", cursor=cursor)
    assert later["_id"] not in {one["_id"] for one in rest}
    assert [one["_id"] for one in rest] == pages[1]
