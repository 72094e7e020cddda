"""What the tests of JupyterHub's side share: a key pair, a valid spec, and what stands in for others."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from kubespawner import KubeSpawner
from traitlets.config import Config

from hub.order import Order
from hub.records import Records
from models.domain.profiles import Profiles, load_profiles
from models.domain.server_spec import ServerSpec
from tests.unit.hub.wrapping import Wrapping

MakeSpec = Callable[..., ServerSpec]
MakeOrder = Callable[..., Order]
SERVER = SimpleNamespace(base_url="/user/alice@example.org/lab-3c0a1b2c/")


class Pods(KubeSpawner):  # type: ignore[misc]  # has no types
    """`server` is a row of JupyterHub's database; the path is all that is read of it."""

    server = SERVER


@pytest.fixture
def kube_spawner(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("kubespawner.spawner.load_config", MagicMock())
    monkeypatch.setattr("kubespawner.spawner.shared_client", MagicMock())
    return Pods(_mock=True, config=Config(), api_token="hub-token", hub_connect_url="http://hub:8081")


@pytest.fixture
def wrapping() -> Iterator[Wrapping]:
    wrapping = Wrapping()
    yield wrapping
    wrapping.close()


def key_pair() -> tuple[bytes, bytes]:
    """A private and its public key, as PEM."""
    key = Ed25519PrivateKey.generate()
    return (
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    )


@pytest.fixture(scope="session")
def keys() -> tuple[bytes, bytes]:
    return key_pair()


@pytest.fixture(scope="session")
def profiles() -> Profiles:
    return load_profiles()


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "hub")


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


@pytest.fixture
def make_order(profiles: Profiles, make_spec: MakeSpec) -> MakeOrder:
    def make(**changes: Any) -> Order:
        spec = make_spec(**changes)
        return Order(
            spec=spec,
            application=profiles.application_named(spec.application),
            hardware=profiles.hardware_named(spec.hardware),
            file_path=profiles.check_file_path(spec.application, spec.file_path),
        )

    return make
