"""docker-compose.yml and deploy/ hold together: every name leads somewhere, and no secret is in a file."""

import copy
import fnmatch
import importlib.util
import json
import os
import re
import shlex
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import yaml
from cryptography.fernet import Fernet
from jsonschema import Draft202012Validator
from temporalio.api.common.v1 import Payload

from hub import settings as hub_settings
from hub.settings import HubSettings
from integrations.vault import Vault
from models.database import engine
from models.domain.ids import new_id
from models.domain.server_spec import ServerSpec, SpecInvalid, sign_spec, verify_spec
from models.domain.settings import Settings, table
from models.ledger import heartbeats
from models.ledger.heartbeats import Role
from stack import vault_setup
from tests.project import PROJECT
from workflows.codec import EncryptionCodec, PayloadUnreadable

Json = dict[str, Any]

DEPLOY = PROJECT / "deploy"
COMPOSE: Json = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
DOCKERFILES = ("deploy/Dockerfile", "deploy/jupyterhub.Dockerfile")
SCRIPTS = (
    "deploy/entrypoint.sh",
    "deploy/make-secrets.sh",
    "deploy/postgres/initialised.sh",
    "deploy/postgres/start.sh",
    "deploy/rotate-keys.sh",
    "deploy/temporal/setup.sh",
    "deploy/vault/setup.sh",
)
# Read by others and not run.
PARTS_OF_SCRIPTS = ("deploy/secret-files.sh",)
# Steps that end; everything else stays up.
ONE_SHOT = {"migrate", "temporal-schema", "temporal-namespace", "vault-setup"}
# Of these, those that an operator runs.
BY_HAND = {"vault-setup"}
SECRETS = "./deploy/secrets/"
# Of these as many may run as wanted.
SCALED = {"api", "worker"}
# Roots that are written to, and why.
WRITABLE = {"keycloak": "it builds itself when it starts"}
# What entry points of images do before they become somebody else: they own directories.
CAPABILITIES = {
    "postgres": {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"},
    # Its parent stays root, and tells it to end and to begin a new log.
    "vault": {"CHOWN", "KILL", "SETGID", "SETUID"},
}
# Settings that nobody can give in deploy/.env: for tests, for development, built into the image.
WITHHELD = {"NBHUB_CRASH_POINTS", "NBHUB_HUB_ADMIN_TOKEN", "NBHUB_COMMIT"}
# What sounds like a secret and is none.
NO_SECRETS = {"NBHUB_SECRETS_UNWRAPPED_BY", "NBHUB_SECRET_MOUNT_PREFIXES"}
# Variables that an image reads as a file itself, so that our entrypoint has to leave them alone.
NATIVE_FILES = {"POSTGRES_PASSWORD_FILE"}

NAME = {"type": "string", "pattern": "^[a-z][a-z0-9-]*$"}
TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "array", "items": TEXT, "minItems": 1}
DURATION = {"type": "string", "pattern": "^[0-9]+[sm]$"}


def _closed(properties: Json, *required: str) -> Json:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _mapped(value: Json) -> Json:
    return {"type": "object", "propertyNames": NAME, "additionalProperties": value}


SERVICE = _closed(
    {
        "image": TEXT,
        "build": _closed(
            {
                "context": TEXT,
                "dockerfile": TEXT,
                "target": TEXT,
                "args": {"type": "object", "additionalProperties": TEXT},
            },
            *("context", "dockerfile", "target"),
        ),
        "pull_policy": {"const": "never"},
        "entrypoint": TEXTS,
        "command": TEXTS,
        "environment": {
            "type": "object",
            "propertyNames": {"pattern": "^[A-Z][A-Z0-9_]*$"},
            # A number or a boolean would be written by YAML's rules, not by ours.
            "additionalProperties": {"type": ["string", "null"]},
        },
        "secrets": {
            "type": "array",
            "items": {"anyOf": [NAME, _closed({"source": NAME, "target": TEXT}, "source", "target")]},
        },
        "volumes": {
            "type": "array",
            "items": {
                "anyOf": [
                    {"type": "string", "pattern": "^[^:]+:/[^:]+(:ro)?$"},
                    # Of a directory that make-secrets.sh makes: docker would make an empty one where it is missing.
                    _closed(
                        {
                            "type": {"const": "bind"},
                            "source": {"type": "string", "pattern": f"^{SECRETS}"},
                            "target": {"type": "string", "pattern": "^/run/secrets/"},
                            "read_only": {"const": True},
                            "bind": _closed({"create_host_path": {"const": False}}, "create_host_path"),
                        },
                        *("type", "source", "target", "read_only", "bind"),
                    ),
                ]
            },
        },
        "tmpfs": TEXTS,
        "ports": {
            "type": "array",
            "items": {
                "type": "string",
                "pattern": r"^(127\.0\.0\.1|\$\{\w+:-127\.0\.0\.1\}):(\d+|\$\{\w+:-\d+\}):\d+$",
            },
        },
        "networks": {
            "anyOf": [
                {"type": "array", "items": NAME, "uniqueItems": True},
                _mapped({"anyOf": [{"type": "null"}, _closed({"aliases": TEXTS})]}),
            ]
        },
        "depends_on": _mapped(
            _closed({"condition": {"enum": ["service_healthy", "service_completed_successfully"]}}, "condition")
        ),
        "healthcheck": _closed(
            {
                "test": TEXTS,
                "interval": DURATION,
                "timeout": DURATION,
                "start_period": DURATION,
                "retries": {"type": "integer", "minimum": 1},
            },
            *("test", "interval", "timeout", "retries"),
        ),
        "restart": {"enum": ["no", "unless-stopped"]},
        "profiles": {"const": ["by-hand"]},
        "user": {"const": "1000:1000"},
        "logging": _closed({"driver": TEXT, "options": {"type": "object", "additionalProperties": TEXT}}, "driver"),
        "stop_grace_period": DURATION,
        "shm_size": TEXT,
        "init": {"type": "boolean"},
        "read_only": {"type": "boolean"},
        "cap_drop": {"const": ["ALL"]},
        "cap_add": TEXTS,
        "security_opt": TEXTS,
    },
    *("image", "networks", "restart", "logging"),
)
# The part of the compose specification that is used here; whatever else appears is a mistake, or belongs here too.
SCHEMA = _closed(
    {
        "name": NAME,
        "x-settings": {"type": "object"},
        "x-confined": {"type": "object"},
        "x-logging": {"type": "object"},
        "services": _mapped(SERVICE),
        "volumes": _mapped({"type": "null"}),
        "networks": _mapped({"anyOf": [{"type": "null"}, _closed({"internal": {"type": "boolean"}})]}),
        "secrets": _mapped(_closed({"file": TEXT}, "file")),
    },
    *("name", "services", "volumes", "networks", "secrets"),
)


