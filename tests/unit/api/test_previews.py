"""What a preview says is what then happens, and nothing is kept of it."""

import asyncio
import contextvars
from typing import Any
from uuid import UUID

from models.database.sql import row, rows
from models.database.transactions import Transaction
from tests.unit.api.bench import TEMPLATE, Api, Client, Json, answered, problems, unique


async def kept() -> dict[str, int]:
    """How many rows there are of all that a write leaves, and the versions of what it changes."""
    tables = (
        *("operation", "operation_result", "audit", "access_grant", "idempotency", "server_mount", "person", "event"),
        *("server", "template", "group_member", "user_group", "group_stop"),
    )
    found = {}
    for table in tables:
        found[table] = (await rows(f"SELECT count(*) AS rows FROM {table}"))[0]["rows"]  # noqa: S608
    versions = "SELECT coalesce(sum(version), 0) + coalesce(sum(generation), 0) AS rows FROM "
    for table in ("server", "dataset"):
        found[f"changes of {table}"] = int((await rows(versions + table))[0]["rows"])
    return found


def reads(whom: Client) -> Json:
    """The body that shares something with somebody."""
    return {"relation": "read", "userArray": [whom.email]}


async def holds(server: Json, dataset: Json, kind: str = "dataset") -> None:
    """Have a server hold something, as a start would."""
    await row(
        """INSERT INTO server_mount (id, server, object, kind, writes, generation)
           VALUES (gen_random_uuid(), :server, :object, :kind, false, 1)""",
        kind=kind,
        server=UUID(server["_id"]),
        object=UUID(dataset["_id"]),
    )


async def previewed(client: Client, method: str, path: str, **request: Any) -> Json:
    before = await kept()
    headers = {"idempotency-key": unique("k")}
    params = {**request.pop("params", {}), "dry_run": "true"}
    answer = await client.request(method, path, params=params, headers=headers, **request)
    assert await kept() == before
    return answered(answer, 200)


async def test_a_share_is_as_it_was_foreseen(api: Api) -> None:
    dataset = await api.alice.dataset()
    path, body = f"/datasets/{dataset['_id']}/share", {"relation": "read", "userArray": [api.bob.email, "new@x.org"]}
    foreseen = await previewed(api.alice, "POST", path, json=body)
    assert (await api.bob.get(f"/datasets/{dataset['_id']}")).status_code == 404
    done = answered(await api.alice.post(path, json=body), 202)
    assert foreseen["kind"] == done["kind"] == "dataset.share"
    assert foreseen["results"] == await api.alice.got(f"/operations/{done['_id']}/results")
    assert foreseen["servers"] == 0
    assert "stops_at" not in foreseen
    assert api.bench.wakes.subjects[-1].id == UUID(dataset["_id"])


async def test_a_revoke_tells_how_many_servers_stop_and_not_whose(api: Api) -> None:
    dataset = await api.alice.dataset()
    path, body = f"/datasets/{dataset['_id']}", {"relation": "read", "userArray": [api.bob.email]}
    answered(await api.alice.post(f"{path}/share", json=body), 202)
    server = await api.bob.server()
    await holds(server, dataset)
    foreseen = await previewed(api.alice, "POST", f"{path}/revoke", json=body)
    assert (foreseen["servers"], foreseen["own_servers"]) == (1, [])
    assert foreseen["results"][0]["outcome"] == "revoked"
    assert foreseen["stops_at"]
    seen = await previewed(api.admin, "POST", f"{path}/revoke", json=body)
    assert seen["own_servers"] == [server["_id"]]
    assert (await api.bob.get(path)).status_code == 200
    # Who has it in another way as well keeps it.
    other = {"relation": "read", "userArray": ["nobody@x.org"]}
    assert (await previewed(api.alice, "POST", f"{path}/revoke", json=other))["servers"] == 0


async def test_the_end_of_a_servers_sharing_is_foreseen(api: Api) -> None:
    server = await api.alice.server()
    path = f"/servers/{server['_id']}/share"
    foreseen = await previewed(api.alice, "DELETE", path, params={"email": api.bob.email})
    assert [(one["entity"], one["outcome"]) for one in foreseen["results"]] == [(api.bob.email, "not_shared")]
    assert (await api.bob.delete(path, params={"dry_run": "true"})).status_code == 404
    done = answered(await api.alice.delete(path, params={"email": api.bob.email}), 202)
    assert foreseen["kind"] == done["kind"]
    assert foreseen["results"] == await api.alice.got(f"/operations/{done['_id']}/results")


async def test_a_deletion_is_foreseen(api: Api) -> None:
    dataset, server = await api.alice.dataset(), await api.alice.server()
    await holds(server, dataset)
    path = f"/datasets/{dataset['_id']}"
    foreseen = await previewed(api.alice, "DELETE", path)
    assert (foreseen["kind"], foreseen["own_servers"]) == ("dataset.delete", [server["_id"]])
    assert (await api.alice.get(path)).status_code == 200


