"""Writes `nbhub/synchronous` from `nbhub/asynchronous`: the same code without `async` and `await`.

`make client` runs it; a test compares.
"""

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent / "nbhub"
WRITTEN = PACKAGE / "asynchronous"
MADE = PACKAGE / "synchronous"
_NOTE = "# Made of nbhub/asynchronous/{name} by `make client`: change it there.\n"
_INIT = '"""The client for programs without `async`, made of `nbhub/asynchronous` by `make client`."""\n'

_REPLACED = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\basync (def|with|for)\b", r"\1"),
        (r"\bawait ", ""),
        (r"\bAsyncGenerator\[(.+?), None\]", r"Generator[\1, None, None]"),
        (r"\basynccontextmanager\b", "contextmanager"),
        (r"\baclosing\b", "closing"),
        (r"\b__aenter__\b", "__enter__"),
        (r"\b__aexit__\b", "__exit__"),
        (r"\b__aiter__\b", "__iter__"),
        (r"\.(aclose|aread|aiter_lines|aiter_bytes)\b", lambda found: "." + found[1][1:]),
        (r"\bfrom asyncio import sleep\b", "from time import sleep"),
        (r"\basynchronous\b", "synchronous"),
        (r"\bAsync([A-Z]\w*)", r"\1"),
    )
]


def generate(source: str, name: str) -> str:
    """The synchronous text of a module."""
    if name == "__init__.py":
        return _INIT
    for pattern, replacement in _REPLACED:
        source = pattern.sub(replacement, source)
    return _formatted(_NOTE.format(name=name) + source)


def _formatted(source: str) -> str:
    for command in (("check", "--fix", "--exit-zero", "--quiet"), ("format", "--quiet")):
        run = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename", MADE / "made.py", "-"],
            input=source,
            capture_output=True,
            text=True,
            check=True,
        )
        source = run.stdout
    return source


def main() -> None:
    """Write all of it anew."""
    MADE.mkdir(exist_ok=True)
    names = {path.name for path in WRITTEN.glob("*.py")}
    for path in MADE.glob("*.py"):
        if path.name not in names:
            path.unlink()
    for name in sorted(names):
        (MADE / name).write_text(generate((WRITTEN / name).read_text(), name))


if __name__ == "__main__":
    main()