def mounts_of(service: Json) -> list[tuple[str, str]]:
    """What of the host or of which volume a service sees, and where."""
    short = [one for one in service.get("volumes", ()) if isinstance(one, str)]
    long = [one for one in service.get("volumes", ()) if not isinstance(one, str)]
    return [(one.split(":")[0], one.split(":")[1]) for one in short] + [(one["source"], one["target"]) for one in long]


def secrets_of(service: Json) -> dict[str, str]:
    """The secrets that a service holds, and where: single files, and directories of keys."""
    files = [one if isinstance(one, str) else one["source"] for one in service.get("secrets", ())]
    directories = {source.removeprefix(SECRETS): at for source, at in mounts_of(service) if source.startswith(SECRETS)}
    return {one: f"/run/secrets/{one}" for one in files} | directories


# What is wrong with a compose file. Each check yields sentences, so that a broken copy can be shown to it.


def schema_problems(compose: Json) -> Iterator[str]:
    for error in Draft202012Validator(SCHEMA).iter_errors(compose):
        yield f"{'.'.join(map(str, error.absolute_path))}: {error.message}"


def reference_problems(compose: Json) -> Iterator[str]:
    services = compose["services"]
    used: dict[str, set[str]] = {"secrets": set(), "volumes": set(), "networks": set()}
    for name, service in services.items():
        used["secrets"] |= set(service.get("secrets", ()))
        used["networks"] |= set(service["networks"])
        for source, _ in mounts_of(service):
            if not source.startswith("."):
                used["volumes"].add(source)
            elif not source.startswith(SECRETS) and not (PROJECT / source).exists():
                yield f"{name}: {source} is missing"
        for other, how in service.get("depends_on", {}).items():
            if other not in services:
                yield f"{name} depends on {other}, which is no service"
            elif other in BY_HAND or (how["condition"] == "service_healthy") == (other in ONE_SHOT):
                yield f"{name} waits for {other} in a way that never comes true"
    for kind, names in used.items():
        yield from (f"{one}: of no {kind}" for one in sorted(names - set(compose[kind])))
        yield from (f"{one}: nobody's {kind}" for one in sorted(set(compose[kind]) - names))


def lifecycle_problems(compose: Json) -> Iterator[str]:
    if set(compose["services"]) < ONE_SHOT:
        yield "a step is missing"
    for name, service in compose["services"].items():
        once = name in ONE_SHOT
        if ("healthcheck" in service) == once:
            yield f"{name}: a health check is for what stays up"
        if service["restart"] != ("no" if once else "unless-stopped"):
            yield f"{name}: restart"
        if ("profiles" in service) != (name in BY_HAND):
            yield f"{name}: a profile is for what is run by hand"
        tag = service["image"].rpartition(":")[2]
        if tag == "local":
            makers = [one for one, other in compose["services"].items() if makes(other, service["image"])]
            if len(makers) != 1:
                yield f"{name}: the image is made by {makers}"
            if ("pull_policy" in service) == (name in makers):
                yield f"{name}: an image that another service makes is in no registry"
        elif "build" in service or not re.match(r"\d+\.\d+(\.\d+)?(-\w+)?$", tag):
            yield f"{name}: the image is not pinned by a full tag"


def makes(service: Json, image: str) -> bool:
    """Whether an image is built for this service."""
    return "build" in service and service["image"] == image


def build_problems(compose: Json) -> Iterator[str]:
    services = compose["services"].values()
    for name, service in compose["services"].items():
        build = next((one["build"] for one in services if makes(one, service["image"])), None)
        if build is None:
            continue
        file = PROJECT / build["context"] / build["dockerfile"]
        if not file.is_file():
            yield f"{name}: no {build['dockerfile']}"
            continue
        text = file.read_text()
        if not re.search(rf"^FROM \S+ AS {re.escape(build['target'])}$", text, re.MULTILINE):
            yield f"{name}: no stage {build['target']}"
        yield from (
            f"{name}: no ARG {one}" for one in build.get("args", {}) if not re.search(rf"^ARG {one}\b", text, re.M)
        )
        for command in (service["command"], service.get("healthcheck", {}).get("test", ["CMD"])[1:]):
            yield from (f"{name}: {problem}" for problem in _command_problems(command, text))


def _command_problems(command: list[str], dockerfile: str) -> Iterator[str]:
    if command[:2] == ["/bin/sh", "-c"]:
        command = shlex.split(command[2].rpartition("exec ")[2])
    if not command or command[0] != "python":
        return
    if command[1] == "-m":
        if importlib.util.find_spec(command[2]) is None:
            yield f"no module {command[2]}"
        files = [command[position + 1] for position, word in enumerate(command) if word == "-f"]
    elif command[1] == "-c":
        compile(command[2], "healthcheck", "exec")
        files = []
    else:
        files = [command[1]]
    for file in files:
        if not (PROJECT / file).is_file():
            yield f"no file {file}"
        elif not any(file == one or file.startswith(f"{one}/") for one in copied(dockerfile)):
            yield f"{file} is not in the image"


def environment_problems(compose: Json) -> Iterator[str]:
    server = server_variables()
    offered = {name for name, _ in example()}
    for name, service in compose["services"].items():
        values = service.get("environment", {})
        known = hub_variables() if name == "jupyterhub" else server
        yield from (f"{name}: nobody reads {one}" for one in values if one.startswith("NBHUB_") and one not in known)
        mounted = set(secrets_of(service).values())
        named = {value for value in values.values() if value and value.startswith("/run/secrets/")}
        yield from (f"{name}: {one} is not mounted" for one in sorted(named - mounted))
        yield from (f"{name}: {one} is not used" for one in sorted(mounted - named))
        for variable, value in values.items():
            secret = re.search(r"PASSWORD|SECRET|TOKEN|_PWD|KEYS?(_|$)|DATABASE_URL", variable)
            if secret and variable not in NO_SECRETS and not str(value).startswith("/run/secrets/"):
                yield f"{name}: {variable} is given in the open"
            if value is None and variable not in offered | known:
                yield f"{name}: {variable} is passed on from deploy/.env, which has no such name"
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", json.dumps(compose)))
    passed = {one for service in compose["services"].values() for one in service.get("environment", {})}
    yield from (f"{one} is not in deploy/.env.example" for one in sorted(used - offered - {"COMMIT"}))
    yield from (f"{one} of deploy/.env.example changes nothing" for one in sorted(offered - used - passed))


