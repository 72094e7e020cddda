"""A list costs what it shows, also where one person owns nearly everything and who asks owns nothing."""

from typing import Any

import asyncpg
import pytest

from models.database import transactions
from models.domain.ids import new_id
from models.domain.values import Caller
from models.records import datasets, modules, secrets
from tests.fast_fill import fill
from tests.integration.models.test_lists import Planner, read
from tests.unit.api.bench import bench_settings, open_bench

ROWS = 20_000
OWNER, STRANGER = (Caller(id=new_id(), email=f"{name}@example.org") for name in ("owner", "stranger"))
LISTS = {"dataset": datasets.list_visible, "module": modules.list_visible, "secret": secrets.list_visible}
_COLUMNS = {"dataset": "", "module": ", module_version, calls", "secret": ", type"}
_VALUES = {"dataset": "", "module": ", '1', '[]'", "secret": ", 'raw'"}


@pytest.fixture(scope="module")
async def address(new_database: Any) -> Any:
    address = await new_database()
    await fill(
        address,
        {
            kind: f"""INSERT INTO {kind} (id, owner, name, observed {_COLUMNS[kind]})
                      SELECT gen_random_uuid(), '{OWNER.id}', 'thing-' || n, 'present' {_VALUES[kind]}
                        FROM generate_series(1, {ROWS}) n"""  # noqa: S608 - our own constants
            for kind in LISTS
        },
    )
    return address


@pytest.mark.parametrize("plans", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("kind", LISTS)
async def test_who_owns_nothing_reads_nothing_of_what_one_person_owns(
    address: str, monkeypatch: pytest.MonkeyPatch, kind: str, plans: str
) -> None:
    ran = []
    fetch = transactions.fetch

    async def record(statement: str, *parameters: object) -> Any:
        ran.append((statement, parameters))
        return await fetch(statement, *parameters)

    async with open_bench(bench_settings(address)):
        monkeypatch.setattr(transactions, "fetch", record)
        assert await LISTS[kind](STRANGER, limit=51) == []
    connection = await asyncpg.connect(address, statement_cache_size=0, server_settings={"plan_cache_mode": plans})
    ((statement, parameters),) = ran
    plan = await Planner(connection).plan(statement, parameters)
    await connection.close()
    assert read(plan) <= 50
