"""Piccolo's view of this package: its tables and where their migrations are."""

from pathlib import Path

from piccolo.conf.apps import AppConfig, table_finder

APP_CONFIG = AppConfig(
    app_name="notebooks_hub",
    migrations_folder_path=str(Path(__file__).parents[1] / "migrations"),
    table_classes=table_finder(["models.database.tables"], exclude_imported=True),
    migration_dependencies=[],
    commands=[],
)