def settings_problems(compose: Json) -> Iterator[str]:
    # The compose file gives a setting its value, or whom it concerns gets it from deploy/.env.
    for names, variables in ((("api", "worker"), server_variables()), (("jupyterhub",), hub_variables())):
        services = [compose["services"][name] for name in names]
        for variable in sorted({name.removesuffix("_FILE") for name in variables} - WITHHELD):
            forms = (variable, f"{variable}_FILE")
            told = [[one["environment"][form] for form in forms if form in one["environment"]] for one in services]
            exported = any(f"{form}=" in word for one in services for word in one["command"] for form in forms)
            if not exported and not any(value is not None for values in told for value in values) and not all(told):
                yield f"{variable} of deploy/.env does not reach {' and '.join(names)}"


def confinement_problems(compose: Json) -> Iterator[str]:
    for name, service in compose["services"].items():
        if service.get("cap_drop") != ["ALL"]:
            yield f"{name}: keeps capabilities"
        if set(service.get("cap_add", ())) != CAPABILITIES.get(name, set()):
            yield f"{name}: other capabilities than it needs"
        if not {"no-new-privileges", "no-new-privileges=true"} & set(service.get("security_opt", ())):
            yield f"{name}: may become somebody else"
        if service.get("read_only", False) == (name in WRITABLE):
            yield f"{name}: its root is written to"
        # Volumes of an image that get no name are left behind by each `down`.
        places = {at for _, at in mounts_of(service)} | set(service.get("tmpfs", ()))
        yield from (f"{name}: {one} is a volume without a name" for one in VOLUMES_OF.get(name, set()) - places)


VOLUMES_OF = {"postgres": {"/var/lib/postgresql"}, "vault": {"/vault/file", "/vault/logs"}}
"""What the images of others declare as volumes."""


def isolation_problems(compose: Json) -> Iterator[str]:
    services, networks = compose["services"], compose["networks"]
    servers = set(services["jupyterhub"]["networks"])
    for name in sorted(services.keys() - {"jupyterhub"}):
        if (name in BESIDE_SERVERS) != bool(servers & set(services[name]["networks"])):
            yield f"people's programs reach {name}" if name not in BESIDE_SERVERS else f"jupyterhub: no way to {name}"
    # JupyterHub opens wrapped secrets at Vault; they reach that too, and nothing else by that way.
    beside = {name for name, service in services.items() if "vault" in service["networks"]}
    if beside != {"vault", "vault-setup", "jupyterhub", "api", "worker"}:
        yield f"in the network of Vault: {sorted(beside)}"
    if list(services["vault"]["networks"]) != ["vault"]:
        yield "vault: reached by another way"
    for name in ("database", "hub", "temporal", "vault"):
        if not (networks[name] or {}).get("internal"):
            yield f"{name} reaches the world"
    for name in SCALED:
        ports = services[name].get("ports", ())
        if "container_name" in services[name] or any(re.search(r":\d+:\d+$", port) for port in ports):
            yield f"{name}: cannot be started twice"
    holders: dict[str, set[str]] = {}
    for name, service in services.items():
        for one in secrets_of(service):
            holders.setdefault(one, set()).add(name)
    yield from (f"{one}: held by {sorted(who)}" for one, who in holders.items() if HOLDERS.get(one) != who)
    yield from (f"{one}: held by nobody" for one in sorted(HOLDERS.keys() - holders))


BESIDE_SERVERS = {"keycloak", "api", "worker", "vault", "vault-setup"}
"""Who shares a network with JupyterHub, and so with people's programs: nobody whom it does not need."""

HOLDERS = {
    "postgres-password": {"postgres"},
    "nbhub-db-password": {"postgres"},
    "temporal-db-password": {"postgres", "temporal", "temporal-schema"},
    "keycloak-db-password": {"postgres", "keycloak"},
    "keycloak-admin-password": {"keycloak"},
    "database-url": {"migrate", "api", "worker"},
    "payload-keys": {"api", "worker"},
    "codec-token": {"api", "temporal-ui"},
    "session-key": {"api"},
    "api-client-secret": {"api", "keycloak"},
    "hub-client-secret": {"jupyterhub", "keycloak"},
    "hub-worker-token": {"worker", "jupyterhub"},
    "hub-proxy-token": {"jupyterhub"},
    "spec-signing-keys": {"worker"},
    "spec-keys": {"jupyterhub"},
    # Of JupyterHub nothing: it opens wrappers without a credential.
    "vault-api-secret-id": {"api", "vault-setup"},
    "vault-worker-secret-id": {"worker", "vault-setup"},
}
"""Which service holds which secret."""

CHECKS: tuple[Callable[[Json], Iterator[str]], ...] = (
    schema_problems,
    reference_problems,
    lifecycle_problems,
    build_problems,
    environment_problems,
    settings_problems,
    confinement_problems,
    isolation_problems,
)


# What the files say


def copied(dockerfile: str) -> list[str]:
    """What a Dockerfile takes from the working tree."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def example() -> list[tuple[str, str]]:
    """Names and values of deploy/.env.example, those that are commented out too."""
    text = (DEPLOY / ".env.example").read_text()
    return re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", text, re.MULTILINE)


def server_variables() -> set[str]:
    """What API and workers read."""
    return {name for row in table() for name in re.findall(r"NBHUB_\w+", row[0])}


def hub_variables() -> set[str]:
    """What JupyterHub's side reads."""
    found = set()
    for field in msgspec.structs.fields(HubSettings):
        name = hub_settings._SHARED.get(field.name, f"NBHUB_HUB_{field.name.upper()}")
        found |= {name, f"{name}_FILE"} if field.name in hub_settings._SECRETS else {name}
    return found


