"""Preparing a person's place, over the API: one's own, and anybody's for an admin."""

from models.domain.values import Subject
from tests.unit.api.bench import Api, problems, unique


async def test_one_prepares_ones_own_place_and_an_admin_anybodys(api: Api) -> None:
    for who, query in (
        (api.alice, {}),
        (api.alice, {"email": api.alice.email}),
        (api.admin, {"email": api.alice.email}),
    ):
        answer = await who.put("/initialize", params=query)
        assert (answer.status_code, answer.json()["kind"]) == (202, "person.initialize")
        assert answer.headers["location"] == f"/operations/{answer.json()['_id']}"
    assert api.bench.wakes.subjects == [Subject("person", api.alice.caller.id)] * 3


async def test_nobody_prepares_the_place_of_somebody_else(api: Api) -> None:
    assert (await api.nobody.put("/initialize")).status_code == 401
    assert (await api.alice.put("/initialize", params={"email": api.bob.email})).status_code == 403
    unknown = {"email": f"{unique('no')}@example.org"}
    assert (await api.admin.put("/initialize", params=unknown)).status_code == 404
    assert problems(await api.admin.put("/initialize", params={"mail": api.bob.email})) == {"mail"}
    assert api.bench.wakes.subjects == []
