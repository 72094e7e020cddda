"""CONTRIBUTING's list for a new kind is all that it takes, and whatever of it is forgotten is named by a fast test."""

import contextlib
import faulthandler
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checklist.toy_kind import EDITS, KINDS, MIGRATION, STATEMENTS, Edit
from tests.project import PROJECT

DOCUMENT = "docs/openapi.json"
# What takes long to import and is the same in each copy.
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    ["pytest_asyncio.plugin", "httpx", "litestar.testing", "piccolo.apps.migrations.commands.new", "temporalio.worker"]
)
_SECONDS = 120
"""After which a check that hangs ends and says where."""
_ALREADY_IMPORTED = "ignore::pytest.PytestAssertRewriteWarning"


def run_in(copy: Path, module: str, *arguments: str) -> None:
    """Run a module of a copy."""
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PICCOLO_CONF": "models.database.piccolo_conf"}
    subprocess.run([sys.executable, "-m", module, *arguments], cwd=copy, env=environment, check=True)


def _check(copy: Path, tests: tuple[str, ...], said: Path) -> None:
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    faulthandler.dump_traceback_later(_SECONDS, exit=True)
    os.chdir(copy)
    # Nothing of the project that is being tested: the copy's own is imported.
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    sys.path[:] = [str(copy), *(path for path in sys.path if Path(path or ".").resolve() != PROJECT)]
    sys.dont_write_bytecode = True
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    plugins = ["-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin", "-p", "pytest_timeout"]
    sys.exit(pytest.main(["-q", *plugins, "-W", _ALREADY_IMPORTED, *tests]))


def check(copy: Path, *tests: str) -> tuple[bool, str]:
    """Whether tests of a copy pass, and what they say."""
    said = copy.with_name("said.txt")
    process = FORKED.Process(target=_check, args=(copy, tests, said), daemon=True)
    process.start()
    process.join()
    return process.exitcode == 0, said.read_text()


@contextlib.contextmanager
def replaced(path: Path, text: str | None) -> Iterator[None]:
    """A file with another text, or gone, for a while."""
    whole = path.read_text()
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    yield
    path.write_text(whole)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with one kind more."""
    copy = tmp_path_factory.mktemp("project") / "copy"
    shutil.copytree(
        PROJECT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "node_modules", Path(__file__).name)
    )
    for edit in EDITS:
        edit.apply(copy)
    before = set((copy / MIGRATION).parent.iterdir())
    run_in(copy, "models.database.new_migration", "note")
    [migration] = set((copy / MIGRATION).parent.iterdir()) - before
    migration.rename(copy / MIGRATION)
    STATEMENTS.apply(copy)
    run_in(copy, "api.document")
    return copy


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.file)
def test_the_list_names(edit: Edit) -> None:
    the_list = (PROJECT / "CONTRIBUTING.md").read_text().partition("## Adding a kind of resource")[2]
    place = re.sub("note", "<thing>", edit.file) if edit.content else edit.file
    folders = [f"`{folder}/`" for folder in Path(place).parents]
    assert any(one in the_list for one in (f"`{place}`", *folders[: len(folders) - 2]))


def test_the_tutorial_is_this_walk() -> None:
    """What it has one write is in the toy kind, and what it says that tests say is what they say."""
    tutorial = (PROJECT / "docs" / "tutorials" / "kind.md").read_text()
    places = {edit.file: edit for edit in EDITS}
    blocks = list(re.finditer(r"^```(\w+)\n(.*?)^```$", tutorial, re.MULTILINE | re.DOTALL))
    assert {block[1] for block in blocks} == {"sh", "python", "text"}
    for block in blocks:
        language, text = block.groups()
        if language == "sh":
            ran = text.split()[-1]
            assert all(edit.check.startswith(ran) for edit in EDITS)
            continue
        edit = places[
            [name for name in re.findall(r"[`*]([\w./]+)[`*]", tutorial[: block.start()]) if name in places][-1]
        ]
        if language == "text":
            assert text.strip() in edit.says
        else:
            written = [edit.content, *(new for _, new in edit.replaced)]
            assert any(_unindented(text) in _unindented(one) for one in written), text


def _unindented(code: str) -> str:
    return "\n".join(line.strip() for line in code.strip().splitlines())


def test_with_all_of_it_every_fast_check_passes(copy: Path) -> None:
    its_own = [edit.file for edit in EDITS if edit.file.startswith("tests/unit/")]
    # What JupyterHub's image has is the same.
    without = ("--ignore", "tests/architecture/test_hub_alone.py")
    passed, said = check(copy, "tests/architecture", *without, "tests/contract/test_reference.py", *its_own)
    assert passed, said
    run_in(copy, "ruff", "check", "--no-cache", ".")


@pytest.mark.parametrize("edit", [*EDITS, STATEMENTS], ids=lambda edit: edit.file)
def test_what_is_forgotten_is_named(edit: Edit, copy: Path) -> None:
    path = copy / edit.file
    with replaced(path, edit.without(path.read_text())):
        passed, said = check(copy, edit.check)
    assert not passed
    for one in edit.says:
        assert one in said


def test_a_forgotten_migration_is_named(copy: Path) -> None:
    with replaced(copy / MIGRATION, None):
        _, said = check(copy, f"{KINDS}::test_the_table_of_a_kind_is_migrated")
    assert "no migration makes the table note: make migration NAME=note" in said


def test_a_forgotten_document_is_named(copy: Path) -> None:
    with replaced(copy / DOCUMENT, (PROJECT / DOCUMENT).read_text()):
        _, said = check(copy, "tests/contract/test_reference.py")
    assert "run `make openapi`" in said
