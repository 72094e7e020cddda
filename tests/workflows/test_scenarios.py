"""Named scenarios of every workflow. Each is also recorded (`make histories`) and replayed by `test_replay`."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest
from temporalio.client import Client

from models.database.sql import row
from models.database.transactions import Transaction
from models.domain.errors import HubUnavailable, RecordMissing, StateConflict
from models.domain.settings import Settings
from models.domain.values import OperationStatus, ServerStatus, Subject, Wish
from models.ledger import operations
from models.records import persons, server_shares, servers
from models.records.persons import Identity
from tests.events import events_of
from tests.workflows.conftest import Scene
from workflows.client import Workflows, workflow_id
from workflows.janitor import JanitorWorkflow
from workflows.reconcile import ReconcileWorkflow

Record = Callable[[str, str], Awaitable[None]]


async def status(scene: Scene) -> ServerStatus:
    return (await servers.read_visible(scene.server, scene.caller)).status


async def test_first_start(scene: Scene, record: Record, settings: Settings) -> None:
    operation = await scene.ended(await scene.wish(Wish.RUNNING))
    assert operation.status is OperationStatus.SUCCEEDED
    assert [step.name for step in operation.steps] == ["Ask JupyterHub to start it", "Wait until it is ready"]
    assert operation.workflow_id == f"server-{scene.server}"
    assert scene.hub.starts == [1]
    assert await persons.hub_user_of(scene.caller.id) in scene.hub.users
    assert (Path(settings.notebook_location) / str(scene.caller.id)).is_dir()
    await scene.at_rest()
    assert (await servers.read_visible(scene.server, scene.caller)).share_url is None
    assert scene.hub.codes == 0
    await record("server-first-start", f"server-{scene.server}")


async def test_a_start_a_stop_and_a_deletion_are_short_stories(scene: Scene) -> None:
    found = {}
    await scene.ended(await scene.wish(Wish.RUNNING))
    await scene.at_rest()
    for wish in (Wish.STOPPED, Wish.RUNNING, Wish.STOPPED, Wish.DELETED):
        await scene.ended(await scene.wish(wish))
        await scene.at_rest()
        events = await events_of(scene.handle)
        found[wish] = events.total(), events["WORKFLOW_TASK_COMPLETED"], events["ACTIVITY_TASK_SCHEDULED"]
    # Events, and of them workflow tasks and activities that any worker takes.
    assert found == {Wish.RUNNING: (14, 2, 1), Wish.STOPPED: (14, 2, 1), Wish.DELETED: (14, 2, 1)}


async def test_a_link_is_made_and_taken_back(scene: Scene, record: Record) -> None:
    await scene.ended(await scene.wish(Wish.RUNNING))
    about = server_shares.access_of(scene.server)
    async with Transaction():
        asked = await server_shares.ask_link(await servers.read_visible(scene.server, scene.caller), scene.caller)
    assert (await scene.wakes(about, asked)).status is OperationStatus.SUCCEEDED
    shared = await servers.read_visible(scene.server, scene.caller)
    assert shared.share_url
    assert shared.share_as_of
    await scene.at_rest(about)
    await record("server-share", workflow_id(about))
    async with Transaction():
        asked = await server_shares.take_back(shared, None, scene.caller)
    assert (await scene.wakes(about, asked)).status is OperationStatus.SUCCEEDED
    assert scene.hub.live_codes == set()
    await scene.at_rest(about)
    await record("server-unshare", workflow_id(about))


async def test_a_log_is_read(scene: Scene, client: Client, settings: Settings, record: Record) -> None:
    api = Workflows(client, settings)
    assert await api.read_log(scene.server) is None
    await scene.ended(await scene.wish(Wish.RUNNING))
    assert await asyncio.gather(*(api.read_log(scene.server) for _ in range(3))) == ["the last line"] * 3
    await record("server-log", f"server-log-{scene.server}")
    scene.hub.away = True
    with pytest.raises(HubUnavailable, match="JupyterHub does not answer"):
        await api.read_log(scene.server)


async def test_a_start_that_waits_keeps_nobody_in(scene: Scene) -> None:
    await scene.ended(await scene.wish(Wish.RUNNING))
    await scene.ended(await scene.wish(Wish.STOPPED))
    scene.hub.guests.add("somebody")
    scene.hub.ready.clear()
    start = await scene.wish(Wish.RUNNING)
    await scene.step(start, "Wait until it is ready")
    async with Transaction():
        asked = await server_shares.take_back(
            await servers.read_visible(scene.server, scene.caller), None, scene.caller
        )
    assert (await scene.wakes(server_shares.access_of(scene.server), asked)).status is OperationStatus.SUCCEEDED
    assert scene.hub.guests == set()
    assert not (await operations.read(start)).status.ended
    scene.hub.ready.set()
    assert (await scene.ended(start)).status is OperationStatus.SUCCEEDED


async def test_what_is_taken_back_while_jupyterhub_is_away_is_taken_back_when_it_is_there(scene: Scene) -> None:
    await scene.ended(await scene.wish(Wish.RUNNING))
    scene.hub.guests.add("somebody")
    scene.hub.away = True
    async with Transaction():
        asked = await server_shares.take_back(
            await servers.read_visible(scene.server, scene.caller), None, scene.caller
        )
    about = server_shares.access_of(scene.server)
    waiting = asyncio.create_task(scene.wakes(about, asked))
    while (await operations.read(asked)).status is OperationStatus.QUEUED:
        await asyncio.sleep(0.02)
    assert scene.hub.guests
    scene.hub.away = False
    assert (await waiting).status is OperationStatus.SUCCEEDED
    assert scene.hub.guests == set()


async def test_start_and_stop(scene: Scene, record: Record) -> None:
    await scene.ended(await scene.wish(Wish.RUNNING))
    await scene.at_rest()
    operation = await scene.ended(await scene.wish(Wish.STOPPED))
    assert operation.status is OperationStatus.SUCCEEDED
    assert scene.hub.living == {}
    assert await status(scene) is ServerStatus.STOPPED
    await scene.at_rest()
    await record("server-stop", f"server-{scene.server}")


async def test_a_stop_while_starting_cancels_the_spawn(scene: Scene, record: Record) -> None:
    scene.hub.ready.clear()
    start = await scene.wish(Wish.RUNNING)
    await scene.step(start, "Wait until it is ready")
    stop = await scene.wish(Wish.STOPPED)
    assert (await scene.ended(stop)).status is OperationStatus.SUCCEEDED
    ended = await scene.ended(start)
    assert (ended.status, ended.superseded_by) == (OperationStatus.CANCELLED, stop)
    assert scene.hub.living == {}
    await scene.at_rest()
    await record("server-stop-while-starting", f"server-{scene.server}")


async def test_a_restart_is_a_new_process(scene: Scene, record: Record) -> None:
    await scene.ended(await scene.wish(Wish.RUNNING))
    await scene.at_rest()
    stop, start = await scene.wish(Wish.STOPPED), await scene.wish(Wish.RUNNING)
    assert (await scene.ended(stop)).status is OperationStatus.SUCCEEDED
    assert (await scene.ended(start)).status is OperationStatus.SUCCEEDED
    assert scene.hub.starts == [1, 3]
    await scene.at_rest()
    await record("server-restart", f"server-{scene.server}")


@pytest.mark.parametrize("how", ["refused", "failed"])
async def test_a_start_that_cannot_succeed_tells_why(scene: Scene, record: Record, how: str) -> None:
    if how == "refused":
        scene.hub.refusal = "RStudio is not installed here."
    else:
        scene.hub.failure_reason = "the server ran out of memory"
    operation = await scene.ended(await scene.wish(Wish.RUNNING))
    assert operation.status is OperationStatus.FAILED
    assert operation.error is not None
    assert operation.error.message == (scene.hub.refusal or scene.hub.failure_reason)
    found = await servers.read_visible(scene.server, scene.caller)
    assert (found.status, found.wish) == (ServerStatus.STOPPED, Wish.STOPPED)
    assert found.last_error is not None
    assert found.last_error.log == ("" if how == "refused" else "the last line")
    assert len(scene.hub.starts) <= 1, "one spawn to a start"
    await scene.at_rest()
    await record(f"server-start-{how}", f"server-{scene.server}")


@pytest.mark.parametrize("how", ["linked", "missing"])
async def test_a_start_with_a_home_that_cannot_be_used_says_so_and_mends_nothing_itself(
    scene: Scene, settings: Settings, tmp_path: Path, how: str
) -> None:
    await persons.settle(scene.caller.id, "run", released=False)
    home = Path(settings.notebook_location) / str(scene.caller.id)
    if how == "linked":
        home.symlink_to(tmp_path)
    operation = await scene.ended(await scene.wish(Wish.RUNNING))
    assert operation.status is OperationStatus.FAILED
    assert operation.error is not None
    said = {"linked": "The home directory is a symbolic link", "missing": "The home directory is missing"}[how]
    assert operation.error.message.startswith(said)
    assert "administrator" in operation.error.message
    assert str(home) not in operation.error.message
    assert scene.hub.starts == []
    # An empty home in place of a lost one would look as if everything was gone.
    assert home.is_dir() == (how == "linked")
    await scene.at_rest()
    home.unlink(missing_ok=True)
    home.mkdir()
    assert (await scene.ended(await scene.wish(Wish.RUNNING))).status is OperationStatus.SUCCEEDED


async def test_a_start_waits_for_a_dependency(scene: Scene, record: Record) -> None:
    scene.hub.away = True
    start = await scene.wish(Wish.RUNNING)
    async with asyncio.timeout(20):
        while (await operations.read(start)).status is not OperationStatus.RUNNING:
            await asyncio.sleep(0.02)
    assert await status(scene) is ServerStatus.STARTING
    scene.hub.away = False
    assert (await scene.ended(start)).status is OperationStatus.SUCCEEDED
    await scene.at_rest()
    await record("server-start-waits", f"server-{scene.server}")


async def test_a_stop_shows_why_it_waits_and_goes_on(scene: Scene) -> None:
    await scene.ended(await scene.wish(Wish.RUNNING))
    await scene.at_rest()
    scene.hub.away = True
    stop = await scene.wish(Wish.STOPPED)
    async with asyncio.timeout(20):
        while not [step for step in (await operations.read(stop)).steps if step.detail]:
            await asyncio.sleep(0.02)
    assert await status(scene) is ServerStatus.STOPPING
    scene.hub.away = False
    assert (await scene.ended(stop)).status is OperationStatus.SUCCEEDED


async def test_what_the_hub_forgot_is_not_called_stopped(scene: Scene) -> None:
    await scene.ended(await scene.wish(Wish.RUNNING))
    await scene.at_rest()
    scene.hub.forgets_processes = True
    assert (await scene.ended(await scene.wish(Wish.STOPPED))).status is OperationStatus.SUCCEEDED
    assert scene.hub.living == {}, "JupyterHub said stopped; the process was ended all the same"


async def test_a_running_server_is_deleted(scene: Scene, record: Record) -> None:
    await scene.ended(await scene.wish(Wish.RUNNING))
    await scene.at_rest()
    assert (await scene.ended(await scene.wish(Wish.DELETED))).status is OperationStatus.SUCCEEDED
    assert scene.hub.known == {}
    with pytest.raises(RecordMissing):
        await servers.read_visible(scene.server, scene.caller)
    await scene.at_rest()
    await record("server-delete", f"server-{scene.server}")


async def test_a_cancelled_workflow_takes_the_start_back(scene: Scene, record: Record) -> None:
    scene.hub.ready.clear()
    start = await scene.wish(Wish.RUNNING)
    await scene.step(start, "Wait until it is ready")
    await scene.handle.cancel()
    assert (await scene.ended(start)).status is OperationStatus.CANCELLED
    await scene.at_rest()
    assert await status(scene) is ServerStatus.STOPPED
    assert scene.hub.living == {}
    await record("server-start-cancelled", f"server-{scene.server}")


async def test_a_deletion_cannot_be_cancelled(scene: Scene) -> None:
    await scene.ended(await scene.wish(Wish.RUNNING))
    await scene.at_rest()
    scene.hub.away = True
    delete = await scene.wish(Wish.DELETED)
    await scene.step(delete, "Stop it")
    await scene.handle.cancel()
    scene.hub.away = False
    assert (await scene.ended(delete)).status is OperationStatus.SUCCEEDED


async def test_a_person_is_prepared_twice_at_once(
    scene: Scene, client: Client, settings: Settings, record: Record
) -> None:
    subject = Subject("person", scene.caller.id)
    opened = []
    for _ in range(2):
        async with Transaction():
            opened.append(
                await operations.open_operation("person.initialize", subject, owner=scene.caller.id, actor=scene.caller)
            )
        assert await Workflows(client, settings).wake(subject)
    for operation in opened:
        assert (await scene.ended(operation)).status is OperationStatus.SUCCEEDED
    assert await persons.hub_user_of(scene.caller.id) in scene.hub.users
    assert await persons.find_by_email(scene.caller.email) == scene.caller.id
    await client.get_workflow_handle(workflow_id(subject)).result()
    await record("user-initialize", workflow_id(subject))


async def released(scene: Scene) -> tuple[Subject, UUID]:
    """The scene's person gives the e-mail up; the operation."""
    async with Transaction():
        person, operation = await persons.release(scene.caller.email, scene.caller)
    return Subject("person", person), operation


