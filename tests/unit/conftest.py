"""Keys, specs, and the profiles as they are shipped: for the tests of who makes server specs and who reads them."""

from collections.abc import Callable

import pytest

from models.domain.profiles import Profiles, load_profiles
from models.domain.server_spec import ServerSpec
from tests.keys import key_pair
from tests.specs import make_spec

MakeSpec = Callable[..., ServerSpec]


@pytest.fixture(scope="session")
def keys() -> tuple[bytes, bytes]:
    return key_pair()


@pytest.fixture(scope="session")
def profiles() -> Profiles:
    return load_profiles()


@pytest.fixture(name="make_spec")
def _make_spec() -> MakeSpec:
    return make_spec
