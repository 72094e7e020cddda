"""How fast who asks, in a table that is not logged."""

from piccolo.columns.column_types import Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.columns.indexes import IndexMethod

from models.database.migration import MigrationManager

ID = "2026-11-26T13:54:43:574609"
VERSION = "1.38.0"
DESCRIPTION = "rates of requests"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="notebooks_hub", description=DESCRIPTION)

    manager.add_table(class_name="RequestRate", tablename="request_rate", schema=None, columns=None)

    manager.add_column(
        table_class_name="RequestRate",
        tablename="request_rate",
        column_name="key",
        db_column_name="key",
        column_class_name="Text",
        column_class=Text,
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
        table_class_name="RequestRate",
        tablename="request_rate",
        column_name="whole_at",
        db_column_name="whole_at",
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

    # What a crash forgets of this is no loss. A row is changed in its page, so that nothing has to be cleared away.
    manager.execute(
        "ALTER TABLE request_rate SET UNLOGGED, SET (fillfactor = 50)",
        backwards="ALTER TABLE request_rate SET LOGGED, RESET (fillfactor)",
    )

    return manager
