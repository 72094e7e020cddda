"""The tables of a run in docs/performance.md, each section's between two comments."""

import os
import platform
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.bench.verdicts import Measured, in_words
from tests.project import PROJECT

PAGE = PROJECT / "docs" / "performance.md"


def write(name: str, about: str, results: dict[str, Any], page: Path = PAGE) -> None:
    """Put what a section found in place of what it found before; raises `KeyError` if it has no place."""
    text = page.read_text()
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, there, rest = text.partition(begin)
    _, ends, after = rest.partition(end)
    if not there or not ends:
        raise KeyError(f"{page} has no place for {name}")
    page.write_text(f"{before}{begin}{about[0].upper()}{about[1:]}. {_conditions()}\n\n{table(results)}\n{end}{after}")


def table(results: dict[str, Any]) -> str:
    """A line for each measure; of several things that were measured, a line for each and a column for each measure."""
    measures = _measures(results)
    if measures:
        return _lines(["", "result"], [[name, in_words(one)] for name, one in measures.items()])
    things = {name: _measures(of) for name, of in results.items()}
    columns = list(dict.fromkeys(measure for of in things.values() for measure in of))
    rows = [[name, *(in_words(of[one]) if one in of else "" for one in columns)] for name, of in things.items()]
    return _lines(["", *columns], rows)


def _measures(results: dict[str, Any]) -> dict[str, Measured]:
    return {name: one for name, one in results.items() if isinstance(one, dict) and "value" in one}


def _lines(head: list[str], rows: list[list[str]]) -> str:
    marked = [[cell.replace(": missed)", ": **missed**)") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *marked))


def _conditions() -> str:
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    today = datetime.now().astimezone()
    return (
        f"{today.day} {today:%B %Y}; {processor[1] if processor else platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}; load {os.getloadavg()[0]:.1f} at the end."
    )
