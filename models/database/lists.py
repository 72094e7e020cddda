"""Lists in the order that was asked for, narrowed by what many rows have, or few.

A list goes on after the last row of the page before, of which a cursor holds the id and what the order is by. A row
that is changed meanwhile may move in an order by changes; in any other a list shows what is there all the time once.
"""

from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from models.database.sql import page
from models.domain.ids import FIRST_ID, LAST_ID


class Sort(StrEnum):
    """The orders of a list; a minus turns one around. Where two rows are alike, their ids decide."""

    NEWEST = "newest"
    OLDEST = "-newest"
    NAME = "name"
    """Without regard to case, by the code points of the letters."""
    NAME_BACKWARDS = "-name"
    UPDATED = "updated"
    """What was changed last comes first."""
    LONGEST_UNCHANGED = "-updated"


class SortByAge(StrEnum):
    """The orders of a list of what has no name, or is no more changed than it is made."""

    NEWEST = "newest"
    OLDEST = "-newest"


class Listed(Protocol):
    """A row of a list."""

    @property
    def id(self) -> UUID:
        """Ids grow with time."""

    @property
    def name(self) -> str:
        """As people see it."""

    @property
    def updated_at(self) -> datetime:
        """When it was changed last."""


# Of each order: what it is by besides the id, its direction, and what comes before all in it.
_NAME, _UPDATED = 'lower({}.name) COLLATE "C"', "{}.updated_at"
_LONGER_THAN_ANY = 256
_ORDERS = {
    Sort.NEWEST: ("", "DESC", ""),
    Sort.OLDEST: ("", "ASC", ""),
    Sort.NAME: (_NAME, "ASC", ""),
    Sort.NAME_BACKWARDS: (_NAME, "DESC", "\U0010ffff" * _LONGER_THAN_ANY),
    Sort.UPDATED: (_UPDATED, "DESC", "infinity"),
    Sort.LONGEST_UNCHANGED: (_UPDATED, "ASC", "-infinity"),
}
_GIVEN = {"": "", _NAME: "lower(:before_key)", _UPDATED: ":before_key::text::timestamptz"}


class Order(Struct, frozen=True):
    """The order of a list, and where in it a page begins."""

    sort: Sort = Sort.NEWEST
    after: tuple[str, ...] | None = None
    """What `key_of` gave for the last row of the page before; None: the list begins."""

    def key_of(self, row: Listed) -> tuple[str, ...]:
        """What a cursor keeps of a row."""
        key = {"": (), _NAME: (row.name,), _UPDATED: (row.updated_at.isoformat(),)}[_ORDERS[self.sort][0]]
        return (str(row.id), *key)

    @property
    def values(self) -> dict[str, object]:
        """The parameters of `beyond`."""
        by, direction, start = _ORDERS[self.sort]
        if self.after is None:
            found: tuple[object, ...] = (LAST_ID if direction == "DESC" else FIRST_ID, start)
        else:
            found = (UUID(self.after[0]), *self.after[1:])
        return {"before": found[0], "before_key": found[1]} if by else {"before": found[0]}

    @property
    def direction(self) -> str:
        """SQL: the way that the ids go."""
        return _ORDERS[self.sort][1]

    def key(self, alias: str) -> str:
        """SQL: what the order is by besides the id; NULL where that is nothing."""
        return _ORDERS[self.sort][0].format(alias) or "NULL::text"

    def by(self, alias: str, key: str | None = None) -> str:
        """SQL: what comes after ORDER BY. The key may be a column of the alias."""
        by, direction, _ = _ORDERS[self.sort]
        keys = [key or by.format(alias)] if by else []
        return ", ".join(f"{one} {direction}" for one in (*keys, f"{alias}.id"))

    def beyond(self, alias: str, before: str = ":before", key: str | None = None) -> str:
        """SQL: the condition that a row comes after the page before, or after what these expressions say."""
        by, direction, _ = _ORDERS[self.sort]
        sign = "<" if direction == "DESC" else ">"
        if not by:
            return f"{alias}.id {sign} {before}"
        return f"({by.format(alias)}, {alias}.id) {sign} ({key or _GIVEN[by]}, {before})"


