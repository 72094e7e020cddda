"""`nbhub admin support-bundle`: what whoever helps has to know of an installation, in one file without secrets.

Nothing is sent anywhere. The file is written only if nothing in it looks like a secret.
"""

import asyncio
import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from models.database import condition
from models.database.engine import DATABASE_ERRORS, pool
from models.domain.environment import settings_of
from models.domain.settings import Settings
from models.records import figures
from operating import doctor, settings_shown
from operating.redaction import left_in, redact

DONE, FAILED = 0, 1
MOST_OPERATIONS = 1000
LOG_BYTES = 1_000_000
"""Of the end of each log."""
_PACKAGES = ("notebooks-hub", "temporalio", "litestar", "piccolo", "asyncpg", "hvac", "uvicorn")


def run(settings: Settings, logs: list[Path], file: Path) -> int:
    """Collect and write; the exit code."""
    secrets = secrets_of(settings)
    text = asyncio.run(collected(settings, logs, os.environ))
    left = left_in(text, secrets)
    if left:
        print(f"nbhub: nothing is written: there is still {', '.join(sorted(set(left)))} in it", file=sys.stderr)
        return FAILED
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as written:
        written.write(text)
    print(f"nbhub: {file} has {len(text) // 1024} KiB; look through it before you give it away", file=sys.stderr)
    return DONE


def secrets_of(settings: Settings) -> list[str]:
    """All values that nobody may see, and what these are made of."""
    values = [str(getattr(settings, one.name)) for one in settings_of(Settings) if one.secret]
    keys = [part.strip() for pair in settings.payload_keys.split(",") for part in pair.split(":")[1:]]
    password = urlsplit(settings.database_url).password or ""
    return [one for one in (*values, *keys, password, unquote(password)) if one]


async def collected(settings: Settings, logs: list[Path], environment: Mapping[str, str]) -> str:
    """The bundle as JSON, with secrets and names of people taken out."""
    secrets = secrets_of(settings)
    database = await _of_database(settings)
    found = {
        "made_at": datetime.now(UTC),
        "versions": {"python": platform.python_version(), "system": platform.platform(), **_versions()},
        "commit": settings.commit,
        "settings": settings_shown.shown(environment),
        "doctor": await doctor.examine(settings),
        **database,
        "logs": {str(path): redact(_end_of(path), secrets).splitlines() for path in logs},
    }
    # As a whole: a secret may also be where nobody expects one.
    return redact(msgspec.json.format(msgspec.json.encode(found)).decode(), secrets) + "\n"


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


async def _of_database(settings: Settings) -> dict[str, Any]:
    try:
        async with pool(settings, patience=8):
            return {
                "schema": await condition.schema(),
                "tables": await condition.tables(),
                "unsettled": await figures.oldest_unsettled(MOST_OPERATIONS),
            }
    except DATABASE_ERRORS as error:
        return {"database": f"cannot be asked ({type(error).__name__})"}


def _end_of(path: Path) -> str:
    """The last lines of a log, whole ones."""
    with path.open("rb") as log:
        size = log.seek(0, os.SEEK_END)
        log.seek(max(0, size - LOG_BYTES))
        text = log.read().decode(errors="replace")
    return text.partition("\n")[2] if size > LOG_BYTES else text
