"""When servers were last used, as a database of JupyterHub's own making has it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from jupyterhub import orm

from hub.last_used import database_of, last_used

MOMENT = datetime(2026, 11, 27, 3, 4, 5, 678901, tzinfo=UTC)
# As JupyterHub keeps it.
KEPT = MOMENT.replace(tzinfo=None)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = database_of(tmp_path)
    session = orm.new_session_factory(f"sqlite:///{path}")()
    alice = orm.User(name="alice@example.org", last_activity=KEPT)
    for name, moment, runs in (("lab", KEPT, True), ("late", None, True), ("old", KEPT, False)):
        server = orm.Server() if runs else None
        alice._orm_spawners.append(orm.Spawner(name=name, last_activity=moment, server=server))
    session.add(alice)
    session.commit()
    session.close()
    return path


def test_what_is_not_stopped_is_told_in_utc(database: Path) -> None:
    assert last_used(database) == {("alice@example.org", "lab"): MOMENT}


def test_whole_seconds_are_a_moment_too(database: Path) -> None:
    session = orm.new_session_factory(f"sqlite:///{database}")()
    session.query(orm.Spawner).filter_by(name="lab").one().last_activity = KEPT.replace(microsecond=0)
    session.commit()
    session.close()
    (moment,) = last_used(database).values()
    assert MOMENT - moment < timedelta(seconds=1)


@pytest.mark.parametrize("content", [None, b"", b"no database at all" * 100], ids=["none", "empty", "another file"])
def test_nothing_is_known_where_there_is_no_such_database_and_none_is_made(
    tmp_path: Path, content: bytes | None
) -> None:
    path = database_of(tmp_path)
    if content is not None:
        path.write_bytes(content)
    assert last_used(path) == {}
    assert path.exists() == (content is not None)
