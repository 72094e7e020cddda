"""The schema is what `tables.py` says, and databases of before the first migration come to it unharmed."""

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from models.database.piccolo_app import APP_CONFIG
from models.migrations.notebooks_hub_2026_11_26t07_55_00_000000_first import ID, REPLACES
from tests.project import PROJECT

Database = tuple[str, "asyncpg.Connection[asyncpg.Record]"]

COLUMNS = """
    SELECT c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
           || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
           || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '')
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
           LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
     WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
       AND c.relname <> 'migration'
"""
CONSTRAINTS = """
    SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
     WHERE connamespace = $1::regnamespace AND contype IN ('p', 'u') AND conname <> 'migration_pkey'
"""
HUB_USERS = "SELECT right(id::text, 1), hub_user FROM person"
INDEXES = "SELECT replace(indexdef, $1 || '.', '') FROM pg_indexes WHERE schemaname = $1 AND tablename <> 'migration'"


@pytest.fixture
async def database(new_database: Callable[[], Awaitable[str]]) -> AsyncIterator[Database]:
    address = await new_database()
    connection = await asyncpg.connect(address)
    try:
        yield address, connection
    finally:
        await connection.close()


async def said(connection: "asyncpg.Connection[asyncpg.Record]", statement: str, schema: str) -> set[str]:
    async with connection.transaction():
        await connection.execute(f"SET LOCAL search_path TO {schema}")
        return {row[0] for row in await connection.fetch(statement, schema)}


async def differences(connection: "asyncpg.Connection[asyncpg.Record]") -> set[str]:
    """What `tables.py` says and the migrated schema does not, and the columns and keys of which it is the other way."""
    await connection.execute("CREATE SCHEMA wanted; SET search_path TO wanted")
    for table in APP_CONFIG.table_classes:
        for statement in table.create_table().ddl:
            await connection.execute(statement)
    await connection.execute("RESET search_path")
    found = set()
    for statement in (COLUMNS, CONSTRAINTS, INDEXES):
        wanted, made = [await said(connection, statement, schema) for schema in ("wanted", "public")]
        found |= {f"not migrated: {one}" for one in wanted - made}
        # An index may stand in a migration alone.
        found |= {f"not in tables.py: {one}" for one in made - wanted if statement != INDEXES}
    await connection.execute("DROP SCHEMA wanted CASCADE")
    return found


def migrate(address: str, project: Path = PROJECT) -> "subprocess.CompletedProcess[str]":
    return run(address, "models.database.migrate", project=project)


def run(address: str, module: str, *arguments: str, project: Path = PROJECT) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=project,
        env=os.environ | {"NBHUB_DATABASE_URL": address, "PICCOLO_CONF": "models.database.piccolo_conf"},
        capture_output=True,
        text=True,
        check=False,
    )


async def test_tables_and_the_migrated_schema_agree(database: Database) -> None:
    assert not await differences(database[1]), "make migration NAME=… writes what is missing"


async def test_a_column_in_one_and_not_the_other_is_named(database: Database) -> None:
    await database[1].execute("ALTER TABLE server DROP COLUMN started_once, ADD COLUMN ended_once boolean")
    await database[1].execute("DROP INDEX server_template; ALTER TABLE heartbeat DROP CONSTRAINT heartbeat_process")
    assert await differences(database[1]) == {
        "not migrated: server.started_once boolean NOT NULL DEFAULT false",
        "not in tables.py: server.ended_once boolean",
        "not migrated: CREATE INDEX server_template ON server USING btree (template)",
        "not migrated: heartbeat heartbeat_process UNIQUE (process, role)",
        "not migrated: CREATE UNIQUE INDEX heartbeat_process ON heartbeat USING btree (process, role)",
    }


