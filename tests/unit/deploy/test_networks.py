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


def test_grpc_asks_for_no_unknown_name_where_older_engines_answer_none() -> None:
    inside = {name for name, network in COMPOSE["networks"].items() if (network or {}).get("internal")}
    addresses = {
        name: service["environment"]["TEMPORAL_ADDRESS"]
        for name, service in COMPOSE["services"].items()
        # Ours use the SDK, whose core asks the system.
        if "TEMPORAL_ADDRESS" in service.get("environment", {}) and set(service["networks"]) <= inside
    }
    assert addresses == {"temporal-namespace": "passthrough:///temporal:7233"}
