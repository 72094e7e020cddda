"""Who is reached from where, beyond what the compose file's networks say."""

import re

from tests.unit.deploy.deployment import COMPOSE, DEPLOY


def test_what_nobody_beside_them_needs_listens_for_itself_only() -> None:
    """`make compose-test` asks from inside a server."""
    keycloak = COMPOSE["services"]["keycloak"]["environment"]
    assert (keycloak["KC_HTTP_MANAGEMENT_HOST"], keycloak["KC_CACHE"]) == ("127.0.0.1", "local")
    assert re.search(
        r'^  cluster_address = "127\.0\.0\.1:\d+"$', (DEPLOY / "vault" / "config.hcl").read_text(), re.MULTILINE
    )


def test_temporal_asks_everybody_for_a_certificate() -> None:
    """That a server with these settings does was tried; whoever is in its network has one to show."""
    temporal = COMPOSE["services"]["temporal"]["environment"]
    assert temporal["TEMPORAL_TLS_REQUIRE_CLIENT_AUTH"] == "true"
    for listener, authority in (("FRONTEND", "CLIENT1"), ("SERVER", "SERVER")):
        assert temporal[f"TEMPORAL_TLS_{listener}_CERT"] == "/run/secrets/temporal-server-cert"
        assert temporal[f"TEMPORAL_TLS_{listener}_KEY"] == "/run/secrets/temporal-server-key"
        assert temporal[f"TEMPORAL_TLS_{authority}_CA_CERT"] == "/run/secrets/temporal-ca-cert"
    shown = {f"/run/secrets/temporal-{one}" for one in ("ca-cert", "client-cert", "client-key")}
    for name, service in COMPOSE["services"].items():
        if "temporal" in service["networks"] and name != "temporal":
            assert shown <= set(service["environment"].values()), name


def test_grpc_asks_for_no_unknown_name_where_older_engines_answer_none() -> None:
    inside = {name for name, network in COMPOSE["networks"].items() if (network or {}).get("internal")}
    addresses = {
        name: service["environment"]["TEMPORAL_ADDRESS"]
        for name, service in COMPOSE["services"].items()
        # Ours use the SDK, whose core asks the system.
        if "TEMPORAL_ADDRESS" in service.get("environment", {}) and set(service["networks"]) <= inside
    }
    assert addresses == {"temporal-namespace": "passthrough:///temporal:7233"}
