"""Following everything: each change once and in order, to whom may see it when it is told, and to nobody else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from api.events import follow
from models.access import following, sharing
from models.access.following import Position, parse_position
from models.database.sql import row, rows
from models.database.transactions import Transaction
from models.domain.ids import new_id
from models.domain.values import Caller, OperationStatus, Subject, Wish
from models.ledger import events, expiry, operations
from models.records import server_settling, servers, sessions
from tests.servers import make_server
from tests.unit.api.bench import Api, Bench, Json, answered, unique

Queue = asyncio.Queue[tuple[str | None, Json, str | None]]


@contextlib.asynccontextmanager
async def stream(bench: Bench, name: str = "alice", last: str | None = None, **more: Any) -> AsyncIterator[Queue]:
    """The messages of a stream as they come: name, data and id; comments have no name."""
    queue: Queue = asyncio.Queue()
    position = None if last is None else parse_position(last)

    async def read() -> None:
        messages = follow(
            bench.callers[name], bench.services.operation_events, position=position, new=last is None, **more
        )
        async for message in messages:
            data = msgspec.json.decode(str(message.data)) if message.data else {}
            await queue.put((message.event, data, None if message.id is None else str(message.id)))
        await queue.put((None, {"end": True}, None))

    task = asyncio.create_task(read())
    try:
        async with asyncio.timeout(20):
            yield queue
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def here(queue: Queue) -> str:
    """Where a stream that begins anew begins."""
    event, data, position = await queue.get()
    assert (event, data) == ("reset", {"reason": "began"})
    assert position is not None
    return position


@contextlib.asynccontextmanager
async def connected(postgres: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(postgres)
    try:
        yield connection
    finally:
        await connection.close()


async def listening(connection: "asyncpg.Connection[asyncpg.Record]") -> list[int]:
    """The processes of PostgreSQL by which somebody listens for events, once there is one."""
    statement = "SELECT array_agg(pid) FROM pg_stat_activity WHERE query LIKE $1"
    while not (found := await connection.fetchval(statement, f'LISTEN "{events.CHANNEL}"%')):
        await asyncio.sleep(0.01)
    return list(found)


async def told(caller: Caller, position: str, limit: int = following.MOST_READ) -> following.Told:
    """What one statement tells after a position."""
    return await following.read(caller, parse_position(position), limit)


async def now(caller: Caller) -> str:
    return str((await following.read(caller, None)).position)


async def all_told(caller: Caller, position: str) -> list[tuple[str, str, str]]:
    """Kind, change and status of all that is told after a position."""
    found = []
    while (answer := await told(caller, position)).events or answer.more:
        assert not answer.gap
        found += [(one.kind, str(one.change), str(one.data.get("status", ""))) for one in answer.events]
        position = str(answer.position)
    return found


async def wish(bench: Bench, server: UUID, wish: Wish, name: str = "alice") -> UUID:
    async with Transaction():
        return (await servers.intend(server, wish, bench.callers[name])).operation


async def open_one(caller: Caller) -> UUID:
    return await operations.open_operation(
        "person.initialize", Subject("person", new_id()), owner=caller.id, actor=caller
    )


async def test_a_server_is_told_from_its_making_to_its_end(bench: Bench) -> None:
    alice = bench.callers["alice"]
    begun = await now(alice)
    server = await make_server(alice)
    await wish(bench, server, Wish.RUNNING)
    await server_settling.begin(server, "server-1", "run")
    await operations.step_all(Subject("server", server), "spawn", OperationStatus.RUNNING)
    await server_settling.settle_running(server, 1, 1)
    await wish(bench, server, Wish.DELETED)
    await server_settling.settle_deleted(server, 2)
    found = await all_told(alice, begun)
    assert [one[1:] for one in found if one[0] == "server"] == [
        *(("created", "stopped"), ("changed", "starting"), ("changed", "running"), ("changed", "stopping")),
        ("deleted", ""),
    ]
    assert [one[1:] for one in found if one[0] == "operation"] == [
        ("created", "succeeded"),  # its creation
        *(("created", "queued"), ("changed", "running"), ("changed", "running"), ("changed", "succeeded")),
        *(("created", "queued"), ("changed", "succeeded")),
    ]


async def test_what_an_event_says(bench: Bench, api: Api) -> None:
    server = UUID((await api.alice.server())["_id"])
    async with stream(bench) as messages:
        await here(messages)
        answer = await api.alice.put(f"/servers/{server}/start")
        operation = answer.headers["location"].rpartition("/")[2]
        (_, first, _), (_, second, _) = [await messages.get() for _ in range(2)]
        await operations.step(UUID(operation), "spawn", OperationStatus.RUNNING)
        event, third, _ = await messages.get()
    shown = await api.alice.get(f"/servers/{server}")
    assert {"kind": "server", "_id": str(server), "change": "changed", "status": "starting"}.items() <= first.items()
    assert shown.headers["etag"].startswith(f'"{first["version"]}-')
    about = {"action": "server.start", "subject": str(server), "subject_kind": "server"}
    assert {"kind": "operation", "_id": operation, "change": "created", "status": "queued"}.items() <= second.items()
    assert about.items() <= second.items()
    assert event == "operation"
    assert third["step"] == {"name": "spawn", "status": "running"}
    assert third["version"] == second["version"] + 1
    assert third.keys() == {*about, "kind", "_id", "change", "at", "status", "version", "step"}


async def test_nobody_is_told_of_what_is_others(bench: Bench) -> None:
    begun = await now(bench.callers["bob"])
    async with stream(bench, "bob") as bobs, stream(bench, "admin") as admins, stream(bench) as mine:
        for one in (bobs, admins, mine):
            await here(one)
        server = await make_server(bench.callers["alice"])
        for one in (admins, mine):
            assert (await one.get())[1]["_id"] == str(server)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bobs.get(), 1)
    assert await all_told(bench.callers["bob"], begun) == []


async def kinds_told(bench: Bench, name: str, position: str) -> list[tuple[str, str]]:
    """Kind and change of what is told after a position, without operations."""
    found = await all_told(bench.callers[name], position)
    return [(kind, change) for kind, change, _ in found if kind != "operation"]


@pytest.mark.parametrize("kind", ["dataset", "module", "secret"])
@pytest.mark.parametrize("way", ["userArray", "groupArray", "orgArray"])
async def test_a_share_is_told_to_whom_it_concerns_and_a_revoke_too(
    bench: Bench, api: Api, kind: str, way: str
) -> None:
    made = await getattr(api.alice, kind)()
    group = await api.bob.group()
    org, stranger = unique("org"), unique("stranger")
    await bench.join(stranger)
    bench.callers["bob"] = bob = msgspec.structs.replace(bench.callers["bob"], orgs=(org,))
    await row("INSERT INTO person_org (id, person, org) VALUES (gen_random_uuid(), :id, :org)", id=bob.id, org=org)
    whom = {"userArray": api.bob.email, "groupArray": group["_id"], "orgArray": org}[way]
    path = {"dataset": "/datasets", "module": "/modules", "secret": "/secret"}[kind] + f"/{made['_id']}"
    begun = await now(bob)
    answered(await api.alice.post(f"{path}/share", json={"relation": "read", way: [whom]}), 202)
    assert await kinds_told(bench, "bob", begun) == [(kind, "shared")]
    assert await kinds_told(bench, stranger, begun) == []
    changed = await now(bob)
    answered(await api.alice.patch(path, json={"description": "another"}), 200)
    assert await kinds_told(bench, "bob", changed) == [(kind, "changed")]
    revoked = await now(bob)
    answered(await api.alice.post(f"{path}/revoke", json={"relation": "read", way: [whom]}), 202)
    assert await kinds_told(bench, "bob", revoked) == [(kind, "taken_back")]
    # What was to be told while it was shared is told no more.
    assert await kinds_told(bench, "bob", begun) == [(kind, "taken_back")]
    again = await now(bob)
    answered(await api.alice.patch(path, json={"description": "a secret matter"}), 200)
    assert await kinds_told(bench, "bob", again) == []
    assert ("created" in {change for _, change in await kinds_told(bench, "alice", begun)}) is False
    assert (kind, "changed") in await kinds_told(bench, "alice", again)


@pytest.mark.parametrize("others", [events.MOST_NAMED - 1, events.MOST_NAMED])
async def test_a_change_of_what_many_may_use_is_told_to_them_and_is_no_longer_for_it(
    bench: Bench, api: Api, others: int
) -> None:
    made, stranger = await api.alice.dataset(), unique("stranger")
    await bench.join(stranger)
    share = {"relation": "read", "userArray": [api.bob.email, *(f"{unique('g')}@example.org" for _ in range(others))]}
    answered(await api.alice.post(f"/datasets/{made['_id']}/share", json=share), 202)
    begun = await now(bench.callers["bob"])
    answered(await api.alice.patch(f"/datasets/{made['_id']}", json={"description": "another"}), 200)
    for name in ("alice", "bob"):
        assert await kinds_told(bench, name, begun) == [("dataset", "changed")]
    assert await kinds_told(bench, stranger, begun) == []
    longest = await row("SELECT max(cardinality(persons)) AS most FROM event WHERE change = 'changed'")
    assert longest is not None
    assert longest["most"] <= events.MOST_NAMED + 1
    deleted = await now(bench.callers["bob"])
    answered(await api.alice.delete(f"/datasets/{made['_id']}"), 202)
    for name in ("alice", "bob"):
        assert await kinds_told(bench, name, deleted) == [("dataset", "deleted")]
    assert await kinds_told(bench, stranger, deleted) == []


async def test_what_is_made_and_deleted_is_told_to_who_may_use_it(bench: Bench, api: Api) -> None:
    begun = await now(bench.callers["alice"])
    made = await api.alice.dataset()
    assert (await kinds_told(bench, "alice", begun))[0] == ("dataset", "created")
    answered(
        await api.alice.post(f"/datasets/{made['_id']}/share", json={"relation": "read", "userArray": api.bob.email}),
        202,
    )
    shared = await now(bench.callers["bob"])
    answered(await api.alice.delete(f"/datasets/{made['_id']}"), 202)
    for name in ("alice", "bob"):
        assert await kinds_told(bench, name, shared) == [("dataset", "deleted")]
    deleted = await now(bench.callers["bob"])
    answered(await api.alice.post(f"/datasets/{made['_id']}/restore"), 202)
    assert await kinds_told(bench, "bob", deleted) == [("dataset", "changed")]


async def test_a_grant_that_expires_is_told_and_what_was_left_out_with_it_is_not(bench: Bench, api: Api) -> None:
    made = await api.alice.dataset()
    bob = bench.callers["bob"]
    share = {"relation": "read", "userArray": api.bob.email, "expires_at": "2100-01-01T00:00:00Z"}
    answered(await api.alice.post(f"/datasets/{made['_id']}/share", json=share), 202)
    begun = await now(bob)
    await row("UPDATE access_grant SET expires_at = now() WHERE object = :id", id=UUID(made["_id"]))
    answered(await api.alice.patch(f"/datasets/{made['_id']}", json={"description": "another"}), 200)
    assert await kinds_told(bench, "bob", begun) == []
    await sharing.remove_expired(100)
    assert await kinds_told(bench, "bob", begun) == [("dataset", "taken_back")]


async def test_who_is_in_a_group_is_told_of_it(bench: Bench, api: Api) -> None:
    made = await api.alice.group()
    path, bob = f"/groups/{made['_id']}", bench.callers["bob"]
    begun = await now(bob)
    answered(await api.alice.post(f"{path}/members", params={"memberEmail": api.bob.email}), 202)
    assert ("group", "shared") in await kinds_told(bench, "bob", begun)
    added = await now(bob)
    answered(await api.alice.post(f"{path}/members", params={"memberEmail": api.bob.email}), 202)
    assert ("group", "shared") not in await kinds_told(bench, "bob", added)
    answered(await api.alice.delete(f"{path}/members/{api.bob.email}"), 202)
    assert ("group", "taken_back") in await kinds_told(bench, "bob", added)
    left = await now(bob)
    answered(await api.alice.delete(path), 202)
    assert await kinds_told(bench, "bob", left) == []
    assert await kinds_told(bench, "alice", left) == [("group", "deleted")]


async def test_why_a_server_does_not_run_is_told(bench: Bench) -> None:
    alice = bench.callers["alice"]
    server = await make_server(alice)
    await wish(bench, server, Wish.RUNNING)
    begun = await now(alice)
    error = operations.OperationError(code="SPAWN_FAILED", message="no")
    await server_settling.settle_failed_start(server, 1, error, log="")
    found = (await told(alice, begun)).events
    assert {(one.kind, one.data["status"], one.data.get("code")) for one in found} == {
        ("server", "stopped", "SPAWN_FAILED"),
        ("operation", "failed", "SPAWN_FAILED"),
    }


async def test_who_acts_on_what_is_anothers_and_its_owner_are_told(bench: Bench) -> None:
    server = await make_server(bench.callers["alice"])
    begun = await now(bench.callers["alice"])
    await wish(bench, server, Wish.RUNNING, "admin")
    for name in ("alice", "admin"):
        assert await all_told(bench.callers[name], begun) == [
            ("server", "changed", "starting"),
            ("operation", "created", "queued"),
        ]


async def test_a_change_is_told_at_once(bench: Bench, postgres: str) -> None:
    async with stream(bench) as messages:
        await here(messages)
        async with connected(postgres) as connection:
            await listening(connection)
        for _ in range(3):
            started = asyncio.get_running_loop().time()
            await open_one(bench.callers["alice"])
            await messages.get()
            assert asyncio.get_running_loop().time() - started < 1


async def test_who_comes_back_is_told_what_was_missed_and_nothing_twice(bench: Bench) -> None:
    async with stream(bench) as messages:
        position = await here(messages)
        operation = await open_one(bench.callers["alice"])
        _, first, seen = await messages.get()
        assert first["_id"] == str(operation)
    for name in ("one", "two", "three"):
        await operations.step(operation, name, OperationStatus.RUNNING)
    steps: list[object] = []
    assert seen is not None
    while len(steps) < 3:
        # The connection is lost after each of them.
        async with stream(bench, last=seen) as messages:
            _, data, seen = await messages.get()
            assert seen is not None
            steps.append(data["step"]["name"])
    assert steps == ["one", "two", "three"]
    assert not (await told(bench.callers["alice"], seen)).events
    assert len((await told(bench.callers["alice"], position)).events) == 4


async def test_what_was_written_first_and_committed_last_is_not_passed_over(bench: Bench, postgres: str) -> None:
    """Two transactions: the lower number, and the lower transaction, becomes visible after the higher one."""
    alice = bench.callers["alice"]
    begun = await now(alice)
    late, soon = [await open_one(alice) for _ in range(2)]
    position = str((await told(alice, begun)).position)
    slow = await asyncpg.connect(postgres)
    try:
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(
            """INSERT INTO event (kind, subject, change, persons, xact)
               VALUES ('operation', $1, 'changed', ARRAY[$2::uuid], pg_current_xact_id()::text::bigint)""",
            late,
            alice.id,
        )
        await operations.step(soon, "soon", OperationStatus.RUNNING)
        first = await told(alice, position)
        assert [one.subject for one in first.events] == [soon]
        await transaction.commit()
    finally:
        await slow.close()
    then = await told(alice, str(first.position))
    assert [one.subject for one in then.events] == [late]
    assert (await told(alice, str(then.position))).events == []
    # Whoever reads both later has them in another order: that of their numbers, each once.
    both = await told(alice, position)
    assert [one.subject for one in both.events] == [late, soon]
    again = await told(alice, str(both.events[0].position))
    assert [one.subject for one in again.events] == [soon]


async def test_two_changes_of_one_record_keep_their_order(bench: Bench, postgres: str) -> None:
    """The second waits for the first, in a transaction that is older."""
    alice = bench.callers["alice"]
    operation = await open_one(alice)
    position = await now(alice)
    older = await asyncpg.connect(postgres)
    try:
        transaction = older.transaction()
        await transaction.start()
        await older.fetchval("SELECT pg_current_xact_id()")
        await operations.step(operation, "one", OperationStatus.RUNNING)
        between = await told(alice, position)
        await older.execute(
            f"""WITH live AS (UPDATE operation o SET version = version + 1 WHERE id = '{operation}'
                              RETURNING {operations.CHANGED})
                {operations.told("live")}"""  # noqa: S608 - an id of ours
        )
        await transaction.commit()
    finally:
        await older.close()
    for parts in ([position], [position, str(between.position)]):
        found = [one.data["version"] for part in parts for one in (await told(alice, part)).events]
        versions = sorted({*map(int, map(str, found))})
        assert versions == [2, 3]
        assert [one.data["version"] for one in (await told(alice, parts[0])).events] == [2, 3]


async def test_a_read_is_bounded_however_much_was_missed(bench: Bench) -> None:
    alice = bench.callers["alice"]
    begun = await now(alice)
    operation = await open_one(alice)
    for number in range(999):
        await operations.step(operation, f"step {number % 7}", OperationStatus.RUNNING)
    position, more, sizes, versions = begun, True, [], []
    while more:
        answer = await told(alice, position)
        position, more = str(answer.position), answer.more
        sizes.append(len(answer.events))
        versions += [one.data["version"] for one in answer.events]
    assert max(sizes) == following.MOST_READ
    assert versions == list(range(1, 1001))
    assert (await told(alice, position)).events == []


async def test_a_page_is_gone_on_with_while_more_comes(bench: Bench) -> None:
    alice = bench.callers["alice"]
    position, seen = await now(alice), []
    for _ in range(4):
        await open_one(alice)
        for _ in range(2):
            await open_one(alice)
            answer = await told(alice, position, 1)
            seen += [one.subject for one in answer.events]
            position = str(answer.position)
    while (answer := await told(alice, position, 5)).events or answer.more:
        seen += [one.subject for one in answer.events]
        position = str(answer.position)
    found = await rows("SELECT id FROM operation WHERE actor = :person ORDER BY id", person=alice.id)
    assert seen == [one["id"] for one in found]


async def test_who_has_missed_too_much_reads_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = bench.callers["alice"]
    begun = await now(alice)
    for _ in range(3):
        await open_one(alice)
    assert len((await told(alice, begun)).events) == 3
    await row(
        """INSERT INTO event (kind, subject, change, xact)
           SELECT 'operation', gen_random_uuid(), 'changed', pg_current_xact_id()::text::bigint
             FROM generate_series(1, :most)""",
        most=following.MOST_MISSED,
    )
    answer = await told(alice, begun)
    assert (answer.gap, answer.events) == (True, [])
    async with stream(bench, last=begun) as messages:
        assert (await messages.get())[:2] == ("reset", {"reason": "gap"})
        operation = await open_one(alice)
        assert (await messages.get())[1]["_id"] == str(operation)


@pytest.mark.parametrize(
    "position",
    [
        *("", "7", "x:y:", "1:1", "5:4:", "1:9:9", "1:9:3,2", "0:1:", "1:1:/", "1:1:/1:1:", "1:1:/1:1:/x"),
        *("1:2:/5:4:/1", "1:1:" + "1," * 9000, "٣:٣:", "1:1:\n", "99999999999999999999:1:", "'; --"),
    ],
)
async def test_what_is_no_position_begins_anew(bench: Bench, position: str) -> None:
    assert parse_position(position) is None
    async with stream(bench, last=position) as messages:
        assert (await messages.get())[:2] == ("reset", {"reason": "gap"})


@pytest.mark.parametrize(
    "position", ["3:3:", "900000000000000000:900000000000000000:", "900000000000:900000000000:/3:3:/1"]
)
async def test_a_position_of_another_life_of_the_database_begins_anew(bench: Bench, position: str) -> None:
    found = parse_position(position)
    assert found is not None
    assert str(found) == position
    await open_one(bench.callers["alice"])
    await row("DELETE FROM event WHERE xact < 4")
    assert (await following.read(bench.callers["alice"], found)).gap
    async with stream(bench, last=position) as messages:
        assert (await messages.get())[0] == "reset"
        operation = await open_one(bench.callers["alice"])
        assert (await messages.get())[1]["_id"] == str(operation)


async def test_a_position_that_postgresql_gave_is_one(bench: Bench, postgres: str) -> None:
    """With transactions that run, and of which some have ended."""
    others = [await asyncpg.connect(postgres) for _ in range(4)]
    try:
        for one in others:
            await one.execute("BEGIN")
            await one.fetchval("SELECT pg_current_xact_id()")
        await others[3].execute("COMMIT")
        position = await now(bench.callers["alice"])
        assert position.count(",") >= 2
        assert parse_position(position) == Position(position)
        assert not (await told(bench.callers["alice"], position)).gap
    finally:
        for one in others:
            await one.close()


async def test_the_ledger_is_kept_short_and_says_what_it_no_longer_knows(bench: Bench) -> None:
    alice = bench.callers["alice"]
    begun = await now(alice)
    for _ in range(3):
        await open_one(alice)
    middle = await now(alice)
    await open_one(alice)
    await row("UPDATE event SET at = now() - interval '2 hours'")
    assert await expiry.remove_expired(24) >= 3
    assert (await told(alice, begun)).gap
    # The last stays, so that it is known that nothing is missing since.
    assert (await told(alice, middle)).gap
    last = await now(alice)
    operation = await open_one(alice)
    for _ in range(2):
        assert [one.subject for one in (await told(alice, last)).events] == [operation]
        await expiry.remove_expired(24)


async def test_what_a_restored_dump_has_of_another_life_is_removed_and_never_told(bench: Bench) -> None:
    alice = bench.callers["alice"]
    begun = await now(alice)
    await row(
        """INSERT INTO event (kind, subject, change, persons, xact)
           VALUES ('operation', gen_random_uuid(), 'changed', ARRAY[:alice::uuid], 900000000000)""",
        alice=alice.id,
    )
    assert await all_told(alice, begun) == []
    await expiry.remove_expired(24)
    assert await rows("SELECT 1 FROM event WHERE xact = 900000000000") == []
    assert not (await told(alice, begun)).gap


async def test_a_stream_tells_nothing_more_after_a_logout(bench: Bench) -> None:
    alice = await bench.join("alice")
    token = sessions.digest("a token")
    await sessions.keep(
        token,
        person_id=alice.id,
        admin=False,
        orgs=(),
        expires_at=datetime.now(UTC) + timedelta(hours=1),
        id_token_hash=sessions.digest(str(new_id())),
        sid=str(new_id()),
    )
    bench.callers["alice"] = msgspec.structs.replace(alice, token_hash=token)
    async with stream(bench) as messages:
        await here(messages)
        await open_one(alice)
        assert (await messages.get())[0] == "operation"
        await row("UPDATE session SET id_token_hash = NULL WHERE token_hash = :token", token=token)
        await open_one(alice)
        assert (await messages.get())[:2] == ("expired", {})
        assert (await messages.get())[1] == {"end": True}


async def test_who_reads_slowly_is_told_nothing_that_was_read_before_a_logout(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of events was read, the client took the first of them, and was signed out before it took the others."""
    monkeypatch.setattr("api.events.STALE", 0.2)
    alice = await bench.join("alice")
    begun = await now(alice)
    made = [await open_one(alice) for _ in range(3)]
    for ends in (False, True):
        messages = follow(alice, bench.services.operation_events, position=parse_position(begun), new=False)
        first = await anext(messages)
        await asyncio.sleep(0.3)
        if ends:
            await row("UPDATE person SET released_at = now() WHERE id = :id", id=alice.id)
        then = await anext(messages)
        assert (str(made[0]) in str(first.data), then.event == "expired") == (True, ends)
        if not ends:
            # It goes on after the first, once and in order.
            assert [str(made[1]) in str(then.data), str(made[2]) in str((await anext(messages)).data)] == [True, True]
        await messages.aclose()


