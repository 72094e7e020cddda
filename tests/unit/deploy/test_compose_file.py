"""docker-compose.yml holds together, and each check of it finds what it is for."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.deploy.compose_checks import (
    CHECKS,
    build_problems,
    confinement_problems,
    environment_problems,
    isolation_problems,
    lifecycle_problems,
    reference_problems,
    schema_problems,
    settings_problems,
)
from tests.unit.deploy.deployment import COMPOSE, Json


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_compose_file_holds_together(check: Callable[[Json], Iterator[str]]) -> None:
    assert list(check(COMPOSE)) == []


def _service(name: str, **changes: Any) -> Callable[[Json], None]:
    return lambda compose: compose["services"][name].update(changes)


def _without(name: str, key: str) -> Callable[[Json], None]:
    return lambda compose: compose["services"][name].pop(key)


def _environment(name: str, **values: str | None) -> Callable[[Json], None]:
    return lambda compose: compose["services"][name]["environment"].update(values)


def _without_environment(name: str, variable: str) -> Callable[[Json], None]:
    return lambda compose: compose["services"][name]["environment"].pop(variable)


def _build(name: str, **changes: Any) -> Callable[[Json], None]:
    return lambda compose: compose["services"][name]["build"].update(changes)


ENDED = {"condition": "service_completed_successfully"}


@pytest.mark.parametrize(
    ("check", "break_it", "complaint"),
    [
        (schema_problems, _service("api", imagee="x"), "imagee"),
        (schema_problems, _service("worker", container_name="worker"), "container_name"),
        (schema_problems, _service("api", ports=["8002:8002"]), "8002:8002"),
        (schema_problems, _without("vault", "restart"), "restart"),
        (schema_problems, _service("api", environment={"A": 1}), "1 is not of type"),
        (reference_problems, _service("api", secrets=["nothing"]), "nothing: of no secrets"),
        (reference_problems, _service("api", volumes=["other:/data"]), "other: of no volumes"),
        (reference_problems, _service("api", volumes=["./deploy/none:/data:ro"]), "./deploy/none is missing"),
        (reference_problems, _service("postgres", networks=["nowhere"]), "nowhere: of no networks"),
        (reference_problems, _service("api", depends_on={"db": {"condition": "service_healthy"}}), "no service"),
        (reference_problems, _service("api", depends_on={"migrate": {"condition": "service_healthy"}}), "never comes"),
        (lifecycle_problems, _without("worker", "healthcheck"), "worker: a health check"),
        (lifecycle_problems, _service("postgres", image="postgres:latest"), "pinned"),
        (lifecycle_problems, _service("postgres", image="postgres:18"), "pinned"),
        (lifecycle_problems, _without("vault-setup", "profiles"), "vault-setup: a profile"),
        (reference_problems, _service("api", depends_on={"vault-setup": ENDED}), "never comes"),
        (build_problems, _service("worker", command=["/bin/sh", "-c", "exec python work.py"]), "no file work.py"),
        (build_problems, _service("api", command=["python", "-m", "apii"]), "no module apii"),
        (build_problems, _service("api", command=["python", "stack/cli.py"]), "not in the image"),
        (build_problems, _build("migrate", target="last"), "no stage last"),
        (build_problems, _build("migrate", args={"X": "1"}), "no ARG X"),
        (lifecycle_problems, _service("api", build=COMPOSE["services"]["migrate"]["build"]), "made by"),
        (lifecycle_problems, _without("worker", "pull_policy"), "is in no registry"),
        (
            settings_problems,
            _without_environment("worker", "NBHUB_REVOKE_GRACE"),
            "REVOKE_GRACE of deploy/.env does not",
        ),
        (settings_problems, _without_environment("api", "NBHUB_CORS_ORIGINS"), "CORS_ORIGINS of deploy/.env does not"),
        (settings_problems, _without_environment("jupyterhub", "NBHUB_HUB_CONCURRENT_STARTS"), "STARTS of deploy/.env"),
        (confinement_problems, _without("postgres", "cap_drop"), "postgres: keeps capabilities"),
        (confinement_problems, _service("api", cap_add=["SYS_ADMIN"]), "api: other capabilities"),
        (confinement_problems, _service("jupyterhub", security_opt=["seccomp=unconfined"]), "become somebody else"),
        (confinement_problems, _service("temporal", read_only=False), "temporal: its root"),
        (confinement_problems, _service("vault", volumes=["vault:/vault/file"]), "/vault/logs is a volume without"),
        (environment_problems, _environment("api", NBHUB_DATABASE="x"), "nobody reads NBHUB_DATABASE"),
        (environment_problems, _environment("jupyterhub", NBHUB_SESSION_KEY="x"), "nobody reads NBHUB_SESSION_KEY"),
        (environment_problems, _environment("api", NBHUB_SESSION_KEY="x"), "given in the open"),
        (environment_problems, _environment("api", NBHUB_PUBLIC_URL="${WHERE}"), "WHERE is not in"),
        (environment_problems, _service("api", secrets=[]), "session-key is not mounted"),
        (environment_problems, _service("vault", secrets=["session-key"]), "session-key is not used"),
        (environment_problems, _service("worker", volumes=["data:/data"]), "spec-signing-keys is not mounted"),
        (
            isolation_problems,
            _service("jupyterhub", networks=["front", "vault", "database"]),
            "people's programs reach postgres",
        ),
        (isolation_problems, _service("vault", networks=["front", "vault"]), "vault: reached by another way"),
        (isolation_problems, _service("keycloak", networks=["front", "vault"]), "in the network of Vault"),
        (isolation_problems, lambda compose: compose["networks"].update(vault=None), "vault reaches the world"),
        (isolation_problems, _service("worker", ports=["127.0.0.1:1:1"]), "worker: cannot be started twice"),
        (isolation_problems, _service("api", ports=["${BIND_ADDRESS:-127.0.0.1}:8002:8002"]), "api: cannot be started"),
        (isolation_problems, _service("temporal-ui", networks=["temporal", "front"]), "reach temporal-ui"),
        (isolation_problems, _service("worker", networks=["database", "temporal"]), "no way to worker"),
        (isolation_problems, _service("keycloak", networks=["front", "temporal"]), "in the network of Temporal"),
        (isolation_problems, _service("postgres", secrets=["temporal-client-key"]), "temporal-client-key: held by"),
        (
            isolation_problems,
            _service("jupyterhub", secrets=["vault-worker-secret-id"]),
            "vault-worker-secret-id: held by",
        ),
        (
            isolation_problems,
            _service("api", volumes=["./deploy/secrets/spec-signing-keys:/run/secrets/spec-signing-keys:ro"]),
            "spec-signing-keys: held by",
        ),
        (isolation_problems, _service("api", secrets=[]), "session-key: held by nobody"),
    ],
)
def test_check_finds_what_is_broken(
    check: Callable[[Json], Iterator[str]], break_it: Callable[[Json], None], complaint: str
) -> None:
    broken = copy.deepcopy(COMPOSE)
    break_it(broken)

    assert any(complaint in problem for problem in check(broken)), list(check(broken))