async def test_a_start_says_what_it_would_leave_out(api: Api) -> None:
    dataset, secret = await api.alice.dataset(), await api.alice.secret()
    server = await api.alice.server(datasets=[dataset["_id"]], secrets=[secret["_id"]])
    foreseen = await previewed(api.alice, "PUT", f"/servers/{server['_id']}/start")
    # The dataset's directory is not there yet, and the secret has no value.
    assert {one["_id"] for one in foreseen["left_out"]} == {dataset["_id"], secret["_id"]}
    assert (foreseen["kind"], foreseen["status"]) == ("server.start", "queued")
    assert (await api.alice.got(f"/servers/{server['_id']}"))["status"] == "stopped"
    assert (await previewed(api.alice, "PUT", f"/servers/{server['_id']}/stop"))["status"] == "succeeded"
    assert (await previewed(api.alice, "DELETE", f"/servers/{server['_id']}"))["kind"] == "server.delete"


async def test_a_preview_is_refused_as_the_write_is(api: Api) -> None:
    dataset, server = await api.alice.dataset(), await api.alice.server()
    path, body = f"/datasets/{dataset['_id']}", {"relation": "read", "userArray": [api.bob.email]}
    ask = {"dry_run": "true"}
    assert (await api.bob.post(f"{path}/share", json=body, params=ask)).status_code == 404
    answered(await api.alice.post(f"{path}/share", json=body), 202)
    assert (await api.bob.post(f"{path}/share", json=body, params=ask)).status_code == 403
    assert (await api.bob.put(f"/servers/{server['_id']}/start", params=ask)).status_code == 404
    stale = {"if-match": '"0"'}
    assert (await api.alice.delete(f"/servers/{server['_id']}", headers=stale, params=ask)).status_code == 412
    unknown = {"relation": "read", "groupArray": ["none"]}
    assert (await api.alice.post(f"{path}/revoke", json=unknown, params=ask)).status_code == 422


async def test_quotas_refuse_a_preview_and_count_none(api: Api) -> None:
    limited = api.bench.api(quotas=("running_servers=1",))
    first, second = await limited.alice.server(), await limited.alice.server()
    for _ in range(3):
        await previewed(limited.alice, "PUT", f"/servers/{first['_id']}/start")
    answered(await limited.alice.put(f"/servers/{first['_id']}/start"), 202)
    refused = await limited.alice.put(f"/servers/{second['_id']}/start", params={"dry_run": "true"})
    assert refused.status_code in (409, 429)


async def test_a_launch_says_what_the_server_would_have_and_makes_none(api: Api) -> None:
    mine, others = await api.alice.dataset(), await api.bob.dataset()
    group = await api.alice.group()
    await row("UPDATE dataset SET observed = 'present' WHERE id = :id", id=UUID(mine["_id"]))
    await row("UPDATE user_group SET observed = 'present' WHERE id = :id", id=UUID(group["_id"]))
    answered(await api.bob.post(f"/datasets/{others['_id']}/share", json=reads(api.alice)), 202)
    template = await api.alice.template(datasets=[mine["_id"], others["_id"]])
    of_template = {"templateId": template["_id"]}
    for client, method, request in (
        (api.alice, "PUT", {"params": of_template}),
        (api.alice, "POST", {"json": TEMPLATE | {"datasets": [mine["_id"], others["_id"]]}}),
    ):
        foreseen = await previewed(client, method, "/servers", **request)
        assert (foreseen["kind"], foreseen["status"]) == ("server.create", "succeeded")
        inside = {one["_id"]: one for one in foreseen["inside"]}
        assert inside.keys() == {mine["_id"], group["_id"]}
        assert inside[mine["_id"]] == {
            **{"_id": mine["_id"], "kind": "dataset", "name": mine["name"], "owner": api.alice.email, "write": True}
        }
        assert "owner" not in inside[group["_id"]]
        # Its directory is not there yet.
        assert [one["_id"] for one in foreseen["left_out"]] == [others["_id"]]
    # Of whom nothing is shared with.
    foreseen = await previewed(api.bob, "PUT", "/servers", params=of_template)
    assert {one["_id"] for one in foreseen["left_out"]} == {mine["_id"], others["_id"]}
    assert all(one["reason"] for one in foreseen["left_out"])
    private = await api.alice.template(public=False)
    refused = await api.bob.put("/servers", params={"templateId": private["_id"], "dry_run": "true"})
    assert refused.status_code == 404
    wrong = await api.alice.post("/servers", json=TEMPLATE | {"hardware": "none"}, params={"dry_run": "true"})
    assert wrong.status_code == 422


async def test_a_launch_above_the_quota_is_refused_when_it_is_previewed(api: Api) -> None:
    limited = api.bench.api(quotas=("servers=1",))
    template = await limited.alice.template()
    of_template = {"templateId": template["_id"]}
    await previewed(limited.alice, "PUT", "/servers", params=of_template)
    await limited.alice.launched(template)
    refused = await limited.alice.put("/servers", params=of_template | {"dry_run": "true"})
    assert refused.status_code == 409


