"""People are found by how their address or name begins."""

from models.database.migration import MigrationManager

ID = "2026-11-27T03:54:37:584889"
VERSION = "1.38.0"
DESCRIPTION = "directory"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="notebooks_hub", description=DESCRIPTION)

    manager.create_index("person_email_prefix", 'person (email COLLATE "C") WHERE released_at IS NULL')
    manager.create_index(
        "person_name_prefix", "person (lower(name) COLLATE \"C\") WHERE released_at IS NULL AND issuer <> ''"
    )

    return manager
