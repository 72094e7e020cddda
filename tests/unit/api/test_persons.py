"""Who a person is when addresses change hands: the name in JupyterHub stays with the account, not with the address."""

from models.domain.values import Caller, Subject
from models.records import persons
from models.records.persons import Identity
from tests.unit.api.bench import TEMPLATE, Api, Json, answered, problems, unique


async def signed_in(subject: str, email: str) -> Caller:
    """The person of an account who signs in with an e-mail."""
    identity = Identity(issuer="https://idp", subject=subject, email=email, email_verified=True)
    return await persons.as_caller(await persons.bind(identity))


async def released(api: Api, email: str) -> Json:
    """The operation of a release."""
    return answered(await api.admin.post("/persons/release", params={"email": email}), 202)


async def test_who_is_given_a_released_address_is_another_user_in_jupyterhub(api: Api) -> None:
    email = f"{unique('ada')}@example.org"
    former = await signed_in(unique("former"), email)
    await released(api, email)
    other = await signed_in(unique("other"), email)
    names = [await persons.hub_user_of(one.id) for one in (former, other)]
    assert names[0] != names[1]
    assert email not in names
    # With whom a server is shared is told by address.
    assert await persons.known_as([names[1], "operator"]) == sorted([email, "operator"])


async def test_who_comes_back_with_another_address_is_the_same_user_in_jupyterhub(api: Api) -> None:
    account, email = unique("account"), f"{unique('ada')}@example.org"
    before = await signed_in(account, email)
    name = await persons.hub_user_of(before.id)
    await released(api, email)
    after = await signed_in(account, f"new-{email}")
    assert after.id == before.id
    assert await persons.hub_user_of(after.id) == name


async def test_a_release_is_an_admins_and_can_be_followed(api: Api) -> None:
    for who, status in ((api.nobody, 401), (api.bob, 403)):
        assert (await who.post("/persons/release", params={"email": api.alice.email})).status_code == status
    assert (await api.admin.post("/persons/release", params={"email": "no@example.org"})).status_code == 404
    assert problems(await api.admin.post("/persons/release", params={"email": "no"})) == {"email"}
    operation = await released(api, api.alice.email)
    person = api.alice.caller.id
    assert (operation["kind"], operation["subject"], operation["status"]) == ("person.release", str(person), "queued")
    assert api.bench.wakes.subjects == [Subject("person", person)]
    # The address is free at once, and the wish stands.
    assert (await api.admin.post("/persons/release", params={"email": api.alice.email})).status_code == 404
    assert (await api.admin.post(f"/operations/{operation['_id']}/cancel")).status_code == 409


async def test_servers_of_a_released_address_start_when_their_owner_is_back(api: Api) -> None:
    account, email = unique("account"), f"{unique('ada')}@example.org"
    api.bench.callers["ada"] = await signed_in(account, email)
    server = answered(await api.person("ada").post("/servers", json=TEMPLATE), 200)
    await released(api, email)
    refused = await api.admin.put(f"/servers/{server['_id']}/start")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "OWNER_RELEASED")
    assert (await api.admin.put(f"/servers/{server['_id']}/stop")).status_code == 200
    api.bench.callers["ada"] = await signed_in(account, f"new-{email}")
    seen = await api.person("ada").got(f"/servers/{server['_id']}")
    assert (seen["owner"], seen["url"]) == (f"new-{email}", server["url"])
    assert (await api.person("ada").put(f"/servers/{server['_id']}/start")).status_code == 202
