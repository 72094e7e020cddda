"""With a million grants every check and list is one statement that follows indexes; a share of 10,000 is a few."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from models.access import sharing
from models.access.permissions import Level
from models.database import transactions
from models.database.sql import row, rows
from models.domain.values import Caller
from models.records import datasets, mounts
from tests.integration.models.access import crowd
from tests.unit.api.bench import Bench, Client

LARGE = {"access_grant", "dataset", "group_member", "user_group", "person"}
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


def scans(plan: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Kind and table of every scan of a plan."""
    if "Relation Name" in plan:
        yield plan["Node Type"], plan["Relation Name"]
    for part in plan.get("Plans", ()):
        yield from scans(part)


@pytest.fixture(scope="module")
async def million(bench: Bench) -> Caller:
    caller = await crowd.make(100_000, 20_000, 2_000, groups_of_first=1_000)
    found = await row("SELECT count(*) AS count FROM access_grant")
    assert found == {"count": 1_000_000}
    return caller


READS: dict[str, Callable[[Caller], Awaitable[object]]] = {
    "check": lambda caller: datasets.read(crowd.identity("dataset", 5), caller, Level.READ),
    "share_check": lambda caller: sharing.read("dataset", crowd.identity("dataset", 5), caller, Level.READ),
    "list": lambda caller: datasets.list_visible(caller, limit=51),
    "list_of_an_owner": lambda caller: datasets.list_visible(caller, owner="p7@example.org", limit=51),
    "mounts": lambda caller: mounts.mark_lost("object", crowd.identity("dataset", 5)),
}


@pytest.mark.parametrize("name", READS)
async def test_one_statement_that_follows_indexes(million: Caller, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    # Dataset 5 is granted to group 17, of which the first person is a member.
    with recorded(monkeypatch) as statements:
        await READS[name](million)
    ((statement, parameters),) = statements
    found = await transactions.fetch("EXPLAIN (FORMAT JSON) " + statement, *parameters)
    plan = msgspec.json.decode(found[0]["QUERY PLAN"])[0]["Plan"]
    seen = list(scans(plan))
    assert ("Seq Scan", "access_grant") not in seen
    assert [one for one in seen if one[0] == "Seq Scan" and one[1] in LARGE - {"user_group"}] == []
    assert any("Index" in kind and table == "access_grant" for kind, table in seen), seen


def owner_of_dataset_5(bench: Bench) -> Client:
    bench.callers["owner"] = Caller(id=crowd.identity("person", 6), email="p6@example.org")
    return bench.api().person("owner")


async def test_a_share_with_ten_thousand_costs_as_many_statements_as_one_with_ten(
    million: Caller, bench: Bench, monkeypatch: pytest.MonkeyPatch
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


async def test_a_share_with_a_group_or_an_organisation_is_one_row(million: Caller, bench: Bench) -> None:
    owner = owner_of_dataset_5(bench)
    await row("INSERT INTO person_org (id, person, org) VALUES (gen_random_uuid(), :person, 'orgX')", person=million.id)
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
