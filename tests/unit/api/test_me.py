"""Who one is, and what one may do: as the token, the groups and the quotas have it, and of nobody else."""

from typing import Any

import pytest
from msgspec import structs

from models.database.sql import row
from models.domain.values import Caller
from models.records import persons
from models.records.persons import MOST_MEMBERSHIPS, Identity
from tests.unit.api.bench import TEMPLATE, Api, Bench, Client, Json, unique

MADE_BY: dict[str, tuple[str, Json]] = {
    "create_server": ("/servers", TEMPLATE | {"public": False}),
    "create_template": ("/template", TEMPLATE | {"public": False}),
    "publish_template": ("/template", TEMPLATE),
    "feature_template": ("/template", TEMPLATE | {"type": "featured"}),
    "create_dataset": ("/datasets", {"name": "n"}),
    "create_module": ("/modules", {"name": "n", "version": "1"}),
    "feature_module": ("/modules", {"name": "n", "version": "1", "featured": True}),
    "create_secret": ("/secrets", {"secretName": "n", "type": "raw"}),
    "create_group": ("/groups", {"name": "n"}),
}
"""By what each that one can do is done."""
SETTINGS: dict[str, dict[str, Any]] = {
    "as they come": {},
    "open to all": {"featured_templates_by_admins_only": False},
    "admins alone": {"featured_by_admins_only": True},
    "nothing more": {
        "featured_templates_by_admins_only": False,
        "quotas": tuple(
            f"{name}=1"
            for name in (
                *("servers", "templates", "public_templates", "featured_templates"),
                *("datasets", "modules", "secrets", "groups", "running_servers"),
            )
        ),
    },
}


async def use_one_of_each(who: Client) -> None:
    server = await who.server(type="featured")
    await who.put(f"/servers/{server['_id']}/start")
    await who.dataset()
    await who.module()
    await who.secret()
    await who.group()


async def may(who: Client, path: str, body: Json) -> bool:
    named = {key: unique(value) if value == "n" else value for key, value in body.items()}
    answer = await who.post(path, json=named)
    assert answer.status_code in (200, 202, 403, 409, 422), answer.text
    return answer.is_success


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
async def test_who_is_told_that_something_can_be_done_can_do_it_and_nobody_else(
    bench: Bench, settings: dict[str, Any]
) -> None:
    api = bench.api(**settings)
    for who in (api.alice, api.admin):
        if "quotas" in settings:
            await use_one_of_each(who)
        can = (await who.got("/me"))["can"]
        assert set(can) == {*MADE_BY, "administer", "start_server"}
        for word, (path, body) in MADE_BY.items():
            if "quotas" in settings and word == "feature_module":
                continue  # it says whether modules may be featured, and there is room for none
            assert can[word] is await may(who, path, body), word
        assert can["start_server"] is (who is api.admin or "quotas" not in settings)
        assert can["administer"] is (who is api.admin)


async def test_one_is_told_who_one_is(bench: Bench) -> None:
    caller = await bench.join("carol")
    bench.callers["carol"] = structs.replace(caller, orgs=("biology", "physics"))
    api = bench.api()
    me = await api.person("carol").got("/me")
    assert (me["_id"], me["email"], me["admin"]) == (str(caller.id), caller.email, False)
    assert (me["organisations"], me["groups"]) == (["biology", "physics"], [])
    assert {"name", "more_groups"}.isdisjoint(me)
    assert me["usage"] == await api.person("carol").got("/me/usage")
    assert (await api.admin.got("/me"))["admin"] is True
    assert "limit" not in (await api.admin.got("/me"))["usage"]["servers"]
    assert (await api.nobody.get("/me")).status_code == 401


async def test_one_is_called_as_the_provider_says_until_it_says_otherwise(bench: Bench) -> None:
    subject, email = unique("s"), f"{unique('ada')}@example.org"

    async def called(name: str) -> str | None:
        identity = Identity(issuer="https://idp", subject=subject, email=email, email_verified=True, name=name)
        bench.callers["ada"] = Caller(id=await persons.bind(identity), email=email)
        found: str | None = (await bench.api().person("ada").got("/me")).get("name")
        return found

    assert await called("") is None
    assert await called("Ada L.") == "Ada L."
    # An access token need not say it.
    assert await called("") == "Ada L."
    assert await called("Ada Lovelace") == "Ada Lovelace"


async def test_who_was_invited_has_the_name_of_the_first_sign_in(api: Api) -> None:
    email = f"{unique('eve')}@example.org"
    dataset = await api.alice.dataset()
    share = {"relation": "read", "userArray": email}
    assert (await api.alice.post(f"/datasets/{dataset['_id']}/share", json=share)).status_code == 202
    identity = Identity(issuer="https://idp", subject=unique("s"), email=email, email_verified=True, name="Eve")
    api.bench.callers["eve"] = Caller(id=await persons.bind(identity), email=email)
    assert (await api.person("eve").got("/me"))["name"] == "Eve"


async def test_ones_groups_are_told_with_what_one_is_in_them(api: Api) -> None:
    own, joined, others = await api.alice.group(), await api.bob.group(), await api.bob.group()
    members = f"/groups/{joined['_id']}/members"
    assert (await api.bob.post(members, params={"memberEmail": api.alice.email})).status_code == 202
    roles = {one["_id"]: (one["name"], one["role"]) for one in (await api.alice.got("/me"))["groups"]}
    assert roles == {own["_id"]: (own["name"], "manager"), joined["_id"]: (joined["name"], "member")}
    assert others["_id"] in {one["_id"] for one in (await api.bob.got("/me"))["groups"]}
    # What is true of groups is true at the next request.
    assert (await api.bob.patch(f"{members}/{api.alice.email}", json={"manager": True})).status_code == 202
    assert (await api.alice.delete(f"/groups/{own['_id']}")).status_code == 202
    assert [(one["_id"], one["role"]) for one in (await api.alice.got("/me"))["groups"]] == [(joined["_id"], "manager")]


async def test_groups_into_which_others_put_one_push_none_of_the_earlier_out(api: Api) -> None:
    own = await api.alice.group()
    await row(
        """WITH made AS (INSERT INTO user_group (id, name)
             SELECT gen_random_uuid(), :name::text || n FROM generate_series(1, :number::int) n RETURNING id)
           INSERT INTO group_member (id, user_group, person, added_by, created_at)
           SELECT gen_random_uuid(), id, :alice, :bob, now() + interval '1 minute' FROM made""",
        name=unique("many"),
        number=MOST_MEMBERSHIPS,
        alice=api.alice.caller.id,
        bob=api.bob.caller.id,
    )
    me = await api.alice.got("/me")
    assert (len(me["groups"]), me["more_groups"]) == (MOST_MEMBERSHIPS, True)
    assert me["groups"][0]["_id"] == own["_id"]