def environment_of(service: str, secrets: Path) -> dict[str, str]:
    """The environment that a service starts with, its secrets at another place."""
    values = dict(example())
    found = {}
    for name, value in COMPOSE["services"][service]["environment"].items():
        if value is not None:
            text = re.sub(r"\$\{(\w+)(?::[?-][^}]*)?\}", lambda match: values[match[1]], value)
            found[name] = text.replace("/run/secrets", str(secrets))
    return found


def worker_settings(secrets: Path, programs: Path) -> Settings:
    """The settings with which the worker's command ends in the worker; a stand-in in `programs` tells them."""
    stand_in = programs / "python"
    stand_in.write_text("#!/bin/sh\nenv -0\n")
    stand_in.chmod(0o755)
    *shell, script = COMPOSE["services"]["worker"]["command"]
    environment = environment_of("worker", secrets) | {"PATH": f"{programs}:{os.environ['PATH']}"}
    done = run(*shell, script.replace("$$", "$"), **environment)
    assert done.returncode == 0, done.stderr
    return Settings.from_environment(dict(line.split("=", 1) for line in done.stdout.split("\0") if line))


def allowed_names() -> set[str]:
    """What the entrypoint turns into variables."""
    listed = re.search(r"for name in(.*?); do", (DEPLOY / "entrypoint.sh").read_text(), re.DOTALL)
    assert listed is not None
    return set(re.findall(r"[A-Z][A-Z_]+", listed[1]))


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # Nothing but PATH: what a container starts with is no more.
    values = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(command, env=values, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Secrets, just made."""
    directory = tmp_path_factory.mktemp("deploy") / "secrets"
    done = run(str(DEPLOY / "make-secrets.sh"), str(directory))
    assert done.returncode == 0, done.stderr
    return directory


# docker-compose.yml


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
        (reference_problems, _service("temporal-ui", networks=["temporal"]), "operators: nobody's networks"),
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
        (environment_problems, _service("vault", secrets=["codec-token"]), "codec-token is not used"),
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


def signed(worker: Settings) -> str:
    """A spec as the worker signs it."""
    now = int(time.time())
    spec = ServerSpec(
        server_id="s1",
        hub_user="alice@example.org",
        hub_name="s1",
        generation=1,
        person_id="p1",
        application="lab",
        hardware="small",
        home="/data/notebooks/p1",
        issued_at=now,
        expires_at=now + 120,
    )
    return sign_spec(spec, Path(worker.spec_signing_key_file).read_bytes(), worker.spec_key_id)


def test_api_and_provider_share_the_client_secrets_and_addresses(made: Path) -> None:
    realm = json.loads((DEPLOY / "keycloak" / "realm.json").read_text())
    keycloak = COMPOSE["services"]["keycloak"]["environment"]
    api = Settings.from_environment(environment_of("api", made))
    hub = HubSettings.from_environment(environment_of("jupyterhub", made))
    clients = {client["clientId"]: client for client in realm["clients"]}

    assert "users" not in realm
    assert set(clients) == {api.oidc_client_id, hub.oidc_client_id} == {api.oidc_client_id, *api.oidc_trusted_clients}
    assert api.oidc_client_secret != hub.oidc_client_secret
    assert api.oidc_issuer == hub.oidc_issuer
    assert api.oidc_issuer.endswith(f"/realms/{realm['realm']}")
    assert api.admin_claim == f"realm_access.roles={realm['roles']['realm'][0]['name']}"
    placeholders = set(re.findall(r"\$\{(\w+)\}", json.dumps(realm)))
    assert placeholders <= {name.removesuffix("_FILE") for name in keycloak}
    assert {client["secret"] for client in clients.values()} == {"${API_CLIENT_SECRET}", "${HUB_CLIENT_SECRET}"}


# Dockerfiles


@pytest.mark.parametrize("name", DOCKERFILES)
def test_dockerfile_copies_what_is_there_and_runs_as_nobody_special(name: str) -> None:
    text = (PROJECT / name).read_text()
    patterns = [
        line.strip() for line in (PROJECT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"
    ]
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", text, re.MULTILINE)

    assert patterns[0] == "*"
    for source in copied(text):
        assert (PROJECT / source).exists(), source
        assert any(
            source == shown or source.startswith(f"{shown}/") or fnmatch.fnmatch(source, shown)
            for shown in (pattern[1:] for pattern in patterns if pattern[0] == "!")
        ), f"{source} is kept from the image"
    assert len(stages) == len(re.findall(r"^FROM ", text, re.MULTILINE))
    assert all(re.search(r":\d+\.\d+\.\d+(-[\w-]+)?$", image) for image, _ in stages)
    assert set(re.findall(r"--from=(\S+)", text)) <= {stage for _, stage in stages}
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["1000:1000"]


def test_every_package_that_runs_is_in_the_image() -> None:
    server, hub = (copied((PROJECT / name).read_text()) for name in DOCKERFILES)

    assert {"worker.py", "activities", "api", "integrations", "models", "workflows"} <= set(server)
    assert {"hub", "models/__init__.py", "models/domain"} <= set(hub)


def test_image_has_what_servers_in_sandboxes_need() -> None:
    text = (DEPLOY / "jupyterhub.Dockerfile").read_text()
    installed = re.search(r"apt-get install (.*?) \\\n", text)
    assert installed is not None

    assert {"bubblewrap", "lmod"} <= set(installed[1].split())
    # Debian's package has Lmod's start-up file here, and sandboxes show all of it.
    lmod = HubSettings.from_environment({"NBHUB_HUB_DATA_DIR": "/data"}).lmod_init
    assert lmod.startswith("/usr/share/lmod/")


# Scripts and secrets


@pytest.mark.parametrize("name", [*SCRIPTS, *PARTS_OF_SCRIPTS])
@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_script_parses(name: str, shell: str) -> None:
    assert run(shell, "-n", str(PROJECT / name)).stderr == ""
    assert os.access(PROJECT / name, os.X_OK) == (name in SCRIPTS)
    assert not re.search(r"\beval\b", (PROJECT / name).read_text())


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {str(file.relative_to(directory)): file.read_bytes() for file in directory.rglob("*") if file.is_file()}


def modes(directory: Path) -> tuple[set[int], set[int]]:
    """Who may do what with the files, and with the directories."""
    found = [directory, *directory.rglob("*")]
    files, directories = (
        {stat.S_IMODE(one.stat().st_mode) for one in found if one.is_dir() == is_one} for is_one in (False, True)
    )
    return files, directories


def test_secrets_are_made_once_and_for_their_owner_only(made: Path) -> None:
    before = contents(made)

    assert run(str(DEPLOY / "make-secrets.sh"), str(made)).returncode == 0

    assert contents(made) == before
    assert {file.name for file in made.iterdir()} == set(HOLDERS)
    assert all(one["file"] == f"{SECRETS}{name}" for name, one in COMPOSE["secrets"].items())
    assert {"spec-keys/1.pem", "spec-signing-keys/1.pem", "spec-signing-keys/current"} <= set(before)
    assert modes(made) == ({0o600}, {0o700})
    assert len(set(before.values())) == len(before)
    assert re.fullmatch(rb"[A-Za-z0-9_-]{43}=\n", before["session-key"])
    Fernet(before["session-key"].strip())
    EncryptionCodec.from_setting(before["payload-keys"].decode().strip())


def test_a_missing_secret_is_made_and_the_others_stay(tmp_path: Path) -> None:
    script = str(DEPLOY / "make-secrets.sh")
    run(script, str(tmp_path))
    before = contents(tmp_path)
    (tmp_path / "codec-token").unlink()
    (tmp_path / "vault-api-secret-id").unlink()
    (tmp_path / "database-url").write_text("damaged")
    (tmp_path / "spec-keys" / "1.pem").write_text("damaged")
    (tmp_path / "session-key").chmod(0o644)

    run(script, str(tmp_path))

    after = contents(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {"codec-token", "vault-api-secret-id"}
    assert modes(tmp_path) == ({0o600}, {0o700})


# PostgreSQL


class Cluster:
    """Starts a database as its container does, with a stand-in for the image's entry point and what it makes."""

    def __init__(self, volume: Path) -> None:
        self.data = volume / "18" / "docker"
        self._programs = volume.with_name("programs")
        self._programs.mkdir()

    def start(self, *, cut_off: bool = False) -> subprocess.CompletedProcess[str]:
        last = "kill -9 $$" if cut_off else str(DEPLOY / "postgres" / "initialised.sh")
        program = self._programs / "docker-entrypoint.sh"
        program.write_text(
            f"#!/bin/sh\nset -eu\n"
            f'if [ ! -s "$PGDATA/PG_VERSION" ]; then\n'
            f'  mkdir -p "$PGDATA"; echo 18 >"$PGDATA/PG_VERSION"; {last}; date +%N >"$PGDATA/whole"\n'
            f"fi\n"
            f'echo "$@"\n'
        )
        program.chmod(0o755)
        path = f"{self._programs}:{os.environ['PATH']}"
        return run("sh", str(DEPLOY / "postgres" / "start.sh"), "postgres", PGDATA=str(self.data), PATH=path)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    (tmp_path / "volume").mkdir()
    return Cluster(tmp_path / "volume")


def test_postgresql_begins_again_when_its_first_initialisation_was_cut_off(cluster: Cluster) -> None:
    assert cluster.start(cut_off=True).returncode != 0
    (cluster.data / "half").touch()

    again = cluster.start()

    assert (again.returncode, again.stdout) == (0, "postgres\n"), again.stderr
    assert {file.name for file in cluster.data.iterdir()} == {"PG_VERSION", "whole"}


def test_postgresql_keeps_what_was_initialised_once(cluster: Cluster) -> None:
    cluster.start()
    whole = (cluster.data / "whole").read_text()

    assert cluster.start().returncode == 0

    assert (cluster.data / "whole").read_text() == whole


def test_postgresql_keeps_what_was_there_before_its_initialisation_was_watched(cluster: Cluster) -> None:
    cluster.data.mkdir(parents=True)
    (cluster.data / "PG_VERSION").write_text("18\n")

    assert cluster.start(cut_off=True).returncode == 0

    assert [file.name for file in cluster.data.iterdir()] == ["PG_VERSION"]


def test_what_initialises_postgresql_is_told_last_that_it_is_done() -> None:
    scripts = [Path(at).name for _, at in mounts_of(COMPOSE["services"]["postgres"]) if "initdb.d" in at]

    # The image runs them by their names, which some locales sort without the dot.
    assert sorted(name.replace(".", "") for name in scripts) == [name.replace(".", "") for name in scripts]
    assert scripts == ["init.sql", "last.sh"]


# Rotation


def rotate(secrets: Path, *options: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(DEPLOY / "rotate-keys.sh"), *options, str(secrets)]
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, input=answer, env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def own_secrets(made: Path, tmp_path: Path) -> Path:
    """Secrets of one test, which changes them."""
    return shutil.copytree(made, tmp_path / "secrets")


def codec_of(secrets: Path, service: str) -> EncryptionCodec:
    return EncryptionCodec.from_setting(Settings.from_environment(environment_of(service, secrets)).payload_keys)


async def test_rotated_payload_keys_encrypt_anew_and_still_read_what_is_old(own_secrets: Path) -> None:
    payload = Payload(metadata={"encoding": b"json/plain"}, data=b'"something"')
    before = codec_of(own_secrets, "worker")
    (old,) = await before.encode([payload])

    done = rotate(own_secrets)

    assert done.returncode == 0, done.stderr
    after = codec_of(own_secrets, "api")
    (new,) = await after.encode([payload])
    assert (old.metadata["encryption-key-id"], new.metadata["encryption-key-id"]) == (b"1", b"2")
    assert await after.decode([old, new]) == [payload, payload]
    with pytest.raises(PayloadUnreadable):
        await before.decode([new])
    assert rotate(own_secrets, "--prune", answer="yes\n").returncode == 0
    assert await codec_of(own_secrets, "worker").decode([new]) == [payload]
    with pytest.raises(PayloadUnreadable):
        await codec_of(own_secrets, "worker").decode([old])


def test_rotated_spec_key_is_believed_beside_the_old_one_until_that_is_pruned(
    own_secrets: Path, tmp_path: Path
) -> None:
    hub = HubSettings.from_environment(environment_of("jupyterhub", own_secrets))
    before = worker_settings(own_secrets, tmp_path)
    old = signed(before)

    assert rotate(own_secrets).returncode == 0

    # A worker that still runs goes on with the key that it has; one that starts takes the new one.
    after = worker_settings(own_secrets, tmp_path)
    assert (before.spec_key_id, after.spec_key_id) == ("1", "2")
    for token in (old, signed(before), signed(after)):
        assert verify_spec(token, hub.public_keys()).server_id == "s1"
    assert rotate(own_secrets, "--prune", answer="yes\n").returncode == 0
    assert verify_spec(signed(after), hub.public_keys()).server_id == "s1"
    with pytest.raises(SpecInvalid) as refusal:
        verify_spec(old, hub.public_keys())
    assert refusal.value.code == "unknown-key"
    assert worker_settings(own_secrets, tmp_path).spec_key_id == "2"


def test_rotation_leaves_all_else_and_can_be_repeated(own_secrets: Path) -> None:
    # Ids are numbers and no texts: after 9 comes 10, and after 10 no 10.
    payload_key = (own_secrets / "payload-keys").read_text().removeprefix("1:")
    (own_secrets / "payload-keys").write_text(f"9:{payload_key}")
    (own_secrets / "spec-signing-keys" / "current").write_text("9\n")
    for kind in ("spec-keys", "spec-signing-keys"):
        (own_secrets / kind / "1.pem").rename(own_secrets / kind / "9.pem")
    before = contents(own_secrets)

    for _ in range(2):
        assert rotate(own_secrets).returncode == 0

    after = contents(own_secrets)
    made_anew = {f"{kind}/{number}.pem" for kind in ("spec-keys", "spec-signing-keys") for number in (10, 11)}
    assert set(after) - set(before) == made_anew
    assert {name for name in before if before[name] != after[name]} == {"payload-keys", "spec-signing-keys/current"}
    assert re.findall(rb"(\d+):", after["payload-keys"]) == [b"11", b"10", b"9"]
    assert after["payload-keys"].endswith(before["payload-keys"])
    assert after["spec-signing-keys/current"] == b"11\n"
    assert modes(own_secrets) == ({0o600}, {0o700})
    # Whoever makes secrets that are missing leaves it all as it is.
    assert run(str(DEPLOY / "make-secrets.sh"), str(own_secrets)).returncode == 0
    assert contents(own_secrets) == after


@pytest.mark.parametrize("answer", ["", "no\n", "y\n"])
def test_nothing_is_pruned_unless_one_says_yes_to_what_that_means(answer: str, own_secrets: Path) -> None:
    rotate(own_secrets)
    before = contents(own_secrets)

    done = rotate(own_secrets, "--prune", answer=answer)

    assert done.returncode != 0
    assert contents(own_secrets) == before
    retention = re.search(r"--retention (\d+)h", (DEPLOY / "temporal" / "setup.sh").read_text())
    assert retention is not None
    assert f"retention ({int(retention[1]) // 24} days)" in done.stderr
    assert "two minutes" in done.stderr
    assert "Payload keys (1)" in done.stderr
    assert "Spec keys (1)" in done.stderr


def test_pruning_keeps_the_current_keys(own_secrets: Path) -> None:
    before = contents(own_secrets)

    assert rotate(own_secrets, "--prune").returncode == 0
    assert contents(own_secrets) == before

    rotate(own_secrets)
    rotate(own_secrets)
    assert rotate(own_secrets, "--prune", answer="yes\n").returncode == 0
    after = contents(own_secrets)
    assert {name for name in after if "spec-" in name} == {
        *("spec-keys/3.pem", "spec-signing-keys/3.pem", "spec-signing-keys/current")
    }
    assert re.fullmatch(rb"3:[A-Za-z0-9_-]{43}=\n", after["payload-keys"])
    assert modes(own_secrets) == ({0o600}, {0o700})


def test_rotation_needs_keys_that_were_made(tmp_path: Path) -> None:
    done = rotate(tmp_path)

    assert done.returncode != 0
    assert "make-secrets.sh" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_worker_does_not_start_without_a_key(own_secrets: Path, tmp_path: Path) -> None:
    (own_secrets / "spec-signing-keys" / "current").unlink()

    with pytest.raises(AssertionError, match="current"):
        worker_settings(own_secrets, tmp_path)


def test_secrets_stay_out_of_git_and_out_of_images() -> None:
    ignored = (DEPLOY / ".gitignore").read_text().split()

    assert {"/secrets/", "/.env"} <= set(ignored)
    assert not re.search(r"^!deploy(/(secrets|\.env).*)?$", (PROJECT / ".dockerignore").read_text(), re.MULTILINE)


SECRET_LOOKING = (
    re.compile(r"BEGIN [A-Z ]*PRIVATE KEY"),
    # Long, with digits and without the look of a word.
    re.compile(r"\b(?=[A-Za-z0-9+_-]*\d)(?=[A-Za-z0-9+_-]*[A-Za-z])[A-Za-z0-9+_-]{28,}=*"),
    re.compile(r"(?i)\b(password|passwd|secret|token)\b\"?(:|[ \t]*=)[ \t]*[\"']?\w{4,}"),
    re.compile(r"://[^/\s:@$%{]+:[^/\s@$%{]+@"),
    re.compile(r"\b(hvs|s|ghp|xox[bp])\.[A-Za-z0-9]{16,}"),
)


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----",
        'POSTGRES_PASSWORD_FILE: "4c1ea02b6f0a4cbb9e3d77d2a1f5c6e8"',
        "password: hunter22",
        "token = letmein",
        '"secret": "changeme"',
        "postgresql://nbhub:letmein@postgres/nbhub",
        "hvs.CAESIJr0aBcDeFgHiJkL",
    ],
)
def test_what_a_secret_looks_like(text: str) -> None:
    assert any(pattern.search(text) for pattern in SECRET_LOOKING)


