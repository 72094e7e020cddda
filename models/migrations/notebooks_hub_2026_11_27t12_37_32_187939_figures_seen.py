from piccolo.columns.column_types import SmallInt, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.columns.indexes import IndexMethod

from models.database.migration import MigrationManager

ID = "2026-11-27T12:37:32:187939"
VERSION = "1.38.0"
DESCRIPTION = "figures seen"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="notebooks_hub", description=DESCRIPTION)

    manager.add_table(class_name="FiguresSeen", tablename="figures_seen", schema=None, columns=None)

    manager.add_column(
        table_class_name="FiguresSeen",
        tablename="figures_seen",
        column_name="id",
        db_column_name="id",
        column_class_name="SmallInt",
        column_class=SmallInt,
        params={
            "default": 0,
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
        table_class_name="FiguresSeen",
        tablename="figures_seen",
        column_name="until",
        db_column_name="until",
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

    manager.create_index("operation_ended", "operation (ended_at) WHERE ended_at IS NOT NULL")

    return manager
