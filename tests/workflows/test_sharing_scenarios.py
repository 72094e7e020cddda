"""Named scenarios of datasets, groups and what is shared; each is also recorded and replayed by `test_replay`."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from temporalio.client import Client

from models.access import principals, sharing
from models.access.permissions import Level
from models.access.sharing import Shareable
from models.database.sql import row
from models.database.transactions import Transaction
from models.domain.errors import RecordMissing
from models.domain.settings import Settings
from models.domain.values import Caller, OperationStatus, ServerStatus, Subject, Wish
from models.ledger import operations
from models.ledger.operations import OperationRecord
from models.records import datasets, groups, persons, servers
from tests.events import events_of
from tests.people import make_person
from tests.workflows.conftest import Scene
from workflows.client import workflow_id
from workflows.janitor import JanitorWorkflow
from workflows.reconcile import ReconcileWorkflow

Record = Callable[[str, str], Awaitable[None]]


@pytest.fixture
async def grace() -> Caller:
    """Somebody who shares with Ada."""
    return await make_person("grace")


class Case:
    """A dataset of Grace's that Ada's server names."""

    def __init__(self, scene: Scene, owner: Caller, directory: Path, dataset: UUID) -> None:
        self.scene, self.owner, self.dataset = scene, owner, dataset
        self.subject, self.access = Subject("dataset", dataset), Subject.access_of("dataset", dataset)
        self.directory = directory / str(dataset)
        self.trash = directory / ".trash" / str(dataset)

    async def share(self, level: Level = Level.READ, until: datetime | None = None) -> OperationRecord:
        return await self.scene.wakes(self.access, await self.wish("share", level, until))

    async def revoke(self, level: Level = Level.READ) -> OperationRecord:
        return await self.scene.wakes(self.access, await self.wish("revoke", level))

    async def wish(self, verb: str, level: Level, until: datetime | None = None) -> UUID:
        async with Transaction():
            shareable: Shareable = await sharing.read("dataset", self.dataset, self.owner, Level.OWNER)
            found = await principals.find([self.scene.caller.email], [], [], ())
            if verb == "share":
                await sharing.grant(shareable, found, level, until, self.owner)
            else:
                await sharing.revoke(shareable, found, level)
            return await operations.open_operation(
                f"dataset.{verb}", self.access, owner=self.owner.id, actor=self.owner
            )

    async def status(self) -> ServerStatus:
        return (await servers.read_visible(self.scene.server, self.scene.caller)).status

    async def started(self) -> OperationRecord:
        ended = await self.scene.ended(await self.scene.wish(Wish.RUNNING))
        await self.scene.at_rest()
        return ended


@pytest.fixture
async def case(scene: Scene, grace: Caller, settings: Settings) -> Case:
    async with Transaction():
        identity, operation = await datasets.create(grace.id, "cells", "", grace)
    case = Case(scene, grace, Path(settings.dataset_location), identity)
    assert (await scene.wakes(case.subject, operation)).status is OperationStatus.SUCCEEDED
    found = await servers.read_visible(scene.server, scene.caller)
    named = msgspec.structs.replace(found.template_data, datasets=[str(identity)])
    await row(
        "UPDATE server SET template_data = :template_data::jsonb WHERE id = :id",
        template_data=msgspec.json.encode(named).decode(),
        id=scene.server,
    )
    return case


async def test_a_dataset_from_its_making_to_its_purge(case: Case, record: Record) -> None:
    await case.scene.at_rest(case.subject)
    assert case.directory.is_dir()
    await record("dataset-create", workflow_id(case.subject))
    (case.directory / "kept.txt").write_text("kept")

    async with Transaction():
        found = await datasets.read(case.dataset, case.owner, Level.OWNER, lock=True)
        operation = await datasets.RECORDS.trash(found, case.owner)
    assert (await case.scene.wakes(case.subject, operation)).status is OperationStatus.SUCCEEDED
    assert (case.trash / "kept.txt").exists()
    assert not case.directory.exists()
    await case.scene.at_rest(case.subject)
    await record("dataset-delete", workflow_id(case.subject))

    async with Transaction():
        operation = await datasets.RECORDS.restore(
            await datasets.RECORDS.read_restorable(case.dataset, case.owner), case.owner
        )
    assert (await case.scene.wakes(case.subject, operation)).status is OperationStatus.SUCCEEDED
    assert (case.directory / "kept.txt").exists()
    await case.scene.at_rest(case.subject)
    await record("dataset-restore", workflow_id(case.subject))


async def test_what_was_long_in_the_trash_is_purged(
    case: Case, client: Client, settings: Settings, record: Record
) -> None:
    await case.share()
    async with Transaction():
        found = await datasets.read(case.dataset, case.owner, Level.OWNER, lock=True)
        operation = await datasets.RECORDS.trash(found, case.owner)
    await case.scene.wakes(case.subject, operation)
    await case.scene.at_rest(case.subject)
    await row("UPDATE dataset SET trashed_at = now() - interval '8 days' WHERE id = :id", id=case.dataset)
    identity = f"janitor-trash-{case.dataset}"
    cleaned = await client.execute_workflow(JanitorWorkflow.run, id=identity, task_queue=settings.temporal_task_queue)
    assert cleaned.purged == 1
    await case.scene.at_rest(case.subject)
    assert not case.directory.exists()
    assert not case.trash.exists()
    with pytest.raises(RecordMissing):
        await datasets.RECORDS.read_restorable(case.dataset, case.owner)
    assert await row("SELECT 1 AS one FROM access_grant WHERE object = :object", object=case.dataset) is None
    await record("dataset-purge", workflow_id(case.subject))


async def test_a_delete_and_a_restore_at_once(case: Case) -> None:
    """The later wish stands; both operations end."""
    (case.directory / "kept.txt").write_text("kept")
    async with Transaction():
        found = await datasets.read(case.dataset, case.owner, Level.OWNER, lock=True)
        delete = await datasets.RECORDS.trash(found, case.owner)
    async with Transaction():
        restore = await datasets.RECORDS.restore(
            await datasets.RECORDS.read_restorable(case.dataset, case.owner), case.owner
        )
    assert (await case.scene.wakes(case.subject, restore)).status is OperationStatus.SUCCEEDED
    overtaken = await case.scene.ended(delete)
    assert (overtaken.status, overtaken.superseded_by) == (OperationStatus.CANCELLED, restore)
    assert (case.directory / "kept.txt").exists()


async def test_a_revoke_warns_and_then_stops(case: Case, record: Record) -> None:
    share = await case.share()
    assert share.status is OperationStatus.SUCCEEDED
    await case.scene.at_rest(case.access)
    await record("access-share", workflow_id(case.access))
    start = await case.started()
    assert start.left_out == []
    operation = await case.wish("revoke", Level.READ)
    ending = asyncio.create_task(case.scene.wakes(case.access, operation))
    async with asyncio.timeout(10):
        while (warned := await servers.read_visible(case.scene.server, case.scene.caller)).lost_at is None:
            await asyncio.sleep(0.02)
    assert warned.status is ServerStatus.RUNNING, "it is warned before it is stopped"
    assert (await ending).status is OperationStatus.SUCCEEDED
    assert await case.status() is ServerStatus.STOPPED
    assert case.scene.hub.living == {}
    assert not await case.scene.holds(case.dataset)
    await case.scene.at_rest(case.access)
    await record("access-revoke", workflow_id(case.access))


async def test_a_share_with_ten_thousand_is_a_short_story(case: Case, client: Client) -> None:
    async with Transaction():
        shareable = await sharing.read("dataset", case.dataset, case.owner, Level.OWNER)
        people = [f"{number}-{case.dataset.hex[-6:]}@example.org" for number in range(10_000)]
        found = await principals.find(people, [], [], ())
        await sharing.grant(shareable, found, Level.READ, None, case.owner)
        operation = await operations.open_operation("dataset.share", case.access, owner=case.owner.id, actor=case.owner)
        await sharing.keep_results(operation, shareable, found, "granted")
    assert (await case.scene.wakes(case.access, operation)).status is OperationStatus.SUCCEEDED
    await case.scene.at_rest(case.access)
    history = await client.get_workflow_handle(workflow_id(case.access)).fetch_history()
    assert len(history.events) <= 200


async def test_what_is_given_back_within_the_grace_stops_nothing(case: Case) -> None:
    await case.share()
    await case.started()
    revoke, share = await case.wish("revoke", Level.READ), await case.wish("share", Level.READ)
    assert (await case.scene.wakes(case.access, share)).status is OperationStatus.SUCCEEDED
    assert (await case.scene.ended(revoke)).status is OperationStatus.SUCCEEDED
    assert await case.status() is ServerStatus.RUNNING


async def test_a_start_says_what_it_leaves_out(case: Case) -> None:
    start = await case.started()
    assert [one.id for one in start.left_out] == [str(case.dataset)]
    assert not await case.scene.holds(case.dataset)


async def test_an_expired_share_is_taken_like_a_revoked_one(case: Case, client: Client, settings: Settings) -> None:
    await case.share(until=datetime.now(UTC) + timedelta(hours=1))
    await case.started()
    await row(
        "UPDATE access_grant SET expires_at = now() - interval '1 second' WHERE object = :object", object=case.dataset
    )
    with pytest.raises(RecordMissing):
        await datasets.read(case.dataset, case.scene.caller)
    identity = f"janitor-grants-{case.dataset}"
    cleaned = await client.execute_workflow(JanitorWorkflow.run, id=identity, task_queue=settings.temporal_task_queue)
    assert cleaned.expired == 1
    await case.scene.at_rest(case.access)
    assert await case.status() is ServerStatus.STOPPED


async def test_who_leaves_an_organisation_is_found_by_the_reconciler(
    case: Case, client: Client, settings: Settings
) -> None:
    org = f"org-{case.dataset.hex[-8:]}"
    person = case.scene.caller.id
    await row(
        "INSERT INTO person_org (id, person, org) VALUES (gen_random_uuid(), :person, :org)", person=person, org=org
    )
    async with Transaction():
        shareable = await sharing.read("dataset", case.dataset, case.owner, Level.OWNER)
        await sharing.grant(shareable, await principals.find([], [], [org], ()), Level.WRITE, None, case.owner)
    await case.started()
    assert await case.scene.holds(case.dataset)
    await row("DELETE FROM person_org WHERE person = :person", person=person)
    for number in range(2):
        # The first pass warns, the second comes after the grace.
        await client.execute_workflow(
            ReconcileWorkflow.run, id=f"reconcile-org-{number}-{case.dataset}", task_queue=settings.temporal_task_queue
        )
        if number == 0:
            assert await case.status() is ServerStatus.RUNNING
            await asyncio.sleep(settings.revoke_grace)
    await case.scene.at_rest()
    assert await case.status() is ServerStatus.STOPPED


async def test_a_group_from_its_making_to_its_end(
    scene: Scene, grace: Caller, settings: Settings, client: Client, record: Record
) -> None:
    await row("UPDATE person SET initialized_at = now() WHERE id = ANY(:ids::uuid[])", ids=[grace.id, scene.caller.id])
    os.mkdir(Path(settings.notebook_location, str(scene.caller.id)))
    async with Transaction():
        identity, operation = await groups.create(f"team-{grace.id.hex[-6:]}", grace)
    subject = Subject("group", identity)
    name, grace_there = f"nbhub-{identity}", await persons.hub_user_of(grace.id)
    assert (await scene.wakes(subject, operation)).status is OperationStatus.SUCCEEDED
    assert scene.hub.known_groups[name].users == [grace_there]
    directory = Path(settings.group_location) / str(identity)
    assert directory.is_dir()
    async with Transaction():
        group = await groups.read_managed(identity, grace)
        operation = await groups.add_member(group, scene.caller.id, scene.caller.email, grace)
    assert (await scene.wakes(subject, operation)).status is OperationStatus.SUCCEEDED
    assert scene.hub.known_groups[name].users == sorted([grace_there, await persons.hub_user_of(scene.caller.id)])
    await scene.at_rest(subject)
    await record("group-add-member", workflow_id(subject))

    # Whoever changes it in JupyterHub is overruled.
    scene.hub.known_groups[name] = msgspec.structs.replace(scene.hub.known_groups[name], users=["stranger"])
    await client.execute_workflow(
        ReconcileWorkflow.run, id=f"reconcile-group-{identity}", task_queue=settings.temporal_task_queue
    )
    await scene.at_rest(subject)
    assert scene.hub.known_groups[name].users == sorted([grace_there, await persons.hub_user_of(scene.caller.id)])

    await scene.ended(await scene.wish(Wish.RUNNING))
    await scene.at_rest()
    assert await scene.holds(identity)
    async with Transaction():
        group = await groups.read_managed(identity, grace)
        operation = await groups.remove_member(group, scene.caller.email, grace)
    assert (await scene.wakes(subject, operation)).status is OperationStatus.SUCCEEDED
    assert scene.hub.living == {}
    await scene.at_rest(subject)
    await record("group-remove-member", workflow_id(subject))

    async with Transaction():
        operation = await groups.delete(await groups.read_managed(identity, grace), grace)
    ended = await scene.wakes(subject, operation)
    assert [(step.name, step.status) for step in ended.steps] == [
        ("Remove JupyterHub's group", "succeeded"),
        ("Remove its directory", "succeeded"),
        ("Remove its record and everything that was granted", "succeeded"),
    ]
    assert not directory.exists()
    assert name not in scene.hub.known_groups
    assert await row("SELECT 1 AS one FROM group_member WHERE user_group = :user_group", user_group=identity) is None
    await scene.at_rest(subject)
    await record("group-delete", workflow_id(subject))


async def test_a_share_of_what_nobody_holds_is_one_task_and_no_activity(case: Case, client: Client) -> None:
    await case.share()
    await case.scene.at_rest(case.access)
    events = await events_of(client.get_workflow_handle(workflow_id(case.access)))
    tasks, activities = events["WORKFLOW_TASK_COMPLETED"], events["ACTIVITY_TASK_SCHEDULED"]
    assert (events.total(), tasks, activities) == (9, 1, 0), events
