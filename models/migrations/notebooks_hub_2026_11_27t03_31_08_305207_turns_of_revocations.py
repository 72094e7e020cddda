from piccolo.columns.column_types import Timestamptz
from piccolo.columns.indexes import IndexMethod

from models.database.migration import MigrationManager

ID = "2026-11-27T03:31:08:305207"
VERSION = "1.38.0"
DESCRIPTION = "turns of revocations"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="notebooks_hub", description=DESCRIPTION)

    manager.add_column(
        table_class_name="Session",
        tablename="session",
        column_name="revoke_tried_at",
        db_column_name="revoke_tried_at",
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

    unrevoked = "id_token_hash IS NULL AND refresh_token_encrypted IS NOT NULL"
    manager.create_index("session_unrevoked", f"session (person) WHERE {unrevoked}")

    return manager
