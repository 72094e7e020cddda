"""What writes keep people waiting: the answer to a start, alone and with fifty in flight, and to a share with many.

No worker runs: an answer waits for none. A start is compared with what it could be, measured between the starts: the
answer to a read, which is one statement, two statements more, and a commit. Of a share the reading of its body does not
count: that is what the same body takes which is refused for its last word.
"""

import asyncio
import http.client
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from models.database import engine
from models.database.sql import row, rows
from models.domain.settings import Settings
from models.records.sessions import digest
from tests.bench.verdicts import told
from tests.stacks import Stack

IN_FLIGHT, EACH = 50, 20
"""Connections, each of another person, and the servers of each."""
ALONE = 100
PEOPLE = (10, 100, 1_000, 10_000)
ROUNDS = 3

MOST_OF_START = 1.0
MOST_P99_MS = 20.0
MOST_GROWTH = 1.3
_Pair = tuple[str, UUID]


async def measure(stack: Stack, *, short: bool = False) -> dict[str, Any]:
    """The answer to a start against what it could be, the p99 in flight, and how the answer to a share grows."""
    in_flight, each, alone, people, rounds = (
        (3, 2, 3, PEOPLE[:2], 1) if short else (IN_FLIGHT, EACH, ALONE, PEOPLE, ROUNDS)
    )
    async with engine.pool(Settings(database_url=stack.layout.database_url()), patience=120):
        pairs = await servers_of(in_flight + 1 + alone // 40, max(each, 40))
        dataset_of = {token: await _dataset(token) for token in [*pairs][:rounds]}
    api = stack.layout.ports["api"]
    by_person = list(pairs.items())
    lonely = [(token, server) for token, servers in by_person[in_flight:] for server in servers][:alone]
    results = {"start": await _alone(stack, api, lonely)}
    wanted = [[(token, str(server)) for server in servers[:each]] for token, servers in by_person[:in_flight]]
    results["start in flight"] = await _at_once(api, wanted)
    results["share"] = await asyncio.to_thread(_shares, api, dataset_of, people)
    return results


async def servers_of(persons: int, each: int) -> dict[str, list[UUID]]:
    """The servers of so many people, by their tokens."""
    found: dict[str, list[UUID]] = {}
    for number in range(persons):
        token = f"token-of-writer-{number}"
        await row(
            """WITH made AS (
                 INSERT INTO person (id, issuer, subject, email)
                 VALUES (gen_random_uuid(), 'bench', :token::text, :token || '@example.org') RETURNING id)
               INSERT INTO session (token_hash, person, orgs, expires_at, id_token_hash)
               SELECT :digest, id, ARRAY[]::text[], now() + interval '1 day', :digest FROM made""",
            token=token,
            digest=digest(token),
        )
        made = await rows(
            """INSERT INTO server (id, owner, name, template, template_data)
               SELECT gen_random_uuid(), s.person, 'server-' || n, gen_random_uuid(),
                      '{"applicationType": "jupyterlab"}'
                 FROM session s, generate_series(1, :each::int) n WHERE s.token_hash = :digest RETURNING id""",
            digest=digest(token),
            each=each,
        )
        found[token] = [one["id"] for one in made]
    await row("ANALYZE")
    return found


async def _dataset(token: str) -> UUID:
    """A dataset of somebody with a token."""
    made = await row(
        """INSERT INTO dataset (id, owner, name, observed, observed_generation)
           SELECT gen_random_uuid(), person, 'shared', 'present', 1 FROM session WHERE token_hash = :digest
           RETURNING id""",
        digest=digest(token),
    )
    assert made is not None
    identity: UUID = made["id"]
    return identity


async def _alone(stack: Stack, port: int, pairs: list[_Pair]) -> dict[str, Any]:
    times: dict[str, list[float]] = {"start": [], "read": [], "statement": [], "commit": []}
    connection = await asyncpg.connect(stack.layout.database_url())
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for token, server in pairs:
        for name, method, path in (("read", "GET", f"/servers/{server}"), ("start", "PUT", f"/servers/{server}/start")):
            times[name].append(await asyncio.to_thread(_ask, asked, method, path, token))
        transaction = connection.transaction()
        await transaction.start()
        begun = time.perf_counter()
        await connection.execute("UPDATE server SET version = version WHERE id = $1", server)
        stated = time.perf_counter()
        await transaction.commit()
        times["statement"].append(stated - begun)
        times["commit"].append(time.perf_counter() - stated)
    asked.close()
    await connection.close()
    medians = {name: 1000 * statistics.median(values) for name, values in times.items()}
    could_be = medians["read"] + 2 * medians["statement"] + medians["commit"]
    ms = {f"{name}_ms": value for name, value in medians.items()}
    return told("start, against three statements and a commit", medians["start"] / could_be, MOST_OF_START, beside=ms)


def _ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    token: str,
    body: object = None,
    *,
    expect: tuple[int, ...] = (200, 202),
) -> float:
    """Seconds of an answer."""
    sent = None if body is None else json.dumps(body)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    begun = time.perf_counter()
    connection.request(method, path, body=sent, headers=headers)
    answer = connection.getresponse()
    told_body = answer.read()
    seconds = time.perf_counter() - begun
    assert answer.status in expect, f"{path}: {answer.status} {told_body[:300]!r}"
    return seconds


async def _at_once(port: int, wanted: list[list[tuple[str, str]]]) -> dict[str, Any]:
    program = str(Path(__file__).with_name("put_starts.py"))
    load = await asyncio.create_subprocess_exec(
        sys.executable, program, str(port), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await load.communicate(f"{json.dumps(wanted)}\n".encode())
    assert load.returncode == 0, "not every start was accepted"
    found = [1000 * one for one in json.loads(answer)]
    low = {"p50": statistics.median(found), "each_second": 1000 * len(wanted) / statistics.mean(found)}
    return told(
        f"start, {len(wanted)} in flight, p99", statistics.quantiles(found, n=100)[-1], MOST_P99_MS, " ms", beside=low
    )


def _shares(port: int, dataset_of: dict[str, UUID], people: tuple[int, ...]) -> dict[str, Any]:
    after: dict[int, list[float]] = {number: [] for number in people}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    for token, dataset in dataset_of.items():
        for number in people:
            read, shared = _share(connection, token, dataset, number)
            after[number].append(1000 * max(shared - read, 0.0001))
    connection.close()
    medians = {number: statistics.median(values) for number, values in after.items()}
    first, last = medians[people[0]], medians[people[-1]]
    curve = {f"ms_of_{number}": value for number, value in medians.items()}
    return told(f"share with {people[-1]:,} against one with {people[0]}", last / first, MOST_GROWTH, beside=curve)


def _share(connection: http.client.HTTPConnection, token: str, dataset: UUID, number: int) -> tuple[float, float]:
    """Seconds until a share is refused for a word, and until it is accepted."""
    path = f"/datasets/{dataset}/share"
    users = list(_people(dataset, number))
    refused = _ask(connection, "POST", path, token, {"userArray": users, "relation": "nothing"}, expect=(400, 422))
    return refused, _ask(connection, "POST", path, token, {"userArray": users, "relation": "read"})


def _people(dataset: UUID, number: int) -> Iterator[str]:
    for one in range(number):
        yield f"p{one}-{number}-{dataset.hex[:8]}@example.org"
