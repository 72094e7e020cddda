"""Each list, by each of its filters and for each kind of caller, follows indexes however its statement is planned.

A statement that PostgreSQL plans once for all values (its generic plan) costs no planning at each call; it has to be as
good as one that is planned for these values.
"""

import contextlib
import itertools
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from api.document import rendered
from models.access import directory, principals, sharing
from models.access.permissions import Level
from models.access.principals import PersonRef, Principals
from models.database import transactions
from models.domain.errors import RecordMissing
from models.ledger import operations, quotas
from models.records import datasets, groups, lifecycles, mounts, server_shares, server_watch
from tests.integration.models import million
from tests.integration.models.million import ADMIN, MEMBER, OWNER, STRANGER, identity
from tests.unit.api.bench import Api, Bench, bench_settings, open_bench

PAGE = 50
CALLERS = {"admin": ADMIN, "owner": OWNER, "member": MEMBER, "stranger": STRANGER}
OWNERS = (million.caller(OWNER).email,)
ACCESS: dict[str, tuple[str, ...]] = {"type": ("user", "group", "org")}

SORTS = ("-newest", "-name", "updated", "name")
NAMES = ("thing", "nothing", "rare")

LISTS: dict[str, dict[str, tuple[str, ...]]] = {
    "/applications": {},
    "/audit": {
        "actor": ("system", *OWNERS),
        "action": ("server.start", "module.create"),
        "subject": (str(identity("server", 7)),),
        "since": ("2026-01-01T06:00:00Z", "2026-01-12T13:00:00Z"),
        "until": ("2026-01-12T13:00:00Z", "2026-01-01T00:30:00Z"),
        "sort": ("-newest",),
    },
    "/audit/seals": {"after": ("7",), "sort": ("-newest",)},
    "/datasets": {"owner": OWNERS, "q": NAMES, "sort": SORTS},
    "/datasets/{id}/access": ACCESS,
    "/groups": {"q": ("g", *NAMES), "sort": SORTS},
    "/groups/{id}/members": {},
    "/hardware": {},
    "/modules": {"owner": OWNERS, "q": NAMES, "sort": SORTS},
    "/modules/{id}/access": ACCESS,
    "/operations": {
        "subject": (str(identity("server", 7)),),
        "status": ("queued", "failed"),
        "kind": ("module.create", "server.start"),
        "sort": ("-newest",),
    },
    "/operations/{id}/results": {},
    "/orgs": {},
    "/people": {"q": ("P12", "p1@", "nobody")},
    "/secret/{id}/access": ACCESS,
    "/secrets": {
        "owner": OWNERS,
        "type": ("raw", "file"),
        "name": ("THING", "rare"),
        "q": ("THING", "rare"),
        "sort": SORTS,
    },
    "/servers": {
        "owner": OWNERS,
        "type": ("user", "rare"),
        "status": ("stopped", "stopping", "running"),
        "name": ("SERVER", "rare", "nothing", "zq"),
        "q": ("SERVER", "nothing", "rare"),
        "sort": SORTS,
    },
    "/servers/shares": {"owner": OWNERS},
    "/templates": {
        "type": ("user", "rare"),
        "email": OWNERS,
        "tag": ("other", "tag7", "rare"),
        "q": ("template", "nothing", "template 77"),
        "sort": SORTS,
    },
    "/templates/tags": {"type": ("rare",), "email": OWNERS},
    "/trash": {},
    "/volume/files": {"root": ("datasets", "groups", "modules"), "path": (), "email": ()},
    "/volume/hardware": {},
    "/volume/lua": {},
}
"""What each list is narrowed by, with what many have and what few have, far from where it begins. A file system and
the settings are behind what has no values."""

RECORDS = {
    "/datasets/{id}/access": identity("dataset", 0),
    "/groups/{id}/members": identity("group", million.GROUPS - 1),
    "/modules/{id}/access": identity("module", 0),
    "/operations/{id}/results": identity("operation", 0),
    "/secret/{id}/access": identity("secret", 0),
}
SAME = {"name", "q"}
"""Two names of one filter: nobody gives both."""
NO_STATEMENT = {"/volume/hardware", "/volume/lua"}
WITHOUT_PAGES = {"/applications", "/hardware", "/people", "/templates/tags", *NO_STATEMENT}
MOST_TOGETHER = 8
"""Of three filters and more so many values are tried together."""
NEEDED = {"/people": {"q"}, "/volume/files": {"root"}}