NEWEST_FIRST = Order()


class Filter(Struct, frozen=True):
    """What narrows a list."""

    holds: str
    """SQL: the condition on a row."""
    found: str
    """SQL: the ids of all rows for which it holds, as `id`, by an index; perhaps of others too."""


LONGEST_SEARCHED = 64
"""Characters of what is looked for that an index of parts of names is asked for."""
FIRST = 5_000
"""Among so many rows, in their order, some are looked for without an index of what they have: 10 ms."""
FEW = 20_000
"""So many are fetched by an index, to be sorted: 60,000 pages of tables and indexes at most.

Of a million rows more than these, if they lie anywhere, have filled a page among the first: what comes here and is more
lies together, perhaps at the end of the order, and all before it would be read.
"""


def narrowed_page(table: str, alias: str, seen: str, order: Order, filters: list[Filter]) -> str:
    """SQL: at most `:limit` ids, as `id`, of those rows that are `seen` and for which all filters hold, in order.

    Which way is short depends on how many rows there are of what is looked for, so it is tried. What many have fills a
    page among the first in order. What few have is found by an index of what narrows it most, and sorted. What is
    neither is looked for in order: the page is full before long (decision 27).
    """
    if not filters:
        return page(
            f"SELECT {alias}.id FROM {table} {alias} WHERE {seen} AND {order.beyond(alias)} ORDER BY {order.by(alias)}"
        )
    holds = " AND ".join(one.holds for one in filters)
    few = [f"few{number}" for number in range(len(filters))]
    finds = ",".join(
        f"""{name} AS MATERIALIZED (
              SELECT id FROM ({one.found}) found WHERE (SELECT id FROM further) IS NOT NULL LIMIT {FEW} + 1)"""
        for name, one in zip(few, filters, strict=True)
    )
    counted = " UNION ALL ".join(f"SELECT count(*) AS number, array_agg(id) AS ids FROM {name}" for name in few)
    columns = f"{alias}.id, {order.key(alias)} AS key"
    rest = f"{seen} AND {order.beyond(alias, '(SELECT id FROM further)', '(SELECT key FROM further)')} AND {holds}"
    walk = f"""SELECT {columns} FROM {table} {alias}
                WHERE NOT EXISTS (SELECT FROM rare) AND (SELECT id FROM further) IS NOT NULL AND {rest}
                ORDER BY {order.by(alias)}"""
    return f"""(
        WITH first AS MATERIALIZED (
          SELECT {columns}, {holds} AS holds
            FROM (SELECT * FROM {table} {alias} WHERE {seen} AND {order.beyond(alias)}
                   ORDER BY {order.by(alias)} LIMIT {FIRST}) {alias}),
        -- Where to go on, if that was neither all nor enough.
        further AS MATERIALIZED (
          SELECT id, key FROM (SELECT id, key FROM first ORDER BY {order.by("first", "key")} OFFSET {FIRST} - 1) last
           WHERE (SELECT count(*) FILTER (WHERE holds) < :limit FROM first)),
        {finds},
        rare AS MATERIALIZED (
          SELECT ids FROM ({counted}) counted
           WHERE number <= {FEW} AND (SELECT id FROM further) IS NOT NULL ORDER BY number LIMIT 1)
        SELECT id FROM (
          SELECT id, key FROM first WHERE holds
          UNION ALL
          (SELECT {columns} FROM {table} {alias}
            WHERE EXISTS (SELECT FROM rare) AND {alias}.id = ANY(ARRAY(SELECT unnest(ids) FROM rare)) AND {rest})
          UNION ALL
          {page(walk)}) found
        ORDER BY {order.by("found", "key")} LIMIT :limit)"""
