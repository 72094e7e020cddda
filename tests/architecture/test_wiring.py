"""What is written is wired: activities and workflows are registered, schedules start what exists, all is explained."""

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.client import Client, Schedule, ScheduleActionStartWorkflow

import worker
from api import provider_work
from integrations.file_threads import FileThreads
from integrations.jupyterhub import JupyterHub
from integrations.oidc import OidcClient
from integrations.truth import Truth
from integrations.vault import Vault
from models.domain.kinds import WORK
from models.domain.settings import Settings
from tests.keys import key_pair
from tests.project import PROJECT
from workflows.looking import Looking
from workflows.schedules import converge
from workflows.server import WISH

PACKAGES = ("api", "operating", "workflows", "activities", "integrations", "models", "hub", "stack", "client/nbhub")
# Made by a tool.
_GENERATED = "migrations"
AT_AN_API = ["Revocations.revoke_tokens"]
"""What API processes do of workflows, and no worker."""


def modules_of(*packages: str) -> list[str]:
    """The modules of these packages, as paths from the project's root."""
    return [
        str(path.relative_to(PROJECT))
        for package in packages
        for path in sorted((PROJECT / package).rglob("*.py"))
        if _GENERATED not in path.parts and path.stat().st_size
    ]


def parsed(path: str) -> ast.Module:
    return ast.parse((PROJECT / path).read_text(), path)


