"""Builds the pages that the API serves at `/help`: `python docs/help/build.py TARGET`.

The documents of the project are copied to one tree, where each is at the place that it has on the site; links to what
is no page of it become the path that they are about. Sphinx makes pages of the tree; whatever it warns of is an error,
a link that leads nowhere first of all.
"""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from tempfile import TemporaryDirectory

from sphinx.cmd.build import build_main

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
ELSEWHERE = {
    "CONTRIBUTING.md": "contributing.md",
    "README.md": "index.md",
    "client/README.md": "client.md",
    "deploy/README.md": "deploying.md",
    "docs/openapi.json": "rest.md",
}
"""Documents that are not in `docs/`, and where they are on the site, whose first page stands for the README."""

_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
_LEFT_OVER = (".buildinfo", ".doctrees", "objects.inv", "_sources")


class Broken(Exception):
    """A document says what is not so."""


def build(target: Path) -> None:
    """Build the site into `target`, which is there only if all of it could be built."""
    with TemporaryDirectory() as directory:
        tree, made = Path(directory, "tree"), Path(directory, "made")
        for document, place in documents():
            put = tree / place
            put.parent.mkdir(parents=True, exist_ok=True)
            if document.suffix == ".md":
                put.write_text(placed(document.read_text(), document.relative_to(PROJECT).as_posix(), place))
            else:
                shutil.copy(document, put)
        (tree / "rest.md").write_text(rest_page((PROJECT / "docs" / "openapi.json").read_bytes()))
        listed = "\n".join(sorted(path.stem for path in (tree / "decisions").glob("0*.md")))
        with (tree / "decisions" / "README.md").open("a") as decisions:
            decisions.write(f"\n```{{toctree}}\n:hidden:\n{listed}\n```\n")
        options = ["--fail-on-warning", "--keep-going", "--nitpicky", "--quiet", "--jobs", "1"]
        if build_main([*options, "-c", str(HERE), "-d", str(Path(directory, "trees")), str(tree), str(made)]) != 0:
            raise Broken("the documentation has mistakes, see above")
        for name in _LEFT_OVER:
            shutil.rmtree(made / name, ignore_errors=True)
            (made / name).unlink(missing_ok=True)
        shutil.copytree(made, target)


def documents() -> Iterator[tuple[Path, str]]:
    """Each document and picture, with its place on the site."""
    docs = PROJECT / "docs"
    pictures = [path for place in ("*.png", "page/*.png", "tutorials/*.png") for path in docs.glob(place)]
    for path in sorted([*docs.rglob("*.md"), *pictures]):
        if HERE not in path.parents:
            yield path, path.relative_to(docs).as_posix()
    for name, place in ELSEWHERE.items():
        if name not in ("README.md", "docs/openapi.json"):
            yield PROJECT / name, place


def placed(text: str, name: str, place: str) -> str:
    """A document with its links as they are at its place on the site."""

    def link(found: re.Match[str]) -> str:
        picture, words, target = found.groups()
        if re.match(r"[a-z]+:|#", target):
            return found[0]
        path, sharp, part = target.partition("#")
        meant = normpath(PurePosixPath(name).parent / path)
        where = _place_of(meant)
        if where is None:
            return f"`{meant}`" if "/" in words or "." in words else f"{words} (`{meant}`)"
        there = relpath(where, PurePosixPath(place).parent)
        if picture and meant.endswith("-light.png"):
            return f"![{words}]({there}){{.by-day}}\n![{words}]({there.replace('-light', '-dark')}){{.by-night}}"
        return f"{picture}[{words}]({there}{sharp}{part})"

    pieces = _FENCE.split(text)
    pieces[::2] = [_LINK.sub(link, piece) for piece in pieces[::2]]
    # Drawings are shown as they are written: what draws them would be a program in the page.
    pieces[1::2] = [piece.replace("```mermaid\n", "```text\n", 1) for piece in pieces[1::2]]
    return "".join(pieces)


def _place_of(name: str) -> str | None:
    if name in ELSEWHERE:
        return ELSEWHERE[name]
    if name.endswith((".md", ".png")) and name.startswith("docs/"):
        return name.removeprefix("docs/")
    return "decisions/README.md" if name == "docs/decisions" else None


def rest_page(document: bytes) -> str:
    """The routes of the API's document, by their tags."""
    api = json.loads(document)
    routes = sorted(
        (route["tags"][0], path, method.upper(), route["summary"])
        for path, methods in api["paths"].items()
        for method, route in methods.items()
    )
    lines = [
        "# REST",
        "",
        "Every route of the API. Parameters, bodies, answers and examples are in [its own page](api:docs), where each",
        "can be tried as well; programs read [the document](api:schema/openapi.json). What an error's code means is in",
        "[](errors.md).",
    ]
    for tag, group in groupby(routes, key=lambda route: route[0]):
        lines += ["", f"## {tag}", "", "| | route | does |", "|---|---|---|"]
        lines += [f"| {method} | `{path}` | {summary} |" for _, path, method, summary in group]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    try:
        build(Path(sys.argv[1]))
    except Broken as mistake:
        sys.exit(f"{mistake}")
