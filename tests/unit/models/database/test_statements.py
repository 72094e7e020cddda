"""Every statement of the code is prepared by the real PostgreSQL, and says by name what it is given.

A statement is found where it is run, so none can be forgotten; what it hangs on besides constants is in `ANY_OF`.
"""

import ast
import builtins
import importlib
import itertools
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from models.access import directory
from models.database.sql import translated
from models.domain.kinds import TABLES, TRASHABLE
from models.domain.values import Caller, Subject
from models.ledger import audit, expiry
from models.ledger.events import Change
from models.ledger.idempotency import WriteKey
from models.records import datasets, modules, mounts, secrets
from models.records.lifecycles import ObjectPlan, Presence
from models.records.persons import Identity
from models.records.server_shares import Taken
from tests.architecture.test_wiring import PACKAGES, full_name, imported_names, modules_of, parsed
from tests.project import PROJECT

_NOBODY = UUID(int=0)


def _records_of(module: Any) -> Any:
    return module.read.__self__


# Of servers all is in `models.records.server_settling`.
_LIVED = [kind for kind in TABLES if kind != "server"]
_TRASHED = [_records_of(datasets), _records_of(modules)]


def _plan(kind: str, wish: Presence) -> ObjectPlan:
    return ObjectPlan(
        id=_NOBODY, kind=kind, name="", wish=wish, generation=1, observed=Presence.ABSENT, observed_generation=0
    )


ANY_OF: dict[str, list[Any]] = {
    "find_people.scope": list(directory.PEOPLE),
    "caller": [Caller(id=_NOBODY, email="")],
    "count": [False, True],
    "column": ["person", "user_group", "org"],
    "for_update": [False, True],
    "intend.subject": [Subject(kind, _NOBODY) for kind in _LIVED],
    "tell.change": list(Change),
    "tell.subject": [Subject(kind, _NOBODY) for kind in _LIVED],
    "_unchanged.identity": [Identity(issuer="", subject="", email="")],
    "wish": list(Presence),
    "key": [WriteKey(person=_NOBODY, method="", path="", key="", digest=b"")],
    "kind": list(TABLES),
    "list_seals.beyond": [None, 1],
    "list_seals.direction": ["ASC", "DESC"],
    "list_seals.sign": ["<", ">"],
    "lock": [False, True],
    "note_guests.taken": [None, *(Taken(scope=scope, id=_NOBODY, since=datetime.now(UTC)) for scope in mounts.SCOPES)],
    "scope": list(mounts.SCOPES),
    "self": [*_TRASHED, _records_of(secrets)],
    "statement": list(expiry.STATEMENTS),
    "plan": [_plan(kind, wish) for kind in _LIVED for wish in Presence],
    "purge.subject": [Subject(kind, _NOBODY) for kind in TRASHABLE],
    "record_denial.condition": ["true", *(f"EXISTS ({hidden})" for hidden in audit.HIDDEN.values())],
    "restore.self": _TRASHED,
    "subject": [Subject(kind, _NOBODY) for kind in TABLES],
    "trash.self": _TRASHED,
}
"""The values that a local name, in a function or in any, may have which a statement is made of."""


@dataclass(frozen=True)
class Run:
    """Where a statement is run."""

    path: str
    function: str
    call: ast.Call

    def __str__(self) -> str:
        return f"{self.path}:{self.function}:{self.call.lineno}"


def runs(*packages: str) -> Iterator[Run]:
    for path in modules_of(*packages):
        # Every way to name what is in `models.database.sql` has these words; to read whole files takes long.
        text = (PROJECT / path).read_text()
        if "database" not in text or "sql" not in text:
            continue
        tree = parsed(path)
        names = imported_names(tree)
        found = [node for node in ast.walk(tree) if full_name(node, names) in _RUNNERS]
        if not found:
            continue
        calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        within = {id(node): function.name for function in functions for node in ast.walk(function)}
        for node in found:
            # What is passed on instead of called would be called where nobody looks for it.
            yield Run(path, within.get(id(node), ""), calls[id(node)])