async def test_a_release_ends_servers_and_user_in_jupyterhub(scene: Scene, record: Record) -> None:
    """Retried until it is proven; the records stay."""
    await scene.ended(await scene.wish(Wish.RUNNING))
    await scene.at_rest()
    name = await persons.hub_user_of(scene.caller.id)
    assert name in scene.hub.users
    subject, operation = await released(scene)
    found = await scene.wakes(subject, operation)
    assert (found.kind, found.status) == ("person.release", OperationStatus.SUCCEEDED)
    assert [step.name for step in found.steps] == ["Stop the person's servers", "Remove the JupyterHub user"]
    assert scene.hub.living == {}
    assert name not in scene.hub.users
    seen = await servers.read_visible(scene.server, scene.caller)
    assert (seen.wish, seen.status) == (Wish.STOPPED, ServerStatus.STOPPED)
    assert seen.last_error is not None
    assert (seen.last_error.code, seen.share_url) == ("OWNER_RELEASED", None)
    with pytest.raises(StateConflict, match="was released"):
        await scene.wish(Wish.RUNNING)
    await scene.at_rest(subject)
    await record("person-release", workflow_id(subject))


async def test_a_release_waits_for_a_jupyterhub_that_is_away(scene: Scene) -> None:
    await scene.ended(await scene.wish(Wish.RUNNING))
    await scene.at_rest()
    await scene.ended(await scene.wish(Wish.STOPPED))
    scene.hub.away = True
    subject, operation = await released(scene)
    waiting = asyncio.create_task(scene.wakes(subject, operation))
    await scene.step(operation, "Remove the JupyterHub user")
    scene.hub.away = False
    assert (await waiting).status is OperationStatus.SUCCEEDED
    assert scene.hub.users == set()


