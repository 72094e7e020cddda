"""What each settlement decides: the wish, what is seen, and how operations end, as one table of stories."""

from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

import msgspec
import pytest

from models.database import engine
from models.database.sql import row, rows
from models.database.transactions import Transaction
from models.domain.errors import RecordMissing, StateConflict
from models.domain.settings import Settings
from models.domain.values import Caller, OperationStatus, ServerStatus, Wish
from models.ledger import operations
from models.ledger.operations import OperationError
from models.records import server_settling, server_watch, servers, templates
from models.records.servers import Stop, StoppedReason
from tests.people import make_person
from tests.servers import make_server, make_template

FAILURE = OperationError(code="SPAWN_FAILED", message="the program is missing", hint="choose another type")


@pytest.fixture
async def connected(postgres: str) -> AsyncIterator[None]:
    async with engine.pool(Settings(database_url=postgres, database_pool_size=3)):
        yield


class Story:
    """One server and the operations that its wishes opened, in order."""

    def __init__(self, caller: Caller, server: UUID) -> None:
        self.caller, self.server = caller, server
        self.opened: list[UUID] = []

    async def wish(self, *wishes: Wish) -> None:
        for wish in wishes:
            async with Transaction():
                intent = await servers.intend(self.server, wish, self.caller)
            self.opened.append(intent.operation)

    async def ends(self) -> list[str]:
        return [str((await operations.read(one)).status) for one in self.opened]

    async def seen(self) -> tuple[str, str]:
        found = await servers.read_visible(self.server, self.caller)
        return str(found.wish), str(found.status)


@pytest.fixture
async def story(connected: None) -> Story:
    caller = await make_person()
    return Story(caller, await make_server(caller))


async def test_a_new_server_is_stopped_and_its_creation_is_an_operation(story: Story) -> None:
    assert await story.seen() == ("stopped", "stopped")
    found = await operations.list_visible(story.caller, subject=story.server, limit=10)
    assert [(one.kind, one.status) for one in found] == [("server.create", OperationStatus.SUCCEEDED)]


async def test_a_repeated_intent_joins_the_one_in_flight(story: Story) -> None:
    await story.wish(Wish.RUNNING, Wish.RUNNING)
    assert story.opened[0] == story.opened[1]
    assert await story.seen() == ("running", "starting")


async def test_what_is_so_already_succeeds_at_once(story: Story) -> None:
    await story.wish(Wish.STOPPED)
    assert await story.ends() == ["succeeded"]
    await story.wish(Wish.RUNNING)
    assert await server_settling.settle_running(story.server, 1, 1)
    await story.wish(Wish.RUNNING)
    assert story.opened[1] != story.opened[2]
    assert await story.ends() == ["succeeded"] * 3


async def test_a_restart_is_two_generations(story: Story) -> None:
    await story.wish(Wish.RUNNING)
    await server_settling.settle_running(story.server, 1, 1)
    await story.wish(Wish.STOPPED, Wish.RUNNING)
    # The old process still lives: neither has happened yet.
    assert await story.ends() == ["succeeded", "queued", "queued"]
    assert await server_settling.settle_stopped(story.server, 2)
    assert await story.ends() == ["succeeded", "succeeded", "queued"]
    assert await story.seen() == ("running", "starting")
    assert await server_settling.settle_running(story.server, 3, 3)
    assert await story.ends() == ["succeeded"] * 3


async def test_a_stop_while_starting_cancels_the_start_and_names_itself(story: Story) -> None:
    await story.wish(Wish.RUNNING, Wish.STOPPED)
    await server_settling.settle_stopped(story.server, 2)
    assert await story.ends() == ["cancelled", "succeeded"]
    assert (await operations.read(story.opened[0])).superseded_by == story.opened[1]


async def test_a_start_that_became_ready_too_late_is_superseded(story: Story) -> None:
    await story.wish(Wish.RUNNING, Wish.STOPPED)
    assert await server_settling.settle_running(story.server, 1, 1)
    assert await story.ends() == ["cancelled", "queued"]
    assert await story.seen() == ("stopped", "stopping")


