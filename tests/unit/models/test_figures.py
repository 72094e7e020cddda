"""Figures for metrics: what is counted, once, whoever looks and however many do."""

import asyncio
from uuid import UUID

import pytest

from models.database.sql import row
from models.domain.ids import new_id
from models.records import figures

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
async def looked_a_minute_ago(database: None) -> None:
    """Somebody has looked before; what other tests left behind is no part of it."""
    await row("DELETE FROM operation")
    await row("DELETE FROM figures_seen")
    await row("INSERT INTO figures_seen (id, until) VALUES (1, now() - interval '60 seconds')")


async def operation(kind: str, status: str, *, began: float, ended: float | None = None) -> UUID:
    """An operation that was opened, and has ended, so many seconds ago."""
    identity = new_id()
    await row(
        """INSERT INTO operation (id, kind, subject, subject_kind, status, created_at, ended_at)
           VALUES (:id, :kind, :id, 'server', :status, now() - make_interval(secs => :began),
                   now() - make_interval(secs => :ended))""",
        id=identity,
        kind=kind,
        status=status,
        began=began,
        ended=ended,
    )
    return identity


async def test_what_ended_is_given_out_once_whoever_looks() -> None:
    await operation("server.stop", "succeeded", began=52.0, ended=50.0)
    await operation("server.start", "failed", began=55.0, ended=45.0)
    # Its transaction may just have begun to be seen, or not yet.
    await operation("server.stop", "succeeded", began=20.0, ended=figures.UNSEEN_SECONDS - 5.0)
    await operation("server.stop", "running", began=50.0)
    looks = await asyncio.gather(*(figures.ended() for _ in range(4)))
    found = [one for look in looks for one in look]
    assert sorted((one.kind, one.status, round(one.seconds)) for one in found) == [
        ("server.start", "failed", 10),
        ("server.stop", "succeeded", 2),
    ]
    assert await figures.ended() == []


async def test_what_ended_later_comes_with_the_next_look() -> None:
    await operation("server.stop", "succeeded", began=29.0, ended=29.0)
    assert await figures.ended() == []
    await row("UPDATE figures_seen SET until = until - interval '15 seconds'")
    await row("UPDATE operation SET ended_at = ended_at - interval '15 seconds'")
    assert [one.kind for one in await figures.ended()] == ["server.stop"]


async def test_a_start_tells_how_long_each_of_its_steps_took() -> None:
    start = await operation("server.start", "succeeded", began=60.0, ended=40.0)
    for position, (name, began, ended) in enumerate((("spawn", 58.0, 45.0), ("probe", 45.0, None))):
        await row(
            """INSERT INTO operation_step (id, operation, position, name, status, started_at, ended_at)
               VALUES (:id, :operation, :position, :name, 'succeeded', now() - make_interval(secs => :began),
                       now() - make_interval(secs => :ended))""",
            id=new_id(),
            operation=start,
            position=position,
            name=name,
            began=began,
            ended=ended,
        )
    (found,) = await figures.ended()
    assert {name: round(seconds) for name, seconds in found.steps.items()} == {"spawn": 13, "probe": 5}


async def test_what_has_not_ended_is_shown_with_the_age_of_the_oldest() -> None:
    for began, status in ((900.0, "running"), (5.0, "running"), (70.0, "queued"), (5000.0, "succeeded")):
        await operation("server.start", status, began=began, ended=1.0 if status == "succeeded" else None)
    found = {one.status: (one.number, round(one.oldest_seconds)) for one in await figures.unsettled()}
    assert found == {"running": (2, 900), "queued": (1, 70)}


async def test_a_database_that_nobody_has_looked_at_begins_now() -> None:
    await row("DELETE FROM figures_seen")
    await operation("server.stop", "succeeded", began=52.0, ended=50.0)
    assert await figures.ended() == []