async def test_who_comes_back_during_a_release_keeps_the_user_in_jupyterhub(scene: Scene) -> None:
    await scene.ended(await scene.wish(Wish.RUNNING))
    await scene.at_rest()
    await scene.ended(await scene.wish(Wish.STOPPED))
    scene.hub.away = True
    subject, operation = await released(scene)
    waiting = asyncio.create_task(scene.wakes(subject, operation))
    await scene.step(operation, "Remove the JupyterHub user")
    other = Identity(issuer="test", subject=scene.caller.email, email=f"new-{scene.caller.email}")
    assert await persons.bind(other) == scene.caller.id
    scene.hub.away = False
    assert (await waiting).status is OperationStatus.CANCELLED
    assert scene.hub.users == {await persons.hub_user_of(scene.caller.id)}
    await scene.at_rest(subject)
    assert (await scene.ended(await scene.wish(Wish.RUNNING))).status is OperationStatus.SUCCEEDED


async def test_the_reconciler_sees_what_stopped_by_itself(
    scene: Scene, client: Client, settings: Settings, record: Record
) -> None:
    await scene.ended(await scene.wish(Wish.RUNNING))
    await scene.at_rest()
    scene.hub.living.clear()
    identity = f"reconcile-{scene.server}"
    await client.execute_workflow(ReconcileWorkflow.run, id=identity, task_queue=settings.temporal_task_queue)
    found = await servers.read_visible(scene.server, scene.caller)
    assert (found.status, found.wish, found.operation) == (ServerStatus.STOPPED, Wish.STOPPED, None)
    await record("reconcile", identity)