def imported_names(tree: ast.AST) -> dict[str, str]:
    """What each imported name stands for: `dt` → `datetime.datetime`."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                top = name.name.partition(".")[0]
                names |= {name.asname: name.name} if name.asname else {top: top}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}
    return names


def full_name(node: ast.AST, names: Mapping[str, str]) -> str:
    """What an expression such as `dt.now` stands for, if that was imported; empty for any other."""
    if isinstance(node, ast.Name):
        return names.get(node.id, "")
    if isinstance(node, ast.Attribute):
        left = full_name(node.value, names)
        return f"{left}.{node.attr}" if left else ""
    return ""


def decorated(path: str, decorator: str) -> Iterator[str]:
    """The qualified names of classes and methods with a decorator, called or not."""
    tree = parsed(path)
    names = imported_names(tree)

    def within(body: list[ast.stmt], prefix: str) -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                for one in node.decorator_list:
                    if full_name(one.func if isinstance(one, ast.Call) else one, names) == decorator:
                        yield f"{prefix}{node.name}"
                yield from within(node.body, f"{prefix}{node.name}.")

    yield from within(tree.body, "")


WORKFLOWS_WRITTEN = {
    name: path for path in modules_of("workflows") for name in decorated(path, "temporalio.workflow.defn")
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    key = tmp_path / "key.pem"
    key.write_bytes(key_pair()[0])
    return Settings(database_url="postgresql:///nowhere", spec_signing_key_file=str(key))


@pytest.fixture
def registered(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a worker process gives to Temporal's worker."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(worker, "Worker", lambda _client, **options: given.update(options))
    nothing = SimpleNamespace()
    clients = cast(JupyterHub, nothing), cast(Truth, nothing), cast(Vault, nothing)
    worker.make_worker(cast(Client, nothing), settings, *clients)
    return given


def test_all_work_on_files_shares_the_threads_of_a_worker(registered: dict[str, Any]) -> None:
    jobs = [activity.__self__ for activity in registered["activities"]]
    found = [held for job in jobs for held in vars(job).values() if isinstance(held, FileThreads)]
    assert len({id(held) for held in found}) == 1


def test_every_activity_is_registered(registered: dict[str, Any]) -> None:
    written = {name for path in modules_of("activities") for name in decorated(path, "temporalio.activity.defn")}
    assert written > set(AT_AN_API)
    assert sorted(activity.__qualname__ for activity in registered["activities"]) == sorted(written - set(AT_AN_API))


def test_apis_do_what_needs_their_keys(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(provider_work, "Worker", lambda _client, **options: given.update(options))
    provider_work.make_worker(cast(Client, None), settings, cast(OidcClient, None))
    assert [activity.__qualname__ for activity in given["activities"]] == AT_AN_API
    assert given["task_queue"] != settings.temporal_task_queue, "a worker has no such activity"


def test_names_of_activities_are_unique(registered: dict[str, Any]) -> None:
    """Temporal knows an activity by the last part of its name alone."""
    names = [activity.__name__ for activity in registered["activities"]]
    assert len(set(names)) == len(names)


def test_every_workflow_is_registered(registered: dict[str, Any]) -> None:
    assert sorted(kind.__name__ for kind in registered["workflows"]) == sorted(WORKFLOWS_WRITTEN)


def test_all_that_work_on_a_subject_have_one_loop(registered: dict[str, Any]) -> None:
    """In it no wake-up is lost; see `tests/workflows/test_wake_ups.py`."""
    classes = {kind.__name__: kind for kind in registered["workflows"]}
    assert [work.workflow for work in WORK.values() if not issubclass(classes[work.workflow], Looking)] == []


@pytest.mark.parametrize("name", WORKFLOWS_WRITTEN)
def test_a_workflow_is_named_and_explained(name: str) -> None:
    assert name.endswith("Workflow")
    tree = parsed(WORKFLOWS_WRITTEN[name])
    assert ast.get_docstring(tree)


@pytest.mark.parametrize("name", WORKFLOWS_WRITTEN)
def test_a_workflow_has_a_history(name: str) -> None:
    """Whoever changes it learns from the replay whether running ones survive the change."""
    recorded = {
        json.loads(path.read_text())["events"][0]["workflowExecutionStartedEventAttributes"]["workflowType"]["name"]
        for path in (PROJECT / "tests" / "histories").glob("*/*.json")
    }
    assert name in recorded, f"tests/histories has none of {name}: make histories"


@dataclass
class FakeTemporal:
    """A new Temporal server, as far as schedules go."""

    schedules: dict[str, Schedule] = field(default_factory=dict)

    @property
    def operator_service(self) -> "FakeTemporal":
        return self

    async def list_search_attributes(self, _request: object) -> object:
        return SimpleNamespace(custom_attributes={WISH.name: 1})

    async def create_schedule(self, identity: str, schedule: Schedule, *, trigger_immediately: bool) -> None:
        assert trigger_immediately
        self.schedules[identity] = schedule


async def test_schedules_start_workflows_that_are_registered(registered: dict[str, Any], settings: Settings) -> None:
    temporal = FakeTemporal()
    await converge(cast(Client, temporal), settings)
    actions = [schedule.action for schedule in temporal.schedules.values()]
    assert actions
    for action in actions:
        assert isinstance(action, ScheduleActionStartWorkflow)
        assert action.workflow in {kind.__name__ for kind in registered["workflows"]}
        assert action.task_queue == registered["task_queue"], "where a worker asks for it"


def reaches(path: str, wanted: str, known: dict[str, bool]) -> bool:
    """Whether a module of ours, or one of ours that it imports, imports `wanted`."""
    if path not in known:
        known[path] = False
        names = set(imported_names(parsed(path)).values())
        known[path] = any(name.partition(".")[0] == wanted for name in names) or any(
            reaches(str(file.relative_to(PROJECT)), wanted, known)
            for name in names
            for file in {
                PROJECT / f"{name.replace('.', '/')}.py",
                PROJECT / f"{name.rpartition('.')[0].replace('.', '/')}.py",
            }
            if file.is_file()
        )
    return known[path]


# These make no client, so that no thread of the SDK is there when they end.
_WITHOUT_CLIENT = {"api/document.py"}


def test_a_program_that_used_temporals_sdk_is_not_crashed_by_it_when_it_ends() -> None:
    programs = [
        path
        for path in ("worker.py", "deploy/worker_health.py", *modules_of(*PACKAGES, "tests/bench"))
        if 'if __name__ == "__main__":' in (PROJECT / path).read_text() and reaches(path, "temporalio", {})
    ]
    ends = {
        path: full_name(last.value.func, imported_names(parsed(path)))
        for path in programs
        if isinstance(last := cast(ast.If, parsed(path).body[-1]).body[-1], ast.Expr)
        and isinstance(last.value, ast.Call)
    }
    assert {"worker.py", "api/__main__.py", "tests/bench/__main__.py"} <= set(programs)
    assert [path for path in programs if ends.get(path) != "models.domain.process.leave"] == sorted(_WITHOUT_CLIENT)


# What a workflow may not ask: the answer would be another one when it is replayed.
_UNREPEATABLE = (
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "time",
    "random",
    "secrets",
    "os.urandom",
    "os.environ",
    "os.getenv",
    "uuid.uuid1",
    "uuid.uuid4",
    "uuid_utils",
    "models.domain.ids.new_id",
)


def unrepeatable(tree: ast.AST) -> list[str]:
    """Names in a module that stand for something unrepeatable."""
    names = imported_names(tree)
    return [
        f"{node.lineno}: {name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute) and (name := full_name(node, names))
        for bad in _UNREPEATABLE
        if name == bad or name.startswith(f"{bad}.")
    ]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from datetime import datetime as dt\ndt.now()", True),
        ("import datetime\nx = datetime.datetime.now", True),
        ("import time as clock\nclock.monotonic()", True),
        ("from time import time\ntime()", True),
        ("import random\nrandom.random()", True),
        ("from uuid import uuid4\nuuid4()", True),
        ("from os import environ\nenviron['X']", True),
        ("from models.domain.ids import new_id\nnew_id()", True),
        (
            "from temporalio import workflow\nworkflow.now(), workflow.time(), workflow.uuid4(), workflow.random()",
            False,
        ),
        ("from datetime import datetime, timedelta\ntimedelta(1), datetime(2026, 1, 1)", False),
        ("from uuid import UUID\nUUID('x')", False),
        ("time = plan.time\nrandom = time.random", False),
    ],
)
def test_what_cannot_be_repeated_is_found(source: str, found: bool) -> None:
    assert bool(unrepeatable(ast.parse(source))) is found


@pytest.mark.parametrize("path", modules_of("workflows"))
def test_workflows_ask_nothing_that_cannot_be_repeated(path: str) -> None:
    assert unrepeatable(parsed(path)) == []


@pytest.mark.parametrize("path", modules_of(*PACKAGES))
def test_a_module_says_what_it_is(path: str) -> None:
    assert ast.get_docstring(parsed(path)), f"{path} has no docstring"
    assert not {"utils", "util", "helpers", "helper", "common", "manager", "misc"} & set(
        Path(path).with_suffix("").parts
    )


@pytest.mark.parametrize("path", modules_of(*PACKAGES))
def test_what_others_may_use_is_explained(path: str) -> None:
    silent = [
        f"{path}:{node.lineno} {node.name}"
        for node in parsed(path).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        # The entry point of a program, which its module explains.
        and node.name != "main"
        and not ast.get_docstring(node)
    ]
    assert silent == []
