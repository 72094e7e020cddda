"""Each kind of the table of kinds has all that a kind needs, and whatever belongs to a kind is in the table.

What is imported here at the top is there for a kind of which half is missing too.
"""

import importlib
import re
from collections import Counter
from collections.abc import Iterator

import asyncpg
import msgspec
import pytest
from litestar import Controller
from litestar.handlers import BaseRouteHandler

from models.database.piccolo_app import APP_CONFIG
from models.domain.kinds import DIRECTORIES, KINDS, WORK, Directory, Kind
from models.domain.settings import Settings
from tests.project import PROJECT

each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
each_shared_kind = pytest.mark.parametrize(
    "kind", [kind for kind in KINDS.values() if kind.shared], ids=lambda k: k.word
)

COLUMNS = {
    table._meta.tablename: {column._meta.name for column in table._meta.columns} for table in APP_CONFIG.table_classes
}


def test_whatever_is_wished_for_is_a_kind() -> None:
    known = {kind.table for kind in KINDS.values()}
    for table, columns in COLUMNS.items():
        assert table in known or "observed" not in columns, f"models/domain/kinds.py has no kind of the table {table}"


@each_kind
def test_a_kind_has_a_table(kind: Kind) -> None:
    assert kind.table in COLUMNS, f"models/database/tables.py has no table {kind.table} of the kind {kind.word}"
    columns = COLUMNS[kind.table]
    if kind.wished:
        missing = {"wish", "generation", "observed", "observed_generation", "observed_at", "version"} - columns
        assert not missing, f"the table {kind.table} is not Wished: it lacks {', '.join(sorted(missing))}"
    if kind.shared:
        missing = {"owner", "name", "description"} - columns
        assert not missing, f"the table {kind.table} is not Shared: it lacks {', '.join(sorted(missing))}"
    assert ("trashed_at" in columns) is kind.trashed, (
        f"{kind.table}: trashed_at is for what can be trashed, and only that"
    )


@pytest.fixture(scope="module")
async def migrated(postgres: str) -> dict[str, set[str]]:
    """The tables of the migrated database, and what its indexes say after the table's name."""
    connection = await asyncpg.connect(postgres)
    try:
        found: dict[str, set[str]] = {
            table: set() for (table,) in await connection.fetch("SELECT tablename FROM pg_tables")
        }
        for table, index in await connection.fetch("SELECT tablename, indexdef FROM pg_indexes"):
            made, _, on = index.partition(" USING btree ")
            found[table].add("UNIQUE " * made.startswith("CREATE UNIQUE") + on)
        view = await connection.fetchval("SELECT pg_get_viewdef('shareable'::regclass)")
        found["shareable"] = set(re.findall(r"'\w+'::text(?: AS kind)?,[^;]*?FROM \w+", view))
        return found
    finally:
        await connection.close()


PRESENT = "WHERE (wish = 'present'::text)"
INDEXES = (
    ("wished", "(observed_at) WHERE (generation <> observed_generation)", "what is unsettled"),
    ("shared", f"(owner, id DESC) {PRESENT}", "the newest of an owner"),
    ("shared", f"(id DESC) {PRESENT}", "the newest of all"),
    ("shared", "(owner)", "what counts to a quota"),
    ("trashed", "(trashed_at) WHERE (wish = 'trashed'::text)", "what is in the trash"),
    ("trashed", "(owner, trashed_at DESC, id DESC) WHERE (wish = 'trashed'::text)", "an owner's trash"),
    ("trashed", "UNIQUE (owner, name", "another of its name"),
)


@each_kind
async def test_the_table_of_a_kind_is_migrated(kind: Kind, migrated: dict[str, set[str]]) -> None:
    assert kind.table in migrated, f"no migration makes the table {kind.table}: make migration NAME={kind.table}"


@pytest.mark.parametrize(("what", "index", "finds"), INDEXES, ids=[finds for _, _, finds in INDEXES])
@each_kind
async def test_an_index_finds(kind: Kind, what: str, index: str, finds: str, migrated: dict[str, set[str]]) -> None:
    if getattr(kind, what):
        found = any(one.startswith(index) for one in migrated[kind.table])
        assert found, f"no migration makes the index of {kind.table} that finds {finds}"


