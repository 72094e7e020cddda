"""What an order becomes for the launcher: its secrets are in memory alone, and nothing of them is shown."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import msgspec
import pytest
from tornado import web
from traitlets.config import Config

from hub.bubblewrap import BubblewrapSpawner
from hub.launch import LaunchPlan, encode_plan
from hub.order import Order, OrderRefused
from hub.records import Failure, Records
from hub.secrets import OpenedSecrets
from hub.settings import HubSettings
from models.domain.server_spec import Mount
from tests.unit.hub.conftest import SERVER, MakeOrder

KEY_FILE = "-----BEGIN KEY-----\nshh second line\nshh third line\n"
OPENED = OpenedSecrets(
    variables={"API_KEY": "shh variable"}, files={"/opt/secret/key": KEY_FILE, "/opt/secret/a/b": ""}
)
LMOD = Path(__file__)


class Sandboxes(BubblewrapSpawner):
    server = SERVER
    # What a server that ends while it starts says.
    last_words = ""

    def get_env(self) -> dict[str, str]:
        return {"JUPYTERHUB_API_TOKEN": self.api_token, "MEM_LIMIT": "1"}

    async def _launch_and_wait(self, plan: LaunchPlan) -> None:
        self.machine.records.log_file(plan.server_id).write_text(self.last_words)
        raise OrderRefused("server-exited", "The server ended while it was starting (exit code 1)")


@pytest.fixture
def spawner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("shutil.which", lambda name, **_: f"/usr/bin/{name}")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    (tmp_path / "homes" / "alice").mkdir(parents=True)
    (tmp_path / "hub").mkdir()
    settings = HubSettings(
        data_dir=tmp_path / "hub", allowed_roots=(str(tmp_path),), spawner="bubblewrap", lmod_init=str(LMOD)
    )
    user = SimpleNamespace(name="alice@example.org", url="/user/alice@example.org/", settings={}, id=1)
    return Sandboxes(
        user=user, hub=MagicMock(), orm_spawner=None, config=Config(), hub_settings=settings, api_token="hub-token"
    )


@pytest.fixture
def order(tmp_path: Path, make_order: MakeOrder) -> Order:
    return opened(make_order(home=str(tmp_path / "homes" / "alice")), OPENED)


def opened(order: Order, secrets: OpenedSecrets) -> Order:
    handed_over = [{"id": "1", "kind": "env_var", "token": "hvs.shh"}]
    return msgspec.structs.replace(order, handed_over=handed_over, secrets=secrets)


def test_secrets_are_for_the_sandbox_alone(spawner: Any, order: Order) -> None:
    plan = spawner.plan(order)
    hidden = "\0".join(plan.hidden_arguments)
    assert "\0--setenv\0API_KEY\0shh variable\0" in hidden
    assert "\0--file\x0013\0/opt/secret/key\0" in hidden
    assert "\0--file\x0014\0/opt/secret/a/b\0" in hidden
    assert plan.files == (KEY_FILE, "")
    for seen in (plan.arguments, plan.environment, plan.program, plan.directory):
        assert "shh" not in str(seen)
        assert "/opt/secret" not in str(seen)
        assert "API_KEY" not in str(seen)
    assert msgspec.json.decode(encode_plan(plan))["files"] == [KEY_FILE, ""]


def test_nothing_shows_a_value(spawner: Any, order: Order) -> None:
    plan = spawner.plan(order)
    for one in (plan, order, order.secrets):
        for shown in (repr(one), str(one), f"{one}", repr([one]), repr({"x": one}), f"{(one,)}"):
            assert "shh" not in shown
            assert "hub-token" not in shown
    assert repr(plan) == f"LaunchPlan('{order.spec.server_id}', generation 4)"
    assert repr(order) == f"Order('{order.spec.server_id}', generation 4)"
    assert repr(order.secrets) == "OpenedSecrets(1 variables, 2 files)"


@pytest.mark.parametrize("name", ["JUPYTERHUB_API_TOKEN", "MEM_LIMIT", "LANG", "TMPDIR", "BASH_ENV"])
def test_a_secret_takes_no_variable_that_the_server_needs(spawner: Any, order: Order, name: str) -> None:
    module = Mount(source=order.spec.home, target="/opt/modules/modulefiles/alice/a/1.lua", read_only=True)
    spec = msgspec.structs.replace(order.spec, mounts=(module,), modules=("a/1",))
    taken = opened(msgspec.structs.replace(order, spec=spec), OpenedSecrets(variables={"OWN": "shh", name: "shh"}))
    with pytest.raises(OrderRefused) as refusal:
        spawner.plan(taken)
    assert refusal.value.code == "secrets-refused"
    assert name in refusal.value.message
    assert "shh" not in refusal.value.message


async def test_a_kept_failure_shows_no_secret(spawner: Any, order: Order) -> None:
    """Not even the part of one that the last lines of a log begin or end with."""
    cut = KEY_FILE.partition("\n")[2]
    spawner.last_words = f"{cut}and API_KEY is shh variable, not hub-token\n{KEY_FILE}said shh second line"
    spawner.order = order
    with pytest.raises(web.HTTPError) as refusal:
        await spawner.start()
    failure = Records(spawner.hub_settings.data_dir).failure(order.spec.server_id)
    assert isinstance(failure, Failure)
    assert failure.log.splitlines()[2] == "and API_KEY is ***, not ***"
    assert failure.log.endswith("said ***")
    for shown in (failure.log, failure.reason, str(refusal.value), str(vars(refusal.value))):
        assert "shh" not in shown
        assert "BEGIN KEY" not in shown
        assert "hub-token" not in shown


async def test_a_server_without_secrets_forgets_those_of_the_one_before(spawner: Any, order: Order) -> None:
    spawner.order = order
    with pytest.raises(web.HTTPError):
        await spawner.start()
    spawner.last_words = "shh variable is no secret any more"
    spawner.order = msgspec.structs.replace(order, handed_over=[], secrets=OpenedSecrets())
    with pytest.raises(web.HTTPError):
        await spawner.start()
    failure = Records(spawner.hub_settings.data_dir).failure(order.spec.server_id)
    assert failure is not None
    assert failure.log == spawner.last_words
