"""The names beneath JupyterHub's own, as JupyterHub, API and workers make them."""

from pathlib import Path

import pytest
from traitlets.config import Config

from hub.configuration import configure_hub
from hub.settings import HubSettings
from models.domain.environment import SettingsInvalid
from models.domain.origins import subdomain
from models.domain.settings import Settings

HUB = "NBHUB_JUPYTERHUB_PUBLIC_URL"


def settings(**variables: str) -> Settings:
    return Settings.from_environment({"NBHUB_DATABASE_URL": "postgresql:///none", **variables})


def hub_settings(data: Path, **variables: str) -> HubSettings:
    return HubSettings.from_environment({"NBHUB_HUB_DATA_DIR": str(data), **variables})


def test_a_name_of_ours_is_a_label_and_every_other_is_made_one() -> None:
    assert subdomain("ada-0a1b2c3d4e5f", "hub.example.org", "user") == "ada-0a1b2c3d4e5f.hub.example.org"
    assert subdomain("nbhub-truth", "hub.example.org", "service") == "nbhub-truth--service.hub.example.org"
    names = ["a.b", "a_b", "a--b", "-a", "a-", "nbhub-truth--service", "ada@example.org", "Ada", "a" * 64, "ä"]
    labels = {subdomain(name, "hub", "user").removesuffix(".hub") for name in names}
    assert len(labels) == len(names)
    assert all(label.startswith("u--") and len(label) == 35 for label in labels)


def test_servers_are_beneath_the_name_of_jupyterhub_where_it_is_set_so() -> None:
    public = {HUB: "https://hub.example.org:8443/", "NBHUB_JUPYTERHUB_URL": "http://jupyterhub:8000"}
    one, own = settings(**public), settings(**public, NBHUB_SUBDOMAINS="true")
    assert one.server_url("ada-1", "lab") == "https://hub.example.org:8443/user/ada-1/lab/"
    assert own.server_url("ada-1", "lab") == "https://ada-1.hub.example.org:8443/user/ada-1/lab/"
    assert (one.truth_host, own.truth_host) == ("", "nbhub-truth--service.hub.example.org:8443")
    assert own.truth_url == "http://jupyterhub:8000/services/nbhub-truth"
    beside = settings(**public, NBHUB_SUBDOMAINS="true", NBHUB_HUB_TRUTH_URL="http://truth:8003")
    assert beside.truth_host == ""


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://[::1]:8000", "http://localhost:8000", "https://example.org/hub", ""]
)
def test_an_address_without_names_beneath_it_is_refused_at_the_start(tmp_path: Path, url: str) -> None:
    given = {HUB: url, "NBHUB_SUBDOMAINS": "true"}
    with pytest.raises(SettingsInvalid, match="NBHUB_SUBDOMAINS"):
        settings(**given)
    with pytest.raises(SettingsInvalid, match="NBHUB_SUBDOMAINS"):
        hub_settings(tmp_path, **given)
    assert settings(**given | {"NBHUB_SUBDOMAINS": "false"}).server_url("a", "b").endswith("/user/a/b/")


def test_jupyterhub_routes_by_names(tmp_path: Path) -> None:
    c = Config()
    configure_hub(c, hub_settings(tmp_path, **{HUB: "https://hub.example.org", "NBHUB_SUBDOMAINS": "true"}))
    assert c.JupyterHub.subdomain_host == "https://hub.example.org"
    assert c.JupyterHub.subdomain_hook is subdomain


def test_jupyterhub_has_one_origin_unless_it_is_set_otherwise(tmp_path: Path) -> None:
    c = Config()
    configure_hub(c, hub_settings(tmp_path))
    assert "subdomain_host" not in c.JupyterHub
