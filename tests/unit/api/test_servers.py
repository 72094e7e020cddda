"""Servers over the API: making them, wishing of them, and who may."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

import pytest

from models.database import lists
from models.database.sql import row, rows
from models.domain.values import Subject
from models.records import server_settling, server_watch
from tests.unit.api.bench import NOBODY, TEMPLATE, Api, Bench, Client, Json, problems, unique


async def runs(server: Json, *, url: str | None = None) -> UUID:
    """Have a server run as far as the record says, perhaps with a link; its id."""
    identity = UUID(server["_id"])
    await row(
        """UPDATE server SET observed = 'running', wish = 'running', started_once = true, share_url = :url,
                  share_expires_at = now() + interval '1 h' WHERE id = :id""",
        url=url,
        id=identity,
    )
    return identity


@pytest.mark.parametrize(
    ("started_once", "reason"),
    [
        (False, "The server was never started; JupyterHub makes links of servers that run."),
        (True, "There is no link; start the server to get a new one."),
    ],
)
async def test_a_server_that_does_not_run_has_no_link_and_says_why(api: Api, started_once: bool, reason: str) -> None:
    server = await api.alice.server(name=unique("Lab "))
    await row(
        """UPDATE server SET started_once = :once, share_url = 'http://x/', share_expires_at = now() - interval '1 s'
            WHERE id = :id""",
        once=started_once,
        id=UUID(server["_id"]),
    )
    api.bench.wakes.subjects.clear()
    share = await api.alice.got(f"/servers/{server['_id']}/share")
    assert (share["url"], share["reason"]) == (None, reason)
    assert api.bench.wakes.subjects == []


async def test_only_the_owner_who_asks_has_a_link_made_and_once(api: Api) -> None:
    server = await api.alice.server(name=unique("Lab "))
    await runs(server)
    path = f"/servers/{server['_id']}/share"

    async def made() -> int:
        return len(await api.alice.got("/operations", subject=server["_id"], kind="server.share"))

    await api.alice.got(path, look="true")
    await api.admin.got(path)
    assert (await api.bob.get(path)).status_code == 404
    assert await made() == 0
    for _ in range(2):
        assert (await api.alice.got(path))["url"] is None
    assert await made() == 1
    assert api.bench.wakes.subjects[-1] == Subject("server-access", UUID(server["_id"]))
    assert "operation" not in await api.alice.got(f"/servers/{server['_id']}"), "the server itself is at rest"
    await runs(server, url="http://x/")
    assert (await api.alice.got(path))["url"] == "http://x/"


async def test_a_link_that_is_taken_back_is_told_to_nobody_from_then_on(api: Api) -> None:
    server, other = await api.alice.server(name=unique("Lab ")), await api.alice.server(name=unique("Lab "))
    for one in (server, other):
        await runs(one, url="http://x/")
    path = f"/servers/{server['_id']}/share"
    assert (await api.bob.delete(path)).status_code == 404
    assert (await api.alice.got(path, look="true"))["url"] == "http://x/"
    taken = await api.alice.delete(path, params={"email": api.bob.email})
    assert taken.status_code == 202
    assert taken.json()["kind"] == "server.unshare"
    assert (await api.alice.got(path, look="true"))["url"] is None
    assert (await api.alice.got(f"/servers/{other['_id']}/share", look="true"))["url"] == "http://x/"
    (result,) = await api.alice.got(f"/operations/{taken.json()['_id']}/results")
    assert (result["entity"], result["type"], result["outcome"]) == (api.bob.email, "user", "not_shared")
    # What is told of an address does not hang on whether anybody has it.
    nobodys = await api.alice.delete(path, params={"email": f"not-{api.bob.email}"})
    (told,) = await api.alice.got(f"/operations/{nobodys.json()['_id']}/results")
    assert told == result | {"entity": f"not-{api.bob.email}"}
    assert (await api.alice.post(f"/operations/{taken.json()['_id']}/cancel")).status_code == 409
    assert (await api.admin.delete(path)).status_code == 202
    assert problems(await api.alice.delete(path, params={"email": "nobody"})) == {"email"}


async def test_people_list_their_shared_servers_and_admins_everybodys(api: Api) -> None:
    shared, told, quiet = [await api.alice.server(name=unique("Lab ")) for _ in range(3)]
    await runs(shared, url="http://x/")
    await runs(quiet)
    await row(
        """UPDATE server SET shared_with = jsonb_build_object('users', ARRAY[:bob::text], 'groups', ARRAY[]::text[])
            WHERE id = :id""",
        bob=api.bob.email,
        id=UUID(told["_id"]),
    )
    found = {one["_id"]: one for one in await api.alice.got("/servers/shares")}
    assert {*found} & {one["_id"] for one in (shared, told, quiet)} == {shared["_id"], told["_id"]}
    assert (found[shared["_id"]]["url"], found[shared["_id"]]["owner"]) == ("http://x/", api.alice.email)
    assert found[told["_id"]]["users"] == [api.bob.email]
    assert "url" not in found[told["_id"]]
    assert shared["_id"] in {one["_id"] for one in await api.admin.got("/servers/shares")}
    assert shared["_id"] in {one["_id"] for one in await api.admin.got("/servers/shares", owner=api.alice.email)}
    assert await api.bob.got("/servers/shares") == []
    assert (await api.bob.get("/servers/shares", params={"owner": api.alice.email})).status_code == 403


async def test_what_a_foreign_template_names_is_left_out_of_the_server(api: Api) -> None:
    dataset = await api.alice.dataset()
    module = await api.alice.module()
    secret = await api.alice.secret()
    named = {"dataset": dataset["_id"], "module": module["_id"], "secret": secret["_id"]}
    body = TEMPLATE | {f"{kind}s": [identity] for kind, identity in named.items()}
    template = (await api.alice.post("/template", json=body)).json()

    async def left_out(who: str) -> dict[str, str]:
        server = await api.person(who).launched(template)
        (operation,) = await api.person(who).got("/operations", subject=server["_id"], kind="server.create")
        assert all(one["reason"] for one in operation.get("left_out", []))
        # Absent and not empty where nothing is.
        assert operation.get("left_out") != []
        return {one["kind"]: one["_id"] for one in operation.get("left_out", [])}

    assert await left_out("alice") == {}
    assert await left_out("bob") == named
    share = {"relation": "read", "userArray": api.bob.email}
    await api.alice.made(f"/modules/{module['_id']}/share", **share)
    assert await left_out("bob") == {"dataset": dataset["_id"], "secret": secret["_id"]}
    await api.alice.made(f"/secret/share/{secret['_id']}", **share)
    assert await left_out("bob") == {"dataset": dataset["_id"]}


async def test_a_server_is_made_with_a_template_of_its_own(api: Api) -> None:
    answer = await api.alice.post("/servers", json=TEMPLATE | {"name": "My Lab", "public": False, "tags": ["x", "x"]})
    made = answer.json()
    assert answer.status_code == 200, answer.text
    assert (made["status"], made["owner"], made["applicationType"]) == ("stopped", api.alice.email, "jupyterlab")
    name = await api.alice.got("/whoami/jupyterhub")
    assert made["url"].endswith(f"/user/{name}/{made['name']}/")
    assert made["name"].startswith("my-lab-")
    template = await api.alice.got("/template", templateId=made["templateId"])
    assert template == made["templateData"]
    assert (template["name"], template["tags"], template["creator"]) == ("My Lab", ["x"], api.alice.email)
    read = await api.alice.get(f"/servers/{made['_id']}")
    assert (read.json(), read.headers["etag"]) == (made, answer.headers["etag"])
    (operation,) = await api.alice.got("/operations", subject=made["_id"])
    assert (operation["kind"], operation["status"]) == ("server.create", "succeeded")
    assert api.bench.wakes.subjects == []


async def test_what_is_no_template_makes_no_server(api: Api) -> None:
    for wrong, paths in (
        ({"hardware": "abacus"}, {"/hardware"}),
        ({"applicationType": "abacus"}, {"/applicationType"}),
        ({"applicationType": "streamlit", "filePath": "app.R"}, {"/filePath"}),
        ({"name": "", "public": None, "colour": "red"}, {"/name", "/public", "/colour"}),
    ):
        assert problems(await api.alice.post("/servers", json=TEMPLATE | wrong)) == paths
    assert await api.alice.got("/servers") == []
    assert await api.alice.got("/templates", email=api.alice.email) == []
    right = await api.alice.server(applicationType="streamlit", filePath="app.py")
    assert right["templateData"]["filePath"] == "app.py"


async def test_a_request_sent_again_makes_one_server(api: Api) -> None:
    key = {"idempotency-key": unique("k")}
    first, again = [await api.alice.post("/servers", json=TEMPLATE, headers=key) for _ in range(2)]
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert await api.alice.got("/servers") == [first.json()]


async def test_a_server_is_launched_from_a_template_that_is_public_or_ones_own(api: Api) -> None:
    private, public = await api.alice.template(public=False), await api.alice.template()
    assert (await api.alice.launched(private))["templateId"] == private["_id"]
    launched = await api.bob.launched(public)
    assert (launched["templateId"], launched["owner"]) == (public["_id"], api.bob.email)
    for template in (private["_id"], NOBODY, "lab", ""):
        assert (await api.bob.put("/servers", params={"templateId": template})).status_code == 404, template
    assert problems(await api.bob.put("/servers")) == {"templateId"}
    assert len(await api.bob.got("/servers")) == 1


async def test_a_server_is_its_owners_and_the_admins(api: Api) -> None:
    async def statuses(who: Client, server: Json) -> list[int]:
        path = f"/servers/{server['_id']}"
        return [
            (await who.get(path)).status_code,
            (await who.get(f"{path}/share")).status_code,
            (await who.put(f"{path}/start")).status_code,
            (await who.put(f"{path}/stop")).status_code,
            (await who.delete(path)).status_code,
        ]

    server = await api.alice.server()
    assert await statuses(api.nobody, server) == [401] * 5
    assert await statuses(api.bob, server) == [404] * 5
    assert api.bench.wakes.subjects == []
    for who in (api.alice, api.admin):
        assert await statuses(who, await api.alice.server()) == [200, 200, 202, 202, 202]
    assert await statuses(api.alice, {"_id": NOBODY}) == [404] * 5


async def test_a_start_is_a_wish_for_a_workflow_and_a_stop_takes_it_back(api: Api) -> None:
    server = await api.alice.server()
    path = f"/servers/{server['_id']}"
    start = await api.alice.put(f"{path}/start")
    assert (start.status_code, start.headers["location"]) == (202, f"/operations/{start.json()['_id']}")
    assert (start.json()["kind"], start.json()["status"]) == ("server.start", "queued")
    assert api.bench.wakes.subjects == [Subject("server", UUID(server["_id"]))]
    again = await api.alice.put(f"{path}/start")
    assert again.json()["_id"] == start.json()["_id"], "who wishes the same joins"
    seen = await api.alice.got(path)
    assert (seen["status"], seen["operation"]) == ("starting", start.json()["_id"])
    stop = (await api.alice.put(f"{path}/stop")).json()
    assert (stop["kind"], stop["status"]) == ("server.stop", "queued")
    assert await server_settling.settle_stopped(UUID(server["_id"]), 2)
    cancelled = await api.alice.got(f"/operations/{start.json()['_id']}")
    assert (cancelled["status"], cancelled["superseded_by"]) == ("cancelled", stop["_id"])
    assert (await api.alice.got(path))["status"] == "stopped"


async def test_a_page_is_told_since_when_a_server_runs_and_why_it_stopped(api: Api) -> None:
    server = await api.alice.server()
    identity, path = UUID(server["_id"]), f"/servers/{server['_id']}"
    assert datetime.fromisoformat(server["created_at"]).utcoffset() == timedelta(0)
    assert {"started_at", "last_activity", "stopped_reason", "shared_with"}.isdisjoint(server)
    await api.alice.put(f"{path}/start")
    await server_settling.settle_running(identity, 1, 1)
    runs = await api.alice.got(path)
    assert datetime.fromisoformat(runs["started_at"]) > datetime.fromisoformat(server["created_at"])
    assert "stopped_reason" not in runs
    assert (await api.admin.put(f"{path}/stop")).status_code == 202
    stops = await api.alice.got(path)
    reason = dict(stops["stopped_reason"])
    assert datetime.fromisoformat(reason.pop("at")).utcoffset() == timedelta(0)
    message = f"{api.admin.email} stopped the server."
    assert reason == {"by": "person", "reason": "person", "who": api.admin.email, "message": message}
    (listed,) = await api.alice.got("/servers")
    assert listed == stops
    assert (await api.bob.get(path)).status_code == 404


async def test_the_log_of_a_server_is_for_its_owner_and_admins_while_it_runs(bench: Bench) -> None:
    api = bench.api()
    server = await api.alice.server()
    identity, path = UUID(server["_id"]), f"/servers/{server['_id']}/log"
    bench.wakes.logs[identity] = "one\ntwo"
    stopped = await api.alice.get(path)
    assert (stopped.status_code, "last_error" in stopped.json()["error"]["hint"]) == (409, True)
    await api.alice.put(f"/servers/{server['_id']}/start")
    # One that does not come up is looked at most.
    assert await api.alice.got(path) == await api.admin.got(path) == {"log": "one\ntwo"}
    await server_settling.settle_running(identity, 1, 1)
    assert await api.alice.got(path) == {"log": "one\ntwo"}
    # With whom it is shared in JupyterHub may use it, and manages nothing.
    guests = '{"users": ["' + api.bob.email + '"], "groups": []}'
    await row("UPDATE server SET shared_with = :guests::jsonb WHERE id = :id", guests=guests, id=identity)
    assert (await api.bob.get(path)).status_code == 404
    assert (await api.nobody.get(path)).status_code == 401
    bench.wakes.away = True
    assert (await api.alice.get(path)).status_code == 503
    bench.wakes.away = False
    del bench.wakes.logs[identity]
    missing = await api.alice.get(path)
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "LOG_MISSING")


async def test_the_use_of_a_server_changes_what_is_shown_and_no_version(api: Api) -> None:
    server = await api.alice.server()
    path = f"/servers/{server['_id']}"
    before = (await api.alice.get(path)).headers["etag"]
    await server_watch.note_activity({UUID(server["_id"]): datetime(2026, 11, 27, tzinfo=UTC)})
    seen = await api.alice.get(path, headers={"if-none-match": before})
    assert (seen.status_code, seen.json()["last_activity"]) == (200, "2026-11-27T00:00:00Z")
    assert seen.headers["etag"] != before
    assert (await api.alice.put(f"{path}/start", headers={"if-match": before})).status_code == 202


async def test_a_list_says_with_how_many_each_is_shared(api: Api) -> None:
    shared, groups, quiet = [await api.alice.server() for _ in range(3)]
    for server, whom in (
        (shared, '{"users": ["b@x.org", "c@x.org"], "groups": ["g"]}'),
        (groups, '{"groups": ["g"]}'),
        (quiet, '{"users": [], "groups": []}'),
    ):
        await row("UPDATE server SET shared_with = :whom::jsonb WHERE id = :id", whom=whom, id=UUID(server["_id"]))
    listed = {one["_id"]: one.get("shared_with") for one in await api.alice.got("/servers")}
    assert listed[shared["_id"]] == {"people": 2, "groups": 1}
    assert listed[groups["_id"]] == {"people": 0, "groups": 1}
    assert listed[quiet["_id"]] is None
    assert (await api.alice.got(f"/servers/{shared['_id']}"))["shared_with"] == listed[shared["_id"]]


async def test_what_is_stopped_is_stopped_at_once(api: Api) -> None:
    server = await api.alice.server()
    stop = await api.alice.put(f"/servers/{server['_id']}/stop")
    assert (stop.status_code, stop.json()["status"]) == (200, "succeeded")
    assert api.bench.wakes.subjects == []


@pytest.mark.parametrize(("method", "verb"), [("PUT", "/start"), ("PUT", "/stop"), ("DELETE", "")])
async def test_a_wish_about_an_older_server_is_refused(api: Api, method: str, verb: str) -> None:
    path = f"/servers/{(await api.alice.server())['_id']}"
    old = (await api.alice.get(path)).headers["etag"]
    await api.alice.put(f"{path}/start")
    assert (await api.alice.request(method, f"{path}{verb}", headers={"if-match": old})).status_code == 412
    new = (await api.alice.get(path)).headers["etag"]
    assert (await api.alice.request(method, f"{path}{verb}", headers={"if-match": new})).status_code == 202


async def test_a_server_that_is_being_deleted_takes_no_other_wish(api: Api) -> None:
    path = f"/servers/{(await api.alice.server())['_id']}"
    deletion = (await api.alice.delete(path)).json()
    assert (deletion["kind"], deletion["status"]) == ("server.delete", "queued")
    for verb in ("start", "stop"):
        refused = await api.alice.put(f"{path}/{verb}")
        assert (refused.status_code, bool(refused.json()["error"]["hint"])) == (409, True)
    assert (await api.alice.delete(path)).json()["_id"] == deletion["_id"]


async def test_lists_of_servers_are_ones_own_and_narrowed_by_type_and_name(api: Api) -> None:
    lab, dashboard = await api.alice.server(), await api.alice.server(type="dashboard")
    hers = await api.bob.server()

    async def listed(who: Client, **query: str) -> list[str]:
        return [one["_id"] for one in await who.got("/servers", **query)]

    assert await api.alice.pages("/servers?limit=1") == [[dashboard["_id"]], [lab["_id"]]]
    assert await listed(api.alice, type="dashboard") == [dashboard["_id"]]
    assert await listed(api.alice, name=lab["name"]) == [lab["_id"]]
    assert await listed(api.alice, name="none") == []
    assert await listed(api.alice, owner=api.alice.email) == [dashboard["_id"], lab["_id"]]
    assert (await api.alice.get("/servers", params={"owner": api.bob.email})).status_code == 403
    assert await listed(api.admin, owner=api.bob.email) == [hers["_id"]]
    assert await listed(api.admin, owner="nobody@example.org") == []
    assert (await listed(api.admin))[:3] == [hers["_id"], dashboard["_id"], lab["_id"]]


NAMES = ("İstanbul Straße", "ΣΑΣ ΟΔΟΣ", "100%_ off", "a'b\"c\\d", "ﬁne Ǆungla", "日本語 🦀", "Rare: x", "rare: X")
SOUGHT = (
    "i",
    "İ",
    "STRASSE",
    "straße",
    "ΟΔΟΣ",
    "οδος",
    "ς",
    "%",
    "_",
    "%_",
    "\\",
    "'b\"",
    "FI",
    "ﬁ",
    "ǅ",
    "本",
    "語 🦀",
)
WAYS = {"among the newest": (1000, 1000), "by the index": (1, 1000), "from the newest on": (1, 0)}


@pytest.mark.parametrize("type", [None, "search"])
@pytest.mark.parametrize("way", WAYS)
async def test_a_part_of_a_name_finds_the_same_servers_however_it_is_looked_for(
    api: Api, monkeypatch: pytest.MonkeyPatch, way: str, type: str | None
) -> None:
    made = [(await api.alice.server(name=name, type="search"))["_id"] for name in NAMES]
    await api.bob.server(type="search")
    newest, few = WAYS[way]
    monkeypatch.setattr(lists, "FIRST", newest)
    monkeypatch.setattr(lists, "FEW", few)
    narrowed = {"type": type} if type else {}
    for sought in (*SOUGHT, *NAMES, "rare", "RARE: X", "none is called so", "zqx", "x" * 3000):
        wanted = await rows(
            """SELECT id::text FROM server WHERE id = ANY(:made::uuid[])
                  AND (strpos(lower(name), lower(:sought)) > 0
                       OR strpos(lower(template_data ->> 'name'), lower(:sought)) > 0) ORDER BY id DESC""",
            made=made,
            sought=sought,
        )
        for limit in ("1", "1000"):
            query = urlencode({"name": sought, "limit": limit, **narrowed})
            found = [one for page in await api.admin.pages(f"/servers?{query}") for one in page if one in made]
            assert found == [one["id"] for one in wanted], (sought, limit)


async def test_a_server_is_found_by_the_names_that_it_has(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "FIRST", 1)
    first, second = unique("First "), unique("Second ")
    server = await api.alice.server(name=first)
    await api.bob.server()

    async def found(name: str) -> list[str]:
        return [one["_id"] for one in await api.admin.got("/servers", name=name)]

    assert (await found(first), await found(second)) == ([server["_id"]], [])
    await api.alice.patch("/template", params={"templateId": server["templateId"]}, json={"name": second})
    assert (await found(first), await found(second)) == ([], [server["_id"]])
    await row("DELETE FROM server WHERE id = :id", id=UUID(server["_id"]))
    left = await rows("SELECT FROM server_search WHERE server = :id", id=UUID(server["_id"]))
    assert (await found(second), left) == ([], [])