async def test_two_tabs_are_told_the_same_and_one_that_is_slow_hinders_nobody(bench: Bench) -> None:
    alice = bench.callers["alice"]
    slow = follow(alice, bench.services.operation_events)
    await anext(slow)
    async with stream(bench) as one, stream(bench) as other:
        for tab in (one, other):
            await here(tab)
        made = [str(await open_one(alice)) for _ in range(5)]
        for tab in (one, other):
            assert [(await tab.get())[1]["_id"] for _ in made] == made
    found = [await anext(slow) for _ in made]
    assert [msgspec.json.decode(str(one.data))["_id"] for one in found] == made
    await slow.aclose()


async def test_a_transaction_that_runs_for_long_hinders_nobody_and_is_told_when_it_ends(
    bench: Bench, postgres: str
) -> None:
    """More has happened since than anybody is told of, and the ledger was pruned."""
    alice = bench.callers["alice"]
    operation = await open_one(alice)
    slow = await asyncpg.connect(postgres)
    try:
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(
            """INSERT INTO event (kind, subject, change, persons, xact)
               VALUES ('operation', $1, 'changed', ARRAY[$2::uuid], pg_current_xact_id()::text::bigint)""",
            operation,
            alice.id,
        )
        await row(
            """INSERT INTO event (kind, subject, change, at, xact)
               SELECT 'operation', gen_random_uuid(), 'changed', now() - interval '2 hours',
                      pg_current_xact_id()::text::bigint FROM generate_series(1, :most)""",
            most=following.MOST_MISSED + 1,
        )
        position = await now(alice)
        await expiry.remove_expired(24)
        assert not (await told(alice, position)).gap
        soon = await open_one(alice)
        first = await told(alice, position)
        assert ([one.subject for one in first.events], first.gap) == ([soon], False)
        await transaction.commit()
    finally:
        await slow.close()
    then = await told(alice, str(first.position))
    assert ([one.subject for one in then.events], then.gap) == ([operation], False)


