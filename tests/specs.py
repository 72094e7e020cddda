"""Server specs of tests."""

import time
from typing import Any

from models.domain.server_spec import ServerSpec


def make_spec(**changes: Any) -> ServerSpec:
    """A valid spec, which holds for a minute from now."""
    now = int(time.time())
    values: dict[str, Any] = {
        "server_id": "0197f3a2-7b3c-7c1a-9d55-2f6f3c0a1b2c",
        "hub_user": "alice@example.org",
        "hub_name": "lab-3c0a1b2c",
        "generation": 4,
        "person_id": "p",
        "application": "jupyterlab",
        "hardware": "cpuMedium",
        "home": "/opt/notebooks/alice",
        "issued_at": now,
        "expires_at": now + 60,
    }
    return ServerSpec(**(values | changes))