async def test_a_failed_start_is_stopped_with_the_reason(story: Story) -> None:
    await story.wish(Wish.RUNNING)
    assert await server_settling.settle_failed_start(story.server, 1, FAILURE, log="last words")
    assert await story.ends() == ["failed"]
    assert await story.seen() == ("stopped", "stopped")
    found = await servers.read_visible(story.server, story.caller)
    assert found.last_error is not None
    assert (found.last_error.message, found.last_error.log) == (FAILURE.message, "last words")
    assert (await operations.read(story.opened[0])).error == FAILURE
    await story.wish(Wish.RUNNING)
    assert (await servers.read_visible(story.server, story.caller)).last_error is None


async def test_the_failure_of_an_overtaken_start_leaves_the_later_wish_alone(story: Story) -> None:
    await story.wish(Wish.RUNNING, Wish.STOPPED, Wish.RUNNING)
    assert await server_settling.settle_failed_start(story.server, 1, FAILURE)
    assert await story.ends() == ["cancelled", "queued", "queued"]
    assert await story.seen() == ("running", "starting")


async def test_late_settlements_change_nothing(story: Story) -> None:
    await story.wish(Wish.RUNNING)
    await server_settling.settle_running(story.server, 1, 1)
    await story.wish(Wish.STOPPED)
    await server_settling.settle_stopped(story.server, 2)
    assert not await server_settling.settle_running(story.server, 1, 1)
    assert not await server_settling.settle_running(story.server, 3, 3)
    assert not await server_settling.settle_failed_start(story.server, 3, FAILURE)
    assert await story.seen() == ("stopped", "stopped")
    # A frozen worker's note about a wish that is over.
    assert not await server_settling.observe(story.server, 1, ServerStatus.STARTING)


async def test_a_stop_of_old_processes_says_nothing_about_a_newer_one(story: Story) -> None:
    await story.wish(Wish.RUNNING, Wish.STOPPED, Wish.RUNNING)
    await server_settling.settle_running(story.server, 3, 3)
    assert not await server_settling.settle_stopped(story.server, 2)
    assert await story.seen() == ("running", "running")


async def test_cancelled_by_an_operator_a_start_becomes_a_stop(story: Story) -> None:
    await story.wish(Wish.RUNNING)
    assert await server_settling.revert(story.server, 1) == story.opened[0]
    assert await story.ends() == ["cancelled"]
    assert await story.seen() == ("stopped", "stopped")
    plan = await server_settling.begin(story.server, "workflow", "run")
    assert plan is not None
    assert not plan.settled, "whatever the start left behind is still to be removed"


async def test_cancelled_by_an_operator_a_stop_lets_the_process_go_on(story: Story) -> None:
    await story.wish(Wish.RUNNING)
    await server_settling.settle_running(story.server, 1, 1)
    await story.wish(Wish.STOPPED)
    await server_settling.revert(story.server, 2)
    plan = await server_settling.begin(story.server, "workflow", "run")
    assert plan is not None
    assert (plan.wish, plan.process_generation, plan.process_floor) == (Wish.RUNNING, 1, 1)
    await server_settling.settle_running(story.server, plan.generation, 1)
    assert await story.seen() == ("running", "running")
    assert await story.ends() == ["succeeded", "cancelled"]


async def test_a_deletion_is_final(story: Story) -> None:
    await story.wish(Wish.RUNNING, Wish.DELETED)
    assert await server_settling.revert(story.server, 2) is None
    with pytest.raises(StateConflict):
        await story.wish(Wish.RUNNING)
    assert await server_settling.settle_deleted(story.server, 2)
    assert not await server_settling.settle_deleted(story.server, 2), "a repeated settlement finds nothing to do"
    assert await story.ends() == ["cancelled", "succeeded"]
    assert await server_watch.tombstones([story.server]) == {story.server}
    with pytest.raises(RecordMissing):
        await story.wish(Wish.RUNNING)


