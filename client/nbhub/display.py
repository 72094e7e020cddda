"""How records look in a notebook: a table with links. Everything is escaped, and a link leads to http or https."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from datetime import datetime
from html import escape
from itertools import islice
from typing import Generic, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

T_co = TypeVar("T_co", covariant=True)

MOST_ROWS = 50
"""Of a list so many are shown: it may have thousands."""
# What a table of many has no room for.
_LEFT_OUT = frozenset(
    {"etag", "template", "template_id", "lua_module_file", "steps", "engine", "secret_path", "left_out"}
)
_MARKS = {
    **dict.fromkeys(("running", "succeeded", "ok"), "●"),
    **dict.fromkeys(("starting", "stopping", "queued"), "◐"),
    **dict.fromkeys(("failed", "cancelled"), "✗"),
}


def is_link(text: object) -> bool:
    """Whether a text is an address that is safe to open."""
    return isinstance(text, str) and urlsplit(text).scheme in ("http", "https")


def table_of(rows: Iterable[object]) -> str:
    """An HTML table of records of one kind; a line of text if there are none."""
    shown = list(islice(rows, MOST_ROWS + 1))
    if not shown:
        return "<p>nothing here</p>"
    if not isinstance(shown[0], Struct):
        return "<ul>" + "".join(f"<li>{escape(str(one))}</li>" for one in shown[:MOST_ROWS]) + "</ul>"
    values = [msgspec.structs.asdict(one) for one in shown[:MOST_ROWS] if isinstance(one, Struct)]
    columns = [name for name in values[0] if name not in _LEFT_OUT and any(row[name] is not None for row in values)]
    # Names first: ids are long, and for programs.
    columns.sort(key=lambda name: ("name", "id").index(name) if name == "name" else 2 if name == "id" else 1)
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{_cell(row[name])}</td>" for name in columns) + "</tr>" for row in values)
    more = "" if len(shown) <= MOST_ROWS else f"<p>the first {MOST_ROWS}; there are more</p>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def card_of(record: Struct) -> str:
    """An HTML table of one record, a line to a field."""
    rows = "".join(
        f"<tr><th>{escape(name.replace('_', ' '))}</th><td>{_cell(value)}</td></tr>"
        for name, value in msgspec.structs.asdict(record).items()
        if value is not None and name != "etag"
    )
    return f"<table><tbody>{rows}</tbody></table>"


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and is_link(value):
        return f'<a href="{escape(value)}" target="_blank" rel="noopener noreferrer">open</a>'
    if isinstance(value, str) and value in _MARKS:
        return f"{_MARKS[value]} {escape(value)}"
    if isinstance(value, datetime):
        return escape(f"{value:%Y-%m-%d %H:%M %Z}")
    if isinstance(value, Struct):
        return escape(str(getattr(value, "message", None) or getattr(value, "name", "")))
    if isinstance(value, list):
        return escape(", ".join(str(getattr(one, "name", one)) for one in value))
    return "" if value is None else escape(str(value))


class Shown(ABC, Generic[T_co]):
    """A list that shows itself in a notebook."""

    @abstractmethod
    def __iter__(self) -> Iterator[T_co]:
        """Its members."""

    def _repr_html_(self) -> str:
        return table_of(self)


class AsyncShown(Generic[T_co]):
    """A list that is asked for by `async for`, which showing it cannot."""
