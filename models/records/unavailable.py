"""What of the profiles JupyterHub's side starts no server with, as it was told last."""

import msgspec

from models.database.sql import decoded, row, to_json
from models.domain.profiles import Unavailable


async def note(told: Unavailable) -> None:
    """Keep what is told, where it is not what was told before."""
    await row(
        """
        INSERT INTO unavailable AS known (id, applications, hardware) VALUES (1, :applications::jsonb, :hardware::jsonb)
            ON CONFLICT (id) DO UPDATE SET applications = excluded.applications, hardware = excluded.hardware
         WHERE (known.applications, known.hardware) IS DISTINCT FROM (excluded.applications, excluded.hardware)
        """,
        applications=to_json(told.applications),
        hardware=to_json(told.hardware),
    )


async def read() -> Unavailable:
    """What was told last; nothing, before anything was."""
    found = await row("SELECT applications, hardware FROM unavailable")
    return Unavailable() if found is None else msgspec.convert(decoded(found, "applications", "hardware"), Unavailable)
