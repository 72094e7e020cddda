"""What the tests of JupyterHub's side share: orders, records, and what stands in for others."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from kubespawner import KubeSpawner
from traitlets.config import Config

from hub.order import Order
from hub.records import Records
from models.domain.profiles import Profiles
from tests.unit.conftest import MakeSpec
from tests.unit.hub.wrapping import Wrapping

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


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "hub")


@pytest.fixture
def make_order(profiles: Profiles, make_spec: MakeSpec) -> MakeOrder:
    def make(**changes: Any) -> Order:
        spec = make_spec(**changes)
        return Order(
            spec=spec,
            application=profiles.application_named(spec.application),
            hardware=profiles.hardware_named(spec.hardware),
            file_path=profiles.check_file_path(spec.application, spec.file_path),
            let_in_seconds=30,
        )

    return make
