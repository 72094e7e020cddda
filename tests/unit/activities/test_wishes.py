"""An activity does what is wished at this moment and nothing else, whatever generation it is told: lower or higher."""

import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast, get_type_hints
from uuid import UUID, uuid4

import msgspec
import pytest
from temporalio.testing import ActivityEnvironment

import worker
from activities.access import Access
from activities.filesystem import Filesystem
from activities.groups import Groups
from activities.messages import AccessScope, Done, FailedStart, ObjectWish, ServerWish, Withdrawn, WorkflowRun
from activities.modulefiles import Modulefiles
from activities.persons import Persons
from activities.records import Records
from activities.values import Values
from integrations.file_threads import FileThreads
from integrations.jupyterhub import JupyterHub
from integrations.turns import Turns
from integrations.vault import Vault
from models.database.sql import row
from models.database.transactions import Transaction
from models.domain.errors import RecordMissing
from models.domain.ids import new_id
from models.domain.values import OperationStatus, Subject, Wish
from models.ledger import operations
from models.ledger.operations import OperationError
from models.records import datasets, groups, lifecycles, modules, secrets
from models.records.lifecycles import Presence
from tests.people import make_person
from tests.unit.activities.conftest import Scene
from tests.workflows.simulated_hub import SimulatedHub

FAILURE = OperationError(code="SPAWN_FAILED", message="it is made up")
FAR = 10**15
"""No generation gets there by itself."""


ON_SERVERS = ("fail_start", "stop_server", "delete_server", "spawn_server", "note_shares", "revert_server")


async def do(scene: Scene, activity: str, generation: int) -> object:
    """Run an activity on the scene's server that is told a generation."""
    method = next(
        getattr(job, activity)
        for job in (scene.starts, scene.stops, scene.links, scene.records)
        if hasattr(job, activity)
    )
    if activity == "fail_start":
        return await scene.run(method, FailedStart(server_id=scene.server, generation=generation, error=FAILURE))
    return await scene.run(method, ServerWish(server_id=scene.server, generation=generation))


async def everything(scene: Scene) -> object:
    """What an activity could change of the server: its row, its operations, what it holds, and what lives of it."""
    found = await row(
        """SELECT to_jsonb(s)::text AS server, (SELECT jsonb_agg(o ORDER BY o.id)::text FROM operation o
                                                  WHERE o.subject = s.id) AS operations
             FROM server s WHERE s.id = :server""",
        server=scene.server,
    )
    return found, dict(scene.hub.living), dict(scene.hub.known), list(scene.hub.starts)


@pytest.mark.parametrize("activity", ON_SERVERS)
@pytest.mark.parametrize("wished", Wish)
@pytest.mark.parametrize("off", [FAR, 1, -1, -2], ids=["far", "higher", "lower", "lowest"])
async def test_a_server_is_left_alone_by_what_is_told_another_generation(
    scene: Scene, activity: str, wished: Wish, off: int
) -> None:
    await scene.started()
    await scene.run(scene.stops.stop_server, await scene.wish(Wish.STOPPED))
    await scene.started()
    generation = (await scene.wish(wished)).generation
    # With a wish to run, a stop is about the processes before it, and what runs is settled.
    right = generation - 1 if (activity, wished) == ("stop_server", Wish.RUNNING) else generation
    before = await everything(scene)
    assert await do(scene, activity, right + off) in (Done(done=False), None)
    assert await everything(scene) == before


@pytest.mark.parametrize("activity", ["fail_start", "stop_server", "delete_server", "revert_server"])
async def test_a_server_that_runs_as_wished_is_ended_by_nothing_that_is_told_its_generation(
    scene: Scene, activity: str
) -> None:
    await scene.started()
    before = await everything(scene)
    generation = (await scene.seen()).generation
    for told in (generation, generation - 1):
        await do(scene, activity, told)
    assert await everything(scene) == before


async def test_what_is_told_the_generation_that_is_wished_does_it(scene: Scene) -> None:
    start = await scene.wish(Wish.RUNNING)
    assert await scene.run(scene.starts.spawn_server, start) == Done(done=True, settled=True)
    await scene.run(scene.links.note_shares, start)
    assert (await scene.seen()).share_as_of
    assert scene.hub.living
    assert await scene.run(scene.stops.stop_server, await scene.wish(Wish.STOPPED)) == Done(done=True, settled=True)
    assert scene.hub.living == {}
    failed = FailedStart(server_id=scene.server, generation=(await scene.wish(Wish.RUNNING)).generation, error=FAILURE)
    assert await scene.run(scene.stops.fail_start, failed) == Done(done=True, settled=True)
    assert (await scene.operation()).status is OperationStatus.FAILED
    assert await scene.run(scene.stops.delete_server, await scene.wish(Wish.DELETED)) == Done(done=True, settled=True)
    with pytest.raises(RecordMissing):
        await scene.seen()


