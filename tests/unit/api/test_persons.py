"""Who a person is when addresses change hands: the name in JupyterHub stays with the account, not with the address."""

from models.domain.values import Caller
from models.records import persons
from models.records.persons import Identity
from tests.unit.api.bench import Api, unique


async def signed_in(subject: str, email: str) -> Caller:
    """The person of an account who signs in with an e-mail."""
    identity = Identity(issuer="https://idp", subject=subject, email=email, email_verified=True)
    return await persons.as_caller(await persons.bind(identity))


async def released(api: Api, email: str) -> None:
    answer = await api.admin.post("/persons/release", params={"email": email})
    assert answer.is_success, answer.text


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
