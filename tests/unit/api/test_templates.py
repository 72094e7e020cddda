"""Templates over the API: what is answered, and what is refused with which field named."""

from uuid import UUID

import pytest

from models.database.sql import row
from models.records import templates
from tests.unit.api.bench import NOBODY, TEMPLATE, Api, Bench, Client, Json, problems, unique


async def test_a_template_names_only_what_its_creator_may_use(api: Api) -> None:
    mine, hers = (
        await api.bob.dataset(),
        await api.alice.dataset(),
    )
    body = TEMPLATE | {"datasets": [mine["_id"], hers["_id"], NOBODY]}
    assert problems(await api.bob.post("/template", json=body)) == {"/datasets/1", "/datasets/2"}
    body["datasets"] = [mine["_id"]]
    template = (await api.bob.post("/template", json=body)).json()
    change = {"datasets": [hers["_id"]]}
    for who in ("bob", "admin"):
        answer = await api.person(who).patch("/template", params={"templateId": template["_id"]}, json=change)
        assert problems(answer) == {"/datasets/0"}
    server = await api.alice.launched(template)
    (operation,) = (await api.alice.get("/operations", params={"subject": server["_id"]})).json()
    assert [one["_id"] for one in operation["left_out"]] == [mine["_id"]]


async def test_a_template_names_only_modules_that_its_creator_may_use(api: Api) -> None:
    hers, mine, gone = await api.alice.module(), await api.bob.module(), await api.bob.module()
    await api.bob.delete(f"/modules/{gone['_id']}")
    body = TEMPLATE | {"modules": [one["_id"] for one in (hers, mine, gone)] + [NOBODY]}
    for path in ("/template", "/servers"):
        answer = await api.bob.post(path, json=body)
        assert problems(answer) == {"/modules/0", "/modules/2", "/modules/3"}
    # An id is one of its kind alone.
    wrong_kind = TEMPLATE | {"datasets": [mine["_id"]], "secrets": [mine["_id"]], "modules": [mine["_id"]]}
    assert problems(await api.bob.post("/template", json=wrong_kind)) == {"/datasets/0", "/secrets/0"}
    template = (await api.bob.post("/template", json=TEMPLATE | {"modules": [mine["_id"]]})).json()
    assert template["modules"] == [mine["_id"]]
    change, query = {"modules": [mine["_id"], hers["_id"]]}, {"templateId": template["_id"]}
    for who in ("bob", "admin"):
        assert problems(await api.person(who).patch("/template", params=query, json=change)) == {"/modules/1"}
    await api.alice.made(f"/modules/{hers['_id']}/share", relation="read", userArray=api.bob.email)
    assert (await api.bob.patch("/template", params=query, json=change)).json()["modules"] == change["modules"]


async def refusals(api: Api, secrets: list[str]) -> list[set[str]]:
    """What is refused of secrets in a new template, in that of a new server, and in a changed one."""
    body = TEMPLATE | {"secrets": secrets}
    template = (await api.alice.template())["_id"]
    answers = [await api.alice.post(path, json=body) for path in ("/template", "/servers")]
    answers.append(await api.alice.patch("/template", params={"templateId": template}, json={"secrets": secrets}))
    return [problems(answer) if answer.status_code == 422 else set() for answer in answers]


