"""Hand-written statements: one round trip where a query builder would need several.

Parameters are `:name` in the text and never part of it; PostgreSQL gets them apart from the statement. An f-string
makes a statement of fragments, never of values.
"""

import re
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import asyncpg
import msgspec

from models.database import transactions
from models.database.engine import CONNECTION_PROBLEMS, ruins
from models.domain.errors import IdentityUnknown
from models.domain.values import LARGEST_PAGE

Row = dict[str, Any]
T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

# What may hold a colon that begins no parameter, and then what begins one.
_PARAMETER = re.compile(r"""'[^']*'|"[^"]*"|--[^\n]*|/\*.*?\*/|::|:([a-z_][a-z0-9_]*)""", re.DOTALL)


@lru_cache(maxsize=2048)
def translated(statement: str) -> tuple[str, tuple[str, ...]]:
    """A statement as PostgreSQL takes it, and the names of its parameters in the order of their numbers."""
    names: dict[str, int] = {}

    def numbered(found: re.Match[str]) -> str:
        name = found.group(1)
        return found.group() if name is None else f"${names.setdefault(name, len(names) + 1)}"

    return _PARAMETER.sub(numbered, statement), tuple(names)


@dataclass
class Guard:
    """What has to hold of who reads: the first statement of the request tells, and finds nothing otherwise."""

    statement: str
    """Has a row if it holds; the names of its parameters are in no other statement."""
    values: dict[str, object]
    holds: bool | None = None
    """None: no statement has told."""
    taken: bool = False
    away: Exception | None = None
    """What was raised when PostgreSQL could not tell: who was kept waiting once is not kept waiting again."""

    async def look(self) -> bool:
        """Whether it holds, by a statement of its own unless another has told, or could not reach PostgreSQL."""
        if self.away is not None:
            raise self.away
        if self.holds is None:
            self.taken = True
            self.holds = bool(await self.run(self.statement, self.values))
        return self.holds

    async def run(self, statement: str, values: dict[str, object]) -> list[asyncpg.Record]:
        """Run a statement that tells whether it holds."""
        try:
            return await _run(statement, values)
        except CONNECTION_PROBLEMS as error:
            if ruins(error):
                self.away = error
            raise


_GUARD: ContextVar[Guard | None] = ContextVar("guard", default=None)


