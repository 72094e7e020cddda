"""Operations: who sees them, how they are followed, and what cancelling them means."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import msgspec
import pytest

from api.operations import OperationsController, follow
from models.database.sql import row
from models.database.transactions import Transaction
from models.domain.ids import new_id
from models.domain.values import OperationStatus, Subject, Wish
from models.ledger import heartbeats, operations
from models.ledger.events import CHANNEL
from models.ledger.heartbeats import Role
from models.ledger.operations import LeftOut, OperationError
from models.records import mounts, server_settling, servers
from tests.servers import make_server
from tests.unit.api.bench import Api, Bench, end


@pytest.fixture
def api(bench: Bench) -> Api:
    return bench.api([OperationsController])


async def open_one(
    bench: Bench,
    kind: str = "person.initialize",
    *,
    actor: str = "alice",
    owner: str | None = None,
    subject: UUID | None = None,
) -> UUID:
    return await operations.open_operation(
        kind,
        Subject(kind.partition(".")[0], subject or new_id()),
        owner=bench.callers[owner or actor].id,
        actor=bench.callers[actor],
    )


async def run(operation: UUID) -> None:
    await row("UPDATE operation SET status = 'running', started_at = now() WHERE id = :id", id=operation)


async def test_a_view_of_everything(bench: Bench, api: Api) -> None:
    server = await make_server(bench.callers["alice"])
    operation = await intend(bench, server, Wish.RUNNING)
    await mounts.note_left_out(operation, [LeftOut(kind="dataset", id="x", reason="not yours")])
    await operations.step(operation, "spawn", OperationStatus.RUNNING)
    await server_settling.settle_failed_start(server, 1, OperationError(code="SPAWN_FAILED", message="no", hint="try"))
    answer = await api.alice.get(f"/operations/{operation}")
    body = answer.json()
    assert answer.headers["etag"].strip('"').partition("-")[0].isdigit()
    assert body["error"] == {"code": "SPAWN_FAILED", "message": "no", "hint": "try"}
    assert body["left_out"] == [{"kind": "dataset", "_id": "x", "reason": "not yours"}]
    assert [(step["name"], step["status"]) for step in body["steps"]] == [("spawn", "failed")]
    assert body["subject_kind"] == "server"
    assert "workflow_url" not in body
    assert "superseded_by" not in body


async def test_a_failure_that_has_no_advice_gives_none(bench: Bench, api: Api) -> None:
    server = await make_server(bench.callers["alice"])
    operation = await intend(bench, server, Wish.RUNNING)
    await server_settling.settle_failed_start(server, 1, OperationError(code="SPAWN_FAILED", message="no"))
    body = (await api.alice.get(f"/operations/{operation}")).json()
    assert body["error"] == {"code": "SPAWN_FAILED", "message": "no"}


async def test_actor_owner_and_admin_see_an_operation(bench: Bench, api: Api) -> None:
    operation = await open_one(bench, actor="admin", owner="alice")
    foreign = await open_one(bench, actor="bob")
    for caller, sees in (("alice", 200), ("admin", 200), ("bob", 404)):
        client = api.person(caller)
        assert (await client.get(f"/operations/{operation}")).status_code == sees
        assert (await client.get(f"/operations/{operation}/results")).status_code == sees
        listed = {one["_id"] for one in (await client.get("/operations")).json()}
        assert (str(operation) in listed) == (sees == 200)
        assert (str(foreign) in listed) == (caller != "alice")
        if sees == 404:
            assert (await client.get(f"/operations/{operation}/events")).status_code == 404
            assert (await client.post(f"/operations/{operation}/cancel")).status_code == 404


async def test_an_operation_says_that_it_waits_for_a_worker(bench: Bench, api: Api) -> None:
    operation = await open_one(bench)
    await row("DELETE FROM heartbeat")
    assert "No worker" in (await api.alice.get(f"/operations/{operation}")).json()["waits_for"]
    await heartbeats.beat(Role.WORKER)
    assert "waits_for" not in (await api.alice.get(f"/operations/{operation}")).json()
    await end(operation, OperationStatus.SUCCEEDED)
    await heartbeats.stop(Role.WORKER)
    assert "waits_for" not in (await api.alice.get(f"/operations/{operation}")).json()


async def test_filters(bench: Bench, api: Api) -> None:
    subject = new_id()
    first = await open_one(bench, "server.start", subject=subject)
    second = await open_one(bench, "server.stop", subject=subject)
    await end(first, OperationStatus.SUCCEEDED)

    async def listed(**query: str) -> list[str]:
        return [one["_id"] for one in (await api.alice.get("/operations", params=query)).json()]

    about = {"subject": str(subject)}
    assert await listed(**about) == [str(second), str(first)]
    assert await listed(**about, status="succeeded") == [str(first)]
    assert await listed(**about, kind="server.stop") == [str(second)]
    assert await listed(**about, kind="nothing.at-all") == []
    assert await listed(subject="not-an-id") == []
    assert (await api.alice.get("/operations?status=asleep")).status_code == 422
    page = await api.alice.get("/operations", params={**about, "limit": "1"})
    assert [one["_id"] for one in page.json()] == [str(second)]
    rest = await api.alice.get(page.links["next"]["url"])
    assert [one["_id"] for one in rest.json()] == [str(first)]


async def test_results_are_paged(bench: Bench, api: Api) -> None:
    operation = await open_one(bench)
    for type, entity in (("user", "b"), ("user", "a"), ("group", "z")):
        await row(
            """INSERT INTO operation_result (id, operation, entity, type, outcome)
               VALUES (gen_random_uuid(), :operation, :entity, :type, 'done')""",
            operation=operation,
            entity=entity,
            type=type,
        )
    first = await api.alice.get(f"/operations/{operation}/results?limit=2")
    rest = await api.alice.get(first.links["next"]["url"])
    seen = [(one["type"], one["entity"], one["outcome"]) for one in first.json() + rest.json()]
    assert seen == [("group", "z", "done"), ("user", "a", "done"), ("user", "b", "done")]


# --- following ---------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def stream(bench: Bench, operation: UUID, **more: object) -> AsyncIterator[asyncio.Queue[tuple[str | None, str]]]:
    """The events of a stream as they come: name and the operation's status; comments have no name."""
    queue: asyncio.Queue[tuple[str | None, str]] = asyncio.Queue()

    async def read() -> None:
        events = follow(operation, bench.callers["alice"], bench.services.operation_events, bench.settings, **more)  # type: ignore[arg-type]
        async for message in events:
            data = msgspec.json.decode(str(message.data)) if message.data else {}
            await queue.put((message.event, data.get("status", "")))
        await queue.put((None, "end"))

    task = asyncio.create_task(read())
    try:
        yield queue
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_stream_tells_changes_at_once_and_ends_with_the_outcome(bench: Bench) -> None:
    operation = await open_one(bench)
    async with asyncio.timeout(10), stream(bench, operation) as events:
        assert await events.get() == ("operation", "queued")
        await asyncio.sleep(0.3)  # the listening connection may only just be opened
        for name in ("one", "two"):
            started = asyncio.get_running_loop().time()
            await operations.step(operation, name, OperationStatus.RUNNING)
            assert await events.get() == ("operation", "queued")
            assert asyncio.get_running_loop().time() - started < 1
        await end(operation, OperationStatus.SUCCEEDED)
        assert await events.get() == ("outcome", "succeeded")
        assert await events.get() == (None, "end")


