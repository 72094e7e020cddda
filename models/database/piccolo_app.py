"""Piccolo's view of this package: its tables and where their migrations are."""

from pathlib import Path

from piccolo.conf.apps import AppConfig

from models.database.tables import TABLES

APP_CONFIG = AppConfig(
    app_name="notebooks_hub",
    migrations_folder_path=str(Path(__file__).parents[1] / "migrations"),
    table_classes=list(TABLES),
    migration_dependencies=[],
    commands=[],
)
