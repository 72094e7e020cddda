"""What people are told of a server that does not end: no wait without an end, a reason, and ever longer pauses."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from activities import looks, stops
from activities.messages import FailedStart
from integrations.truth import Failure
from models.domain.errors import HubUnavailable, ServerNotEnding, SpawnFailed
from models.domain.values import OperationStatus, ServerStatus, Wish
from models.ledger.operations import OperationError
from models.records import persons
from models.records.servers import ServerRecord, StoppedReason
from tests.unit.activities.conftest import Scene

FAILURE = OperationError(code="SPAWN_FAILED", message="the program is missing")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stops, "END_SECONDS", 0.5)
    monkeypatch.setattr(stops, "HUB_SECONDS", 0.1)
    monkeypatch.setattr(looks, "FIRST_PAUSE", 0.01)


async def end(scene: Scene, verb: str, *, attempt: int = 1) -> None:
    """Have the server end for one of the reasons to do so."""
    wish = await scene.wish(Wish.DELETED if verb == "delete" else Wish.STOPPED)
    if verb == "failed start":
        wish = await scene.wish(Wish.RUNNING)
        failed = FailedStart(server_id=scene.server, generation=wish.generation, error=FAILURE)
        await scene.run(scene.stops.fail_start, failed, attempt=attempt)
    elif verb == "delete":
        await scene.run(scene.stops.delete_server, wish, attempt=attempt)
    else:
        await scene.run(scene.stops.stop_server, wish, attempt=attempt)


def reason_of(server: ServerRecord) -> StoppedReason:
    assert server.stopped is not None
    return msgspec.json.decode(server.stopped, type=StoppedReason)


STEPS = {"stop": stops.STOP, "delete": stops.STOP, "failed start": stops.CLEAR}


@pytest.mark.parametrize("verb", STEPS)
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"ignores_stops": True, "processes_are_immortal": True}, "A process of the server lives on"),
        ({"processes_are_immortal": True}, "A process of the server lives on"),
        ({"ignores_stops": True}, "JupyterHub shows that it runs"),
    ],
    ids=["neither ends it", "the process lives on", "JupyterHub holds on to it"],
)
async def test_who_waits_for_a_server_that_does_not_end_is_told_what_is_in_the_way(
    scene: Scene, verb: str, fault: dict[str, bool], told: str
) -> None:
    await scene.started()
    for name in fault:
        setattr(scene.hub, name, True)
    with pytest.raises(ServerNotEnding):
        async with asyncio.timeout(20):
            await end(scene, verb)
    step = await scene.step(STEPS[verb])
    assert step.status == "running"
    assert step.detail is not None
    assert step.detail.startswith(told)
    assert "Ask an operator to look" in step.detail
    assert await persons.hub_user_of(scene.caller.id) in step.detail
    assert step.troubled_since is not None
    assert step.next_try_at is not None
    # It goes on by itself once the fault is mended, and then there is no word of it any more.
    for name in fault:
        setattr(scene.hub, name, False)
    await end(scene, verb)
    operation = await scene.operation()
    assert operation.status is (OperationStatus.FAILED if verb == "failed start" else OperationStatus.SUCCEEDED)
    assert [(one.detail, one.next_try_at) for one in operation.steps if one.name == STEPS[verb]] == [(None, None)]


async def test_jupyterhub_that_keeps_a_record_is_named(scene: Scene) -> None:
    await scene.started()
    scene.hub.ignores_removals = True
    with pytest.raises(ServerNotEnding):
        await end(scene, "delete")
    step = await scene.step(stops.REMOVE)
    assert step.detail is not None
    assert step.detail.startswith("JupyterHub does not remove its record")
    scene.hub.ignores_removals = False
    await end(scene, "delete")
    assert (await scene.operation()).status is OperationStatus.SUCCEEDED


async def test_looks_become_rarer_within_a_try_and_from_try_to_try(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    async def look() -> None:
        async for _ in looks.looks(60):
            if len(pauses) % 20 == 19:
                return

    monkeypatch.setattr(asyncio, "sleep", note)
    await scene.run(look)
    assert pauses == sorted(pauses)
    assert pauses[-1] == looks.LONGEST_PAUSE
    first = pauses[0]
    pauses.clear()
    await scene.run(look, attempt=5)
    assert pauses[0] > first


async def test_a_step_keeps_what_hinders_it_until_it_succeeds(scene: Scene) -> None:
    await scene.started()
    wish = await scene.wish(Wish.STOPPED)
    scene.hub.away = True
    before = datetime.now(UTC)
    for attempt in (1, 2, 3):
        with pytest.raises(HubUnavailable):
            await scene.run(scene.stops.stop_server, wish, attempt=attempt)
        step = await scene.step(stops.STOP)
        assert (step.status, step.attempt, step.detail) == ("running", attempt, "JupyterHub does not answer.")
        assert step.next_try_at is not None
        assert step.next_try_at > before
        if attempt == 1:
            since = step.troubled_since
        assert step.troubled_since == since
    # While it is tried again, what hindered it before is still to be read.
    scene.hub.away = False
    answered = asyncio.Event()
    looked = scene.hub.processes

    async def slow(server_id: str) -> object:
        await answered.wait()
        return await looked(server_id)

    scene.hub.processes = slow  # type: ignore[method-assign, assignment]
    trying = asyncio.create_task(scene.run(scene.stops.stop_server, wish, attempt=4))
    async with asyncio.timeout(20):
        while (step := await scene.step(stops.STOP)).attempt < 4:
            await asyncio.sleep(0.01)
    assert (step.status, step.detail, step.troubled_since) == ("running", "JupyterHub does not answer.", since)
    assert step.next_try_at is None
    answered.set()
    await trying
    step = await scene.step(stops.STOP)
    assert (step.status, step.attempt, step.detail, step.troubled_since) == ("succeeded", 4, None, None)


async def test_a_server_that_ended_unasked_says_why(scene: Scene) -> None:
    """As far as the spawner's side knows; there is a sentence where it knows nothing."""
    died = Failure(reason="The server ended by itself (exit code 137)", log="the last line", exit_code=137)
    left = Failure(reason="The server ended by itself (exit code 0)", log="the last line", exit_code=0)
    stopped = Failure(reason="The server was stopped in JupyterHub.", stopped=True)
    killed = Failure(reason="The server ended by itself (it was killed)")
    for failure, why, code in (
        (died, "crash", 137),
        (left, "ended", 0),
        (stopped, "hub", None),
        (killed, "crash", None),
        (None, "unknown", None),
    ):
        await scene.started()
        assert (await scene.seen()).stopped is None
        reason, log = ("", "") if failure is None else (failure.reason, failure.log)
        generation = (await scene.seen()).generation
        scene.hub.living.clear()
        scene.hub.known.clear()
        if failure is not None:
            scene.hub.failures[str(scene.server), generation] = failure
        await scene.run(scene.watching.observe_servers)
        seen = await scene.seen()
        assert (seen.status, seen.operation) == (ServerStatus.STOPPED, None)
        assert seen.last_error is not None
        assert seen.last_error.code == "SERVER_ENDED"
        assert seen.last_error.log == log
        assert seen.last_error.message.startswith(reason or "The server ended, and nobody had asked")
        assert seen.last_error.hint
        told = reason_of(seen)
        assert (told.by, told.reason, told.exit_code, told.log_tail) == ("system", why, code, log)
        assert (told.message, told.who) == (seen.last_error.message, "")