async def test_a_template_names_only_secrets_that_its_creator_may_use(api: Api) -> None:
    mine, hers, gone = await api.alice.secret(), await api.bob.secret(), await api.alice.secret()
    await api.alice.delete(f"/secret/{gone['_id']}")
    named = [one["_id"] for one in (mine, hers, gone)]
    assert await refusals(api, [*named, NOBODY]) == [{"/secrets/1", "/secrets/2", "/secrets/3"}] * 3
    await api.bob.made(f"/secret/share/{hers['_id']}", relation="read", userArray=api.alice.email)
    assert await refusals(api, named[:2]) == [set()] * 3
    # To administer a secret is not to use it.
    body = TEMPLATE | {"secrets": [mine["_id"]]}
    assert problems(await api.admin.post("/template", json=body)) == {"/secrets/0"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"type": "env_var", "secretName": "A_KEY"}, {"type": "env_var", "secretName": "A_KEY"}),
        (
            {"type": "env_var", "secretName": "A_KEY", "mount_path": "/opt/secret/a"},
            {"type": "env_var", "secretName": "A_KEY", "mount_path": "/opt/secret/b"},
        ),
        ({"type": "raw", "mount_path": "/opt/secret/a"}, {"type": "raw", "mount_path": "/opt/secret/a"}),
        ({"type": "raw", "mount_path": "/opt/secret/a"}, {"type": "file", "mount_path": "/opt/secret/a"}),
        ({"type": "file", "mount_path": "/opt/secret/a"}, {"type": "file", "mount_path": "/opt/secret/a/b/c"}),
        ({"type": "raw", "mount_path": "/opt/secret/a"}, {"type": "file", "mount_path": "/opt/secret/a/b"}),
        ({"type": "file"}, {"type": "raw", "mount_path": "/opt/secret/{}"}),
        ({"type": "raw"}, {"type": "file", "mount_path": "/opt/secret/{}/b"}),
    ],
    ids=str,
)
async def test_secrets_in_each_others_way_are_in_no_template(api: Api, one: Json, other: Json) -> None:
    first = (await api.alice.secret(**one))["_id"]
    if "mount_path" in other:
        other = other | {"mount_path": other["mount_path"].format(first)}
    second = (await api.alice.secret(**other))["_id"]
    assert await refusals(api, [first, second]) == [{"/secrets/1"}] * 3
    assert await refusals(api, [second, first]) == [{"/secrets/1"}] * 3
    between = (await api.alice.secret())["_id"]
    assert await refusals(api, [second, between, first]) == [{"/secrets/2"}] * 3


async def test_secrets_beside_each_other_are_in_one_template(api: Api) -> None:
    places: list[Json] = [
        {"type": "env_var", "secretName": "A_KEY", "mount_path": "/opt/secret/a"},
        {"type": "env_var", "secretName": "a_key", "mount_path": "/opt/secret/a"},
        {"type": "raw", "secretName": "A_KEY", "mount_path": "/opt/secret/a"},
        {"type": "raw", "secretName": "A_KEY", "mount_path": "/opt/secret/ab"},
        {"type": "file", "secretName": "A_KEY", "mount_path": "/opt/secret/A"},
        {"type": "file", "secretName": "A_KEY", "mount_path": "/run/secrets/a"},
        {"type": "file", "secretName": "A_KEY"},
        {"type": "raw", "secretName": "A_KEY"},
    ]
    made = [(await api.alice.secret(**place))["_id"] for place in places]
    assert await refusals(api, made) == [set()] * 3
    # One secret is not in its own way.
    assert await refusals(api, [made[0], made[2], made[0], made[2]]) == [set()] * 3


def at(template: Json) -> dict[str, str]:
    """The query that names a template."""
    return {"templateId": template["_id"]}


async def test_a_template_is_made_and_read(api: Api) -> None:
    given = {"name": "My Lab", "description": "for\nmice", "tags": ["b", "a", "b"], "featuredImage": "mouse.png"}
    answer = await api.alice.post("/template", json=TEMPLATE | given)
    made = answer.json()
    assert answer.status_code == 200, answer.text
    assert made == TEMPLATE | given | {
        "_id": made["_id"],
        "creator": api.alice.email,
        "serverName": "my-lab",
        "timestamp": made["timestamp"],
        "tags": ["b", "a"],
        "datasets": [],
        "modules": [],
        "secrets": [],
    }
    read = await api.alice.get("/template", params=at(made))
    assert (read.json(), read.headers["etag"]) == (made, answer.headers["etag"])
    (operation,) = await api.alice.got("/operations", subject=made["_id"])
    assert (operation["kind"], operation["status"]) == ("template.create", "succeeded")