def test_no_file_holds_a_secret() -> None:
    listed = run("git", "-C", str(PROJECT), "ls-files", "--cached", "--others", "--exclude-standard", "deploy").stdout
    files = [PROJECT / "docker-compose.yml", PROJECT / ".dockerignore", *(PROJECT / name for name in listed.split())]

    assert len(files) > 10
    found = [
        f"{file.name}: {match[0]}"
        for file in files
        for pattern in SECRET_LOOKING
        for match in pattern.finditer(file.read_text())
    ]
    assert found == []


def test_entrypoint_lists_the_names_that_services_give_it() -> None:
    given: set[str] = set()
    for service in COMPOSE["services"].values():
        if "/nbhub/entrypoint.sh" in service.get("entrypoint", ()):
            assert "./deploy/entrypoint.sh:/nbhub/entrypoint.sh:ro" in service["volumes"]
            given |= {name for name in service["environment"] if name.endswith("_FILE")} - NATIVE_FILES

    assert {f"{name}_FILE" for name in allowed_names()} == given
    databases = re.findall(r"\\getenv \w+ (\w+)", (DEPLOY / "postgres" / "init.sql").read_text())
    assert {f"{name}_FILE" for name in databases} <= set(COMPOSE["services"]["postgres"]["environment"])
    assert set(databases) <= allowed_names()


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_entrypoint_exports_listed_files_and_executes(shell: str, tmp_path: Path) -> None:
    value = "a $(id) `id` 'b' \"c\" \\n *"
    (tmp_path / "token").write_text(f"{value}\n")
    # Another script would be in the way if the command were not executed as it is.
    program = 'printf "%s\\n" "$#" "$1" "$CODEC_TOKEN" "${CODEC_TOKEN_FILE-gone}" "${OTHER-absent}" "$OTHER_FILE"'

    done = run(
        *(shell, str(DEPLOY / "entrypoint.sh"), "sh", "-c", program, "sh", "two words"),
        CODEC_TOKEN_FILE=str(tmp_path / "token"),
        OTHER_FILE=str(tmp_path / "token"),
    )

    assert done.stdout.splitlines() == ["1", "two words", value, "gone", "absent", str(tmp_path / "token")]


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_entrypoint_refuses_to_start_without_a_secret(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)

    done = run("sh", str(DEPLOY / "entrypoint.sh"), "echo", "started", KC_DB_PASSWORD_FILE=str(file))

    assert done.returncode != 0
    assert done.stdout == ""
    assert str(file) in done.stderr


