"""Migrations take as long as they take, and what stands in their way is a sentence."""

import os
import subprocess
import sys

import asyncpg
import pytest

from models.database.engine import DB, configure
from models.database.migrate import migrate
from models.domain.settings import Settings


async def test_a_migration_is_not_cut_off_by_the_patience_of_a_request(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PICCOLO_CONF", "models.database.piccolo_conf")
    monkeypatch.setenv("NBHUB_DATABASE_URL", postgres)
    settings = Settings.from_environment({"NBHUB_DATABASE_URL": postgres})
    before = DB.config
    try:
        await migrate(settings)
        connection = await asyncpg.connect(**DB.config)
        try:
            assert await connection.fetchval("SHOW statement_timeout") == "0"
            assert await connection.fetchval("SHOW lock_timeout") != "0"
        finally:
            await connection.close()
        configure(settings)
        assert DB.config["server_settings"]["statement_timeout"] != "0"
    finally:
        DB.config = before


def test_a_database_that_is_away_is_a_sentence(tmp_path: os.PathLike[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "models.database.migrate"],
        env={"PATH": "", "NBHUB_DATABASE_URL": f"postgresql://nbhub@/nbhub?host={tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "the database of NBHUB_DATABASE_URL cannot be used" in ended.stderr
    assert "Traceback" not in ended.stderr
