"""What Sphinx is told: Markdown to pages of our own theme, and an index for our own search."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

project = "Notebooks Hub"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "index"
smartquotes = False
# Pygments' sheet is not used: the theme colours what it marks.
pygments_style = "none"

myst_enable_extensions = ["attrs_inline"]
myst_heading_anchors = 4
# `api:` is the API that serves the page.
myst_url_schemes = {"http": None, "https": None, "mailto": None, "api": {"url": "/{{path}}"}}

html_theme = "theme"
html_theme_path = ["."]
html_title = "Notebooks Hub"
html_copy_source = False
html_show_sphinx = False
html_use_index = False
html_domain_indices = False
html_additional_pages = {"search": "search.html"}

_OURS = ("site.css", "look.js", "search.js", "icon.svg")


def _sections(tree: nodes.document) -> Iterator[tuple[str, str, str]]:
    """The id, title and own text of each section."""
    for section in tree.findall(nodes.section):
        own = [child for child in section.children if not isinstance(child, nodes.section | nodes.title)]
        text = " ".join(" ".join(child.astext().split()) for child in own)
        yield str(section["ids"][0]), section[0].astext(), text


def _leave_to_ours(app: Sphinx) -> None:
    # Its search and its scripts want what the policy of the site forbids.
    app.builder.search = False  # type: ignore[attr-defined]  # of the builder of pages alone


def _write_index(app: Sphinx, problem: Exception | None) -> None:
    if problem:
        return
    entries = []
    for name in sorted(app.env.found_docs):
        page = app.env.titles[name].astext()
        for anchor, title, text in _sections(app.env.get_doctree(name)):
            where = f"{name}.html" if title == page else f"{name}.html#{anchor}"
            entries.append([where, page, title, text])
    Path(app.outdir, "search.json").write_text(json.dumps(entries, ensure_ascii=False))
    for path in Path(app.outdir, "_static").iterdir():
        if path.name not in _OURS:
            path.unlink()


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("builder-inited", _leave_to_ours)
    app.connect("build-finished", _write_index)
    return {"parallel_read_safe": True}