def test_temporal_ui_asks_the_api_to_decode() -> None:
    *_, flag, line = COMPOSE["services"]["temporal-ui"]["command"]
    script = line.replace("$$", "$").replace("exec ./start-ui-server.sh", "exec printenv TEMPORAL_CODEC_ENDPOINT")

    done = run("sh", flag, script, PUBLIC_API_URL="http://localhost:8002", CODEC_TOKEN="t0")

    assert done.stdout == "http://localhost:8002/codec/t0\n"


# Vault


def _policy(name: str) -> dict[str, str]:
    text = (DEPLOY / "vault" / f"{name}.hcl").read_text()
    return dict(re.findall(r'^path "([^"]+)" \{\n(.*?)^\}$', text, re.MULTILINE | re.DOTALL))


def test_policies_grant_no_more_than_needed() -> None:
    api, worker = _policy("api"), _policy("worker")
    capabilities = {
        (who, path): set(re.findall(r'"(\w+)"', body.split("[")[1].split("]")[0]))
        for who, policy in (("api", api), ("worker", worker))
        for path, body in policy.items()
    }

    assert capabilities == {
        ("api", "secret/data/secrets/+"): {"create", "update"},
        ("worker", "secret/data/secrets/+"): {"read"},
        ("worker", "secret/metadata/secrets/+"): {"delete"},
        ("worker", "secret/metadata/secrets"): {"list"},
        ("worker", "auth/token/revoke"): {"update"},
    }


