"""Settings of both sides, ours and JupyterHub's, are read in one way: what is given, and what is said of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hub.settings import HubSettings
from models.domain.environment import SettingsInvalid, parse_address, parse_origin
from models.domain.settings import Settings

OURS = {"NBHUB_DATABASE_URL": "postgresql:///x"}
HUBS = {"NBHUB_HUB_DATA_DIR": "/data"}
Read = Callable[[dict[str, str]], Settings | HubSettings]
SIDES: dict[str, tuple[Read, dict[str, str]]] = {
    "NBHUB": (Settings.from_environment, OURS),
    "NBHUB_HUB": (HubSettings.from_environment, HUBS),
}


@pytest.fixture(params=SIDES)
def side(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def read(side: str) -> Read:
    """Reads a side's settings: what is required, and what is given besides."""
    made, required = SIDES[side]
    return lambda given: made(required | given)


def test_what_is_required_is_named(side: str) -> None:
    made, required = SIDES[side]
    (name,) = required
    with pytest.raises(SettingsInvalid, match=f"{name}: is required"):
        made({})
    made(required)


def test_a_secret_may_be_given_by_a_file_and_is_not_shown(side: str, read: Read, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("canary-51c2\n")
    variable = f"{side}_OIDC_CLIENT_SECRET"
    for given in ({f"{variable}_FILE": str(file)}, {variable: "canary-51c2", f"{variable}_FILE": "/nowhere"}):
        settings = read(given)
        assert settings.oidc_client_secret == "canary-51c2"
        assert "canary" not in repr(settings)
    assert read({f"{side}_OIDC_CLIENT_ID_FILE": str(file)}).oidc_client_id != "canary-51c2", "that is no secret"


def test_a_file_that_cannot_be_read_is_named_like_any_other_mistake(side: str, read: Read) -> None:
    """Each with the others: an operator mends them all at once."""
    port = {"NBHUB": "NBHUB_API_PORT", "NBHUB_HUB": "NBHUB_HUB_PORT"}[side]
    with pytest.raises(SettingsInvalid) as raised:
        read({f"{side}_OIDC_CLIENT_SECRET_FILE": "/nowhere/secret", port: "many"})
    said = str(raised.value)
    assert f"{side}_OIDC_CLIENT_SECRET_FILE: No such file or directory" in said
    assert f"{port}: Expected `int`" in said
    assert "/nowhere" not in said


def test_words_have_commas_and_json_has_not() -> None:
    assert Settings.from_environment(OURS | {"NBHUB_ORG_NAMES": " one, ,two,"}).org_names == ("one", "two")
    hub = HubSettings.from_environment(
        HUBS
        | {
            "NBHUB_HUB_ALLOWED_ROOTS": "/a, /b",
            "NBHUB_HUB_PROXY_COMMAND": '["node", "a, b"]',
            "NBHUB_HUB_KUBE_CLAIMS": '{"/data": "claim"}',
        }
    )
    assert (hub.allowed_roots, hub.proxy_command) == (("/a", "/b"), ("node", "a, b"))
    assert (hub.kube_claims, hub.data_dir) == ({"/data": "claim"}, Path("/data"))


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("NBHUB_HUB_SPAWNER", "podman", "must be one of bubblewrap, local, kube, docker"),
        ("NBHUB_HUB_PROXY_COMMAND", "node proxy", "JSON is malformed"),
        ("NBHUB_HUB_KUBE_CLAIMS", '["claim"]', "Expected `object`"),
    ],
)
def test_what_jupyterhubs_side_cannot_use_is_named(variable: str, value: str, said: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"{variable}: {said}"):
        HubSettings.from_environment(HUBS | {variable: value})


@pytest.mark.parametrize("spawner", ["bubblewrap", "local", "kube", "docker"])
def test_each_spawner_is_understood(spawner: str) -> None:
    assert HubSettings.from_environment(HUBS | {"NBHUB_HUB_SPAWNER": spawner}).spawner == spawner


@pytest.mark.parametrize("origin", ["https://ui.example.org", "http://localhost:4200", "http://[::1]:8080"])
def test_an_origin_is_taken_as_browsers_send_it(origin: str) -> None:
    assert parse_origin(origin) == origin


@pytest.mark.parametrize(
    "text", ["*", "null", "https://*", "ui.example.org", "https://ui.example.org/", "https://A.org"]
)
def test_what_no_browser_sends_as_an_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no origin"):
        parse_origin(text)


@pytest.mark.parametrize("address", ["127.0.0.1:9464", "0.0.0.0:1", "[::]:65535", ""])
def test_where_to_listen_is_an_address_with_a_port_or_nothing(address: str) -> None:
    assert parse_address(address) == address


@pytest.mark.parametrize("text", ["9464", "localhost:9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", ":1"])
def test_what_nobody_can_listen_at_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no IP address with a port"):
        parse_address(text)
