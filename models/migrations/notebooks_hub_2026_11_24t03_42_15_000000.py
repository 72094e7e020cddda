"""Indexes, views and constraints of datasets, groups and grants."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-24T03:42:15:000000"
VERSION = "1.38.0"
DESCRIPTION = "indexes, views and constraints of what is shared"

STATEMENTS = (
    # Names are unique among what lives; what is in the trash gave its name up.
    "CREATE UNIQUE INDEX dataset_name ON dataset (owner, name) WHERE wish = 'present'",
    "CREATE UNIQUE INDEX user_group_name ON user_group (lower(name)) WHERE wish = 'present'",
    "CREATE INDEX dataset_owner_newest ON dataset (owner, id DESC) WHERE wish = 'present'",
    "CREATE INDEX dataset_newest ON dataset (id DESC) WHERE wish = 'present'",
    "CREATE INDEX dataset_trash ON dataset (trashed_at) WHERE wish = 'trashed'",
    "CREATE INDEX dataset_unsettled ON dataset (observed_at) WHERE generation <> observed_generation",
    "CREATE INDEX user_group_unsettled ON user_group (observed_at) WHERE generation <> observed_generation",
    "CREATE UNIQUE INDEX group_member_once ON group_member (user_group, person)",
    "CREATE INDEX group_member_person ON group_member (person, user_group)",
    # A grant is to one principal; each kind of principal has its own pair of indexes: by object, and by principal.
    "ALTER TABLE access_grant ADD CONSTRAINT access_grant_principal CHECK (num_nonnulls(person, user_group, org) = 1)",
    "ALTER TABLE access_grant ADD CONSTRAINT access_grant_level CHECK (level IN (1, 2))",
    "CREATE UNIQUE INDEX access_grant_object_person ON access_grant (object, person, level) WHERE person IS NOT NULL",
    "CREATE UNIQUE INDEX access_grant_object_group ON access_grant (object, user_group, level) WHERE user_group IS NOT NULL",
    "CREATE UNIQUE INDEX access_grant_object_org ON access_grant (object, org, level) WHERE org IS NOT NULL",
    "CREATE INDEX access_grant_person ON access_grant (person, object_kind, object DESC) WHERE person IS NOT NULL",
    "CREATE INDEX access_grant_group ON access_grant (user_group, object_kind, object DESC) WHERE user_group IS NOT NULL",
    "CREATE INDEX access_grant_org ON access_grant (org, object_kind, object DESC) WHERE org IS NOT NULL",
    "CREATE INDEX access_grant_expiry ON access_grant (expires_at) WHERE expires_at IS NOT NULL",
    "CREATE UNIQUE INDEX server_mount_once ON server_mount (server, object)",
    "CREATE INDEX server_mount_object ON server_mount (object)",
    "CREATE INDEX server_mount_lost ON server_mount (lost_at) WHERE lost_at IS NOT NULL",
    # Which organisations are known.
    "CREATE INDEX person_org_org ON person_org (org)",
    # Whatever can be shared, under one name: permissions know no kinds.
    """
    CREATE VIEW shareable AS
    SELECT id, 'dataset' AS kind, owner, name, wish = 'present' AS live, observed = 'present' AS ready FROM dataset
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