async def test_a_stream_ends_with_the_token(bench: Bench) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.5)
    async with stream(bench, expires_at=soon) as messages:
        await here(messages)
        seen = [await messages.get() for _ in range(3)]
    assert [one[0] for one in seen] == [None, "expired", None]


async def test_a_silent_stream_is_kept_alive_with_where_it_is(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.events.KEEP_ALIVE_SECONDS", 0.5)
    async with stream(bench) as messages:
        position = await here(messages)
        await open_one(bench.callers["bob"])
        found = [await messages.get() for _ in range(3)]
    assert [one[0] for one in found] == [None] * 3
    last = found[-1][2]
    assert last is not None
    assert parse_position(last) is not None
    assert last != position


async def test_streams_end_when_the_process_does(bench: Bench) -> None:
    async with stream(bench) as messages:
        await here(messages)
        bench.services.operation_events.close()
        assert (await messages.get())[1] == {"end": True}


async def test_a_lost_connection_to_listen_by_is_made_up_for(bench: Bench, postgres: str) -> None:
    async with stream(bench) as messages:
        await here(messages)
        async with connected(postgres) as connection:
            await connection.fetch("SELECT pg_terminate_backend(unnest($1::int[]))", await listening(connection))
        operation = await open_one(bench.callers["alice"])
        assert (await messages.get())[1]["_id"] == str(operation)


async def test_what_may_concern_anybody_wakes_everybody_but_not_at_each(bench: Bench) -> None:
    followers = bench.services.operation_events.followers
    with followers.watch(bench.callers["alice"]) as alice, followers.watch(bench.callers["admin"]) as admin:
        followers.notified(str(bench.callers["bob"].id))
        assert (alice.is_set(), admin.is_set()) == (False, True)
        admin.clear()
        followers.notified(events.OTHERS)
        assert (alice.is_set(), admin.is_set()) == (False, True)
        for _ in range(3):
            followers.notified("")
        assert not alice.is_set()
        async with asyncio.timeout(3):
            await alice.wait()
        followers.notified(str(bench.callers["alice"].id))
        assert alice.is_set()
    assert not followers._woken
    assert not followers._admins