async def test_every_migration_has_a_way_back(database: Database) -> None:
    ended = run(database[0], "piccolo.main", "migrations", "backwards", "notebooks_hub", "all", "--auto_agree")
    assert ended.returncode == 0, ended.stderr
    left = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'migration%'"
    assert not await database[1].fetch(left)
    assert not await database[1].fetch("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
    assert migrate(database[0]).returncode == 0
    assert not await differences(database[1])


async def as_of_before(database: Database, steps: tuple[str, ...]) -> None:
    """Make it a database that was made by these steps instead of the first migration, with somebody in it."""
    _, connection = database
    await connection.execute("DELETE FROM migration WHERE name = $1", ID)
    await connection.executemany(
        "INSERT INTO migration (name, app_name) VALUES ($1, 'notebooks_hub')", [(step,) for step in steps]
    )
    await connection.execute("INSERT INTO person (id, email) VALUES (gen_random_uuid(), 'ada@example.org')")


async def recorded(database: Database) -> set[str]:
    return {row["name"] for row in await database[1].fetch("SELECT name FROM migration")}


async def test_a_database_of_the_earlier_steps_has_the_first_schema_already(database: Database) -> None:
    await as_of_before(database, REPLACES)
    for _ in range(2):
        ended = migrate(database[0])
        assert ended.returncode == 0, ended.stderr
    assert {*REPLACES, ID} <= await recorded(database)
    assert await database[1].fetchval("SELECT email FROM person") == "ada@example.org"
    assert not await differences(database[1])


async def test_a_database_of_some_of_the_earlier_steps_is_left_as_it_is(database: Database) -> None:
    await as_of_before(database, REPLACES[:-1])
    ended = migrate(database[0])
    assert ended.returncode == 1
    assert "has seen 9: bring it up to date with the last version that has them all" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ID not in await recorded(database)
    assert await database[1].fetchval("SELECT email FROM person") == "ada@example.org"


async def test_people_keep_the_name_in_jupyterhub_under_which_their_servers_run(database: Database) -> None:
    """But for those whose address somebody else had: the former holder's browser is still signed in under it."""
    address, connection = database
    step = "2026-11-26T13:37:10:767193"
    ended = run(address, "piccolo.main", "migrations", "backwards", "notebooks_hub", step, "--auto_agree")
    assert ended.returncode == 0, ended.stderr
    await connection.executemany(
        """INSERT INTO person (id, issuer, subject, email, released_at)
           VALUES ($1, $2, $1::uuid::text, $3, CASE WHEN $4 THEN now() END)""",
        [
            ("019aaaaa-0000-7000-8000-00000000000a", "idp", "ada@example.org", False),
            ("019aaaaa-0000-7000-8000-00000000000b", "idp", "bob@example.org", True),
            ("019aaaaa-0000-7000-8000-00000000000c", "idp", "bob@example.org", False),
            ("019aaaaa-0000-7000-8000-00000000000d", "", "invited@example.org", False),
        ],
    )
    assert migrate(address).returncode == 0
    assert {row["right"]: row["hub_user"] for row in await connection.fetch(HUB_USERS)} == {
        "a": "ada@example.org",
        "b": "bob-00000000000b",
        "c": "bob-00000000000c",
        "d": "invited-00000000000d",
    }


async def test_templates_of_servers_have_no_nulls_whoever_wrote_them_and_when(database: Database) -> None:
    address, connection = database
    step = "2026-11-28T05:41:05:681619"
    ended = run(address, "piccolo.main", "migrations", "backwards", "notebooks_hub", step, "--auto_agree")
    assert ended.returncode == 0, ended.stderr
    owner = await connection.fetchval(
        "INSERT INTO person (id, email) VALUES (gen_random_uuid(), 'ada@example.org') RETURNING id"
    )
    make = """INSERT INTO server (id, owner, name, template, template_data)
              VALUES (gen_random_uuid(), $1, $2, gen_random_uuid(), $3)"""
    with_nulls = '{"name": "lab", "filePath": null, "tags": []}'
    await connection.execute(make, owner, "before", with_nulls)
    assert migrate(address).returncode == 0
    # As a process of the version before does, which goes on meanwhile.
    await connection.execute(make, owner, "after", with_nulls)
    found = await connection.fetch("SELECT name, template_data FROM server ORDER BY name DESC")
    assert [tuple(one) for one in found] == [(name, '{"name": "lab", "tags": []}') for name in ("before", "after")]
    await connection.execute("UPDATE server SET template_data = $1", with_nulls)
    assert not await connection.fetch("SELECT id FROM server WHERE template_data ? 'filePath'")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what a migration is made from."""
    shutil.copytree(PROJECT / "models", tmp_path / "models", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(PROJECT / name, tmp_path)
    (tmp_path / ".venv").symlink_to(PROJECT / ".venv")
    return tmp_path


def make_migration(project: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    # Everything is installed.
    command = ["make", "--old-file=setup", "migration", *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def passes_ruff(path: Path) -> bool:
    ruff = Path(sys.executable).with_name("ruff")
    checks = (["check"], ["format", "--check"])
    return all(subprocess.run([ruff, *check, path], cwd=PROJECT, check=False).returncode == 0 for check in checks)


def migrations_of(project: Path) -> set[Path]:
    return set((project / "models" / "migrations").glob("*.py"))


async def test_a_changed_table_is_one_command_from_its_migration(database: Database, project: Path) -> None:
    tables = project / "models" / "database" / "tables.py"
    column = "    started_once = Boolean(default=False)\n"
    assert column in tables.read_text()
    tables.write_text(tables.read_text().replace(column, f"{column}    started_by = UUID(null=True, default=None)\n"))
    before = migrations_of(project)

    ended = make_migration(project, "NAME=who_started")

    assert ended.returncode == 0, ended.stderr
    [made] = migrations_of(project) - before
    assert made.stem.endswith("_who_started")
    assert str(made) in ended.stdout
    assert passes_ruff(made)

    line = '    manager.create_index("server_started_by", "server (started_by, id DESC)")\n\n    return manager\n'
    made.write_text(made.read_text().replace("    return manager\n", line))
    ended = migrate(database[0], project)
    assert ended.returncode == 0, ended.stderr
    assert await differences(database[1]) == {"not in tables.py: server.started_by uuid"}
    assert await database[1].fetchval("SELECT to_regclass('server_started_by') IS NOT NULL")
    assert "Nothing to do" in make_migration(project, "NAME=again").stdout
    assert migrations_of(project) == before | {made}


def test_a_migration_of_an_index_alone_is_begun(project: Path) -> None:
    before = migrations_of(project)
    assert "ARGS=--empty" in make_migration(project, "NAME=server_names").stdout
    assert make_migration(project, "NAME=server_names", "ARGS=--empty").returncode == 0
    [made] = migrations_of(project) - before
    assert "manager.create_index(" in made.read_text()
    assert passes_ruff(made)


@pytest.mark.parametrize("arguments", [(), ("NAME=Who started",), ("NAME=../../elsewhere",)])
def test_a_migration_has_a_name(project: Path, arguments: tuple[str, ...]) -> None:
    before = migrations_of(project)
    ended = make_migration(project, *arguments)
    assert ended.returncode != 0
    assert "NAME=what_changes" in ended.stderr
    assert migrations_of(project) == before
