"""What an order becomes for the launcher: its secrets are in memory alone, and nothing of them is shown."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import msgspec
import pytest
from tornado import web
from traitlets.config import Config

from hub.bubblewrap import BubblewrapSpawner, files_of_etc
from hub.launch import LaunchPlan, encode_plan
from hub.network import Network
from hub.order import Order, OrderRefused
from hub.records import Failure, Records
from hub.secrets import OpenedSecrets
from hub.settings import HubSettings
from models.domain.server_spec import Mount
from tests.unit.hub.conftest import SERVER, MakeOrder
from tests.unit.hub.test_sandbox import pairs

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
    # Limits by cgroups are no part of what is tested here, and not everybody may make those.
    settings = HubSettings(
        data_dir=tmp_path / "hub",
        allowed_roots=(str(tmp_path),),
        spawner="bubblewrap",
        limits="none",
        lmod_init=str(LMOD),
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
    assert "\0--file\x0015\0/opt/secret/key\0" in hidden
    assert "\0--file\x0016\0/opt/secret/a/b\0" in hidden
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


def with_settings(spawner: Any, **changes: Any) -> Any:
    spawner.hub_settings = msgspec.structs.replace(spawner.hub_settings, **changes)
    return spawner


def test_a_server_has_a_network_of_its_own_in_which_the_hub_is_at_the_loopback(spawner: Any, order: Order) -> None:
    plan = with_settings(spawner, host="0.0.0.0", port=4567, connect_url="https://hub.example.org").plan(order)
    assert "--unshare-net" in plan.hidden_arguments
    assert plan.network == Network(hub_host="127.0.0.1", hub_port=4567)
    assert spawner.hub_connect_url == "http://127.0.0.1:4567"
    assert "/etc/resolv.conf" not in [inside for _, inside in files_of_etc(spawner.hub_settings.data_dir)]


def test_a_setting_lets_servers_share_the_machines_network(spawner: Any, order: Order) -> None:
    """The twin."""
    plan = with_settings(spawner, network="host").plan(order)
    assert plan.network is None
    assert not {"--unshare-net", "--info-fd", "--block-fd"} & set(plan.hidden_arguments)
    assert not spawner.hub_connect_url


def test_a_way_into_the_internet_is_that_of_the_settings(spawner: Any, order: Order) -> None:
    chosen = {"name_servers": ("192.0.2.53",), "closed_networks": ("203.0.113.0/24",)}
    plan = with_settings(spawner, network="internet", **chosen).plan(order)
    assert plan.network == Network(
        hub_host="127.0.0.1",
        hub_port=8081,
        slirp4netns="/usr/bin/slirp4netns",
        name_servers=("192.0.2.53",),
        closed=("203.0.113.0/24",),
    )
    files = dict(pairs(plan.hidden_arguments, "--ro-bind"))
    (resolver,) = [Path(source) for source, inside in files.items() if inside == "/etc/resolv.conf"]
    assert resolver.read_text() == "nameserver 192.0.2.53\n"


@pytest.mark.parametrize(
    ("program", "resolver", "missing"),
    [
        (None, "nameserver 192.0.2.53\n", "there is no slirp4netns"),
        (
            "/usr/bin/slirp4netns",
            "search example.org\nnameserver 127.0.0.53\nnameserver ::1\n",
            "NBHUB_HUB_NAME_SERVERS",
        ),
    ],
)
def test_a_hub_that_cannot_give_the_internet_starts_nothing_and_says_what_to_do(
    spawner: Any,
    order: Order,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    program: str,
    resolver: str,
    missing: str,
) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(resolver)
    monkeypatch.setattr("hub.network._RESOLVER", file)
    monkeypatch.setattr("shutil.which", lambda name, **_: program if name == "slirp4netns" else f"/usr/bin/{name}")
    with pytest.raises(OrderRefused) as refusal:
        with_settings(spawner, network="internet").plan(order)
    assert refusal.value.code == "network-missing"
    assert missing in refusal.value.message
    assert "NBHUB_HUB_NETWORK=closed" in refusal.value.message
    # The twins.
    monkeypatch.setattr("shutil.which", lambda name, **_: f"/usr/bin/{name}")
    file.write_text(f"{resolver}nameserver 192.0.2.54\n")
    assert spawner.plan(order).network.name_servers[-1] == "192.0.2.54"
