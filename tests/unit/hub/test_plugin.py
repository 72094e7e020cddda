"""The plug-in's decision about a spawn."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from tornado import web
from traitlets.config import Config

from hub import plugin as plugin_module
from hub.configuration import configure_spawner
from hub.order import Order, OrderRefused
from hub.plugin import Plugin, left_closed, no_secrets, opened_by_the_hub, refused
from hub.records import Failure, Records
from hub.settings import HubSettings
from models.domain.profiles import Profiles
from models.domain.server_spec import SecretMount, sign_spec
from tests.unit.conftest import MakeSpec
from tests.unit.hub.wrapping import Wrapping

Keys = tuple[bytes, bytes]
USER, NAME = "alice@example.org", "lab-3c0a1b2c"


class Scene:
    """A plug-in and what it handed to the spawner."""

    def __init__(self, records: Records, profiles: Profiles, keys: Keys, make_spec: MakeSpec) -> None:
        self.taken: list[Order] = []
        self._records, self._profiles, self._keys, self.make_spec = records, profiles, keys, make_spec
        self.open_secrets_by(no_secrets)

    def open_secrets_by(self, open_secrets: Callable[[Order], Awaitable[Order]]) -> None:
        self.plugin = Plugin(
            self._records,
            self._profiles,
            lambda: {"1": self._keys[1]},
            lambda _, order: self.taken.append(order),
            open_secrets,
            let_in_seconds=7,
        )

    def options(self, wrapped: object = (), **changes: Any) -> dict[str, object]:
        token = sign_spec(self.make_spec(**changes), self._keys[0], "1")
        return {"spec": token, "wrapped_secrets": msgspec.to_builtins(wrapped)}

    def admit(self, user: str = USER, name: str = NAME, **changes: Any) -> Order:
        return self.plugin.admit(self.options(**changes), user, name)

    async def spawn(self, **changes: Any) -> None:
        """As JupyterHub does when it is asked to."""
        user = SimpleNamespace(name=USER)
        await self.plugin.pre_spawn(SimpleNamespace(user_options=self.options(**changes), user=user, name=NAME))

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
    assert order.let_in_seconds == 7
    # JupyterHub lower-cases; an identity provider may not.
    assert scene.admit(hub_user="Alice@Example.org")
    assert scene.admit(user="jürgen.o'neil@bücher.example", hub_user="jürgen.o'neil@bücher.example")


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
        ({"user": "strasse@example.org", "hub_user": "straße@example.org"}, "foreign-user"),
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


async def test_the_hook_hands_the_order_to_the_spawner(scene: Scene, keys: Keys, make_spec: MakeSpec) -> None:
    options = {"spec": sign_spec(make_spec(), keys[0], "1")}
    spawner = SimpleNamespace(user_options=options, user=SimpleNamespace(name=USER), name=NAME)
    await scene.plugin.pre_spawn(spawner)
    assert [order.spec for order in scene.taken] == [make_spec()]
    spawner.user_options = {}
    with pytest.raises(web.HTTPError) as refusal:
        await scene.plugin.pre_spawn(spawner)
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


SECRETS = tuple(
    SecretMount(id=name, kind="env_var", name=f"KEY_{name}", path=f"secret/data/secrets/{name}", version=1)
    for name in ("a", "b")
)
A, B, C = ({"id": name, "token": f"hvs.{name}-token"} for name in ("a", "b", "c"))


def test_secrets_are_admitted_with_their_tokens(scene: Scene) -> None:
    order = scene.admit(secrets=SECRETS, wrapped=[B, A])
    # In the order that was signed.
    assert [(one["name"], one["token"], one["version"]) for one in order.handed_over] == [
        ("KEY_a", "hvs.a-token", 1),
        ("KEY_b", "hvs.b-token", 1),
    ]
    assert "token" not in repr(order)
    assert scene.admit().handed_over == []


@pytest.mark.parametrize(
    "wrapped",
    [
        (),
        None,
        [A],
        [A, B, C],
        [A, C],
        [A, {"id": "B", "token": "hvs.b-token"}],
        [A, {"id": "b"}],
        [A, {"id": "b", "token": None}],
        [A, {**B, "target": "/opt/secret/x"}],
        ["a", "b"],
        {"a": "hvs.a-token", "b": "hvs.b-token"},
        "hvs.a-token",
    ],
)
def test_tokens_that_are_not_those_of_the_secrets_are_refused(scene: Scene, wrapped: object) -> None:
    with pytest.raises(OrderRefused) as refusal:
        scene.admit(secrets=SECRETS, wrapped=wrapped, generation=9)
    assert refusal.value.code == "secrets-refused"
    assert "hvs" not in refusal.value.message
    assert scene.admit(generation=4)


def test_tokens_without_secrets_are_refused(scene: Scene) -> None:
    assert scene.refusal(wrapped=[A]) == "secrets-refused"


@pytest.mark.parametrize(
    "name", ["PATH", "LD_PRELOAD", "JUPYTERHUB_API_TOKEN", "MODULEPATH", "1A", "A B", "A=B", "A\n", ""]
)
def test_a_secret_is_no_variable_that_programs_obey(scene: Scene, name: str) -> None:
    secret = SecretMount(id="a", kind="env_var", name=name, path="p", version=1)
    assert scene.refusal(secrets=(secret,), wrapped=[A]) == "secrets-refused"


@pytest.mark.parametrize(
    "target",
    [
        *(
            "",
            "/",
            "relative/key",
            "/key",
            "/opt/secret/../../etc/key",
            "/opt//secret/key",
            "/opt/secret/key/",
            "/etc/a/key",
        ),
        *(
            "/home/jovyan/.ssh/key",
            "/opt/datasets/d/key",
            "/opt/modules/a/key",
            "/usr/lib/key",
            "/run/nbhub-secrets/key",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["raw", "file"])
def test_a_secret_hides_nothing(scene: Scene, kind: str, target: str) -> None:
    secret = SecretMount(id="a", kind=kind, name="key", target=target, path="p", version=1)
    assert scene.refusal(secrets=(secret,), wrapped=[A]) == "secrets-refused"


async def test_a_spawner_that_cannot_keep_secrets_refuses_them(scene: Scene, records: Records) -> None:
    with pytest.raises(web.HTTPError) as refusal:
        await scene.spawn(secrets=SECRETS, wrapped=[A, B])
    assert refusal.value.status_code == 422
    assert scene.taken == []
    failure = records.failure(scene.make_spec().server_id)
    assert failure is not None
    assert failure.generation == 4
    assert "hands no secrets to servers" in failure.reason
    await scene.spawn(generation=5)
    assert len(scene.taken) == 1


@pytest.mark.parametrize(("spawner", "keeps"), [("docker", False), ("kube", True)])
def test_which_spawners_take_secrets(
    tmp_path: Path, keys: Keys, make_spec: MakeSpec, spawner: str, keeps: bool
) -> None:
    config = Config()
    configure_spawner(config, HubSettings(data_dir=tmp_path, spawner=spawner))
    open_secrets = config.Spawner.pre_spawn_hook.__self__.open_secrets
    assert open_secrets is (left_closed if keeps else no_secrets)


async def test_tokens_are_left_for_the_server_to_open(scene: Scene) -> None:
    scene.open_secrets_by(left_closed)
    await scene.spawn(secrets=SECRETS, wrapped=[A, B])
    (order,) = scene.taken
    assert [one["token"] for one in order.handed_over] == [A["token"], B["token"]]
    assert list(order.secrets.values()) == []


async def test_the_hub_opens_secrets_once(scene: Scene, records: Records, wrapping: Wrapping) -> None:
    scene.open_secrets_by(partial(opened_by_the_hub, vault=f"{wrapping.url}/"))
    made = [
        wrapping.wrap("env_var", "shh 1", name="API_KEY"),
        wrapping.wrap("raw", "shh 2", target="/opt/secret/key"),
        wrapping.wrap("file", {"a": "shh 3", "b": "shh 4"}, target="/opt/secret/many"),
        wrapping.wrap("file", "shh 5", name="c", target="/opt/secret/one"),
    ]
    secrets, wrapped = tuple(mount for mount, _ in made), [token for _, token in made]
    await scene.spawn(secrets=secrets, wrapped=wrapped)
    (order,) = scene.taken
    assert order.secrets.variables == {"API_KEY": "shh 1"}
    assert order.secrets.files == {
        "/opt/secret/key": "shh 2",
        "/opt/secret/many/a": "shh 3",
        "/opt/secret/many/b": "shh 4",
        "/opt/secret/one/c": "shh 5",
    }
    for shown in (repr(order), repr(order.secrets), str(order.secrets), f"{[order]}"):
        assert "shh" not in shown
        assert "hvs" not in shown

    # What a token opened it opens no more, and whoever asked is told so, also after JupyterHub has answered.
    with pytest.raises(web.HTTPError) as refusal:
        await scene.spawn(secrets=secrets, wrapped=wrapped, generation=5)
    assert refusal.value.status_code == 422
    reason = f"the token of the secret {secrets[0].id} was used already or has ended: start the server again"
    assert records.failure(order.spec.server_id) == Failure(generation=5, reason=reason, log="")
    assert len(scene.taken) == 1


@pytest.mark.parametrize("vault", ["", "http://127.0.0.1:1"])
async def test_without_vault_no_secret_is_opened(scene: Scene, records: Records, vault: str) -> None:
    scene.open_secrets_by(partial(opened_by_the_hub, vault=vault))
    with pytest.raises(web.HTTPError):
        await scene.spawn(secrets=SECRETS, wrapped=[A, B])
    failure = records.failure(scene.make_spec().server_id)
    assert failure is not None
    assert "Vault" in failure.reason
    assert scene.taken == []
