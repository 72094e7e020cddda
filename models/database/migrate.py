"""Bring the database to the current schema: `python -m models.database.migrate`.

Run once before API and workers of a new version start. An advisory lock makes a second run wait, so
that several may be started side by side.
"""

import asyncio
import sys

import asyncpg
from piccolo.apps.migrations.commands.forwards import run_forwards

from models.database.engine import DATABASE_ERRORS, configure, connection_arguments
from models.domain.environment import SettingsInvalid
from models.domain.settings import Settings

# Any number will do, as long as it is always the same.
LOCK = 7_316_200_281


async def migrate(settings: Settings) -> None:
    """Apply every migration that was not applied yet; raises `RuntimeError` when one fails."""
    # Piccolo's commands find the engine and the registry through this module.
    configure(settings, statement_timeout="0")
    guard = await asyncpg.connect(**connection_arguments(settings, statement_timeout="0", lock_timeout="0"))
    try:
        await guard.execute("SELECT pg_advisory_lock($1)", LOCK)
        result = await run_forwards("notebooks_hub")
        if not result.success:
            raise RuntimeError(result.message or "a migration failed")
    finally:
        await guard.close()


def main() -> int:
    """Migrate; the exit code tells."""
    try:
        asyncio.run(migrate(Settings.from_environment()))
    except SettingsInvalid as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    except DATABASE_ERRORS as error:
        reason = str(error) or type(error).__name__
        print(f"migrate: the database of NBHUB_DATABASE_URL cannot be used: {reason}", file=sys.stderr)  # noqa: T201
        return 1
    except RuntimeError as error:
        print(f"migrate: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    import os

    os.environ.setdefault("PICCOLO_CONF", "models.database.piccolo_conf")
    sys.exit(main())
