"""What operators ask of the database itself: its version, clock and size, and whether its schema is the program's."""

import re
from datetime import datetime
from pathlib import Path

import asyncpg
from msgspec import Struct

from models.database.sql import records, rows

_MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
_ID = re.compile(r'^ID = "(.+)"$', re.MULTILINE)


class Condition(Struct, frozen=True, kw_only=True):
    """How PostgreSQL is; `version` as a number, such as 150018 for 15.18."""

    version: int
    now: datetime
    bytes: int


class Schema(Struct, frozen=True, kw_only=True):
    """Migrations that the program has and the database has not seen, and those that the program does not have."""

    missing: list[str]
    unknown: list[str]


async def look() -> Condition:
    """How PostgreSQL is now."""
    found = await rows(
        """SELECT current_setting('server_version_num')::int AS version, clock_timestamp() AS now,
                  pg_database_size(current_database()) AS bytes"""
    )
    return records(found, Condition)[0]


class TableCondition(Struct, frozen=True):
    """A table: about how many rows it has, and the bytes that it takes with its indexes."""

    name: str
    entries: int
    bytes: int


async def tables() -> list[TableCondition]:
    """All tables, by name, as PostgreSQL's statistics have them: none is read through."""
    found = await rows(
        """SELECT relname::text AS name, n_live_tup AS entries, pg_total_relation_size(relid) AS bytes
             FROM pg_stat_user_tables ORDER BY relname"""
    )
    return records(found, TableCondition)


async def schema() -> Schema:
    """How far the schema is from what this program works with; nothing is changed."""
    known = sorted(one for path in _MIGRATIONS.glob("*.py") for one in _ID.findall(path.read_text()))
    try:
        seen = [one["name"] for one in await rows("SELECT name FROM migration ORDER BY name")]
    except asyncpg.UndefinedTableError:
        seen = []
    return Schema(missing=[one for one in known if one not in seen], unknown=[one for one in seen if one not in known])