async def test_a_client_that_comes_back_is_told_what_it_missed(bench: Bench) -> None:
    operation = await open_one(bench)
    version = str((await operations.read(operation)).version)
    async with asyncio.timeout(10), stream(bench, operation, last_event_id=version) as events:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(events.get(), 0.3)
        await end(operation, OperationStatus.SUCCEEDED)
        assert await events.get() == ("outcome", "succeeded")
    ended = str((await operations.read(operation)).version)
    for seen in (version, ended, "garbage"):
        async with asyncio.timeout(5), stream(bench, operation, last_event_id=seen) as events:
            assert await events.get() == ("outcome", "succeeded")


async def test_a_stream_ends_with_the_token(bench: Bench) -> None:
    operation = await open_one(bench)
    soon = datetime.now(UTC) + timedelta(seconds=0.5)
    async with asyncio.timeout(5), stream(bench, operation, expires_at=soon) as events:
        assert await events.get() == ("operation", "queued")
        seen = [await events.get() for _ in range(3)]
    assert seen[-2:] == [("expired", ""), (None, "end")]


async def test_a_silent_stream_is_kept_alive(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.operations.KEEP_ALIVE_SECONDS", 0.2)
    operation = await open_one(bench)
    async with asyncio.timeout(5), stream(bench, operation) as events:
        assert await events.get() == ("operation", "queued")
        assert await events.get() == (None, "")


async def test_a_lost_notification_is_made_up_for(bench: Bench, postgres: str) -> None:
    """The listening connection is cut; changes are then found by looking, and it comes back."""
    operation = await open_one(bench)
    async with asyncio.timeout(20), stream(bench, operation) as events:
        assert await events.get() == ("operation", "queued")
        await asyncio.sleep(0.3)
        connection = await asyncpg.connect(postgres)
        cut = await connection.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE $1", f'LISTEN "{CHANNEL}"%'
        )
        await connection.close()
        assert cut >= 1
        await end(operation, OperationStatus.SUCCEEDED)
        while (event := await events.get()) != ("outcome", "succeeded"):
            assert event[0] == "operation"


