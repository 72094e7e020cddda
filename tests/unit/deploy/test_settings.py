"""What each service is told: settings that are valid, and that agree with those of the others."""

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from api.signing_in import redirect_uri_of
from hub.settings import HubSettings
from models.domain.errors import RequestInvalid
from models.domain.server_spec import verify_spec
from models.domain.settings import Settings
from nbhub.cli import sign_in
from stack import parts, vault_setup
from tests.unit.deploy.deployment import COMPOSE, DEPLOY, environment_of, signed, worker_settings


@pytest.mark.parametrize("service", ["migrate", "api", "worker"])
def test_our_services_start_with_valid_settings(service: str, made: Path) -> None:
    settings = Settings.from_environment(environment_of(service, made))

    assert settings.database_url.startswith("postgresql://nbhub:")
    assert "@postgres:5432/nbhub" in settings.database_url


@pytest.mark.parametrize("service", ["api", "worker"])
def test_each_process_logs_in_to_vault_as_itself(service: str, made: Path) -> None:
    settings = Settings.from_environment(environment_of(service, made))

    assert settings.vault_role_id == vault_setup.role_of(service)
    assert settings.vault_secret_id == (made / f"vault-{service}-secret-id").read_text().strip()
    assert len(settings.vault_secret_id) == 64
    assert settings.vault_url == COMPOSE["services"]["jupyterhub"]["environment"]["NBHUB_HUB_VAULT_URL"]


def test_worker_signs_what_the_hub_verifies(made: Path, tmp_path: Path) -> None:
    worker = worker_settings(made, tmp_path)
    hub = HubSettings.from_environment(environment_of("jupyterhub", made))

    assert verify_spec(signed(worker), hub.public_keys()).server_id == "s1"
    assert worker.jupyterhub_token == hub.worker_token


def test_api_and_provider_share_the_client_secrets_and_addresses(made: Path) -> None:
    realm = json.loads((DEPLOY / "keycloak" / "realm.json").read_text())
    keycloak = COMPOSE["services"]["keycloak"]["environment"]
    api = Settings.from_environment(environment_of("api", made))
    hub = HubSettings.from_environment(environment_of("jupyterhub", made))
    clients = {client["clientId"]: client for client in realm["clients"]}

    assert "users" not in realm
    ui = COMPOSE["services"]["temporal-ui"]["environment"]
    expected = {api.oidc_client_id, hub.oidc_client_id, ui["TEMPORAL_AUTH_CLIENT_ID"]}
    assert set(clients) == expected == {api.oidc_client_id, *api.oidc_trusted_clients}
    assert api.oidc_client_secret != hub.oidc_client_secret
    assert api.oidc_issuer == hub.oidc_issuer
    assert api.oidc_issuer.endswith(f"/realms/{realm['realm']}")
    assert api.admin_claim == f"realm_access.roles={realm['roles']['realm'][0]['name']}"
    placeholders = set(re.findall(r"\$\{(\w+)\}", json.dumps(realm)))
    assert placeholders <= {name.removesuffix("_FILE") for name in keycloak}
    assert {client["secret"] for client in clients.values()} == {
        "${API_CLIENT_SECRET}",
        "${HUB_CLIENT_SECRET}",
        "${TEMPORAL_UI_CLIENT_SECRET}",
    }


def test_api_and_provider_send_browsers_back_to_the_same_places(made: Path) -> None:
    realm = json.loads((DEPLOY / "keycloak" / "realm.json").read_text())
    told = environment_of("keycloak", made)
    clients = {client["clientId"]: client for client in realm["clients"]}
    api = Settings.from_environment(environment_of("api", made))
    places = [
        re.sub(r"\$\{(\w+)\}", lambda name: told[name[1]], one) for one in clients["notebooks-hub"]["redirectUris"]
    ]

    assert list(api.oidc_redirect_uris) == places
    assert redirect_uri_of(api, None) == places[0] == told["OIDC_REDIRECT_URI"]


def test_nbhub_login_comes_back_to_any_port_of_its_machine(made: Path) -> None:
    api = Settings.from_environment(environment_of("api", made))
    # Keycloak, too, takes any port of 127.0.0.1 where none is registered.
    assert parts.OF_PROGRAMS in api.oidc_redirect_uris
    assert urlsplit(parts.OF_PROGRAMS).path == sign_in.CALLBACK

    assert redirect_uri_of(api, f"http://127.0.0.1:54321{sign_in.CALLBACK}")
    for elsewhere in (
        f"http://127.0.0.1:54321{sign_in.CALLBACK}/more",
        f"http://127.0.0.1.example.org{sign_in.CALLBACK}",
    ):
        with pytest.raises(RequestInvalid):
            redirect_uri_of(api, elsewhere)
