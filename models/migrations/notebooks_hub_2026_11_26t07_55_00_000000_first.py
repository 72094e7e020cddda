"""The first schema: tables and columns, then what those cannot say: indexes, checks, a view and triggers.

A change of `models/database/tables.py` needs another migration: `make migration NAME=what_changes` writes it beside
this one. What is not a column is added to it by hand, a line each: `manager.create_index`, `drop_index`, `execute`;
they run after the changes of the columns. A migration stays as it is once a database has seen it: so this one has the
tables as they were when it was written, and imports nothing of `tables.py`.
"""

from piccolo.columns import JSONB, UUID, Array, BigInt, Boolean, Bytea, Integer, Text, Timestamptz, Varchar
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.constraints import Unique
from piccolo.table import Table

from models.database.migration import MigrationManager

ID = "2026-11-26T07:55:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "the first schema"

# Databases of developers were made in these steps.
REPLACES = (
    "2026-11-23T08:25:23:032392",
    "2026-11-23T08:25:29:502025",
    "2026-11-24T03:42:09:820377",
    "2026-11-24T03:42:15:000000",
    "2026-11-25T03:19:18:884328",
    "2026-11-25T03:19:25:000000",
    "2026-11-26T03:02:43:943050",
    "2026-11-26T03:02:44:313782",
    "2026-11-26T03:17:51:113545",
    "2026-11-26T03:17:55:000000",
)


async def forwards() -> MigrationManager:
    """Tables first, then what stands on them."""
    manager = MigrationManager(migration_id=ID, app_name="notebooks_hub", description=DESCRIPTION, replaces=REPLACES)
    for table in TABLES:
        names = {"table_class_name": table.__name__, "tablename": table._meta.tablename}
        manager.add_table(table.__name__, table._meta.tablename)
        for column in table._meta.columns:
            manager.add_column(
                **names, column_name=column._meta.name, column_class=type(column), params=column._meta.params
            )
        for constraint in table._meta.constraints:
            manager.add_constraint(
                **names,
                constraint_name=constraint._meta.name,
                constraint_class=type(constraint),
                params=constraint._meta.params,
            )
    indexes(manager)
    checks(manager)
    views(manager)
    triggers(manager)
    return manager


class Person(Table):
    id = UUID(primary_key=True, default=None)
    issuer = Text()
    subject = Text()
    email = Varchar(length=320)
    released_at = Timestamptz(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())
    seen_at = Timestamptz(default=TimestamptzNow())
    initialized_at = Timestamptz(null=True, default=None)

    person_issuer_subject = Unique([issuer, subject])


class PersonOrg(Table):
    id = UUID(primary_key=True)
    person = UUID()
    org = Text()

    person_once_per_org = Unique([person, org])


class Session(Table):
    token_hash = Bytea(primary_key=True, default=None)
    person = UUID(index=True)
    admin = Boolean(default=False)
    orgs = Array(base_column=Text())
    expires_at = Timestamptz(index=True)
    refresh_token_encrypted = Bytea(null=True, default=None, secret=True)
    id_token_hash = Bytea(null=True, default=None, index=True)
    sid = Text(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())


class LoginTransaction(Table):
    state_hash = Bytea(primary_key=True, default=None)
    cookie_hash = Bytea(index=True, default=b"")
    nonce = Text(secret=True)
    code_verifier = Text(secret=True)
    redirect_uri = Text()
    created_at = Timestamptz(default=TimestamptzNow())
    expires_at = Timestamptz(index=True)


class Template(Table):
    id = UUID(primary_key=True, default=None)
    creator = UUID(index=True)
    name = Text()
    description = Text(default="")
    type = Text(index=True)
    application_type = Text()
    hardware = Text()
    public = Boolean(default=False)
    featured_image = Text(null=True, default=None)
    file_path = Text(null=True, default=None)
    datasets = Array(base_column=Text())
    modules = Array(base_column=Text())
    secrets = Array(base_column=Text())
    tags = Array(base_column=Text())
    server_name = Text()
    servers_made = Integer(default=0)
    created_at = Timestamptz(default=TimestamptzNow())
    version = Integer(default=1)


