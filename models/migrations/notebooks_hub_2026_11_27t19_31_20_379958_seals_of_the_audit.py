"""The audit is sealed in a chain; nothing of it is changed, removed or emptied."""

from piccolo.columns.column_types import UUID, Array, BigInt, Bytea, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.columns.defaults.uuid import UUID4
from piccolo.columns.indexes import IndexMethod

from models.database.migration import MigrationManager

ID = "2026-11-27T19:31:20:379958"
VERSION = "1.38.0"
DESCRIPTION = "seals of the audit"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="notebooks_hub", description=DESCRIPTION)

    manager.add_table(class_name="AuditSeal", tablename="audit_seal", schema=None, columns=None)

    manager.add_table(class_name="AuditUnsealed", tablename="audit_unsealed", schema=None, columns=None)

    manager.add_column(
        table_class_name="AuditSeal",
        tablename="audit_seal",
        column_name="number",
        db_column_name="number",
        column_class_name="BigInt",
        column_class=BigInt,
        params={
            "default": None,
            "null": False,
            "primary_key": True,
            "unique": False,
            "index": False,
            "index_method": IndexMethod.btree,
            "choices": None,
            "db_column_name": None,
            "secret": False,
        },
        schema=None,
    )

    manager.add_column(
        table_class_name="AuditSeal",
        tablename="audit_seal",
        column_name="at",
        db_column_name="at",
        column_class_name="Timestamptz",
        column_class=Timestamptz,
        params={
            "default": TimestamptzNow(),
            "null": False,
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

    manager.add_column(
        table_class_name="AuditSeal",
        tablename="audit_seal",
        column_name="previous",
        db_column_name="previous",
        column_class_name="Bytea",
        column_class=Bytea,
        params={
            "default": b"",
            "null": False,
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

    manager.add_column(
        table_class_name="AuditSeal",
        tablename="audit_seal",
        column_name="ids",
        db_column_name="ids",
        column_class_name="Array",
        column_class=Array,
        params={
            "default": list,
            "base_column": UUID(
                default=UUID4(),
                null=False,
                primary_key=False,
                unique=False,
                index=False,
                index_method=IndexMethod.btree,
                choices=None,
                db_column_name=None,
                secret=False,
            ),
            "null": False,
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

    manager.add_column(
        table_class_name="AuditSeal",
        tablename="audit_seal",
        column_name="digests",
        db_column_name="digests",
        column_class_name="Bytea",
        column_class=Bytea,
        params={
            "default": b"",
            "null": False,
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

    manager.add_column(
        table_class_name="AuditSeal",
        tablename="audit_seal",
        column_name="hash",
        db_column_name="hash",
        column_class_name="Bytea",
        column_class=Bytea,
        params={
            "default": b"",
            "null": False,
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

    manager.add_column(
        table_class_name="AuditUnsealed",
        tablename="audit_unsealed",
        column_name="id",
        db_column_name="id",
        column_class_name="UUID",
        column_class=UUID,
        params={
            "default": None,
            "null": False,
            "primary_key": True,
            "unique": False,
            "index": False,
            "index_method": IndexMethod.btree,
            "choices": None,
            "db_column_name": None,
            "secret": False,
        },
        schema=None,
    )

    manager.create_index("audit_actor_newest", "audit (actor_name, id DESC)")
    manager.create_index("audit_action_newest", "audit (action, id DESC)")

    # What is of before the first seal waits for it, as whatever is added does from now on.
    manager.execute("INSERT INTO audit_unsealed SELECT id FROM audit", backwards="DELETE FROM audit_unsealed")
    manager.execute(
        """
    CREATE FUNCTION audit_waits() RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
      INSERT INTO audit_unsealed SELECT id FROM added;
      RETURN NULL;
    END $body$
    """,
        backwards="DROP FUNCTION audit_waits",
    )
    manager.execute(
        """CREATE TRIGGER audit_waits AFTER INSERT ON audit REFERENCING NEW TABLE AS added
           FOR EACH STATEMENT EXECUTE FUNCTION audit_waits()""",
        backwards="DROP TRIGGER audit_waits ON audit",
    )
    for name, when, table in (
        ("audit_is_not_emptied", "BEFORE TRUNCATE", "audit"),
        ("audit_seal_is_append_only", "BEFORE UPDATE OR DELETE OR TRUNCATE", "audit_seal"),
    ):
        manager.execute(
            f"CREATE TRIGGER {name} {when} ON {table} FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()",
            backwards=f"DROP TRIGGER {name} ON {table}",
        )

    return manager
