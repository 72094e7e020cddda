"""The plug-in's decision about a spawn."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tornado import web

from hub import plugin as plugin_module
from hub.order import Order, OrderRefused
from hub.plugin import Plugin, refused
from hub.records import Records
from models.profiles import Profiles
from models.server_spec import sign_spec
from tests.unit.hub.conftest import MakeSpec

Keys = tuple[bytes, bytes]
USER, NAME = "alice@example.org", "lab-3c0a1b2c"


class Scene:
    """A plug-in and what it handed to the spawner."""

    def __init__(self, records: Records, profiles: Profiles, keys: Keys, make_spec: MakeSpec) -> None:
        self.taken: list[Order] = []
        self.plugin = Plugin(records, profiles, lambda: {"1": keys[1]}, lambda _, order: self.taken.append(order))
        self._keys, self._make_spec = keys, make_spec

    def admit(self, user: str = USER, name: str = NAME, **changes: Any) -> Order:
        token = sign_spec(self._make_spec(**changes), self._keys[0], "1")
        return self.plugin.admit({"spec": token, "wrapped_secrets": []}, user, name)

    def refusal(self, **arguments: Any) -> str:
        with pytest.raises(OrderRefused) as refusal:
            self.admit(**arguments)
        return refusal.value.code


@pytest.fixture
def scene(records: Records, profiles: Profiles, keys: Keys, make_spec: MakeSpec) -> Scene:
    return Scene(records, profiles, keys, make_spec)


def test_a_signed_order_is_admitted_with_its_profiles(scene: Scene) -> None:
    order = scene.admit(application="voila", file_path="$HOME/a.ipynb", hardware="cpuSmall")
    assert order.application.title == "Voilà dashboard"
    assert order.hardware.cpu == 1
    assert order.file_path == "/home/jovyan/a.ipynb"
    # JupyterHub lower-cases; an identity provider may not.
    assert scene.admit(hub_user="Alice@Example.org")


@pytest.mark.parametrize("options", [{}, {"spec": None}, {"spec": 1}, {"spec": ["x"]}, {"profile": "jupyterlab"}])
def test_options_of_anybodys_making_are_refused(scene: Scene, options: dict[str, Any]) -> None:
    with pytest.raises(OrderRefused) as refusal:
        scene.plugin.admit(options, USER, NAME)
    assert refusal.value.code == "unsigned"
    assert "Notebooks Hub" in refusal.value.message


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"user": "bob@example.org"}, "foreign-user"),
        ({"name": "lab-other"}, "foreign-name"),
        ({"name": "", "hub_name": ""}, "foreign-name"),
        ({"expires_at": 1}, "expired"),
        ({"application": "excel"}, "profile-unknown"),
        ({"hardware": "huge"}, "profile-unknown"),
        ({"application": "voila", "file_path": "/etc/x.ipynb"}, "profile-unknown"),
    ],
)
def test_what_does_not_fit_is_refused(scene: Scene, arguments: dict[str, Any], code: str) -> None:
    assert scene.refusal(**arguments) == code


def test_older_generations_are_fenced_even_for_another_hub_process(
    scene: Scene, tmp_path: Path, profiles: Profiles, keys: Keys, make_spec: MakeSpec
) -> None:
    scene.admit(generation=5)
    scene.admit(generation=5)
    assert scene.refusal(generation=4) == "superseded"
    # Another server's generations are its own.
    scene.admit(server_id="other", generation=1)
    restarted = Scene(Records(tmp_path / "hub"), profiles, keys, make_spec)
    assert restarted.refusal(generation=4) == "superseded"
    assert restarted.admit(generation=6)


def test_a_refused_order_fences_nothing(scene: Scene) -> None:
    scene.refusal(generation=9, user="bob@example.org")
    assert scene.admit(generation=4)


def test_the_hook_hands_the_order_to_the_spawner(scene: Scene, keys: Keys, make_spec: MakeSpec) -> None:
    options = {"spec": sign_spec(make_spec(), keys[0], "1")}
    spawner = SimpleNamespace(user_options=options, user=SimpleNamespace(name=USER), name=NAME)
    scene.plugin.pre_spawn(spawner)
    assert [order.spec for order in scene.taken] == [make_spec()]
    spawner.user_options = {}
    with pytest.raises(web.HTTPError) as refusal:
        scene.plugin.pre_spawn(spawner)
    assert refusal.value.status_code == 403


@pytest.mark.parametrize("version", [5, 6])
def test_a_refusal_is_clean_on_both_versions(monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    if version == 5:
        monkeypatch.setattr(plugin_module, "SpawnException", None)
    make: Callable[[str], Any] = lambda code: refused(OrderRefused(code, "because 100% so"))  # noqa: E731
    assert isinstance(make("unsigned"), web.HTTPError)
    assert make("unsigned").status_code == 403
    assert make("program-missing").status_code == 422
    assert make("superseded").status_code == 409
    message = make("unsigned").message if version == 6 else make("unsigned").jupyterhub_message
    assert message == "because 100% so"
