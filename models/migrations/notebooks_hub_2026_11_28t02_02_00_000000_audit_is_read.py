"""What the audit is narrowed by follows an index from wherever a page begins: columns that go one way with the ids."""

from models.database.migration import MigrationManager

ID = "2026-11-28T02:02:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "audit is read"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="notebooks_hub", description=DESCRIPTION)

    manager.drop_index("audit_subject_newest", "audit (subject, id DESC)")
    manager.drop_index("audit_actor_newest", "audit (actor_name, id DESC)")
    manager.drop_index("audit_action_newest", "audit (action, id DESC)")
    manager.create_index("audit_subject_by_age", "audit (subject, id)")
    manager.create_index("audit_actor_by_age", "audit (actor_name, id)")
    manager.create_index("audit_action_by_age", "audit (action, id)")

    return manager