@pytest.mark.parametrize(
    ("public", "together", "others", "gone"),
    [(False, True, False, True), (True, True, False, False), (False, False, False, False), (False, True, True, False)],
    ids=["made together", "public", "made apart", "used by another server"],
)
async def test_which_template_goes_with_its_server(
    connected: None, public: bool, together: bool, others: bool, gone: bool
) -> None:
    caller = await make_person()
    server = await make_server(caller, public=public, together=together)
    template = (await servers.read_visible(server, caller)).template
    if others:
        found = await templates.read_visible(template, caller)
        async with Transaction():
            await servers.create(found.snapshot(), caller, made_with_template=False)
    async with Transaction():
        await servers.intend(server, Wish.DELETED, caller)
    await server_settling.settle_deleted(server, 1)
    left = await row("SELECT id FROM template WHERE id = :id", id=template)
    assert (left is None) is gone


async def test_a_server_that_stops_by_itself_stays_stopped(story: Story) -> None:
    await story.wish(Wish.RUNNING)
    await server_settling.settle_running(story.server, 1, 1)
    version = (await servers.read_visible(story.server, story.caller)).version
    assert not await server_watch.note_vanished(story.server, 1, version - 1), "the row has changed since it was read"
    assert await server_watch.note_vanished(story.server, 1, version)
    assert await story.seen() == ("stopped", "stopped")
    trail = await rows(
        "SELECT action, actor_name FROM audit WHERE subject = :subject ORDER BY id", subject=story.server
    )
    assert trail[-1] == {"action": "server.stopped_by_itself", "actor_name": "system"}


async def test_since_when_a_server_runs_as_it_is_wished_to(story: Story) -> None:
    async def since() -> datetime | None:
        return (await servers.read_visible(story.server, story.caller)).started_at

    await story.wish(Wish.RUNNING)
    assert await since() is None
    await server_settling.settle_running(story.server, 1, 1)
    first = await since()
    assert first is not None
    await server_settling.settle_running(story.server, 1, 1)
    assert await since() == first, "what is told twice"
    # A stop that is taken back leaves the process that ran.
    await story.wish(Wish.STOPPED)
    await server_settling.observe(story.server, 2, ServerStatus.STOPPING)
    await server_settling.revert(story.server, 2)
    await server_settling.observe(story.server, 3, ServerStatus.STARTING)
    await server_settling.settle_running(story.server, 3, 1)
    assert await since() == first
    await story.wish(Wish.STOPPED, Wish.RUNNING)
    await server_settling.settle_stopped(story.server, 4)
    assert await since() is None
    await server_settling.settle_running(story.server, 5, 5)
    again = await since()
    assert again is not None
    assert again > first
    version = (await servers.read_visible(story.server, story.caller)).version
    await server_watch.note_vanished(story.server, 5, version)
    assert await since() is None


async def test_why_a_server_stopped_is_told_until_it_is_to_run(story: Story) -> None:
    async def told() -> StoppedReason | None:
        stopped = (await servers.read_visible(story.server, story.caller)).stopped
        return None if stopped is None else msgspec.json.decode(stopped, type=StoppedReason)

    async def why() -> tuple[str, str]:
        found = await told()
        assert found is not None
        return found.by, found.reason

    await story.wish(Wish.STOPPED)
    assert await told() is None, "it never ran"
    await story.wish(Wish.RUNNING)
    await server_settling.settle_failed_start(story.server, 1, FAILURE)
    assert await why() == ("system", Stop.START)
    # Nobody stops what has stopped.
    await story.wish(Wish.STOPPED)
    assert await why() == ("system", Stop.START)
    await story.wish(Wish.RUNNING)
    assert await told() is None
    await server_settling.revert(story.server, 2)
    assert await why() == ("system", Stop.CANCEL)
    await story.wish(Wish.RUNNING)
    await server_settling.settle_running(story.server, 4, 4)
    await story.wish(Wish.STOPPED, Wish.STOPPED)
    found = await told()
    assert found is not None
    assert (found.by, found.reason, found.who) == ("person", Stop.PERSON, story.caller.email)
    assert found.message == f"{story.caller.email} stopped the server."
    await server_settling.revert(story.server, 5)
    assert await told() is None, "it runs on"
    await story.wish(Wish.DELETED)
    assert await why() == ("person", Stop.PERSON)


async def test_the_failure_of_a_start_that_was_stopped_is_not_why(story: Story) -> None:
    await story.wish(Wish.RUNNING, Wish.STOPPED)
    await server_settling.settle_failed_start(story.server, 1, FAILURE, exit_code=3)
    stopped = (await servers.read_visible(story.server, story.caller)).stopped
    assert stopped is not None
    assert msgspec.json.decode(stopped, type=StoppedReason).reason == Stop.PERSON


