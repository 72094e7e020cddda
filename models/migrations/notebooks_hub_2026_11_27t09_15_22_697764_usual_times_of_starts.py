from piccolo.columns.column_types import UUID
from piccolo.columns.indexes import IndexMethod

from models.database.migration import MigrationManager

ID = "2026-11-27T09:15:22:697764"
VERSION = "1.38.0"
DESCRIPTION = "usual times of starts"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="notebooks_hub", description=DESCRIPTION)

    manager.add_column(
        table_class_name="Operation",
        tablename="operation",
        column_name="template",
        db_column_name="template",
        column_class_name="UUID",
        column_class=UUID,
        params={
            "default": None,
            "null": True,
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

    manager.create_index("operation_template_starts", "operation (template, id DESC) WHERE status = 'succeeded'")

    return manager