async def test_the_reconciler_ends_what_nobody_wants(scene: Scene, client: Client, settings: Settings) -> None:
    await scene.ended(await scene.wish(Wish.RUNNING))
    await scene.at_rest()
    process = next(iter(scene.hub.living.values()))
    await scene.ended(await scene.wish(Wish.STOPPED))
    await scene.at_rest()
    # A process that JupyterHub and we took for dead.
    scene.hub.living[process.server_id] = process
    await client.execute_workflow(
        ReconcileWorkflow.run, id=f"reconcile-unwanted-{scene.server}", task_queue=settings.temporal_task_queue
    )
    await scene.at_rest()
    assert scene.hub.living == {}
    assert await status(scene) is ServerStatus.STOPPED


async def test_the_reconciler_leaves_what_it_does_not_know(scene: Scene, client: Client, settings: Settings) -> None:
    await scene.ended(await scene.wish(Wish.RUNNING))
    await scene.at_rest()
    process = next(iter(scene.hub.living.values()))
    stranger = "01a20000-0000-7000-8000-000000000000"
    scene.hub.living = {stranger: type(process)(server_id=stranger, hub_user="x", hub_name="y", generation=1)}
    seen = await client.execute_workflow(
        ReconcileWorkflow.run, id=f"reconcile-unknown-{scene.server}", task_queue=settings.temporal_task_queue
    )
    assert seen.unknown == 1
    assert stranger in scene.hub.living


