"""Keys, specs, and the profiles as they are shipped: for the tests of who makes server specs and who reads them."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from models.domain.profiles import Profiles, load_profiles
from models.domain.server_spec import ServerSpec
from tests.keys import key_pair

MakeSpec = Callable[..., ServerSpec]


@pytest.fixture(scope="session")
def keys() -> tuple[bytes, bytes]:
    return key_pair()


@pytest.fixture(scope="session")
def profiles() -> Profiles:
    return load_profiles()


@pytest.fixture
def make_spec() -> MakeSpec:
    def make(**changes: Any) -> ServerSpec:
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

    return make
