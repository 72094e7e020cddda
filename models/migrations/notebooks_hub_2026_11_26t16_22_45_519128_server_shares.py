"""Servers that are shared are listed. Links were made unasked before; those that have expired are no links."""

from models.database.migration import MigrationManager

ID = "2026-11-26T16:22:45:519128"
VERSION = "1.38.0"
DESCRIPTION = "server shares"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="notebooks_hub", description=DESCRIPTION)

    index = manager.create_index
    shared = "(share_url IS NOT NULL OR shared_with IS NOT NULL)"
    index("server_shared", f"server (id DESC) WHERE {shared}")
    index("server_owner_shared", f"server (owner, id DESC) WHERE {shared}")
    index("server_shared_watched", f"server (share_as_of NULLS FIRST, id) WHERE observed <> 'stopped' AND {shared}")
    # Nothing of what went can come back.
    manager.execute(
        "UPDATE server SET share_url = NULL, share_expires_at = NULL WHERE share_expires_at <= now()",
        backwards="SELECT 1",
    )
    manager.execute(
        """UPDATE server SET shared_with = NULL WHERE shared_with = '{"users": [], "groups": []}'""",
        backwards="SELECT 1",
    )

    return manager
