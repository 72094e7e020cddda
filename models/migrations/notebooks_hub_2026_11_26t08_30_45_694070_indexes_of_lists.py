"""What lists are narrowed by follows an index, for those who see everything."""

from piccolo.columns.column_types import UUID, Text

from models.database.migration import MigrationManager

ID = "2026-11-26T08:30:45:694070"
VERSION = "1.38.0"
DESCRIPTION = "indexes of lists"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="notebooks_hub", description=DESCRIPTION)

    manager.alter_column(
        table_class_name="Template",
        tablename="template",
        column_name="creator",
        db_column_name="creator",
        params={"index": False},
        old_params={"index": True},
        column_class=UUID,
        old_column_class=UUID,
        schema=None,
    )

    manager.alter_column(
        table_class_name="Template",
        tablename="template",
        column_name="type",
        db_column_name="type",
        params={"index": False},
        old_params={"index": True},
        column_class=Text,
        old_column_class=Text,
        schema=None,
    )

    index = manager.create_index
    index("person_any_email", "person (email)")  # of those, too, who have released it
    index("server_type_newest", "server ((template_data ->> 'type'), id DESC)")
    index("template_type_newest", "template (type, id DESC)")
    index("template_public_type_newest", "template (type, id DESC) WHERE public")
    index("operation_status_newest", "operation (status, id DESC)")
    index("operation_kind_newest", "operation (kind, id DESC)")
    index("operation_kind_status_newest", "operation (kind, status, id DESC)")

    return manager