async def test_the_reconciler_wakes_what_was_forgotten(scene: Scene, client: Client, settings: Settings) -> None:
    async with Transaction():
        intent = await servers.intend(scene.server, Wish.RUNNING, scene.caller)
    await row("UPDATE operation SET progressed_at = now() - interval '1 day' WHERE id = :id", id=intent.operation)
    await client.execute_workflow(
        ReconcileWorkflow.run, id=f"reconcile-stalled-{scene.server}", task_queue=settings.temporal_task_queue
    )
    assert (await scene.ended(intent.operation)).status is OperationStatus.SUCCEEDED


async def test_the_janitor_removes_what_expired(
    scene: Scene, client: Client, settings: Settings, record: Record
) -> None:
    await row(
        """INSERT INTO login_transaction (state_hash, cookie_hash, nonce, code_verifier, redirect_uri, expires_at)
           VALUES (:state_hash, :cookie_hash, 'n', 'v', 'u', now() - interval '1 minute')""",
        state_hash=scene.server.bytes,
        cookie_hash=b"c",
    )
    await row(
        """INSERT INTO device_sign_in (code_hash, provider_code_encrypted, code_verifier, interval_seconds, expires_at)
           VALUES (:code_hash, 'c', 'v', 5, now() - interval '1 minute')""",
        code_hash=scene.server.bytes,
    )
    identity = f"janitor-{scene.server}"
    await client.execute_workflow(JanitorWorkflow.run, id=identity, task_queue=settings.temporal_task_queue)
    # Which pass did it is open: the schedule's first one may have come at the same moment.
    assert await row("SELECT 1 FROM login_transaction WHERE state_hash = :state", state=scene.server.bytes) is None
    assert await row("SELECT 1 FROM device_sign_in WHERE code_hash = :code", code=scene.server.bytes) is None
    await record("janitor", identity)