class guarded:  # noqa: N801 - a function to whoever uses it
    """Have the first of the statements that are run here look at a guard."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def __enter__(self) -> None:
        self._token = _GUARD.set(self._guard)

    def __exit__(self, *_: object) -> None:
        _GUARD.reset(self._token)


async def guard_holds() -> bool:
    """Whether what has to hold of who reads here does; true where nothing has to."""
    guard = _GUARD.get()
    return guard is None or await guard.look()


_GUARDED = "guarded"
"""The last column of what is read under a guard: null in the one row that says no more than that the guard holds."""


@lru_cache(maxsize=2048)
def _under(guard: str, statement: str) -> str:
    """A statement that reads nothing unless the guard has a row. There is one row at least if it has."""
    return f"""WITH guard AS MATERIALIZED ({guard})
        SELECT found.* FROM guard
          LEFT JOIN LATERAL (SELECT *, true AS {_GUARDED} FROM ({statement}) read) found ON true"""  # noqa: S608


class Counted(list[T]):
    """Rows of a list, and how many there are of it in all."""

    total = 0


_TOTAL, _LISTED = "total", "listed"
_COUNTED = "SELECT found.*, counted.total"
"""How a statement begins that counts too."""


def with_total(statement: str, counting: str | None) -> str:
    """A statement that reads some rows of a list and, if another is given that counts all of it, does that in the same
    look: `rows` and `structs` then give them as `Counted`."""
    if counting is None:
        return statement
    return f"""{_COUNTED} FROM ({counting}) counted(total)
        LEFT JOIN LATERAL (SELECT *, true AS {_LISTED} FROM ({statement}) read) found ON true"""  # noqa: S608


def made_of(found: list[Row], made: list[T]) -> list[T]:
    """What was made of rows, one of each, with the total that they came with, if they did."""
    return _counted(made, found.total) if isinstance(found, Counted) else made


def _counted(entries: list[T], total: int) -> Counted[T]:
    counted = Counted(entries)
    counted.total = total
    return counted


async def rows(statement: str, /, **values: object) -> list[Row]:
    """Run one statement and return its rows; raises `TypeError` unless each of its parameters, and no other, is given.

    It is part of the transaction of this task, if there is one. A parameter that is used as two types needs a cast.
    """
    found = [dict(one) for one in await _fetched(statement, values)]
    for one in found:
        one.pop(_GUARDED, None)
    if not statement.startswith(_COUNTED):
        return found
    total = found[0][_TOTAL]
    return _counted([one for one in found if one.pop(_TOTAL) is not None and one.pop(_LISTED)], total)


async def structs(kind: type[S], statement: str, /, **values: object) -> list[S]:
    """Run one statement, as `rows` does, whose columns are the fields of a struct, in the same order.

    Nothing is converted, nor looked at one by one: for what is read often and in long lists.
    """
    found, width = await _fetched(statement, values), len(kind.__struct_fields__)
    if found and tuple(found[0].keys())[:width] != kind.__struct_fields__:
        raise TypeError(f"{kind.__name__} is not what these columns are: {', '.join(found[0].keys())}")
    if not statement.startswith(_COUNTED):
        return [kind(*one[:width]) for one in found]
    return _counted([kind(*one[:width]) for one in found if one[_LISTED]], found[0][_TOTAL])


async def _fetched(statement: str, values: dict[str, object]) -> list[asyncpg.Record]:
    guard = _GUARD.get()
    if guard is None or guard.taken:
        return await _run(statement, values)
    guard.taken = True
    found = await guard.run(_under(guard.statement, statement), values | guard.values)
    guard.holds = bool(found)
    if not found:
        raise IdentityUnknown("A valid access token is needed.")
    return found if found[0][_GUARDED] else []


async def _run(statement: str, values: dict[str, object]) -> list[asyncpg.Record]:
    text, names = translated(statement)
    if values.keys() != set(names):
        raise TypeError(f"given {sorted(values)}, used {sorted(names)} in {' '.join(statement.split())}")
    return await transactions.fetch(text, *(values[name] for name in names))


async def row(statement: str, /, **values: object) -> Row | None:
    """Run one statement and return its first row, if any; see `rows`."""
    found = await rows(statement, **values)
    return found[0] if found else None


async def exists(statement: str, /, **values: object) -> bool:
    """Whether one statement finds, or changes and returns, any row; see `rows`."""
    return bool(await rows(statement, **values))


def given(conditions: dict[str, str], **values: object) -> tuple[str, dict[str, object]]:
    """What a list is narrowed by: of the conditions, by name, those whose value is not None, and these values.

    So each statement has no more in it than was asked for, and is planned once for all values.
    """
    named = {name: value for name, value in values.items() if value is not None}
    return " AND ".join(["true", *(conditions[name] for name in named)]), named


def one_value(column: str, name: str) -> str:
    """A condition that all rows have `:name` in a column, for a list whose order begins with the column.

    Of an equality PostgreSQL knows that it makes the order by the column none. It then looks for a rare value along the
    index of another order, because a plan for all values takes each for as frequent as the others.
    """
    return f"{column} BETWEEN :{name} AND :{name}"


def page(statement: str, most: int = LARGEST_PAGE + 1) -> str:
    """At most `:limit` rows of a statement that says their order, and never more than `most`.

    PostgreSQL plans `LIMIT :limit` for a tenth of all rows, whatever there are; the number tells it that they are few.
    """
    return f"(SELECT * FROM ({statement} LIMIT {most}) page LIMIT :limit)"  # noqa: S608


def decoded(found: Row, *names: str) -> Row:
    """A row with the named JSON columns as values; PostgreSQL gives them as text."""
    return {**found, **{name: msgspec.json.decode(found[name]) for name in names if found[name] is not None}}


def records(found: list[Row], kind: type[S]) -> list[S]:
    """Rows as structs. One by one: what msgspec makes of `list[kind]` it would make anew at each call."""
    return made_of(found, [msgspec.convert(one, kind) for one in found])


def to_json(value: object) -> str | None:
    """A JSONB parameter: PostgreSQL takes it as text."""
    return None if value is None else msgspec.json.encode(value).decode()