SHARED = sharing.Shareable(
    id=identity("dataset", 0),
    kind="dataset",
    owner_id=million.caller(OWNER).id,
    owner=million.caller(OWNER).email,
    name="",
    level=None,
)
PERSON = PersonRef(id=million.caller(STRANGER).id, email=million.caller(STRANGER).email)
SCOPES = {"server": identity("server", 7), "object": identity("dataset", 7), "group": identity("group", 7)}

MOST_READ = {"admin": 1_500, "stranger": 1_500, "owner": 5_000, "member": 60_000}
"""Pages of tables and indexes for a page of a list: a few for each of its rows, of all that a caller has (two
thousand), or of what a thousand groups have."""
COUNTED = "/templates/tags"
"""No list but a count: of all templates that the caller sees."""
OF_ONE_RECORD = {"/groups/{id}/members", "/datasets/{id}/access"}
"""Sorted by what is in another table: all that hangs on the record is read, and nothing else."""
MOST_OF_ONE_RECORD = 60_000

OF_DEALINGS = {"/orgs", "/people"}
"""With whom a caller shares something is looked up for each thing that the caller owns, three thousand at most here."""
MOST_OF_DEALINGS = 4 * 3_000
"""Of each the page that it is on, where that cannot be spared, and three of the index of a million grants."""

MOST_OF_A_SEARCH = 60_000
"""Among the first five thousand, by the index of what narrows most, and what that finds. The most is read for what
eleven thousand have, all of them a fifth of the order away from its beginning: 50 ms."""
SEARCHED = {"/audit": {"admin"}, "/servers": {"admin"}, "/templates": {*CALLERS}, "/groups": {*CALLERS}}
"""Who sees all of many, so that it is searched in steps."""


NARROWS_NOTHING = {"limit", "cursor", "fields", "count"}
"""A page's length and beginning, which fields it has, and how many there are in all. That count reads all of them, as
the document says of it, so it has no bound here."""