async def test_a_private_template_is_its_creators_and_the_admins(api: Api) -> None:
    private, public = await api.alice.template(public=False), await api.alice.template()

    async def statuses(who: Client, template: Json) -> list[int]:
        return [
            (await who.get("/template", params=at(template))).status_code,
            (await who.patch("/template", params=at(template), json={"description": "x"})).status_code,
            (await who.delete("/template", params={"id": template["_id"]})).status_code,
        ]

    assert await statuses(api.nobody, public) == [401] * 3
    assert await statuses(api.bob, private) == [404] * 3
    assert await statuses(api.bob, public) == [200, 403, 403]
    assert await statuses(api.alice, private) == [200, 200, 204]
    assert await statuses(api.admin, public) == [200, 200, 204]
    for missing in (private, {"_id": NOBODY}, {"_id": "lab"}, {"_id": ""}):
        assert await statuses(api.alice, missing) == [404] * 3


@pytest.mark.parametrize(
    ("wrong", "paths", "right"),
    [
        ({"hardware": "abacus"}, {"/hardware"}, {"hardware": "cpuSmall"}),
        ({"applicationType": "abacus"}, {"/applicationType"}, {"applicationType": "vscode"}),
        (
            {"applicationType": "streamlit", "filePath": "app.R"},
            {"/filePath"},
            {"applicationType": "streamlit", "filePath": "app.py"},
        ),
        ({"name": ""}, {"/name"}, {"name": "Labor\u00e4"}),
        ({"name": "a\nb", "hardware": ""}, {"/name", "/hardware"}, {"name": "b"}),
        ({"public": "yes", "tags": [1]}, {"/public", "/tags/0"}, {"public": False, "tags": []}),
        ({"datasets": ["x"], "modules": [NOBODY]}, {"/datasets/0", "/modules/0"}, {"datasets": [], "modules": []}),
        ({"serverName": "mine"}, {"/serverName"}, {}),
    ],
    ids=lambda given: "" if isinstance(given, set) else str(given),
)
async def test_what_cannot_be_is_refused_in_a_new_and_in_a_changed_template(
    api: Api, wrong: Json, paths: set[str], right: Json
) -> None:
    assert problems(await api.alice.post("/template", json=TEMPLATE | wrong)) == paths
    made = await api.alice.template(**right)
    assert problems(await api.alice.patch("/template", params=at(made), json=wrong)) == paths
    assert await api.alice.got("/template", **at(made)) == made
    assert (await api.alice.patch("/template", params=at(made), json=right)).json() == made


async def test_what_is_not_given_stays_as_it_is(api: Api) -> None:
    made = await api.alice.template(featuredImage="mouse.png", tags=["a"])
    change = {"name": "Your Lab", "tags": ["b", "c", "b"], "featuredImage": None}
    changed = (await api.alice.patch("/template", params=at(made), json=change)).json()
    del made["featuredImage"]
    assert changed == made | {"name": "Your Lab", "serverName": "your-lab", "tags": ["b", "c"]}
    assert (await api.alice.patch("/template", params=at(made), json={})).json() == changed


async def test_only_an_admin_gives_a_template_to_somebody_else(api: Api) -> None:
    made = await api.alice.template()
    change = {"creator": api.bob.email}
    assert problems(await api.alice.patch("/template", params=at(made), json=change)) == {"/creator"}
    nobody = {"creator": f"{unique('no')}@example.org"}
    assert problems(await api.admin.patch("/template", params=at(made), json=nobody)) == {"/creator"}
    assert (await api.alice.patch("/template", params=at(made), json={"creator": api.alice.email})).status_code == 200
    given = (await api.admin.patch("/template", params=at(made), json=change)).json()
    assert given["creator"] == api.bob.email
    assert (await api.alice.delete("/template", params={"id": made["_id"]})).status_code == 403
    assert (await api.bob.delete("/template", params={"id": made["_id"]})).status_code == 204


