"""Hand-written statements: one round trip where a query builder would need several.

Parameters are `{}` in the text and never part of it; Piccolo sends them apart from the statement.
"""

from typing import Any, TypeVar

import msgspec

from models.database.tables import Operation

Row = dict[str, Any]
S = TypeVar("S", bound=msgspec.Struct)


async def rows(statement: str, *parameters: object) -> list[Row]:
    """Run one statement and return its rows."""
    # The table only lends its engine and the transaction of this task.
    result: list[Row] = await Operation.raw(statement, *parameters)
    return result


async def row(statement: str, *parameters: object) -> Row | None:
    """Run one statement and return its first row, if any."""
    found = await rows(statement, *parameters)
    return found[0] if found else None


def decoded(found: Row, *names: str) -> Row:
    """A row with the named JSON columns as values; PostgreSQL gives them as text."""
    return {**found, **{name: msgspec.json.decode(found[name]) for name in names if found[name] is not None}}


def records(found: list[Row], kind: type[S]) -> list[S]:
    """Rows as structs. One by one: what msgspec makes of `list[kind]` it would make anew at each call."""
    return [msgspec.convert(one, kind) for one in found]


def to_json(value: object) -> str | None:
    """A JSONB parameter: PostgreSQL takes it as text."""
    return None if value is None else msgspec.json.encode(value).decode()