async def test_streams_and_waits_end_when_the_process_does(bench: Bench) -> None:
    operation = await open_one(bench)
    waiting = asyncio.create_task(bench.services.operation_events.end_of(operation, 30))
    async with asyncio.timeout(5), stream(bench, operation) as events:
        assert await events.get() == ("operation", "queued")
        bench.services.operation_events.close()
        assert await events.get() == (None, "end")
        assert await waiting is None


async def test_the_stream_over_http(bench: Bench, api: Api) -> None:
    operation = await open_one(bench)
    await end(operation, OperationStatus.SUCCEEDED)
    answer = await api.alice.get(f"/operations/{operation}/events", headers={"last-event-id": "1"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = answer.text.splitlines()
    assert "event: outcome" in lines
    assert any(line.startswith("id: ") for line in lines)
    (data,) = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert msgspec.json.decode(data)["_id"] == str(operation)


# --- cancelling --------------------------------------------------------------------------------------------


async def intend(bench: Bench, server: UUID, wish: Wish) -> UUID:
    async with Transaction():
        return (await servers.intend(server, wish, bench.callers["alice"])).operation


async def start_once(bench: Bench, server: UUID, *, seconds: float, spawning: float) -> UUID:
    """A start that took so long and has succeeded; the server is stopped again."""
    start = await intend(bench, server, Wish.RUNNING)
    await operations.step(start, "Spawn", OperationStatus.SUCCEEDED)
    await end(start, OperationStatus.SUCCEEDED)
    await row(
        "UPDATE operation SET created_at = ended_at - make_interval(secs => :seconds) WHERE id = :id",
        id=start,
        seconds=seconds,
    )
    await row(
        "UPDATE operation_step SET started_at = ended_at - make_interval(secs => :seconds) WHERE operation = :id",
        id=start,
        seconds=spawning,
    )
    await end(await intend(bench, server, Wish.STOPPED), OperationStatus.SUCCEEDED)
    return start


async def test_a_start_says_where_it_is_and_how_long_that_takes_as_a_rule(bench: Bench, api: Api) -> None:
    server, another = [await make_server(bench.callers["alice"]) for _ in range(2)]
    first = await intend(bench, server, Wish.RUNNING)
    # Nothing is made up where none has succeeded before.
    seen = await api.alice.got(f"/operations/{first}")
    assert {"phase", "usual_seconds"}.isdisjoint(seen)
    await operations.step(first, "Spawn", OperationStatus.RUNNING)
    phase = (await api.alice.got(f"/operations/{first}"))["phase"]
    assert phase.keys() == {"name", "started_at"}
    await end(first, OperationStatus.FAILED)
    await end(await intend(bench, server, Wish.STOPPED), OperationStatus.SUCCEEDED)
    for seconds, spawning in ((3, 2.5), (90, 60), (4, 3)):
        old = await start_once(bench, server, seconds=seconds, spawning=spawning)
    # Those of other templates count for nothing.
    await start_once(bench, another, seconds=1000, spawning=1000)
    start = await intend(bench, server, Wish.RUNNING)
    seen = await api.alice.got(f"/operations/{start}")
    assert seen["usual_seconds"] == 4
    assert "phase" not in seen
    await operations.step(start, "Admit", OperationStatus.SUCCEEDED)
    await operations.step(start, "Spawn", OperationStatus.RUNNING)
    seen = await api.alice.got(f"/operations/{start}")
    at = seen["steps"][-1]["started_at"]
    assert (seen["usual_seconds"], seen["phase"]) == (4, {"name": "Spawn", "started_at": at, "usual_seconds": 3})
    # What has ended says what it took itself, and a stop has no usual time.
    assert {"phase", "usual_seconds"}.isdisjoint(await api.alice.got(f"/operations/{old}"))
    stop = await intend(bench, server, Wish.STOPPED)
    await operations.step(stop, "Stop", OperationStatus.RUNNING)
    assert {"phase", "usual_seconds"}.isdisjoint(await api.alice.got(f"/operations/{stop}"))
    assert (await api.bob.get(f"/operations/{stop}")).status_code == 404


async def test_of_many_starts_the_last_ones_count(bench: Bench, api: Api) -> None:
    server = await make_server(bench.callers["alice"])
    for number in range(operations.LAST_STARTS * 2):
        await start_once(bench, server, seconds=100 if number < operations.LAST_STARTS else 5, spawning=1)
    start = await intend(bench, server, Wish.RUNNING)
    assert (await api.alice.got(f"/operations/{start}"))["usual_seconds"] == 5


async def test_cancelling_a_start_stops_the_server(bench: Bench, api: Api) -> None:
    server = await make_server(bench.callers["alice"])
    start = await intend(bench, server, Wish.RUNNING)
    answer = await api.alice.post(f"/operations/{start}/cancel")
    assert (answer.status_code, answer.json()["_id"]) == (202, str(start))
    assert answer.headers["location"] == f"/operations/{start}"
    assert (await servers.read_visible(server, bench.callers["alice"])).wish is Wish.STOPPED
    assert bench.wakes.subjects == [Subject("server", server)]
    assert await server_settling.settle_stopped(server, 2)
    assert (await api.alice.get(f"/operations/{start}")).json()["status"] == "cancelled"
    assert (await api.alice.post(f"/operations/{start}/cancel")).status_code == 409


async def test_cancelling_a_start_that_was_overtaken_leaves_the_later_wish(bench: Bench, api: Api) -> None:
    server = await make_server(bench.callers["alice"])
    first = await intend(bench, server, Wish.RUNNING)
    await intend(bench, server, Wish.STOPPED)
    await intend(bench, server, Wish.RUNNING)
    assert (await api.alice.post(f"/operations/{first}/cancel")).status_code == 202
    assert (await servers.read_visible(server, bench.callers["alice"])).wish is Wish.RUNNING


async def test_a_stop_or_deletion_cannot_be_cancelled(bench: Bench, api: Api) -> None:
    server = await make_server(bench.callers["alice"])
    await intend(bench, server, Wish.RUNNING)
    for wish in (Wish.STOPPED, Wish.DELETED):
        answer = await api.alice.post(f"/operations/{await intend(bench, server, wish)}/cancel")
        assert answer.status_code == 409
        assert answer.json()["error"]["hint"]
    for kind in ("dataset.share", "dataset.revoke"):
        assert (await api.alice.post(f"/operations/{await open_one(bench, kind)}/cancel")).status_code == 409


async def test_what_was_not_begun_is_taken_back(bench: Bench, api: Api) -> None:
    operation = await open_one(bench)
    answer = await api.alice.post(f"/operations/{operation}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    audited = await row(
        "SELECT action FROM audit WHERE operation = :operation ORDER BY id DESC LIMIT 1", operation=operation
    )
    assert audited == {"action": "operation.cancel"}
    begun = await open_one(bench)
    await run(begun)
    assert (await api.alice.post(f"/operations/{begun}/cancel")).status_code == 409
    await end(begun, OperationStatus.SUCCEEDED)
    assert (await api.alice.post(f"/operations/{begun}/cancel")).status_code == 409
