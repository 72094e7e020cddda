from piccolo.columns.column_types import JSONB, SmallInt
from piccolo.columns.indexes import IndexMethod

from models.database.migration import MigrationManager

ID = "2026-11-28T05:49:18:910769"
VERSION = "1.38.0"
DESCRIPTION = "unavailable"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="notebooks_hub", description=DESCRIPTION)

    manager.add_table(class_name="Unavailable", tablename="unavailable", schema=None, columns=None)

    manager.add_column(
        table_class_name="Unavailable",
        tablename="unavailable",
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
        table_class_name="Unavailable",
        tablename="unavailable",
        column_name="applications",
        db_column_name="applications",
        column_class_name="JSONB",
        column_class=JSONB,
        params={
            "default": "{}",
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
        table_class_name="Unavailable",
        tablename="unavailable",
        column_name="hardware",
        db_column_name="hardware",
        column_class_name="JSONB",
        column_class=JSONB,
        params={
            "default": "{}",
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

    return manager
