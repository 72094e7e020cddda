"""Tables of help texts, and what may have been meant by a word: all that `nbhub --help` needs."""

from collections.abc import Iterable
from textwrap import wrap

WIDTH = 80
"""Columns of a help text."""


def section(heading: str, rows: Iterable[tuple[str, str]]) -> list[str]:
    """The lines of a table of a help text; none for no rows."""
    rows = list(rows)
    if not rows:
        return []
    width = min(max(len(name) for name, _ in rows), 26)
    lines = ["", f"{heading}:"]
    for name, text in rows:
        first, *more = wrap(text, WIDTH - width - 4) or [""]
        if len(name) > width:
            lines.append(f"  {name}")
            name = ""
        lines += [f"  {name:{width}}  {first}".rstrip(), *(f"  {'':{width}}  {line}" for line in more)]
    return lines


def nearest(word: str, known: Iterable[str]) -> str:
    """A question after what may have been meant; empty if nothing is near."""
    import difflib

    near = difflib.get_close_matches(word, list(known), n=1)
    return f": is it {near[0]}?" if near else ""
