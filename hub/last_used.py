"""When servers were last used, as JupyterHub's database has it: read where it lies, so that the hub is not asked."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

# What the hub writes at the same moment takes no longer.
_PATIENCE_SECONDS = 1.0
# Those that are not stopped have an address.
_LAST_USED = """
    SELECT users.name, spawners.name, spawners.last_activity FROM spawners JOIN users ON users.id = spawners.user_id
     WHERE spawners.server_id IS NOT NULL AND spawners.last_activity IS NOT NULL
"""


def database_of(data_dir: Path) -> Path:
    """Return the file of JupyterHub's database."""
    return data_dir / "jupyterhub.sqlite"


def last_used(database: Path) -> dict[tuple[str, str], datetime]:
    """Return when each server that is not stopped was last used, by user and name in JupyterHub.

    Nothing is known where the database cannot be read, as before the hub's first start.
    """
    try:
        uri = f"{database.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=_PATIENCE_SECONDS)) as connection:
            found = connection.execute(_LAST_USED).fetchall()
    except sqlite3.Error:
        return {}
    # JupyterHub writes UTC without saying so.
    return {(user, name): datetime.fromisoformat(moment).replace(tzinfo=UTC) for user, name, moment in found}
