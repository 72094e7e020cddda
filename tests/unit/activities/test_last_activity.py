"""When servers were last used is kept as the watcher hears of it: seldom, at once for many, and changing no version."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from models.database import transactions
from models.database.sql import row
from models.domain.values import Wish
from models.records import server_watch
from tests.servers import make_server
from tests.unit.activities.conftest import Scene

MINUTE = timedelta(minutes=1)


async def used(scene: Scene, moment: datetime | None) -> None:
    """Have the watcher hear that the server was used at a moment."""
    process = scene.hub.living[str(scene.server)]
    scene.hub.living[str(scene.server)] = msgspec.structs.replace(process, last_activity=moment)
    await scene.run(scene.watching.observe_servers)


async def test_what_moves_by_more_than_a_minute_is_kept_and_changes_no_version(scene: Scene) -> None:
    await scene.started()
    version, noon = (await scene.seen()).version, datetime.now(UTC) - timedelta(hours=3)
    await used(scene, None)
    assert (await scene.seen()).last_activity is None
    for said, kept in (
        (noon, noon),
        (noon + MINUTE, noon),
        (noon - MINUTE, noon),
        (noon + MINUTE * 1.01, noon + MINUTE * 1.01),
        (None, noon + MINUTE * 1.01),
    ):
        await used(scene, said)
        assert (await scene.seen()).last_activity == kept, said
    assert (await scene.seen()).version == version
    await scene.run(scene.stops.stop_server, await scene.wish(Wish.STOPPED))
    assert (await scene.seen()).last_activity is not None, "when it was used before it was stopped"


async def test_what_a_program_says_of_the_future_counts_as_now(scene: Scene) -> None:
    await scene.started()
    for _ in range(2):
        await used(scene, datetime.now(UTC) + timedelta(minutes=59))
        kept = (await scene.seen()).last_activity
        assert kept is not None
        assert kept <= datetime.now(UTC)


async def test_many_are_one_statement_and_what_did_not_move_is_none(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.started()
    more = [await make_server(scene.caller) for _ in range(3)]
    process = scene.hub.living[str(scene.server)]
    for server in more:
        await row("UPDATE server SET observed = 'running' WHERE id = :id", id=server)
    for server in (scene.server, *more):
        named = msgspec.structs.replace(process, server_id=str(server), last_activity=datetime.now(UTC))
        scene.hub.living[str(server)] = named
    sent: list[str] = []
    fetch = transactions.fetch

    async def noted(statement: str, *values: object) -> object:
        sent.append(statement)
        return await fetch(statement, *values)

    monkeypatch.setattr(transactions, "fetch", noted)
    for writes in (1, 0):
        await scene.run(scene.watching.observe_servers)
        assert sum("SET last_activity" in one for one in sent) == writes
        sent.clear()
    kept = await server_watch.observed([scene.server, *more])
    assert len(kept) == 4
    assert all(one.last_activity for one in kept)


async def test_a_row_that_is_being_changed_is_waited_for_by_nobody(scene: Scene, postgres: str) -> None:
    import asyncpg

    await scene.started()
    other = await asyncpg.connect(postgres)
    try:
        async with other.transaction():
            await other.execute("SELECT 1 FROM server WHERE id = $1 FOR UPDATE", scene.server)
            await used(scene, datetime.now(UTC) - MINUTE)
            assert (await scene.seen()).last_activity is None
        await used(scene, datetime.now(UTC) - MINUTE)
        assert (await scene.seen()).last_activity is not None
    finally:
        await other.close()