async def test_an_unwanted_process_unsettles_its_server(story: Story) -> None:
    version = (await servers.read_visible(story.server, story.caller)).version
    assert await server_watch.note_unwanted(story.server, 0, version)
    assert await story.seen() == ("stopped", "stopping")
    plan = await server_settling.begin(story.server, "workflow", "run")
    assert plan is not None
    assert not plan.settled


async def test_steps_are_told_once_and_end_with_their_operation(story: Story) -> None:
    await story.wish(Wish.RUNNING)
    operation = story.opened[0]
    await operations.step(operation, "Ask JupyterHub", OperationStatus.RUNNING)
    await operations.step(operation, "Ask JupyterHub", OperationStatus.SUCCEEDED)
    await operations.step(operation, "Wait until ready", OperationStatus.RUNNING, "10 %")
    await server_settling.settle_failed_start(story.server, 1, FAILURE)
    steps = (await operations.read(operation)).steps
    assert [(step.name, step.status) for step in steps] == [
        ("Ask JupyterHub", "succeeded"),
        ("Wait until ready", "failed"),
    ]
    assert all(step.ended_at for step in steps)
    await operations.step(operation, "Too late", OperationStatus.RUNNING)
    assert len((await operations.read(operation)).steps) == 2


@pytest.mark.parametrize(("succeeds", "status"), [(True, "succeeded"), (False, "failed")])
async def test_what_hindered_a_step_is_told_until_its_operation_succeeds(
    story: Story, succeeds: bool, status: str
) -> None:
    await story.wish(Wish.RUNNING)
    operation = story.opened[0]
    await operations.step(operation, "Ask JupyterHub", OperationStatus.RUNNING, "It does not answer.", next_in=60)
    (hindered,) = (await operations.read(operation)).steps
    assert (hindered.status, hindered.detail, hindered.ended_at) == ("running", "It does not answer.", None)
    assert hindered.troubled_since
    assert hindered.next_try_at
    if succeeds:
        await server_settling.settle_running(story.server, 1, 1)
    else:
        await server_settling.settle_failed_start(story.server, 1, FAILURE)
    ended = await operations.read(operation)
    assert ended.steps == [
        msgspec.structs.replace(
            hindered,
            status=status,
            ended_at=ended.ended_at,
            next_try_at=None,
            detail=None if succeeds else hindered.detail,
            troubled_since=None if succeeds else hindered.troubled_since,
        )
    ]


async def test_what_makes_no_progress_is_found(story: Story) -> None:
    await story.wish(Wish.RUNNING)
    assert story.server in {subject.id for subject in await operations.stalled(0, 10_000)}
    assert story.server not in {subject.id for subject in await operations.stalled(60, 10_000)}


async def test_the_audit_trail_cannot_be_rewritten(story: Story) -> None:
    import asyncpg

    with pytest.raises(asyncpg.RaiseError, match="never changed"):
        await row("UPDATE audit SET actor_name = 'x' WHERE subject = :subject", subject=story.server)


async def test_a_template_tells_its_creators_servers_and_nobody_elses(connected: None) -> None:
    alice, bob = await make_person(), await make_person()
    template = await make_template(alice, public=True)
    found = await templates.read_visible(template, bob)
    made = []
    for caller in (alice, bob):
        async with Transaction():
            made.append(await servers.create(found.snapshot(), caller, made_with_template=False))
    async with Transaction():
        await templates.update(await templates.read_changeable(template, alice), {"description": "new"})
    told = [
        (await servers.read_visible(one, caller)).template_data.description
        for one, caller in zip(made, (alice, bob), strict=True)
    ]
    assert told == ["new", ""]


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("A lab", "a-lab"),
        ("Émile's  Lab!", "emile-s-lab"),
        ("42 answers", "answers"),
        ("日本", "server"),
        ("x" * 40, "x" * 21),
        ("a" * 20 + " b", "a" * 20),
    ],
)
def test_slugs_are_fit_for_jupyterhub(name: str, slug: str) -> None:
    assert templates.slug(name) == slug