@pytest.mark.parametrize("service", ["api", "worker"])
def test_policies_are_about_where_the_values_are(service: str, made: Path) -> None:
    settings = Settings.from_environment(environment_of(service, made))
    path = Vault.from_settings(settings).path(new_id())

    assert any(fnmatch.fnmatch(path, allowed.replace("+", "*")) for allowed in _policy(service))
    assert f"-path={settings.vault_engine} " in (DEPLOY / "vault" / "setup.sh").read_text()


def test_what_workers_wrap_lives_long_enough_and_no_longer(made: Path) -> None:
    body = _policy("worker")["secret/data/secrets/+"]
    least, most = (re.search(rf'{which}_wrapping_ttl = "(\d+)([sm])"', body) for which in ("min", "max"))
    assert least is not None
    assert most is not None

    # Without a least time a plain read would be answered.
    assert least.groups() == ("1", "s")
    for who in ("hub", "container"):
        environment = environment_of("worker", made) | {"NBHUB_SECRETS_UNWRAPPED_BY": who}
        wanted = Settings.from_environment(environment).wrapping_seconds
        assert most[2] == "m"
        assert wanted <= int(most[1]) * 60


# Keeps what `vault` is told in a file, and every call with it; answers as Vault does. The real one was tried with the
# same script: deploy/README.md says how.
STAND_IN = """\
import json, pathlib, sys
file = pathlib.Path(__file__).with_name("state.json")
state = json.loads(file.read_text()) if file.exists() else {"enabled": [], "written": {}, "ids": [], "calls": []}
words = sys.argv[1:]
plain = [word for word in words if not word.startswith("-")]
state["calls"].append(words)
if plain[1:] == ["list"]:
    print(json.dumps({one: {} for one in state["enabled"]}))
elif plain[1] == "enable":
    name = next((word.removeprefix("-path=") for word in words if word.startswith("-path=")), plain[2]) + "/"
    assert name not in state["enabled"], "path is already in use"
    state["enabled"].append(name)
elif plain[0] == "write":
    given = {}
    for word in plain[2:]:
        name, _, value = word.partition("=")
        given[name] = sys.stdin.read() if value == "-" else value
    role, _, what = plain[1].rpartition("/")
    if what == "lookup":
        if [role, given["secret_id"]] in state["ids"]:
            print("{}")
    elif what == "custom-secret-id":
        assert [f"{role}/secret-id", given["secret_id"]] not in state["ids"], "already registered"
        state["ids"].append([f"{role}/secret-id", given["secret_id"]])
        print("secret_id", given["secret_id"])
    else:
        state["written"][plain[1]] = given
elif plain[:2] == ["policy", "write"]:
    state["written"]["sys/policies/acl/" + plain[2]] = {"policy": pathlib.Path(plain[3]).read_text()}
else:
    assert plain == ["token", "lookup"], plain
file.write_text(json.dumps(state))
"""


