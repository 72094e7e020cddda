"""What no server can be started with is refused by the spawner, and told beforehand in the same words."""

import importlib.util

import msgspec
import pytest

from hub import offered
from hub.offered import check_offered, unavailable
from hub.order import OrderRefused
from models.domain.profiles import Profiles
from tests.unit.hub.conftest import MakeOrder

_FIND = importlib.util.find_spec


@pytest.fixture
def all_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda program, path: f"{path}/{program}")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: _FIND("json"))


def test_a_missing_program_is_named(make_order: MakeOrder, profiles: Profiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offered, "SEARCH_PATH", "/nowhere")
    with pytest.raises(OrderRefused, match="Rscript is not installed") as refusal:
        check_offered(make_order(application="rshiny", file_path="app.R"), "bubblewrap")
    assert refusal.value.code == "program-missing"
    assert unavailable(profiles, "bubblewrap").applications["rshiny"] == refusal.value.message
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OrderRefused, match="python, dash is not installed"):
        check_offered(make_order(application="dash", file_path="app.py"), "bubblewrap")
    assert unavailable(profiles, "bubblewrap").applications.keys() == profiles.applications.keys()


@pytest.mark.usefixtures("all_installed")
def test_what_is_installed_is_offered(make_order: MakeOrder, profiles: Profiles) -> None:
    check_offered(make_order(application="dash", file_path="app.py"), "bubblewrap")
    assert unavailable(profiles, "bubblewrap").applications == {}


@pytest.mark.usefixtures("all_installed")
@pytest.mark.parametrize(
    ("spawner", "refused"), [("bubblewrap", ["gpuSmall"]), ("local", ["gpuSmall"]), ("docker", []), ("kube", [])]
)
def test_gpus_are_where_containers_are(
    make_order: MakeOrder, profiles: Profiles, spawner: str, refused: list[str]
) -> None:
    assert list(unavailable(profiles, spawner).hardware) == refused
    check_offered(make_order(hardware="cpuLarge"), spawner)
    if refused:
        with pytest.raises(OrderRefused) as refusal:
            check_offered(make_order(hardware="gpuSmall"), spawner)
        assert refusal.value.code == "hardware-refused"
    else:
        check_offered(make_order(hardware="gpuSmall"), spawner)


@pytest.mark.usefixtures("all_installed")
def test_without_a_sandbox_nothing_is_shown_of_a_file(make_order: MakeOrder, profiles: Profiles) -> None:
    refused = unavailable(profiles, "local").applications
    assert set(refused) == {name for name, one in profiles.applications.items() if one.needs_file}
    with pytest.raises(OrderRefused, match="without a sandbox"):
        check_offered(make_order(application="dash", file_path="app.py"), "local")
    check_offered(make_order(), "local")


def test_a_container_needs_an_image_and_no_program_of_this_machine(
    make_order: MakeOrder, profiles: Profiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offered, "SEARCH_PATH", "/nowhere")
    order = make_order()
    check_offered(order, "docker")
    bare = msgspec.structs.replace(order.application, image="")
    with pytest.raises(OrderRefused, match="JupyterLab has no container image"):
        check_offered(msgspec.structs.replace(order, application=bare), "docker")
    others = msgspec.structs.replace(profiles, applications=profiles.applications | {"jupyterlab": bare})
    assert list(unavailable(others, "kube").applications) == ["jupyterlab"]
