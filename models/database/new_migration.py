"""Write the migration that `tables.py` asks for: `python -m models.database.new_migration NAME [--empty]`."""

import asyncio
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from piccolo.apps.migrations.commands.new import AutoMigrationManager, render_template

from models.database.piccolo_app import APP_CONFIG


def new_migration(name: str, *, empty: bool = False) -> Path | None:
    """A migration of what `tables.py` says and the migrations do not; None where that is nothing, unless `empty`."""
    changes = asyncio.run(AutoMigrationManager().get_alter_statements(APP_CONFIG))
    statements = [statement for change in changes for statement in change.statements]
    if empty:
        statements.append('manager.create_index("table_column", "table (column)")')
    if not statements:
        return None
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S:%f")
    source: str = render_template(  # type: ignore[no-untyped-call]
        migration_id=now,
        auto=True,
        alter_statements=statements,
        extra_imports=sorted({repr(one) for change in changes for one in change.extra_imports}),
        extra_definitions=sorted({repr(one) for change in changes for one in change.extra_definitions}),
        app_name=APP_CONFIG.app_name,
        description=name.replace("_", " "),
    )
    # Ours has indexes and other statements.
    source = source.replace("piccolo.apps.migrations.auto.migration_manager", "models.database.migration")
    source = source.replace("async def forwards():", "async def forwards() -> MigrationManager:")
    folder = Path(APP_CONFIG.resolved_migrations_folder_path)
    path = folder / f"{APP_CONFIG.app_name}_{re.sub('[-:]', '_', now).lower()}_{name}.py"
    path.write_text(source)
    for command in (["format"], ["check", "--fix"]):
        subprocess.run([Path(sys.executable).with_name("ruff"), *command, "--quiet", path], check=True)  # noqa: S603
    return path


def main(name: str = "", *options: str) -> int:
    """Write it, and say where; the exit code tells."""
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        print("make migration NAME=what_changes: lower-case letters, digits and _", file=sys.stderr)  # noqa: T201
        return 2
    path = new_migration(name, empty="--empty" in options)
    print(path or "Nothing to do: the migrations say what tables.py says. An index, a view: ARGS=--empty")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
