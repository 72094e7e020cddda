"""Removes what was granted of objects, or to groups, that were purged at the same moment."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-26T03:17:55:000000"
VERSION = "1.38.0"
DESCRIPTION = "grants of what is gone"

STATEMENTS = (
    "DELETE FROM access_grant g WHERE NOT EXISTS (SELECT 1 FROM shareable o WHERE o.id = g.object)",
    """DELETE FROM access_grant g
        WHERE g.user_group IS NOT NULL AND NOT EXISTS (SELECT 1 FROM user_group u WHERE u.id = g.user_group)""",
)


class Any(Table):
    """A way to run statements of no table in particular."""


async def forwards() -> MigrationManager:
    """Run the statements once."""
    manager = MigrationManager(migration_id=ID, app_name="notebooks_hub", description=DESCRIPTION)

    async def run() -> None:
        for statement in STATEMENTS:
            await Any.raw(statement)

    manager.add_raw(run)
    return manager
