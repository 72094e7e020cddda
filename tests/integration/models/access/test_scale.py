"""A share with 10,000 people is as few statements as one with ten, and one with a group or an organisation is a row."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from models.database import transactions
from models.database.sql import row, rows
from models.domain.values import Caller
from tests.integration.models.access import crowd
from tests.unit.api.bench import Bench, Client

Statement = tuple[str, tuple[object, ...]]


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Statement]]:
    """The statements that run meanwhile."""
    statements: list[Statement] = []
    fetch = transactions.fetch

    async def record(statement: str, *parameters: object) -> Any:
        statements.append((statement, parameters))
        return await fetch(statement, *parameters)

    with monkeypatch.context() as patched:
        patched.setattr(transactions, "fetch", record)
        yield statements


@pytest.fixture(scope="module")
async def somebody(bench: Bench) -> Caller:
    return await crowd.make(bench.settings.database_url, 100, 1_000, 100, groups_of_first=10)


def owner_of_dataset_5(bench: Bench) -> Client:
    bench.callers["owner"] = Caller(id=crowd.identity("person", 6), email="p6@example.org")
    return bench.api().person("owner")


async def test_a_share_with_ten_thousand_costs_as_many_statements_as_one_with_ten(
    somebody: Caller, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = owner_of_dataset_5(bench)
    path = f"/datasets/{crowd.identity('dataset', 5)}/share"
    counts = {}
    for number in (10, 10_000):
        people = [f"new{number}-{one}@example.org" for one in range(number)]
        with recorded(monkeypatch) as statements:
            answer = await owner.post(path, json={"relation": "read", "userArray": people})
        assert answer.status_code == 202, answer.text
        counts[number] = len(statements)
        granted = await row(
            """SELECT count(*) AS count FROM access_grant g JOIN person p ON p.id = g.person
                WHERE g.object = :object AND p.email LIKE :email""",
            object=crowd.identity("dataset", 5),
            email=f"new{number}-%",
        )
        assert granted == {"count": number}
    assert counts[10] == counts[10_000] <= 15


async def test_a_share_with_a_group_or_an_organisation_is_one_row(somebody: Caller, bench: Bench) -> None:
    owner = owner_of_dataset_5(bench)
    await row(
        "INSERT INTO person_org (id, person, org) VALUES (gen_random_uuid(), :person, 'orgX')", person=somebody.id
    )
    before = await row("SELECT count(*) AS count FROM access_grant")
    path = f"/datasets/{crowd.identity('dataset', 5)}/share"
    for body in ({"groupArray": ["g1"]}, {"orgArray": "orgX"}):
        assert (await owner.post(path, json={"relation": "write", **body})).status_code == 202
    after = await row("SELECT count(*) AS count FROM access_grant")
    assert before is not None
    assert after == {"count": before["count"] + 2}


@pytest.fixture(scope="module", autouse=True)
async def small_again(bench: Bench) -> AsyncIterator[None]:
    """Other tests of this database are not to wade through the crowd."""
    yield
    await rows("TRUNCATE access_grant, group_member, user_group, dataset, person_org, person CASCADE")