class SetUp:
    """Runs the script against the stand-in."""

    def __init__(self, directory: Path, secrets: Path) -> None:
        self._programs = directory / "programs"
        self._programs.mkdir()
        self.secrets = secrets
        program = self._programs / "vault"
        program.write_text(f"#!{sys.executable} -IS\n{STAND_IN}")
        program.chmod(0o755)

    def run(self) -> subprocess.CompletedProcess[str]:
        service = COMPOSE["services"]["vault-setup"]
        (source,) = [source for source, at in mounts_of(service) if at == "/nbhub"]
        script = service["entrypoint"][1].replace("/nbhub", str(PROJECT / source))
        environment = environment_of("vault-setup", self.secrets) | {"VAULT_TOKEN": "root"}
        return run("sh", script, **environment | {"PATH": f"{self._programs}:{os.environ['PATH']}"})

    @property
    def state(self) -> Json:
        return dict(json.loads((self._programs / "state.json").read_text()))

    def secret_id(self, process: str) -> str:
        return (self.secrets / f"vault-{process}-secret-id").read_text().strip()


@pytest.fixture(scope="module")
def vault_done(made: Path, tmp_path_factory: pytest.TempPathFactory) -> SetUp:
    """Vault, set up once."""
    set_up = SetUp(tmp_path_factory.mktemp("vault"), made)
    done = set_up.run()
    assert done.returncode == 0, done.stderr
    return set_up


def test_vault_is_set_up_once_however_often_one_does_it(vault_done: SetUp) -> None:
    once = vault_done.state

    again = vault_done.run()

    twice = vault_done.state
    assert again.returncode == 0, again.stderr
    assert once["enabled"] == ["secret/", "log/", "approle/"]
    assert once["ids"] == [
        [f"auth/approle/role/nbhub-{process}/secret-id", vault_done.secret_id(process)] for process in ("api", "worker")
    ]
    assert once | {"calls": []} == twice | {"calls": []}
    assert len(twice["calls"]) > len(once["calls"])


def test_no_secret_id_is_shown_while_vault_is_set_up(own_secrets: Path, tmp_path: Path) -> None:
    set_up = SetUp(tmp_path, own_secrets)

    done = set_up.run()

    assert len(set_up.state["ids"]) == 2
    for process in ("api", "worker"):
        assert set_up.secret_id(process) not in done.stdout + done.stderr + json.dumps(set_up.state["calls"])


def test_a_new_secret_id_is_registered_beside_the_old_one(own_secrets: Path, tmp_path: Path) -> None:
    set_up = SetUp(tmp_path, own_secrets)
    set_up.run()
    before = set_up.state["ids"]
    (own_secrets / "vault-api-secret-id").write_text("another\n")

    assert set_up.run().returncode == 0

    assert set_up.state["ids"] == [*before, ["auth/approle/role/nbhub-api/secret-id", "another"]]


def test_set_up_registers_no_empty_secret_id(own_secrets: Path, tmp_path: Path) -> None:
    set_up = SetUp(tmp_path, own_secrets)
    (own_secrets / "vault-api-secret-id").write_text("\n")

    done = set_up.run()

    assert done.returncode != 0
    assert "vault-api-secret-id is empty" in done.stderr
    assert set_up.state["ids"] == []


@pytest.mark.parametrize("process", ["api", "worker"])
async def test_roles_of_the_embedded_stack_are_these(process: str, vault_done: SetUp) -> None:
    name = vault_setup.role_of(process)
    role = f"auth/approle/role/{name}"
    sent: dict[str, Json] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        sent[request.url.path.removeprefix("/v1/")] = json.loads(request.content)
        # No such secret id yet.
        return httpx.Response(204)

    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(transport=transport, base_url="http://vault/v1/") as client:
        await vault_setup._keep_role(client, process, vault_done.secret_id(process))

    state = vault_done.state
    assert [f"{role}/secret-id", sent[f"{role}/custom-secret-id"]["secret_id"]] in state["ids"]
    paths = {f"sys/policies/acl/{name}", role, f"{role}/role-id"}
    assert paths == {path for path in sent if "secret-id" not in path}
    assert paths == {path for path in state["written"] if process in path}
    for path in paths:
        assert _as_words(sent[path]) == state["written"][path]


def _as_words(given: Json) -> dict[str, str]:
    """What is sent as JSON, as one writes it on a command line."""
    listed = {name: value if isinstance(value, list) else [value] for name, value in given.items()}
    return {
        name: ",".join(str(one).lower() if isinstance(one, bool) else one for one in value)
        for name, value in listed.items()
    }


@pytest.mark.parametrize(("status", "healthy"), [(0, True), (2, True), (1, False), (127, False)])
def test_vault_is_healthy_when_it_answers_sealed_or_not(status: int, healthy: bool, tmp_path: Path) -> None:
    program = tmp_path / "vault"
    program.write_text(f'#!/bin/sh\n[ "$*" = status ]\nexit {status}\n')
    program.chmod(0o755)
    kind, line = COMPOSE["services"]["vault"]["healthcheck"]["test"]

    done = run("sh", "-c", line.replace("$$", "$"), PATH=f"{tmp_path}:{os.environ['PATH']}")

    assert kind == "CMD-SHELL"
    assert (done.returncode == 0) is healthy


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


def test_vault_keeps_what_it_is_told() -> None:
    text = (DEPLOY / "vault" / "config.hcl").read_text()

    assert 'storage "raft"' in text
    assert "vault:/vault/file" in COMPOSE["services"]["vault"]["volumes"]
    assert COMPOSE["services"]["vault"]["command"] == ["server"]


# The worker's health


async def test_worker_is_healthy_while_one_of_its_host_is_seen(postgres: str, made: Path) -> None:
    spec = importlib.util.spec_from_file_location("worker_health", DEPLOY / "worker_health.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    settings = msgspec.structs.replace(Settings.from_environment(environment_of("worker", made)), database_url=postgres)
    async with engine.pool(settings):
        await heartbeats.beat(Role.WORKER)

    assert await module.works(settings, socket.gethostname()) is True
    assert await module.works(settings, "elsewhere") is False