class Server(Table):
    id = UUID(primary_key=True, default=None)
    owner = UUID()
    name = Text()
    template = UUID(index=True)
    made_with_template = Boolean(default=False)
    template_data = JSONB()
    wish = Text(default="stopped")
    generation = BigInt(default=0)
    observed = Text(default="stopped")
    observed_generation = BigInt(default=0)
    process_generation = BigInt(null=True, default=None)
    process_floor = BigInt(default=0)
    observed_at = Timestamptz(default=TimestamptzNow())
    started_once = Boolean(default=False)
    last_error = JSONB(null=True, default=None)
    share_url = Text(null=True, default=None)
    share_expires_at = Timestamptz(null=True, default=None)
    shared_with = JSONB(null=True, default=None)
    share_as_of = Timestamptz(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())
    version = Integer(default=1)

    server_owner_name = Unique([owner, name])


class ServerTombstone(Table):
    id = UUID(primary_key=True, default=None)
    hub_user = Text()
    name = Text()
    deleted_at = Timestamptz(default=TimestamptzNow())


class Dataset(Table):
    id = UUID(primary_key=True, default=None)
    owner = UUID()
    name = Text()
    description = Text(default="")
    wish = Text(default="present")
    generation = BigInt(default=1)
    observed = Text(default="absent")
    observed_generation = BigInt(default=0)
    observed_at = Timestamptz(default=TimestamptzNow())
    trashed_at = Timestamptz(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())
    version = Integer(default=1)


class Module(Table):
    id = UUID(primary_key=True, default=None)
    owner = UUID()
    name = Text()
    module_version = Text()
    description = Text(default="")
    featured = Boolean(default=False)
    calls = JSONB()
    wish = Text(default="present")
    generation = BigInt(default=1)
    observed = Text(default="absent")
    observed_generation = BigInt(default=0)
    observed_at = Timestamptz(default=TimestamptzNow())
    trashed_at = Timestamptz(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())
    version = Integer(default=1)


class ModulePlace(Table):
    id = UUID(primary_key=True)
    module = UUID(index=True)
    owner = UUID()
    name = Text()
    module_version = Text()

    module_place_once = Unique([owner, name, module_version])


class Secret(Table):
    id = UUID(primary_key=True, default=None)
    owner = UUID()
    name = Text()
    type = Text()
    description = Text(default="")
    mount_path = Text(null=True, default=None)
    value_version = Integer(default=0)
    wish = Text(default="present")
    generation = BigInt(default=1)
    observed = Text(default="absent")
    observed_generation = BigInt(default=0)
    observed_at = Timestamptz(default=TimestamptzNow())
    created_at = Timestamptz(default=TimestamptzNow())
    version = Integer(default=1)


class UserGroup(Table):
    id = UUID(primary_key=True, default=None)
    name = Text()
    wish = Text(default="present")
    generation = BigInt(default=1)
    observed = Text(default="absent")
    observed_generation = BigInt(default=0)
    observed_at = Timestamptz(default=TimestamptzNow())
    created_at = Timestamptz(default=TimestamptzNow())
    version = Integer(default=1)


class GroupMember(Table):
    id = UUID(primary_key=True)
    user_group = UUID()
    person = UUID()
    manager = Boolean(default=False)
    created_at = Timestamptz(default=TimestamptzNow())


class AccessGrant(Table):
    id = UUID(primary_key=True)
    object = UUID()
    object_kind = Text()
    person = UUID(null=True, default=None)
    user_group = UUID(null=True, default=None)
    org = Text(null=True, default=None)
    level = Integer()
    expires_at = Timestamptz(null=True, default=None)
    granted_by = UUID(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())


class ServerMount(Table):
    id = UUID(primary_key=True)
    server = UUID()
    object = UUID()
    kind = Text()
    writes = Boolean(default=False)
    generation = BigInt()
    lost_at = Timestamptz(null=True, default=None)


class Operation(Table):
    id = UUID(primary_key=True, default=None)
    kind = Text()
    subject = UUID()
    subject_kind = Text()
    subject_owner = UUID(null=True, default=None)
    actor = UUID(null=True, default=None)
    status = Text(default="queued")
    wish = Text(null=True, default=None)
    generation = BigInt(null=True, default=None)
    superseded_by = UUID(null=True, default=None)
    error = JSONB(null=True, default=None)
    left_out = JSONB(null=True, default=None)
    workflow_id = Text(null=True, default=None)
    run_id = Text(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())
    started_at = Timestamptz(null=True, default=None)
    ended_at = Timestamptz(null=True, default=None)
    progressed_at = Timestamptz(default=TimestamptzNow())
    version = Integer(default=1)