async def test_who_would_lose_what_is_deleted_is_told(api: Api) -> None:
    dataset, group = await api.alice.dataset(), await api.alice.group()
    path, members = f"/datasets/{dataset['_id']}", f"/groups/{group['_id']}/members"
    answered(await api.alice.post(f"{path}/share", json=reads(api.bob) | {"groupArray": [group["_id"]]}), 202)
    assert (await previewed(api.alice, "DELETE", path))["results"] == [
        {"type": "user", "entity": api.bob.email, "outcome": "lost", "detail": "read"},
        {"type": "group", "entity": group["name"], "outcome": "lost", "detail": "read"},
    ]
    answered(await api.alice.post(members, params={"memberEmail": "carol@x.org"}), 202)
    server = await api.alice.server()
    await holds(server, group, "group")
    foreseen = await previewed(api.alice, "DELETE", f"/groups/{group['_id']}")
    assert {one["entity"] for one in foreseen["results"]} == {api.alice.email, "carol@x.org"}
    assert (foreseen["servers"], foreseen["own_servers"]) == (1, [server["_id"]])
    # Who is no manager is not told, as a deletion is not for them.
    assert (await api.bob.delete(f"/groups/{group['_id']}", params={"dry_run": "true"})).status_code == 403
    for email in (api.admin.email, api.bob.email):
        answered(await api.alice.post(members, params={"memberEmail": email}), 202)
    held = await api.bob.server()
    await holds(held, group, "group")
    foreseen = await previewed(api.alice, "DELETE", f"{members}/{api.bob.email}")
    assert (foreseen["kind"], foreseen["servers"], foreseen["own_servers"]) == ("group.remove_member", 1, [])
    last = await api.alice.delete(f"{members}/{api.alice.email}", params={"dry_run": "true"})
    assert last.json()["error"]["code"] == "LAST_MANAGER"


async def test_a_template_that_is_used_is_not_deleted_in_a_preview_either(api: Api) -> None:
    template = await api.alice.template()
    ask = {"id": template["_id"]}
    assert (await previewed(api.alice, "DELETE", "/template", params=ask))["kind"] == "template.delete"
    assert (await api.bob.delete("/template", params=ask | {"dry_run": "true"})).status_code == 403
    await api.alice.launched(template)
    refused = await api.alice.delete("/template", params=ask | {"dry_run": "true"})
    assert answered(refused, 409)["error"]["code"] == "IN_USE"


async def test_what_cannot_be_previewed_is_not_done_instead(api: Api) -> None:
    dataset = await api.alice.dataset()
    for method, path, body in (
        ("PATCH", f"/datasets/{dataset['_id']}", {"description": "x"}),
        ("POST", "/groups", {"name": unique("g")}),
    ):
        before = await kept()
        answer = await api.alice.request(method, path, params={"dry_run": "true"}, json=body)
        assert problems(answer) == {"dry_run"}
        assert await kept() == before


async def test_nothing_is_begun_by_a_preview_and_its_key_is_free(api: Api) -> None:
    dataset = await api.alice.dataset()
    path, key = f"/datasets/{dataset['_id']}", {"idempotency-key": unique("k")}
    woken = len(api.bench.wakes.subjects)
    answered(await api.alice.post(f"{path}/share", json=reads(api.bob), params={"dry_run": "true"}, headers=key), 200)
    answered(await api.alice.delete(path, params={"dry_run": "true"}, headers=key), 200)
    assert len(api.bench.wakes.subjects) == woken
    answered(await api.alice.post(f"{path}/share", json=reads(api.bob), headers=key), 202)
    assert len(api.bench.wakes.subjects) == woken + 1


async def test_previews_and_writes_of_several_at_once_keep_nobody_waiting_for_long(api: Api) -> None:
    dataset = await api.alice.dataset()
    path = f"/datasets/{dataset['_id']}"
    asked = []
    for number in range(10):
        body = {"relation": "read", "userArray": [f"{number}@x.org"]}
        asked += [
            api.alice.post(f"{path}/share", json=body, params={"dry_run": "true"}),
            api.admin.post(f"{path}/share", json=body),
            api.admin.post(f"{path}/revoke", json=body, params={"dry_run": "true"}),
        ]
    answers = await asyncio.gather(*asked)
    assert [one.status_code for one in answers] == [200, 202, 200] * 10
    shared = await api.alice.got(f"{path}/access", type="user")
    assert {one["entity"] for one in shared} == {api.alice.email, *(f"{number}@x.org" for number in range(10))}


async def test_what_holds_a_record_keeps_a_preview_waiting_and_not_the_other_way_round(api: Api) -> None:
    dataset = await api.alice.dataset()
    path = f"/datasets/{dataset['_id']}"
    async with Transaction():
        await row("SELECT 1 FROM dataset WHERE id = :id FOR UPDATE", id=UUID(dataset["_id"]))
        # In a task of its own, which is not of this transaction.
        asked = contextvars.Context().run(asyncio.ensure_future, api.admin.delete(path, params={"dry_run": "true"}))
        assert (await asked).status_code == 409
    answered(await api.alice.delete(path, params={"dry_run": "true"}), 200)
    # No preview is left that holds anything.
    async with Transaction():
        await row("SELECT 1 FROM dataset WHERE id = :id FOR UPDATE NOWAIT", id=UUID(dataset["_id"]))
