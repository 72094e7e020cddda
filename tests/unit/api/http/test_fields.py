"""What fields take, in any route: e-mail addresses, descriptions, and refusals in words for people."""

import re
from urllib.parse import quote

import pytest

from models.domain.errors import ActionForbidden
from models.records import persons
from models.records.persons import Identity
from tests.unit.api.bench import NOBODY, TEMPLATE, Api, Json, problems, unique


async def test_a_refusal_names_the_value_in_words_for_people(api: Api) -> None:
    made = await api.alice.dataset()
    share = {"relation": "own", "userArray": "not-an-email", "groupArray": ["none\u202e"], "orgArray": ["none"]}
    words = await said(api, "POST", f"/datasets/{made['_id']}/share", share)
    assert words == {"/relation": "must be one of read, reader, viewer, write, writer, editor, not 'own'"}
    words = await said(api, "POST", f"/datasets/{made['_id']}/share", share | {"relation": "read"})
    assert words == {
        "/userArray": "'not-an-email' is not an e-mail address",
        "/groupArray/0": "must not hold control characters",
        "/orgArray/0": "'none' is not a known organisation",
    }
    template = TEMPLATE | {"datasets": ["xyz", made["_id"], NOBODY], "secrets": ["y" * 70]}
    assert await said(api, "POST", "/template", template) == {
        "/datasets/0": "'xyz' is not the id of a dataset",
        "/datasets/2": f"'{NOBODY}' is no dataset that the creator may use",
        "/secrets/0": f"'{'y' * 64}…' is not the id of a secret",
    }
    (name,) = (await said(api, "POST", "/datasets", {"name": "../etc\n\x1b"})).values()
    assert name == "must not hold control characters"
    (name,) = (await said(api, "POST", "/datasets", {"name": "../etc"})).values()
    assert name.startswith("'../etc' must begin with a letter or digit")


async def said(api: Api, method: str, path: str, body: Json) -> dict[str, str]:
    """The sentence about each field that alice is refused for."""
    answer = await api.alice.request(method, path, json=body)
    assert answer.status_code == 422, answer.text
    return {one["path"]: one["message"] for one in answer.json()["error"]["details"]}


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("PUT", "/initialize", "email"),
        ("GET", "/healthcheck", "email"),
        ("GET", "/datasets", "owner"),
        ("GET", "/modules", "owner"),
        ("GET", "/secrets", "owner"),
        ("GET", "/servers", "owner"),
        ("GET", "/templates", "email"),
        ("GET", "/templates/tags", "email"),
        ("GET", "/volume/files?root=notebooks", "email"),
        ("GET", f"/datasets/{NOBODY}/access/explain", "email"),
        ("POST", f"/groups/{NOBODY}/members", "memberEmail"),
        ("POST", "/persons/release", "email"),
    ],
)
@pytest.mark.parametrize("email", ["not-an-email", "bob@example.org.", "bob@a..b", ""])
async def test_an_email_in_a_query_that_is_none_is_refused(
    api: Api, method: str, path: str, name: str, email: str
) -> None:
    query = dict([pair.split("=") for pair in path.partition("?")[2].split("&") if pair])
    answer = await api.admin.request(method, path.partition("?")[0], params={**query, name: email})
    assert problems(answer) == {name}
    (detail,) = answer.json()["error"]["details"]
    assert detail["info"] == {"in": "query"}
    assert detail["message"] == f"'{email}' is not an e-mail address"


async def test_an_email_in_a_path_that_is_none_is_refused(api: Api) -> None:
    answer = await api.admin.delete(f"/groups/{NOBODY}/members/not-an-email")
    assert problems(answer) == {"memberEmail"}
    assert (await api.admin.delete(f"/groups/{NOBODY}/members/bob@example.org")).status_code == 404


@pytest.mark.parametrize("email", ["o'neil{}@example.org", "jürgen{}@bücher.example", "straße{}@example.org"])
async def test_a_person_of_an_unusual_address_is_shared_with_and_signs_in(api: Api, email: str) -> None:
    email = email.format(unique(""))
    made = await api.alice.dataset()
    path = f"/datasets/{made['_id']}"
    spelled = email.upper().replace("SS", "ß").replace("BÜCHER", "xn--bcher-kva").replace("Ü", "U\u0308")
    await api.alice.made(f"{path}/share", relation="read", userArray=spelled)
    person = await persons.bind(Identity(issuer="https://idp", subject=unique("s"), email=spelled, email_verified=True))
    api.bench.callers["unusual"] = await persons.as_caller(person)
    unusual = api.person("unusual")
    assert unusual.email == email
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", await unusual.got("/whoami/jupyterhub"))
    assert [one["_id"] for one in (await unusual.get("/datasets")).json()] == [made["_id"]]
    assert (await api.alice.got(f"{path}/access/explain", email=spelled))["email"] == email
    group = await api.alice.group()
    members = f"/groups/{group['_id']}/members"
    assert (await api.alice.post(members, params={"memberEmail": spelled})).status_code == 202
    assert email in await unusual.got(members)
    assert (await unusual.delete(f"{members}/{quote(spelled)}")).status_code == 202


async def test_an_account_of_no_address_does_not_sign_in(api: Api) -> None:
    for email in ("bob@example.org.", "bob@a..b", "a/b@example.org", "", "bob"):
        with pytest.raises(ActionForbidden, match="no e-mail address"):
            await persons.bind(Identity(issuer="https://idp", subject=unique("s"), email=email, email_verified=True))


@pytest.mark.parametrize(
    ("path", "body", "record"),
    [
        ("/datasets", {"name": "{}"}, "/datasets/{}"),
        ("/modules", {"name": "{}", "version": "1"}, "/modules/{}"),
        ("/secrets", {"secretName": "{}", "type": "raw"}, "/secret/{}"),
    ],
)
async def test_a_description_that_was_not_given_or_is_cleared_is_absent(
    api: Api, path: str, body: Json, record: str
) -> None:
    answer = await api.alice.post(path, json={name: value.format(unique("n")) for name, value in body.items()})
    made = answer.json()
    assert "description" not in made
    record = record.format(made["_id"])
    assert (await api.alice.patch(record, json={"description": "x"})).json()["description"] == "x"
    cleared = await api.alice.patch(record, json={"description": None})
    assert (cleared.status_code, "description" in cleared.json()) == (200, False)
    name = next(iter(body))
    assert problems(await api.alice.patch(record, json={name: None})) == {f"/{name}"}
