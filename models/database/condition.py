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


async def schema() -> Schema:
    """How far the schema is from what this program works with; nothing is changed."""
    known = sorted(one for path in _MIGRATIONS.glob("*.py") for one in _ID.findall(path.read_text()))
    try:
        seen = [one["name"] for one in await rows("SELECT name FROM migration ORDER BY name")]
    except asyncpg.UndefinedTableError:
        seen = []
    return Schema(missing=[one for one in known if one not in seen], unknown=[one for one in seen if one not in known])
