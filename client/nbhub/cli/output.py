"""What commands print: results on stdout, as tables or JSON, and nothing else there."""

import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TextIO

import msgspec
from msgspec import Struct

from nbhub.models import Versioned

_GAP = "  "
_NARROWEST = 6


def print_json(value: object) -> None:
    """A value as JSON: records as the API has them."""
    if isinstance(value, list):
        value = [_as_sent(one) for one in value]
    text = msgspec.json.format(msgspec.json.encode(_as_sent(value)), indent=2)
    print(text.decode())


def print_table(rows: Sequence[Struct], columns: Sequence[str], output: TextIO | None = None) -> None:
    """A line to a record. In a terminal it is as wide as that; elsewhere nothing is cut off."""
    output = output or sys.stdout
    if not rows:
        print("nothing here", file=sys.stderr)
        return
    cells = [[_cell(column, getattr(row, column)) for column in columns] for row in rows]
    lines = [[column.replace("_", " ").upper() for column in columns], *cells]
    widths = [max(len(line[number]) for line in lines) for number in range(len(columns))]
    if output.isatty():
        _narrow(widths, shutil.get_terminal_size().columns)
    for line in lines:
        cut = (_cut(text, width).ljust(width) for text, width in zip(line, widths, strict=True))
        print(_GAP.join(cut).rstrip(), file=output)


def print_record(record: Struct) -> None:
    """A line to a field."""
    fields = {name: value for name, value in msgspec.structs.asdict(record).items() if value not in (None, "", [])}
    fields.pop("etag", None)
    width = max(map(len, fields), default=0) + 1
    for name, value in fields.items():
        first, *more = _lines(value)
        print(f"{name.replace('_', ' ') + ':':{width}}{_GAP}{first}")
        for line in more:
            print(f"{'':{width}}{_GAP}{line}")


def clear(output: TextIO, again: bool) -> None:
    """Make room in a terminal for what is shown again; elsewhere what is new follows what was."""
    if again and output.isatty():
        output.write("\x1b[H\x1b[2J")


_IN_BYTES = ("memory", "size")


def _cell(column: str, value: object) -> str:
    return amount(value) if column in _IN_BYTES and isinstance(value, int) else word(value)


def amount(size: float) -> str:
    """So many bytes, as people say it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        # Three digits, and no more when rounded.
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.0f} TiB"


def word(value: object) -> str:
    """A value on one line, with nothing in it that a terminal would obey."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
    if isinstance(value, Struct):
        return " ".join(word(one) for one in msgspec.structs.asdict(value).values() if one not in (None, "", []))
    if isinstance(value, list):
        return ", ".join(map(word, value)) or "-"
    return "".join(letter if letter.isprintable() else " " for letter in str(value))


def _as_sent(value: object) -> object:
    # Where an answer has it, its tag is a header.
    return msgspec.structs.replace(value, etag=None) if isinstance(value, Versioned) else value


def _lines(value: object) -> list[str]:
    if isinstance(value, str):
        return [word(line) for line in value.splitlines()] or [""]
    if isinstance(value, list):
        return [word(one) for one in value]
    if isinstance(value, Struct):
        return [
            f"{name.replace('_', ' ')}: {word(one)}"
            for name, one in msgspec.structs.asdict(value).items()
            if one not in (None, "", [])
        ]
    if isinstance(value, dict):
        return [f"{word(name)}: {word(one)}" for name, one in value.items()]
    return [word(value)]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _narrow(widths: list[int], room: int) -> None:
    """Take from the widest columns until a line fits."""
    left = sum(widths) + len(_GAP) * (len(widths) - 1) - room
    while left > 0:
        widest = max(range(len(widths)), key=widths.__getitem__)
        if widths[widest] <= _NARROWEST:
            return
        widths[widest] -= 1
        left -= 1
