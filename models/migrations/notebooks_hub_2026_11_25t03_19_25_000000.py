"""Indexes and constraints of modules and secrets; both can be shared."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-25T03:19:25:000000"
VERSION = "1.38.0"
DESCRIPTION = "indexes and constraints of modules and secrets"

STATEMENTS = (
    # Unique among what lives; what is in the trash gave its name up.
    "CREATE UNIQUE INDEX module_name ON module (owner, name, module_version) WHERE wish = 'present'",
    "CREATE INDEX module_owner_newest ON module (owner, id DESC) WHERE wish = 'present'",
    "CREATE INDEX module_newest ON module (id DESC) WHERE wish = 'present'",
    "CREATE INDEX module_trash ON module (trashed_at) WHERE wish = 'trashed'",
    "CREATE INDEX module_unsettled ON module (observed_at) WHERE generation <> observed_generation",
    "CREATE INDEX secret_owner_newest ON secret (owner, id DESC) WHERE wish = 'present'",
    "CREATE INDEX secret_newest ON secret (id DESC) WHERE wish = 'present'",
    "CREATE INDEX secret_unsettled ON secret (observed_at) WHERE generation <> observed_generation",
    "ALTER TABLE secret ADD CONSTRAINT secret_type CHECK (type IN ('env_var', 'raw', 'file'))",
    """
    CREATE OR REPLACE VIEW shareable AS
    SELECT id, 'dataset' AS kind, owner, name, wish = 'present' AS live, observed = 'present' AS ready FROM dataset
    UNION ALL
    SELECT id, 'module', owner, name, wish = 'present', observed = 'present' FROM module
    UNION ALL
    SELECT id, 'secret', owner, name, wish = 'present', observed = 'present' FROM secret
    """,
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