_RUNNERS = tuple(f"models.database.sql.{name}" for name in ("row", "rows", "exists", "structs"))
RUNS = list(runs(*PACKAGES, "tests"))


def made(run: Run) -> Iterator[tuple[str, set[str]]]:
    """Each text that a statement may have, with the names that it is given."""
    given = [one.value for one in run.call.keywords if one.arg is None]
    # Of `structs` it comes after what is made of its rows.
    parts = [run.call.args[-1], *given]
    names = [node for part in parts for node in ast.walk(part) if isinstance(node, ast.Name)]
    module = vars(importlib.import_module(run.path.removesuffix(".py").replace("/", ".")))
    known = {*module, *vars(builtins), *(one.id for one in names if isinstance(one.ctx, ast.Store))}
    hangs_on = sorted({one.id for one in names} - known)
    choices = [ANY_OF.get(f"{run.function}.{name}") or ANY_OF[name] for name in hangs_on]
    for values in itertools.product(*choices):
        scope = {**module, **dict(zip(hangs_on, values, strict=True))}
        codes = [compile(ast.Expression(part), str(run), "eval") for part in parts]
        statement, *more = [eval(code, scope) for code in codes]  # noqa: S307 - our own code
        yield statement, {one.arg for one in run.call.keywords if one.arg}.union(*more)


@pytest.fixture
async def connection(postgres: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(postgres)
    yield connection
    await connection.close()


# What is composed of what is given. `tests/integration/models/test_lists.py` runs each of its texts.
_COMPOSED = {
    ("models/ledger/audit.py", "list_rows"),
    ("models/ledger/operations.py", "list_visible"),
    ("models/records/server_shares.py", "list_shared"),
    ("models/records/groups.py", "list_visible"),
    ("models/records/groups.py", "list_of_member"),
    ("models/records/servers.py", "list_visible"),
    ("models/records/shared_records.py", "list_visible"),
    ("models/records/templates.py", "list_tags"),
    ("models/records/templates.py", "list_visible"),
}
_PREPARED = [one for one in RUNS if not one.path.startswith("tests/") and (one.path, one.function) not in _COMPOSED]


@pytest.mark.parametrize("run", _PREPARED, ids=str)
async def test_every_statement_is_prepared_and_given_what_it_uses(
    run: Run, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    for statement, given in made(run):
        text, used = translated(statement)
        assert given == set(used), statement
        await connection.prepare(text)


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_no_parameter_has_a_place_instead_of_a_name(run: Run) -> None:
    *kind, statement = run.call.args
    assert len(kind) == (full_name(run.call.func, imported_names(parsed(run.path))) == "models.database.sql.structs")
    texts = [node.value for node in ast.walk(statement) if isinstance(node, ast.Constant)]
    assert [one for one in texts if isinstance(one, str) and re.search(r"(?<!')\{\}", one)] == []


@pytest.mark.parametrize("path", [one for one in modules_of(*PACKAGES) if one != "models/database/sql.py"])
def test_no_statement_is_sent_past_them(path: str) -> None:
    if not re.search(r"\.raw\b|\bfetch\b", (PROJECT / path).read_text()):
        return
    tree = parsed(path)
    names = imported_names(tree)
    found = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and (node.attr == "raw" or full_name(node, names) == "models.database.transactions.fetch")
    ]
    assert found == []


_TOLD_OF = {"server": "server", "operation": "operation", **{TABLES[kind]: kind for kind in _LIVED}}
_CHANGES = re.compile(
    r"INSERT INTO (server|operation)\b|DELETE FROM (server)\b|UPDATE (\w+)\b(?=[^;]*?\bversion = )", re.DOTALL
)


@pytest.mark.parametrize("run", _PREPARED, ids=str)
def test_what_changes_what_people_see_tells_those_who_follow(run: Run) -> None:
    for statement, _ in made(run):
        changed = {found[1] or found[2] or found[3] for found in _CHANGES.finditer(statement)}
        for kind in {_TOLD_OF[table] for table in changed if table in _TOLD_OF}:
            assert re.search(rf"INSERT INTO event \(.*\n *SELECT '{kind}'", statement), statement
