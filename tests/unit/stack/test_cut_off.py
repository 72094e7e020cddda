"""What a start leaves that is cut off while a part makes what it keeps; the next start is not to stumble over it."""

import contextlib
import sqlite3
from pathlib import Path

import msgspec

from stack import parts, vault_setup
from stack.layout import layout_of
from stack.supervisor import Stack


async def test_vault_begins_again_where_its_keys_were_not_kept(tmp_path: Path) -> None:
    async with Stack(tmp_path, only=("vault",)) as stack:
        keys = vault_setup.keys_file(parts.vault_directory(stack.layout))
    lost = keys.read_bytes()
    keys.unlink()
    async with Stack(tmp_path, only=("vault",)):
        assert keys.read_bytes() != lost


async def test_vault_keeps_what_it_has_where_its_keys_are_known(tmp_path: Path) -> None:
    async with Stack(tmp_path, only=("vault",)) as stack:
        keys = vault_setup.keys_file(parts.vault_directory(stack.layout))
    kept = keys.read_bytes()
    async with Stack(tmp_path, only=("vault",)):
        assert keys.read_bytes() == kept
        assert msgspec.json.decode(kept, type=vault_setup.VaultKeys).root_token


async def test_temporal_begins_again_where_its_tables_were_not_all_made(tmp_path: Path) -> None:
    database = parts.temporal_database(layout_of(tmp_path))
    database.parent.mkdir()
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE namespaces (id)")
    async with Stack(tmp_path, only=("temporal",)):
        assert parts.temporal_has_begun(database)


async def test_temporal_keeps_what_it_has(tmp_path: Path) -> None:
    async with Stack(tmp_path, only=("temporal",)) as stack:
        database = parts.temporal_database(stack.layout)
    made = database.stat().st_ino
    async with Stack(tmp_path, only=("temporal",)):
        assert database.stat().st_ino == made
