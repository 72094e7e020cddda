from piccolo.columns.column_types import Timestamptz
from piccolo.columns.indexes import IndexMethod

from models.database.migration import MigrationManager

ID = "2026-11-27T01:23:16:638031"
VERSION = "1.38.0"
DESCRIPTION = "turns of looks at shares"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="notebooks_hub", description=DESCRIPTION)

    manager.add_column(
        table_class_name="Server",
        tablename="server",
        column_name="share_looked_at",
        db_column_name="share_looked_at",
        column_class_name="Timestamptz",
        column_class=Timestamptz,
        params={
            "default": None,
            "null": True,
            "primary_key": False,
            "unique": False,
            "index": False,
            "index_method": IndexMethod.btree,
            "choices": None,
            "db_column_name": None,
            "secret": False,
        },
        schema=None,
    )

    manager.add_column(
        table_class_name="ServerGuest",
        tablename="server_guest",
        column_name="tried_at",
        db_column_name="tried_at",
        column_class_name="Timestamptz",
        column_class=Timestamptz,
        params={
            "default": None,
            "null": True,
            "primary_key": False,
            "unique": False,
            "index": False,
            "index_method": IndexMethod.btree,
            "choices": None,
            "db_column_name": None,
            "secret": False,
        },
        schema=None,
    )

    shared = "observed <> 'stopped' AND (share_url IS NOT NULL OR shared_with IS NOT NULL)"
    manager.create_index("server_shared_turns", f"server (share_looked_at NULLS FIRST, id) WHERE {shared}")
    manager.drop_index("server_shared_watched", f"server (share_as_of NULLS FIRST, id) WHERE {shared}")

    return manager
