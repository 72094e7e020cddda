"""What can be wrong with a compose file. Each check yields sentences, so that a broken copy can be shown to it."""

import importlib.util
import json
import re
import shlex
from collections.abc import Callable, Iterator

from jsonschema import Draft202012Validator

from tests.project import PROJECT
from tests.unit.deploy.compose_schema import SCHEMA
from tests.unit.deploy.deployment import (
    SECRETS,
    Json,
    copied,
    example,
    hub_variables,
    mounts_of,
    secrets_of,
    server_variables,
)

# Steps that end; everything else stays up.
ONE_SHOT = {"migrate", "temporal-schema", "temporal-namespace", "vault-setup"}
# Of these, those that an operator runs.
BY_HAND = {"vault-setup"}
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
WITHHELD = {"NBHUB_CRASH_POINTS", "NBHUB_HUB_ADMIN_TOKEN", "NBHUB_CODEC_TOKEN", "NBHUB_COMMIT"}
# What sounds like a secret and is none.
NO_SECRETS = {"NBHUB_SECRETS_UNWRAPPED_BY", "NBHUB_SECRET_MOUNT_PREFIXES", "TEMPORAL_CODEC_PASS_ACCESS_TOKEN"}


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


VOLUMES_OF = {"postgres": {"/var/lib/postgresql"}, "vault": {"/vault/file", "/vault/logs"}}
"""What the images of others declare as volumes."""


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


BESIDE_SERVERS = {"keycloak", "api", "worker", "vault", "vault-setup"}
"""Who shares a network with JupyterHub, and so with people's programs: nobody whom it does not need."""
CLIENTS_OF_TEMPORAL = {"temporal-namespace", "temporal-ui", "api", "worker"}
HOLDERS = {
    "postgres-password": {"postgres"},
    "nbhub-db-password": {"postgres"},
    "temporal-db-password": {"postgres", "temporal", "temporal-schema"},
    "keycloak-db-password": {"postgres", "keycloak"},
    "keycloak-admin-password": {"keycloak"},
    "database-url": {"migrate", "api", "worker"},
    "payload-keys": {"api", "worker"},
    "temporal-ca-cert": {"temporal", *CLIENTS_OF_TEMPORAL},
    "temporal-server-cert": {"temporal"},
    "temporal-server-key": {"temporal"},
    "temporal-client-cert": CLIENTS_OF_TEMPORAL,
    "temporal-client-key": CLIENTS_OF_TEMPORAL,
    "session-key": {"api"},
    "api-client-secret": {"api", "keycloak"},
    "hub-client-secret": {"jupyterhub", "keycloak"},
    "temporal-ui-client-secret": {"temporal-ui", "keycloak"},
    "hub-worker-token": {"worker", "jupyterhub"},
    "hub-proxy-token": {"jupyterhub"},
    "spec-signing-keys": {"worker"},
    "spec-keys": {"jupyterhub"},
    # Of JupyterHub nothing: it opens wrappers without a credential.
    "vault-api-secret-id": {"api", "vault-setup"},
    "vault-worker-secret-id": {"worker", "vault-setup"},
}
"""Which service holds which secret."""


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
    beside = {name for name, service in services.items() if "temporal" in service["networks"]}
    if beside != {"temporal", *CLIENTS_OF_TEMPORAL}:
        yield f"in the network of Temporal: {sorted(beside)}"
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
