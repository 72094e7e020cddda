"""The trash of a person is listed."""

from models.database.migration import MigrationManager

ID = "2026-11-27T06:34:37:000001"
VERSION = "1.38.0"
DESCRIPTION = "trash of one"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="notebooks_hub", description=DESCRIPTION)

    for table in ("dataset", "module"):
        manager.create_index(
            f"{table}_owner_trash", f"{table} (owner, trashed_at DESC, id DESC) WHERE wish = 'trashed'"
        )

    return manager
