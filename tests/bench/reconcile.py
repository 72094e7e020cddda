"""What one pass of the reconciler costs that finds nothing to do: 10,000 servers that run and 2,000 groups.

The activities are those of the worker, in this process; JupyterHub and the truth service are answers of bytes that were
made before.
"""

import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.testing import ActivityEnvironment

from activities.access import Access
from activities.groups import Groups
from activities.share_links import ShareLinks
from activities.watching import Watching
from integrations.hub_connection import HubConnection
from integrations.jupyterhub import PAGE_SIZE, JupyterHub
from integrations.truth import Truth
from models.database import engine, transactions
from models.database.sql import row, rows
from models.domain.settings import Settings
from models.domain.values import Subject
from tests.bench import sizes
from tests.bench.verdicts import told
from tests.fast_fill import fill
from tests.stacks import Stack

SERVERS, GROUPS = 10_000, 2_000
_EACH = 5
"""Servers of a person; and members of a group."""
GOALS = {"statements": 5.0, "rows written": 0.0, "seconds": 2.0, "MiB more": 64.0}
PASSES = 5


async def measure(stack: Stack, *, short: bool = False) -> dict[str, Any]:
    """Calls, statements, rows written, seconds (the median) and memory of a pass."""
    servers, groups, passes = (100, 20, 1) if short else (SERVERS, GROUPS, PASSES)
    found = await still_passes(await sizes.new_database(stack), servers, groups, passes)
    goals = GOALS | {"calls": float(-(-groups // PAGE_SIZE) + 1)}
    return {name: told(name, value, goals[name]) for name, value in found.items()}


async def still_passes(address: str, servers: int, groups: int, passes: int) -> dict[str, float]:
    """What a pass takes, by name, of so many servers and groups, with which the migrated database is filled."""
    await _fill(address, servers, groups)
    settings = Settings(database_url=address, database_pool_size=1)
    async with engine.pool(settings):
        return await _passes(await _as_seen(settings), settings, passes)


async def _passes(hub: "_StillHub", settings: Settings, number: int) -> dict[str, float]:
    statements: list[str] = []
    woken: list[Subject] = []
    fetch = transactions.fetch

    async def wake(subject: Subject) -> bool:
        woken.append(subject)
        return True

    async def counted(statement: str, *parameters: object) -> Any:
        statements.append(statement)
        return await fetch(statement, *parameters)

    connection = HubConnection("token", transport=httpx.MockTransport(hub.answer))
    api, truth = JupyterHub(connection, "http://hub"), Truth(connection, "http://truth")
    links = ShareLinks(api, settings)
    watching = Watching(truth, links, settings, wake)
    activities = (
        watching.wake_stalled,
        Access(settings, wake, links).sweep,
        Groups(api, settings, wake).observe_groups,
        watching.observe_servers,
    )
    before, seconds = await _written(), []
    resident = _reset_peak_mib()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(transactions, "fetch", counted)
        for _ in range(number):
            statements.clear()
            hub.calls = 0
            begun = time.perf_counter()
            for one in activities:
                await ActivityEnvironment().run(one)
            seconds.append(time.perf_counter() - begun)
    grown = _peak_mib() - resident
    await connection.close()
    assert not woken, f"there was something to do: {woken[:3]}"
    return {
        "calls": hub.calls,
        "statements": len(statements),
        "rows written": await _written() - before,
        "seconds": sorted(seconds)[len(seconds) // 2],
        "MiB more": grown,
    }


class _StillHub:
    """JupyterHub and the truth service, in which everything is as it should be."""

    def __init__(self, groups: dict[str, bytes], processes: bytes) -> None:
        """`groups` are the pages of the list, by their offset."""
        self.calls = 0
        self._groups, self._processes = groups, processes

    def answer(self, request: httpx.Request) -> httpx.Response:
        """What is there."""
        self.calls += 1
        body = self._processes if request.url.host == "truth" else self._groups[request.url.params["offset"]]
        return httpx.Response(200, content=body, headers={"content-type": "application/json"})


async def _as_seen(settings: Settings) -> _StillHub:
    """What is written as JupyterHub and the truth service would tell of it; PostgreSQL makes it, not this process."""
    pages = await rows(
        """WITH placed AS (
             SELECT u.id, row_number() OVER (ORDER BY u.id) - 1 AS place, count(*) OVER () AS number,
                    json_build_object(
                      'name', :prefix::text || u.id, 'properties', json_build_object('notebooks_hub_name', u.name),
                      'users', (SELECT json_agg(p.hub_user) FROM group_member m JOIN person p ON p.id = m.person
                                 WHERE m.user_group = u.id)) AS item
               FROM user_group u)
           SELECT (place / :size * :size)::text AS at,
                  json_build_object('items', json_agg(item), '_pagination', json_build_object('next', CASE
                    WHEN (place / :size + 1) * :size < min(number)
                    THEN json_build_object('offset', (place / :size + 1) * :size) END))::text AS page
             FROM placed GROUP BY place / :size""",
        prefix=settings.hub_group_prefix,
        size=PAGE_SIZE,
    )
    processes = await row(
        """SELECT json_build_object('servers', json_agg(json_build_object(
                    'server_id', s.id, 'hub_user', p.hub_user, 'hub_name', s.name, 'generation', 1)))::text AS json
             FROM server s JOIN person p ON p.id = s.owner"""
    )
    assert processes is not None
    return _StillHub({one["at"]: one["page"].encode() for one in pages}, processes["json"].encode())


async def _written() -> int:
    """Rows that were written so far, on the one connection that there is."""
    await row("SELECT pg_stat_force_next_flush()")
    found = await row(
        """SELECT (tup_inserted + tup_updated + tup_deleted)::bigint AS number FROM pg_stat_database
            WHERE datname = current_database()"""
    )
    assert found is not None
    return int(found["number"])


def _peak_mib() -> float:
    """The most memory that this process has had."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def _reset_peak_mib() -> float:
    """What it has now, from which the most is counted anew."""
    Path("/proc/self/clear_refs").write_text("5")
    return _peak_mib()


async def _fill(address: str, servers: int, groups: int) -> None:
    persons = max(1, servers // _EACH)

    def of(number: str) -> str:
        return f"lpad(to_hex({number}), 32, '0')::uuid"

    await fill(
        address,
        {
            "person": f"""
                INSERT INTO person (id, issuer, subject, email, hub_user, initialized_at)
                SELECT {of("n")}, 'crowd', n::text, 'p' || n || '@example.org', 'p' || n, now()
                  FROM generate_series(1, {persons}) n""",
            "user_group": f"""
                INSERT INTO user_group (id, name, observed, observed_generation)
                SELECT {of("n")}, 'g' || n, 'present', 1 FROM generate_series(1, {groups}) n""",
            "group_member": f"""
                INSERT INTO group_member (id, user_group, person)
                SELECT gen_random_uuid(), {of("n")}, {of(f"1 + (n + k) % {persons}")}
                  FROM generate_series(1, {groups}) n, generate_series(1, least({_EACH}, {persons})) k""",
            "server": f"""
                INSERT INTO server (id, owner, name, template, template_data, wish, generation, observed,
                                    observed_generation, process_generation)
                SELECT {of("n")}, {of(f"1 + n % {persons}")}, 'server-' || n, {of("n")}, '{{}}', 'running', 1,
                       'running', 1, 1
                  FROM generate_series(1, {servers}) n""",
        },
    )