async def test_a_stop_that_was_taken_back_ends_nothing_even_where_it_has_begun(scene: Scene) -> None:
    await scene.started()
    stop = await scene.wish(Wish.STOPPED)
    looked = scene.hub.processes

    async def taken_back(server_id: str) -> Any:
        scene.hub.processes = looked  # type: ignore[method-assign]
        await scene.run(scene.records.revert_server, stop)
        return await looked(server_id)

    scene.hub.processes = taken_back  # type: ignore[method-assign]
    assert await scene.run(scene.stops.stop_server, stop) == Done(done=False)
    assert scene.hub.living


class Objects:
    """A record of each kind, and the activities that have a wish of one of them."""

    def __init__(self, scene: Scene, directory: Path) -> None:
        self.owner, self.wake = scene.caller, scene.wake
        self.hub, self.destroyed = SimulatedHub(), list[UUID]()
        for name in ("notebooks", "datasets", "groups", "modules"):
            (directory / name).mkdir()
        self.directory = directory
        self.settings = msgspec.structs.replace(
            scene.settings,
            notebook_location=str(directory / "notebooks"),
            dataset_location=str(directory / "datasets"),
            group_location=str(directory / "groups"),
            module_location=str(directory / "modules"),
        )

    async def made(self, kind: str) -> Subject:
        """A record of a kind, settled."""
        name, values = f"thing-{new_id().hex[-8:]}", dict[str, Any]()
        async with Transaction():
            match kind:
                case "dataset":
                    identity, _ = await datasets.create(self.owner.id, name, "", self.owner)
                case "group":
                    identity, _ = await groups.create(name, self.owner)
                case "module":
                    values = {"name": name, "module_version": "1", "description": ""}
                    identity, _ = await modules.create(self.owner.id, values, [], self.owner)
                case _:
                    identity = new_id()
                    values = {"name": name, "description": "", "type": "env_var", "value_version": 1}
                    await secrets.create(identity, self.owner.id, values, self.owner)
        return Subject(kind, identity)

    def activity(self, name: str) -> Callable[[ObjectWish], Awaitable[Any]]:
        made: dict[str, Callable[[ObjectWish], Awaitable[Any]]] = {
            "place_directory": Filesystem(self.settings, FileThreads()).place_directory,
            "place_modulefile": Modulefiles(self.settings, FileThreads()).place_modulefile,
            "mirror_group": Groups(cast(JupyterHub, self.hub), self.settings, self.wake).mirror_group,
            "destroy_value": Values(cast(Vault, self), Turns(4)).destroy_value,
            "settle_object": Records(self.settings).settle_object,
        }
        return made[name]

    # As much of Vault as removing a value needs.
    configured = True

    async def destroy(self, identity: UUID) -> None:
        self.destroyed.append(identity)

    async def everything(self, subject: Subject) -> object:
        """What an activity could change of a record."""
        plan = await lifecycles.read_plan(subject)
        files = sorted(str(path) for path in self.directory.rglob(f"*{subject.id}*"))
        modulefiles = sorted(str(path) for path in self.directory.rglob("*.lua"))
        found = await operations.list_visible(self.owner, subject=subject.id, limit=10)
        return plan, files, modulefiles, dict(self.hub.known_groups), list(self.destroyed), found


ON_OBJECTS = [
    ("place_directory", "dataset"),
    ("place_directory", "group"),
    ("place_modulefile", "module"),
    ("mirror_group", "group"),
    ("destroy_value", "secret"),
    ("settle_object", "dataset"),
    ("settle_object", "secret"),
]