def offered() -> dict[str, set[str]]:
    """The lists of the API's document, each with what it is narrowed by."""
    document = json.loads(rendered())

    def resolved(part: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in part:
            *_, kind, name = part["$ref"].split("/")
            part = document["components"][kind][name]
        return part

    found = {}
    for path, item in document["paths"].items():
        for answer in item.get("get", {}).get("responses", {}).values():
            content = resolved(answer).get("content", {}).get("application/json", {})
            if resolved(content.get("schema", {})).get("type") == "array":
                queries = map(resolved, item["get"].get("parameters", ()))
                found[path] = {one["name"] for one in queries if one["in"] == "query"} - NARROWS_NOTHING
    return found


def test_each_list_of_the_api_and_each_of_its_filters_is_tried_here() -> None:
    assert {path: set(filters) for path, filters in LISTS.items()} == offered()


@pytest.fixture(scope="module")
async def bench(new_database: Any) -> AsyncIterator[Bench]:
    address = await new_database()
    await million.make(address)
    async with open_bench(bench_settings(address)) as bench:
        bench.callers |= {name: million.caller(number) for name, number in CALLERS.items()}
        yield bench


@pytest.fixture(scope="module")
def api(bench: Bench) -> Api:
    """One for all tests: to assemble it takes longer than most of them."""
    return bench.api()


class Planner:
    """Runs statements by their generic plans."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def plan(self, statement: str, parameters: tuple[object, ...]) -> dict[str, Any]:
        """The plan of a statement that has run by it, and is undone."""
        given = f"({', '.join(map(_literal, parameters))})" if parameters else ""
        undone = self._connection.transaction()
        await undone.start()
        try:
            await self._connection.execute(f"PREPARE tried AS {statement}")
            found = await self._connection.fetchval(f"EXPLAIN (ANALYZE, TIMING off, FORMAT JSON) EXECUTE tried{given}")
        finally:
            await undone.rollback()
            await self._connection.execute("DEALLOCATE ALL")
        plan: dict[str, Any] = json.loads(found)[0]["Plan"]
        return plan


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        kind = "uuid" if value and isinstance(value[0], UUID) else "text"
        return f"ARRAY[{', '.join(map(_literal, value))}]::{kind}[]"
    return "'" + str(value).replace("'", "''") + "'"


@pytest.fixture(scope="module")
async def planner(bench: Bench) -> AsyncIterator[Planner]:
    connection = await asyncpg.connect(
        bench.settings.database_url,
        statement_cache_size=0,
        server_settings={"plan_cache_mode": "force_generic_plan"},
    )
    yield Planner(connection)
    await connection.close()


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[object, ...]]]:
    """The statements that run in a test, with their parameters."""
    ran = []
    fetch = transactions.fetch

    async def record(statement: str, *parameters: object) -> Any:
        ran.append((statement, parameters))
        # A denial's row is written when it is planned, and undone: the same row is not written twice.
        return [] if "INSERT INTO audit " in statement else await fetch(statement, *parameters)

    monkeypatch.setattr(transactions, "fetch", record)
    return ran


async def assert_indexed(
    planner: Planner,
    statements: list[tuple[str, tuple[object, ...]]],
    most: float,
    *,
    whole: frozenset[str] = frozenset(),
) -> None:
    """None of the statements reads a large table, but those named, as a whole, and none more than so many pages."""
    for statement, parameters in statements:
        plan = await planner.plan(statement, parameters)
        assert whole_tables(plan) <= whole, (statement, parameters)
        assert read(plan) <= most, (statement, parameters)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's node and all those beneath it."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def read(plan: dict[str, Any]) -> int:
    """How many pages of tables and indexes were read, each as often as it was."""
    pages: int = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return pages


def whole_tables(plan: dict[str, Any]) -> set[str]:
    """The tables that were read without an index."""
    return {one["Relation Name"] for one in nodes(plan) if one["Node Type"].endswith("Seq Scan")} & million.LARGE


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "filters" in metafunc.fixturenames:
        every = metafunc.config.getoption("--every-combination")
        metafunc.parametrize(("path", "filters", "caller"), [*cases(every=every)])


def cases(*, every: bool) -> Iterator[Any]:
    """What a list is narrowed by: each, two of them and all of them together, or `every` combination."""
    for path, filters in LISTS.items():
        needed = tuple(NEEDED.get(path, ()))
        free = sorted(name for name, values in filters.items() if values and name not in needed)
        numbers = {*range(len(free) + 1)}
        for number in sorted(numbers if every else numbers & {0, 1, 2, len(free)}):
            for chosen in itertools.combinations(free, number):
                for caller in CALLERS if not {*chosen} >= SAME else ():
                    yield pytest.param(
                        path, (*needed, *chosen), caller, id="-".join((path.strip("/"), *needed, *chosen, caller))
                    )


async def test_a_list_follows_indexes_whatever_it_is_narrowed_by(
    api: Api,
    planner: Planner,
    statements: list[tuple[str, tuple[object, ...]]],
    path: str,
    filters: tuple[str, ...],
    caller: str,
    pytestconfig: pytest.Config,
) -> None:
    seen = set()
    client = api.person(caller)
    given = [LISTS[path][name] for name in filters]
    if len(filters) > 2 and math.prod(map(len, given)) > MOST_TOGETHER:
        # What each has last. All of all would take hours.
        given = [values[-1:] for values in given]
    tried: Iterator[tuple[str, ...]] = itertools.product(*given)
    if len(filters) == 2 and not pytestconfig.getoption("--every-combination"):
        # Each value of both, with one of the other.
        longest = max(map(len, given))
        tried = zip(*(itertools.islice(itertools.cycle(values), longest) for values in given), strict=True)
    for values in tried:
        address = path.replace("{id}", str(RECORDS.get(path, "")))
        query = dict(zip(filters, values, strict=True))
        if path not in WITHOUT_PAGES:
            query["limit"] = str(PAGE)
        for _ in range(2):
            answer = await client.get(address, params=query)
            assert answer.status_code in (200, 403, 404), answer.text
            seen.add(answer.status_code)
            if "next" not in answer.links:
                break
            query["cursor"] = httpx.URL(answer.links["next"]["url"]).params["cursor"]
    assert statements or seen == {403} or path in NO_STATEMENT
    most: float = max(MOST_READ["owner" if {"owner", "email"} & {*filters} else caller], MOST_READ[caller])
    if path in OF_ONE_RECORD:
        most = MOST_OF_ONE_RECORD
    if path in SEARCHED and caller in SEARCHED[path] and not {"owner", "email"} & {*filters}:
        most = MOST_OF_A_SEARCH
    if path in OF_DEALINGS:
        most = max(most, MOST_OF_DEALINGS)
    if path == COUNTED:
        await assert_indexed(planner, statements, math.inf, whole=frozenset({"template"}))
    else:
        await assert_indexed(planner, statements, most)


@pytest.mark.parametrize("name", ["nothing", "zq", "ж"])
async def test_a_name_that_nothing_has_is_looked_for_in_an_index(
    api: Api, planner: Planner, statements: list[tuple[str, tuple[object, ...]]], name: str
) -> None:
    assert await api.person("admin").got("/servers", name=name) == []
    ((statement, parameters),) = statements
    plan = await planner.plan(statement, parameters)
    ran = {one.get("Index Name") for one in nodes(plan) if one["Actual Loops"]}
    assert "server_search_parts" in ran
    assert read(plan) <= MOST_READ["admin"]


READS: dict[str, Callable[[], Awaitable[object]]] = {
    "check": lambda: datasets.read(identity("dataset", 7), million.caller(MEMBER)),
    "check_of_what_is_shared": lambda: sharing.read(
        "dataset", identity("dataset", 7), million.caller(MEMBER), Level.READ
    ),
    "explain": lambda: sharing.explain(SHARED, million.caller(MEMBER).email, million.caller(STRANGER)),
    "released_person": lambda: sharing.revoke(SHARED, Principals(persons=[PERSON], groups=[], orgs=[]), Level.READ),
    "people_of_an_organisation": lambda: directory.find_people(million.caller(MEMBER), "p12", "organisation"),
    "organisations_of_all": lambda: directory.list_orgs(million.caller(STRANGER), "all", ("x",), after="", limit=51),
    "named": lambda: principals.find([], ["g7", str(identity("group", 8))], ["org1"], ()),
    "watched": lambda: server_watch.watched(None, 500),
    "watched_further": lambda: server_watch.watched(identity("server", 1000), 500),
    "shared_to_look_at": lambda: server_shares.take_to_look_at(50),
    "shared_holders": lambda: server_shares.holders("object", SCOPES["object"]),
    "lost_guests": lambda: server_shares.lost("object", SCOPES["object"], 500),
    "lost_guests_of_all": lambda: server_shares.lost("all", None, 500),
    "settled_mirrors": lambda: groups.settled_mirrors(None, 500),
    "stalled": lambda: operations.stalled(30, 500),
    "expired_trash": lambda: lifecycles.expired_trash(datetime.now(UTC), 500),
    "used": lambda: quotas.used_by(million.caller(STRANGER).id),
    "expired_grants": lambda: sharing.remove_expired(500),
    "lost": lambda: mounts.lost("all", None, 500),
    **{f"lost_of_{scope}": partial(mounts.lost, scope, of, 500) for scope, of in SCOPES.items()},
    **{f"mark_lost_of_{scope}": partial(mounts.mark_lost, scope, of) for scope, of in SCOPES.items()},
}
"""What else reads some of many."""
MOST_OF_READS = {
    "people_of_an_organisation": MOST_READ["member"],
    "released_person": MOST_OF_ONE_RECORD,
    "settled_mirrors": 30_000,
}


@pytest.mark.parametrize("name", READS)
async def test_a_read_of_some_follows_indexes(
    bench: Bench, planner: Planner, statements: list[tuple[str, tuple[object, ...]]], name: str
) -> None:
    with contextlib.suppress(RecordMissing):
        await READS[name]()
    assert statements
    await assert_indexed(planner, statements, MOST_OF_READS.get(name, 5_000))


@pytest.mark.parametrize(
    "condition",
    ["name = $1", "($1::text IS NULL OR owner = $1::text::uuid)", "template_data ->> 'type' = $1 ORDER BY id LIMIT 1"],
)
async def test_what_is_looked_for_among_everything_is_noticed(planner: Planner, condition: str) -> None:
    statement = f"SELECT id FROM server WHERE {condition}"  # noqa: S608 - one of those above
    with pytest.raises(AssertionError):
        await assert_indexed(planner, [(statement, (str(million.caller(STRANGER).id),))], MOST_READ["stranger"])
