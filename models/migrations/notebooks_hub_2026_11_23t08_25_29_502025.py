"""Indexes that Piccolo's columns cannot express, and the triggers."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-23T08:25:29:502025"
VERSION = "1.38.0"
DESCRIPTION = "indexes and triggers"

STATEMENTS = (
    # An e-mail belongs to one person at a time.
    "CREATE UNIQUE INDEX person_email ON person (email) WHERE released_at IS NULL",
    # Lists are read newest first; ids grow with time.
    "CREATE INDEX server_owner_newest ON server (owner, id DESC)",
    "CREATE INDEX template_creator_newest ON template (creator, id DESC)",
    "CREATE INDEX template_public_newest ON template (id DESC) WHERE public",
    "CREATE INDEX operation_actor_newest ON operation (actor, id DESC)",
    "CREATE INDEX operation_owner_newest ON operation (subject_owner, id DESC)",
    "CREATE INDEX operation_subject_newest ON operation (subject, id DESC)",
    "CREATE INDEX audit_subject_newest ON audit (subject, id DESC)",
    # What is under way is few, however many rows there are.
    "CREATE INDEX operation_unsettled ON operation (progressed_at) WHERE status IN ('queued', 'running')",
    "CREATE INDEX operation_subject_unsettled ON operation (subject, id) WHERE status IN ('queued', 'running')",
    "CREATE INDEX server_unsettled ON server (observed_at) WHERE generation <> observed_generation",
    "CREATE INDEX server_watched ON server (id) WHERE observed <> 'stopped'",
    # One operation opened each wish.
    "CREATE UNIQUE INDEX operation_generation ON operation (subject, generation) WHERE generation IS NOT NULL",
    # Whoever listens learns of each change of an operation, whichever process made it.
    """
    CREATE FUNCTION operation_changed() RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
      PERFORM pg_notify('nbhub_operation', CASE TG_TABLE_NAME
        WHEN 'operation' THEN to_jsonb(NEW) ->> 'id' ELSE to_jsonb(NEW) ->> 'operation' END);
      RETURN NULL;
    END $body$
    """,
    "CREATE TRIGGER operation_changed AFTER INSERT OR UPDATE ON operation FOR EACH ROW EXECUTE FUNCTION operation_changed()",
    "CREATE TRIGGER operation_step_changed AFTER INSERT OR UPDATE ON operation_step FOR EACH ROW EXECUTE FUNCTION operation_changed()",
    # The audit trail is only ever added to.
    """
    CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
      RAISE EXCEPTION 'rows of audit are never changed or removed';
    END $body$
    """,
    "CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_is_append_only()",
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
