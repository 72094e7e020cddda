"""The documents are true: their commands, links and tables are what is there."""

import ast
import re
import shlex
import subprocess
from importlib.metadata import entry_points
from pathlib import Path

import msgspec
import pytest

import api.app  # noqa: F401 - with all kinds of errors
from hub.settings import HubSettings, variable_of
from models.domain.errors import DomainError
from models.domain.settings import table
from nbhub.cli.application import Typed, find
from nbhub.cli.grammar import read
from nbhub.cli.program import GROUP
from stack import isolation, programs, serve
from stack.cli import parse
from tests.architecture.test_wiring import modules_of, parsed
from tests.project import PROJECT

FOLDERS = ("", "docs", "docs/decisions", "docs/tutorials", "deploy", "client")
PAGES = sorted(path for folder in FOLDERS for path in (PROJECT / folder).glob("*.md"))


def name_of(page: Path) -> str:
    return str(page.relative_to(PROJECT))


def shell_lines(page: Path) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    return [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_is_run_by_make_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    for words in re.findall(r"(?:^|`)make ((?:[a-z-]+ ?)+)", page.read_text(), re.MULTILINE):
        assert set(words.split()) <= targets, words


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_are_named_exist(page: Path) -> None:
    packages = r"(?:api|operating|workflows|activities|integrations|models|hub|stack|client|tests|docs|deploy)"
    for file in re.findall(rf"`({packages}/[\w./-]*)`", page.read_text()):
        assert (PROJECT / file).exists(), file


def test_every_threat_names_a_test_that_there_is() -> None:
    page = (PROJECT / "docs" / "security.md").read_text()
    rows = [
        row.split("|")[1:-1] for row in page.splitlines() if row.startswith("| ") and not row.startswith("| threat")
    ]
    assert rows
    defined = {
        name
        for file in (PROJECT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    for threat, stops, tests in rows:
        named = re.findall(r"`(test_\w+)`", tests)
        assert stops.strip(), threat
        assert named, threat
        assert not set(named) - defined, threat


def test_commands_are_understood() -> None:
    """Those of the command line, and those of the stack."""
    commands = [
        shlex.split(re.split(r" [<|>]", line)[0])[1:]
        for page in PAGES
        for line in shell_lines(page)
        if re.match(r"(\.venv/bin/)?nbhub ", line)
    ]
    assert len(commands) > 15
    for words in commands:
        if words[0] in entry_points(group=GROUP).names:
            parse(words)
        else:
            typed = find(words)
            if isinstance(typed, Typed):
                read(typed.path, typed.function, typed.words)


def test_the_readme_fits_on_a_screen() -> None:
    assert len((PROJECT / "README.md").read_text().splitlines()) <= 60


def test_every_setting_is_documented() -> None:
    page = (PROJECT / "docs" / "settings.md").read_text()
    for variable, default, meaning in table():
        assert f"| `{variable}` | {f'`{default}`' if default else ''} | {meaning} |" in page, variable


def test_every_setting_of_jupyterhubs_side_is_documented() -> None:
    page = (PROJECT / "docs" / "settings.md").read_text()
    for field in msgspec.structs.fields(HubSettings):
        variable = variable_of(field.name)
        assert f"| `{variable}` |" in page, variable


def test_every_code_of_an_error_is_documented() -> None:
    """With the status that its kind has."""
    page = (PROJECT / "docs" / "errors.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n\n(.*)$", page, re.MULTILINE))
    kinds = [DomainError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    named = {
        str(ast.literal_eval(keyword.value))
        for path in modules_of("api", "workflows", "activities", "integrations", "models")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant)
    }
    codes = {kind.code for kind in kinds} | {code for code in named if code.isupper()}
    assert set(sections) == codes
    assert list(sections) == sorted(sections)
    for kind in kinds:
        told = re.match(r"Status (\d{3})\. ", sections[kind.code])
        assert told is None or int(told[1]) == kind.status, kind.code


def test_decisions_are_listed() -> None:
    decisions = PROJECT / "docs" / "decisions"
    listed = set(re.findall(r"\(([^)]+)\)", (decisions / "README.md").read_text()))
    assert listed == {page.name for page in decisions.glob("[0-9]*.md")}


def test_help_lists_every_command() -> None:
    told = subprocess.run(["make", "-s", "help"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for target in (
        "setup",
        "demo",
        "up",
        "down",
        "test",
        "lint",
        "types",
        "arch",
        "migrate",
        "migration",
        "openapi",
        "bench",
    ):
        assert re.search(rf"^{target}\s+\w", told, re.MULTILINE), target


def test_every_setting_of_the_stack_is_documented() -> None:
    page = (PROJECT / "docs" / "settings.md").read_text()
    documented = set(re.findall(r"^\| `(NBHUB_STACK_\w+)`", page, re.MULTILINE))
    assert documented == {*programs.SETTINGS, isolation.SLIRP4NETNS, serve.SUBDOMAINS}


def test_words_of_the_glossary_are_those_of_the_code() -> None:
    page = (PROJECT / "docs" / "architecture.md").read_text()
    table = page.partition("\n## Words\n")[2].partition("\n## ")[0]
    words = [word for row in re.findall(r"^\| ([a-z, ]+) \| ", table, re.MULTILINE)[1:] for word in row.split(", ")]
    assert len(words) > 12
    names = {
        part.lower()
        for path in modules_of("api", "workflows", "activities", "integrations", "models", "hub")
        for node in ast.walk(parsed(path))
        for name in (getattr(node, field, None) for field in ("id", "name", "attr", "arg"))
        for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name or "")
    }
    assert set(words) - names == set()
