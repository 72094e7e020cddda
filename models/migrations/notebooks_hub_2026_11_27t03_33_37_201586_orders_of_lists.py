from piccolo.columns.column_types import Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.columns.indexes import IndexMethod

from models.database.migration import MigrationManager

ID = "2026-11-27T03:33:37:201586"
VERSION = "1.38.0"
DESCRIPTION = "orders of lists"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="notebooks_hub", description=DESCRIPTION)

    manager.add_column(
        table_class_name="Dataset",
        tablename="dataset",
        column_name="updated_at",
        db_column_name="updated_at",
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
        table_class_name="Module",
        tablename="module",
        column_name="updated_at",
        db_column_name="updated_at",
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
        table_class_name="Secret",
        tablename="secret",
        column_name="updated_at",
        db_column_name="updated_at",
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
        table_class_name="Server",
        tablename="server",
        column_name="updated_at",
        db_column_name="updated_at",
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
        table_class_name="Template",
        tablename="template",
        column_name="updated_at",
        db_column_name="updated_at",
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
        table_class_name="UserGroup",
        tablename="user_group",
        column_name="updated_at",
        db_column_name="updated_at",
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

    # Before the triggers: what was made and never changed since is as old as it is.
    tables = ("server", "template", "dataset", "module", "secret", "user_group")
    for table in tables:
        manager.execute(f"UPDATE {table} SET updated_at = created_at", backwards="SELECT 1")  # noqa: S608
    manager.execute(
        """
    CREATE FUNCTION version_changed() RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
      NEW.updated_at := now();
      RETURN NEW;
    END $body$
    """,
        backwards="DROP FUNCTION version_changed",
    )
    for table in tables:
        manager.execute(
            f"""CREATE TRIGGER version_changed BEFORE UPDATE ON {table} FOR EACH ROW
                WHEN (OLD.version <> NEW.version) EXECUTE FUNCTION version_changed()""",
            backwards=f"DROP TRIGGER version_changed ON {table}",
        )

    index = manager.create_index
    name = 'lower(name) COLLATE "C"'
    # What everybody, or every admin, sees of all; of what is somebody's own all is read, and sorted.
    for prefix, table, seen in (
        ("server", "server", ""),
        ("template", "template", ""),
        ("template_public", "template", "WHERE public"),
        ("user_group", "user_group", "WHERE wish = 'present'"),
    ):
        index(f"{prefix}_by_name", f"{table} (({name}), id) {seen}")
        index(f"{prefix}_by_update", f"{table} (updated_at, id) {seen}")
        if table != "server":
            index(f"{prefix}_parts", f"{table} USING gin (parts(lower(name))) WITH (fastupdate = off) {seen}")
    index("template_tags", "template USING gin (tags) WITH (fastupdate = off)")
    index("template_public_tags", "template USING gin (tags) WITH (fastupdate = off) WHERE public")
    status = """(CASE WHEN generation = observed_generation THEN observed
                      WHEN wish = 'running' AND observed = 'stopped' THEN 'starting'
                      WHEN wish <> 'running' AND observed <> 'stopped' THEN 'stopping'
                      ELSE observed END)"""
    index("server_status_newest", f"server ({status}, id DESC)")

    return manager