@each_shared_kind
async def test_a_shared_kind_is_shareable(kind: Kind, migrated: dict[str, set[str]]) -> None:
    branches = [
        one for one in migrated["shareable"] if one.startswith(f"'{kind.word}'") and one.endswith(f" {kind.table}")
    ]
    assert branches, f"the view shareable, which a migration makes, has no branch of the kind {kind.word}"


@pytest.mark.parametrize("directory", DIRECTORIES.values(), ids=DIRECTORIES)
def test_settings_and_images_have_the_directories_of_a_kind(directory: Directory) -> None:
    assert directory.setting in Settings.__struct_fields__, f"models/domain/settings.py has no {directory.setting}"
    variable = f"NBHUB_{directory.setting.upper()}"
    given = re.search(rf"^  {variable}: (\S+)$", (PROJECT / "docker-compose.yml").read_text(), re.MULTILINE)
    assert given, f"docker-compose.yml sets no {variable}"
    for image in ("deploy/Dockerfile", "deploy/jupyterhub.Dockerfile"):
        assert given[1] in (PROJECT / image).read_text().split(), f"{image} makes no directory {given[1]}"


@each_kind
def test_what_has_directories_is_listed_below_their_root_and_seen_by_servers_that_hold_it(kind: Kind) -> None:
    from activities.start_order import MOUNTED
    from models.records.volumes import LISTED

    if kind.directory is not None and kind.wished:
        root = kind.directory.root
        assert root in LISTED, f"LISTED of models/records/volumes.py has nothing for the root {root}"
        assert kind.word in MOUNTED or not kind.templated, f"MOUNTED of activities/start_order.py has no {kind.word}"


def test_what_templates_name_is_a_kind_that_they_name() -> None:
    from models.records.servers import TemplateData

    fields = {field.name for field in msgspec.structs.fields(TemplateData)}
    for kind in KINDS.values():
        assert (kind.plural in fields) is kind.templated, (
            f"TemplateData and models/domain/kinds.py differ: {kind.plural}"
        )


@pytest.mark.parametrize("word", WORK)
def test_a_workflow_works_on_each_kind(word: str) -> None:
    from worker import WORKFLOWS

    registered = {one.__name__ for one in WORKFLOWS}
    assert WORK[word].workflow in registered, f"WORKFLOWS of worker.py has no {WORK[word].workflow}"


def test_no_two_workflows_have_one_id() -> None:
    """The id is the lock: what works on another kind of subject has another one."""
    assert [prefix for prefix, count in Counter(work.prefix for work in WORK.values()).items() if count > 1] == []


def routes_in(path: str) -> Iterator[tuple[str, object]]:
    """Names and values of what is to be mounted of a module: controllers, and the routes of its lists."""
    name = path.removesuffix(".py").replace("/", ".")
    module = importlib.import_module(name.removesuffix(".__init__"))
    for named, value in vars(module).items():
        if isinstance(value, type) and issubclass(value, Controller) and value.__module__ == module.__name__:
            yield named, value
        elif isinstance(value, list | tuple) and module.__name__ != "api.app":
            yield from ((named, one) for one in value if isinstance(one, BaseRouteHandler))


@pytest.mark.parametrize("path", sorted(str(path.relative_to(PROJECT)) for path in (PROJECT / "api").rglob("*.py")))
def test_what_has_routes_is_mounted(path: str) -> None:
    from api.app import HANDLERS

    for named, value in routes_in(path):
        assert value in HANDLERS, f"HANDLERS of api/app.py has no {named} of {path}"


@pytest.fixture(scope="module")
def operations() -> set[str]:
    """The operation ids of all routes."""
    from api.app import create_app
    from api.http.policy import handlers_of

    app = create_app(Settings(database_url="postgresql:///unused"))
    return {str(handler.operation_id) for _, handler in handlers_of(app)}


@each_kind
def test_a_kind_has_its_routes(kind: Kind, operations: set[str]) -> None:
    noun = kind.word.capitalize()
    needed = {f"list{noun}s", f"create{noun}", f"get{noun}", f"delete{noun}"} if kind.wished else set()
    if kind.shared:
        needed |= {f"share{noun}", f"revoke{noun}", f"get{noun}Access", f"explain{noun}Access"}
    if kind.trashed:
        needed |= {f"restore{noun}"}
    missing = sorted(needed - operations)
    assert not missing, f"no route of api/{kind.plural}.py has the operation id {', '.join(missing)}"