class OperationStep(Table):
    id = UUID(primary_key=True)
    operation = UUID()
    position = Integer()
    name = Text()
    status = Text()
    detail = Text(null=True, default=None)
    started_at = Timestamptz(default=TimestamptzNow())
    ended_at = Timestamptz(null=True, default=None)
    attempt = Integer(default=1)
    next_try_at = Timestamptz(null=True, default=None)
    troubled_since = Timestamptz(null=True, default=None)

    operation_step_name = Unique([operation, name])


class OperationResult(Table):
    id = UUID(primary_key=True, default=None)
    operation = UUID()
    entity = Text()
    type = Text()
    outcome = Text()
    detail = Text(null=True, default=None)

    operation_result_entity = Unique([operation, type, entity])


class Audit(Table):
    id = UUID(primary_key=True, default=None)
    at = Timestamptz(default=TimestamptzNow())
    actor = UUID(null=True, default=None)
    actor_name = Text()
    action = Text()
    subject_kind = Text()
    subject = UUID()
    operation = UUID(null=True, default=None)
    request_id = Text(null=True, default=None)
    detail = JSONB(null=True, default=None)


class WriteClaim(Table):
    id = UUID(primary_key=True, default=None)
    kind = Text()
    subject = UUID()
    person = UUID()
    request_id = Text(null=True, default=None)
    detail = JSONB(null=True, default=None)
    made = Array(base_column=Text())
    abandoned = Boolean(default=False)
    claimed_at = Timestamptz(default=TimestamptzNow(), index=True)


class Idempotency(Table):
    id = UUID(primary_key=True)
    person = UUID()
    method = Text()
    path = Text()
    key = Text()
    request_digest = Bytea(default=b"")
    operation = UUID(null=True, default=None)
    status_code = Integer(null=True, default=None)
    headers = JSONB(null=True, default=None)
    body = Bytea(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow(), index=True)
    claim = UUID(null=True, default=None, index=True)

    idempotency_request = Unique([person, method, path, key])


class Heartbeat(Table):
    id = UUID(primary_key=True)
    process = Text()
    role = Text()
    seen_at = Timestamptz(default=TimestamptzNow())

    heartbeat_process = Unique([process, role])


TABLES = (
    Person,
    PersonOrg,
    Session,
    LoginTransaction,
    Template,
    Server,
    ServerTombstone,
    Dataset,
    Module,
    ModulePlace,
    Secret,
    UserGroup,
    GroupMember,
    AccessGrant,
    ServerMount,
    Operation,
    OperationStep,
    OperationResult,
    Audit,
    WriteClaim,
    Idempotency,
    Heartbeat,
)


def indexes(manager: MigrationManager) -> None:
    """Those that a column cannot say of itself."""
    index = manager.create_index

    # Names are unique among what lives; what is in the trash, or released, gave its name up.
    index("person_email", "person (email) WHERE released_at IS NULL", unique=True)
    index("dataset_name", "dataset (owner, name) WHERE wish = 'present'", unique=True)
    index("module_name", "module (owner, name, module_version) WHERE wish = 'present'", unique=True)
    index("user_group_name", "user_group (lower(name)) WHERE wish = 'present'", unique=True)

    # Lists are read newest first; ids grow with time.
    index("server_owner_newest", "server (owner, id DESC)")
    index("template_creator_newest", "template (creator, id DESC)")
    index("template_public_newest", "template (id DESC) WHERE public")
    index("dataset_owner_newest", "dataset (owner, id DESC) WHERE wish = 'present'")
    index("dataset_newest", "dataset (id DESC) WHERE wish = 'present'")
    index("module_owner_newest", "module (owner, id DESC) WHERE wish = 'present'")
    index("module_newest", "module (id DESC) WHERE wish = 'present'")
    index("secret_owner_newest", "secret (owner, id DESC) WHERE wish = 'present'")
    index("secret_newest", "secret (id DESC) WHERE wish = 'present'")
    index("operation_actor_newest", "operation (actor, id DESC)")
    index("operation_owner_newest", "operation (subject_owner, id DESC)")
    index("operation_subject_newest", "operation (subject, id DESC)")
    index("audit_subject_newest", "audit (subject, id DESC)")

    # What is under way, or in the trash, is little, however many rows there are.
    index("server_unsettled", "server (observed_at) WHERE generation <> observed_generation")
    index("dataset_unsettled", "dataset (observed_at) WHERE generation <> observed_generation")
    index("module_unsettled", "module (observed_at) WHERE generation <> observed_generation")
    index("secret_unsettled", "secret (observed_at) WHERE generation <> observed_generation")
    index("user_group_unsettled", "user_group (observed_at) WHERE generation <> observed_generation")
    index("operation_unsettled", "operation (progressed_at) WHERE status IN ('queued', 'running')")
    index("operation_subject_unsettled", "operation (subject, id) WHERE status IN ('queued', 'running')")
    index("server_watched", "server (id) WHERE observed <> 'stopped'")
    index("dataset_trash", "dataset (trashed_at) WHERE wish = 'trashed'")
    index("module_trash", "module (trashed_at) WHERE wish = 'trashed'")

    # One operation opened each wish.
    index("operation_generation", "operation (subject, generation) WHERE generation IS NOT NULL", unique=True)

    # Who belongs to what, from both sides; which organisations are known.
    index("group_member_once", "group_member (user_group, person)", unique=True)
    index("group_member_person", "group_member (person, user_group)")
    index("person_org_org", "person_org (org)")

    # Each kind of principal of a grant has its own pair: by object, and by principal.
    index("access_grant_object_person", "access_grant (object, person, level) WHERE person IS NOT NULL", unique=True)
    index(
        "access_grant_object_group",
        "access_grant (object, user_group, level) WHERE user_group IS NOT NULL",
        unique=True,
    )
    index("access_grant_object_org", "access_grant (object, org, level) WHERE org IS NOT NULL", unique=True)
    index("access_grant_person", "access_grant (person, object_kind, object DESC) WHERE person IS NOT NULL")
    index("access_grant_group", "access_grant (user_group, object_kind, object DESC) WHERE user_group IS NOT NULL")
    index("access_grant_org", "access_grant (org, object_kind, object DESC) WHERE org IS NOT NULL")
    index("access_grant_expiry", "access_grant (expires_at) WHERE expires_at IS NOT NULL")

    index("server_mount_once", "server_mount (server, object)", unique=True)
    index("server_mount_object", "server_mount (object)")
    index("server_mount_lost", "server_mount (lost_at) WHERE lost_at IS NOT NULL")