@pytest.mark.parametrize(("activity", "kind"), ON_OBJECTS)
@pytest.mark.parametrize("wished", [Presence.PRESENT, Presence.PURGED])
async def test_a_record_is_left_alone_by_what_is_told_another_generation(
    scene: Scene, tmp_path_factory: pytest.TempPathFactory, activity: str, kind: str, wished: Presence
) -> None:
    objects = Objects(scene, tmp_path_factory.mktemp("roots"))
    subject = await objects.made(kind)
    async with Transaction():
        await lifecycles.intend(subject, wished, "test", objects.owner, owner=objects.owner.id)
    plan = await lifecycles.read_plan(subject)
    assert plan is not None
    before = await objects.everything(subject)
    for off in (FAR, 1, -1):
        wish = ObjectWish(kind=kind, id=subject.id, generation=plan.generation + off)
        result = await ActivityEnvironment().run(objects.activity(activity), wish)
        assert result in (Done(done=False), None)
        assert await objects.everything(subject) == before
    # For the right generation what is wished is done.
    wish = ObjectWish(kind=kind, id=subject.id, generation=plan.generation)
    await ActivityEnvironment().run(objects.activity(activity), wish)
    left_alone = await objects.everything(subject) == before
    assert left_alone is ((activity, wished) == ("destroy_value", Presence.PRESENT))


def test_every_activity_that_is_told_a_generation_is_tried() -> None:
    tried = {*ON_SERVERS, *(activity for activity, _ in ON_OBJECTS)}
    jobs = [
        kind for _, kind in inspect.getmembers(worker, inspect.isclass) if kind.__module__.startswith("activities.")
    ]
    told_one = {
        name
        for job in jobs
        for name, method in inspect.getmembers(job, inspect.isfunction)
        if hasattr(method, "__temporal_activity_definition")
        and any("generation" in getattr(hint, "__struct_fields__", ()) for hint in get_type_hints(method).values())
    }
    assert told_one == tried


async def test_an_end_of_shares_ends_no_operation_of_a_wish_or_of_another_run(scene: Scene) -> None:
    """Told of a server, whose operations are those of wishes; and of an object, by a run that does not work on it."""
    await scene.wish(Wish.RUNNING)
    access, subject = scene.access, Subject.access_of("dataset", new_id())
    run = WorkflowRun(subject=subject.id, kind=subject.kind, workflow_id="workflow", run_id="run")
    await operations.open_operation("dataset.share", subject, owner=None, actor=scene.caller)
    await scene.run(access.begin_access, run)
    forged = [
        WorkflowRun(subject=scene.server, kind="server", workflow_id="workflow", run_id="run"),
        WorkflowRun(subject=subject.id, kind=subject.kind, workflow_id="workflow", run_id="another"),
    ]
    for one in forged:
        await scene.run(access.settle_access, one)
    assert (await scene.operation()).status is OperationStatus.RUNNING
    (share,) = await operations.list_visible(scene.caller, subject=subject.id, limit=1)
    assert share.status is OperationStatus.RUNNING
    await scene.run(access.settle_access, run)
    assert (await operations.read(share.id)).status is OperationStatus.SUCCEEDED


async def test_holders_are_stopped_against_the_setting_only_of_what_goes_away(
    scene: Scene, tmp_path_factory: pytest.TempPathFactory
) -> None:
    objects = Objects(scene, tmp_path_factory.mktemp("roots"))
    objects.owner = await make_person("grace")
    subject = await objects.made("dataset")

    async def stop(_: Subject) -> bool:
        await do(scene, "stop_server", (await scene.seen()).generation)
        return True

    access = Access(msgspec.structs.replace(scene.settings, on_revoke="defer", revoke_grace=0), stop, scene.links)
    await scene.started()
    await row(
        """INSERT INTO server_mount (id, server, object, kind, writes, generation)
           VALUES (:id, :server, :object, 'dataset', false, 1)""",
        id=new_id(),
        server=scene.server,
        object=subject.id,
    )
    scope = AccessScope(kind="object", object=subject.id, subject_kind="dataset", force=True)
    assert await scene.run(access.withdraw, scope) == Withdrawn()
    assert scene.hub.living
    async with Transaction():
        await lifecycles.intend(subject, Presence.TRASHED, "delete", objects.owner, owner=objects.owner.id)
    assert await scene.run(access.withdraw, scope) == Withdrawn()
    assert scene.hub.living == {}


async def test_nobodys_home_is_made_for_nobody(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> None:
    objects = Objects(scene, tmp_path_factory.mktemp("roots"))
    persons = Persons(cast(JupyterHub, objects.hub), objects.settings, scene.wake, FileThreads())
    stranger = WorkflowRun(subject=uuid4(), workflow_id="workflow", run_id="run")
    with pytest.raises(RecordMissing):
        await scene.run(persons.make_home, stranger)
    assert list((objects.directory / "notebooks").iterdir()) == []
    await scene.run(persons.make_home, WorkflowRun(subject=scene.caller.id, workflow_id="workflow", run_id="run"))
    assert (objects.directory / "notebooks" / str(scene.caller.id)).is_dir()
