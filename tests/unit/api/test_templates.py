"""Templates over the API: what is answered, and what is refused with which field named."""

import pytest

from tests.unit.api.bench import NOBODY, TEMPLATE, Api, Json, problems


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