async def test_a_start_that_failed_has_the_exit_code_of_its_program(scene: Scene) -> None:
    for noted, why in ((Failure(exit_code=3), "crash"), (None, "start"), (Failure(stopped=True), "start")):
        wish = await scene.wish(Wish.RUNNING)
        if noted is not None:
            scene.hub.failures[str(scene.server), wish.generation] = noted
        log = "\n".join(f"line {number}" for number in range(30))
        failed = FailedStart(server_id=scene.server, generation=wish.generation, error=FAILURE, log=log)
        await scene.run(scene.stops.fail_start, failed)
        told = reason_of(await scene.seen())
        assert (told.reason, told.exit_code, told.message) == (why, noted and noted.exit_code, FAILURE.message)
        assert told.log_tail.splitlines() == [f"line {number}" for number in range(20, 30)]
        assert (await scene.seen()).last_error is not None


async def test_what_jupyterhub_stopped_while_it_started_failed_for_what_it_says(scene: Scene) -> None:
    scene.hub.ready.clear()
    starting = asyncio.create_task(scene.run(scene.starts.spawn_server, wish := await scene.wish(Wish.RUNNING)))
    async with asyncio.timeout(20):
        while not scene.hub.starts:
            await asyncio.sleep(0.01)
    scene.hub.failures[str(scene.server), wish.generation] = Failure(reason="It was stopped by hand.", stopped=True)
    scene.hub.known.clear()
    scene.hub.ready.set()
    with pytest.raises(SpawnFailed, match="The server ended while it started"):
        await starting