def checks(manager: MigrationManager) -> None:
    """What a row must be."""

    def check(table: str, name: str, condition: str) -> None:
        manager.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition})",
            backwards=f"ALTER TABLE {table} DROP CONSTRAINT {name}",
        )

    check("access_grant", "access_grant_principal", "num_nonnulls(person, user_group, org) = 1")
    check("access_grant", "access_grant_level", "level IN (1, 2)")
    check("operation", "operation_wish", "(wish IS NULL) = (generation IS NULL)")
    check("secret", "secret_type", "type IN ('env_var', 'raw', 'file')")


def views(manager: MigrationManager) -> None:
    """Whatever can be shared, under one name: permissions know no kinds."""
    manager.execute(
        """
    CREATE VIEW shareable AS
    SELECT id, 'dataset' AS kind, owner, name, wish = 'present' AS live, observed = 'present' AS ready FROM dataset
    UNION ALL
    SELECT id, 'module', owner, name, wish = 'present', observed = 'present' FROM module
    UNION ALL
    SELECT id, 'secret', owner, name, wish = 'present', observed = 'present' FROM secret
    """,
        backwards="DROP VIEW shareable",
    )


def triggers(manager: MigrationManager) -> None:
    """What PostgreSQL does by itself."""

    def trigger(name: str, when: str, table: str, function: str) -> None:
        manager.execute(
            f"CREATE TRIGGER {name} {when} ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()",
            backwards=f"DROP TRIGGER {name} ON {table}",
        )

    # Whoever listens learns of each change of an operation, whichever process made it.
    manager.execute(
        """
    CREATE FUNCTION operation_changed() RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
      PERFORM pg_notify('nbhub_operation', CASE TG_TABLE_NAME
        WHEN 'operation' THEN to_jsonb(NEW) ->> 'id' ELSE to_jsonb(NEW) ->> 'operation' END);
      RETURN NULL;
    END $body$
    """,
        backwards="DROP FUNCTION operation_changed",
    )
    trigger("operation_changed", "AFTER INSERT OR UPDATE", "operation", "operation_changed")
    trigger("operation_step_changed", "AFTER INSERT OR UPDATE", "operation_step", "operation_changed")

    # The audit trail is only ever added to.
    manager.execute(
        """
    CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
      RAISE EXCEPTION 'rows of audit are never changed or removed';
    END $body$
    """,
        backwards="DROP FUNCTION audit_is_append_only",
    )
    trigger("audit_is_append_only", "BEFORE UPDATE OR DELETE", "audit", "audit_is_append_only")