async def test_who_makes_a_featured_template_is_a_setting(bench: Bench) -> None:
    open_to_all = bench.api(featured_templates_by_admins_only=False)
    body = TEMPLATE | {"type": "featured"}
    for path in ("/template", "/servers"):
        for strict in (bench.api(), bench.api(featured_templates_by_admins_only=False, featured_by_admins_only=True)):
            assert problems(await strict.alice.post(path, json=body)) == {"/type"}
            assert (await strict.admin.post(path, json=body)).status_code == 200
        assert (await open_to_all.alice.post(path, json=body)).status_code == 200


async def test_a_stale_change_is_refused(api: Api) -> None:
    made = await api.alice.template()
    old = {"if-match": (await api.alice.get("/template", params=at(made))).headers["etag"]}
    first = await api.alice.patch("/template", params=at(made), json={"description": "x"}, headers=old)
    assert first.status_code == 200
    again = await api.alice.patch("/template", params=at(made), json={"description": "y"}, headers=old)
    assert again.status_code == 412
    by_id, new = {"id": made["_id"]}, {"if-match": first.headers["etag"]}
    assert (await api.alice.delete("/template", params=by_id, headers=old)).status_code == 412
    assert (await api.alice.delete("/template", params=by_id, headers=new)).status_code == 204


async def test_a_template_stays_while_servers_of_its_creator_use_it(api: Api) -> None:
    made = await api.alice.template()
    hers = await api.bob.launched(made)
    mine = await api.alice.launched(made)
    by_id = {"id": made["_id"]}
    assert (await api.alice.delete("/template", params=by_id)).status_code == 409
    await row("DELETE FROM server WHERE id = :id", id=UUID(mine["_id"]))
    assert (await api.alice.delete("/template", params=by_id)).status_code == 204
    assert (await api.bob.got(f"/servers/{hers['_id']}"))["templateData"]["name"] == made["name"]


async def test_lists_of_templates_are_what_is_public_or_ones_own(api: Api) -> None:
    kind = unique("kind")
    private, public = await api.alice.template(public=False, type=kind), await api.alice.template(type=kind)
    other = await api.bob.template(type=kind)

    async def listed(who: Client, **query: str) -> list[str]:
        return [one["_id"] for one in await who.got("/templates", type=kind, **query)]

    assert await listed(api.alice) == [other["_id"], public["_id"], private["_id"]]
    assert await listed(api.bob) == [other["_id"], public["_id"]]
    assert await listed(api.bob, email=api.alice.email) == [public["_id"]]
    assert await listed(api.bob, email="nobody@example.org") == []
    assert await api.alice.pages(f"/templates?type={kind}&limit=2") == [[other["_id"], public["_id"]], [private["_id"]]]
    assert (await api.nobody.get("/templates")).status_code == 401


async def test_tags_are_counted_over_what_one_sees(api: Api) -> None:
    kind = unique("kind")
    await api.alice.template(type=kind, tags=["b", "a"])
    await api.alice.template(type=kind, tags=["b", "c"])
    await api.alice.template(type=kind, tags=["b", "secret"], public=False)

    async def counted(who: Client, **query: str) -> list[tuple[str, int]]:
        return [(one["name"], one["count"]) for one in await who.got("/templates/tags", type=kind, **query)]

    assert await counted(api.bob) == [("b", 2), ("a", 1), ("c", 1)]
    assert await counted(api.alice) == [("b", 3), ("a", 1), ("c", 1), ("secret", 1)]
    assert await counted(api.alice, email=api.bob.email) == []


async def test_many_tags_of_one_person_push_nobody_elses_out(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "MOST_TAGS", 4)
    kind = unique("kind")
    for _ in range(2):
        await api.alice.template(type=kind, tags=[f"many{number}" for number in range(6)])
    await api.bob.template(type=kind, tags=["rare"])
    found = await api.bob.got("/templates/tags", type=kind)
    assert [(one["name"], one["count"]) for one in found] == [("many0", 2), ("many1", 2), ("many2", 2), ("rare", 1)]
