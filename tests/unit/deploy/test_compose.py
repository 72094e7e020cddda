"""docker-compose.yml and deploy/ hold together: every name leads somewhere, and no secret is in a file."""

import ast
import copy
import fnmatch
import importlib.util
import json
import os
import re
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import yaml
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from jsonschema import Draft202012Validator

from hub import settings as hub_settings
from hub.settings import HubSettings
from models.settings import Settings, table
from stack.tools import VAULT_VERSION
from workflows.codec import EncryptionCodec

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
COMPOSE: Json = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILES = ("deploy/Dockerfile", "deploy/jupyterhub.Dockerfile")
SCRIPTS = ("deploy/entrypoint.sh", "deploy/make-secrets.sh", "deploy/temporal/setup.sh", "deploy/vault/setup.sh")
# Steps that end; everything else stays up.
ONE_SHOT = {"migrate", "temporal-schema", "temporal-namespace"}
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
        "volumes": {"type": "array", "items": {"type": "string", "pattern": "^[^:]+:/[^:]+(:ro)?$"}},
        "tmpfs": TEXTS,
        "ports": {"type": "array", "items": {"type": "string", "pattern": r"^(127\.0\.0\.1|\$\{.+\}):\d+:\d+$"}},
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
        "logging": _closed({"driver": TEXT, "options": {"type": "object", "additionalProperties": TEXT}}, "driver"),
        "stop_grace_period": DURATION,
        "shm_size": TEXT,
        "init": {"type": "boolean"},
        "read_only": {"type": "boolean"},
        "cap_drop": TEXTS,
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


# What is wrong with a compose file. Each check yields sentences, so that a broken copy can be shown to it.


def schema_problems(compose: Json) -> Iterator[str]:
    for error in Draft202012Validator(SCHEMA).iter_errors(compose):
        yield f"{'.'.join(map(str, error.absolute_path))}: {error.message}"


def reference_problems(compose: Json) -> Iterator[str]:
    services = compose["services"]
    used: dict[str, set[str]] = {"secrets": set(), "volumes": set(), "networks": set()}
    for name, service in services.items():
        used["secrets"] |= {one if isinstance(one, str) else one["source"] for one in service.get("secrets", ())}
        used["networks"] |= set(service["networks"])
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if not source.startswith("."):
                used["volumes"].add(source)
            elif not (ROOT / source).exists():
                yield f"{name}: {source} is missing"
        for other, how in service.get("depends_on", {}).items():
            if other not in services:
                yield f"{name} depends on {other}, which is no service"
            elif (how["condition"] == "service_healthy") == (other in ONE_SHOT):
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
        tag = service["image"].rpartition(":")[2]
        if not (tag == "local" if "build" in service else re.match(r"\d+\.\d+(\.\d+)?(-\w+)?$", tag)):
            yield f"{name}: the image is not pinned by a full tag"


def build_problems(compose: Json) -> Iterator[str]:
    for name, service in compose["services"].items():
        build = service.get("build")
        if build is None:
            continue
        file = ROOT / build["context"] / build["dockerfile"]
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
        if not (ROOT / file).is_file():
            yield f"no file {file}"
        elif not any(file == one or file.startswith(f"{one}/") for one in copied(dockerfile)):
            yield f"{file} is not in the image"


def environment_problems(compose: Json) -> Iterator[str]:
    server = {name for row in table() for name in re.findall(r"NBHUB_\w+", row[0])}
    offered = {name for name, _ in example()}
    for name, service in compose["services"].items():
        values = service.get("environment", {})
        known = hub_variables() if name == "jupyterhub" else server
        yield from (f"{name}: nobody reads {one}" for one in values if one.startswith("NBHUB_") and one not in known)
        mounted = {
            f"/run/secrets/{one}" if isinstance(one, str) else one["target"] for one in service.get("secrets", ())
        }
        named = {value for value in values.values() if value and value.startswith("/run/secrets/")}
        for one in sorted(named):
            if not any(_leads_to(one, path) for path in mounted):
                yield f"{name}: {one} is not mounted"
        for path in sorted(mounted):
            if not any(_leads_to(one, path) for one in named):
                yield f"{name}: {path} is not used"
        for variable, value in values.items():
            secret = re.search(r"PASSWORD|SECRET|TOKEN|_PWD|KEYS?(_|$)|DATABASE_URL", variable)
            if secret and variable != "NBHUB_SPEC_KEY_ID" and not str(value).startswith("/run/secrets/"):
                yield f"{name}: {variable} is given in the open"
            if value is None and variable not in offered:
                yield f"{name}: {variable} is passed on from deploy/.env, which has no such name"
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", json.dumps(compose)))
    passed = {one for service in compose["services"].values() for one in service.get("environment", {})}
    yield from (f"{one} is not in deploy/.env.example" for one in sorted(used - offered))
    yield from (f"{one} of deploy/.env.example changes nothing" for one in sorted(offered - used - passed))


def _leads_to(named: str, path: str) -> bool:
    # A setting may name the directory that a file is mounted in.
    return path == named or path.startswith(f"{named}/")


def isolation_problems(compose: Json) -> Iterator[str]:
    services, networks = compose["services"], compose["networks"]
    servers = set(services["jupyterhub"]["networks"])
    for name in ("postgres", "temporal", "temporal-ui", "vault"):
        if servers & set(services[name]["networks"]):
            yield f"people's programs reach {name}"
    for name in ("database", "temporal", "vault"):
        if not (networks[name] or {}).get("internal"):
            yield f"{name} reaches the world"
    if services["worker"].keys() & {"ports", "container_name"}:
        yield "worker: cannot be started twice"
    holders: dict[str, set[str]] = {}
    for name, service in services.items():
        for one in service.get("secrets", ()):
            holders.setdefault(one if isinstance(one, str) else one["source"], set()).add(name)
    expected = {
        "database-url": {"migrate", "api", "worker"},
        "spec-signing-key": {"worker"},
        "hub-worker-token": {"worker", "jupyterhub"},
        "session-key": {"api"},
        "api-client-secret": {"api", "keycloak"},
        "payload-keys": {"api", "worker"},
    }
    yield from (f"{one}: held by {sorted(holders[one])}" for one, who in expected.items() if holders.get(one) != who)


CHECKS: tuple[Callable[[Json], Iterator[str]], ...] = (
    schema_problems,
    reference_problems,
    lifecycle_problems,
    build_problems,
    environment_problems,
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
        (build_problems, _service("api", command=["python", "-m", "apii"]), "no module apii"),
        (build_problems, _service("api", command=["python", "stack/cli.py"]), "not in the image"),
        (build_problems, lambda compose: compose["services"]["api"]["build"].update(target="last"), "no stage last"),
        (build_problems, lambda compose: compose["services"]["api"]["build"].update(args={"X": "1"}), "no ARG X"),
        (environment_problems, _environment("api", NBHUB_DATABASE="x"), "nobody reads NBHUB_DATABASE"),
        (environment_problems, _environment("jupyterhub", NBHUB_SESSION_KEY="x"), "nobody reads NBHUB_SESSION_KEY"),
        (environment_problems, _environment("api", NBHUB_SESSION_KEY="x"), "given in the open"),
        (environment_problems, _environment("api", NBHUB_PUBLIC_URL="${WHERE}"), "WHERE is not in"),
        (environment_problems, _service("api", secrets=[]), "session-key is not mounted"),
        (environment_problems, _service("vault", secrets=["codec-token"]), "codec-token is not used"),
        (
            isolation_problems,
            _service("jupyterhub", networks=["front", "database"]),
            "people's programs reach postgres",
        ),
        (isolation_problems, lambda compose: compose["networks"].update(vault=None), "vault reaches the world"),
        (isolation_problems, _service("worker", ports=["127.0.0.1:1:1"]), "cannot be started twice"),
        (isolation_problems, _service("api", secrets=["spec-signing-key"]), "spec-signing-key: held by"),
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


def test_worker_signs_what_the_hub_verifies(made: Path, tmp_path: Path) -> None:
    worker = Settings.from_environment(environment_of("worker", made))
    values = environment_of("jupyterhub", made)
    # A mounted file has its name from the mount.
    (mount,) = [one for one in COMPOSE["services"]["jupyterhub"]["secrets"] if not isinstance(one, str)]
    (tmp_path / Path(mount["target"]).name).write_bytes(_secret_file(mount["source"], made).read_bytes())
    hub = HubSettings.from_environment(values | {"NBHUB_HUB_SPEC_KEYS": str(tmp_path)})

    private = load_pem_private_key(_secret_file("spec-signing-key", made).read_bytes(), None)
    public = load_pem_public_key(hub.public_keys()[worker.spec_key_id])

    assert isinstance(private, Ed25519PrivateKey)
    assert isinstance(public, Ed25519PublicKey)
    public.verify(private.sign(b"order"), b"order")
    assert worker.jupyterhub_token == hub.worker_token


def _secret_file(name: str, made: Path) -> Path:
    return made / Path(COMPOSE["secrets"][name]["file"]).name


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
    text = (ROOT / name).read_text()
    patterns = [line.strip() for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", text, re.MULTILINE)

    assert patterns[0] == "*"
    for source in copied(text):
        assert (ROOT / source).exists(), source
        assert any(
            source == shown or source.startswith(f"{shown}/") or fnmatch.fnmatch(source, shown)
            for shown in (pattern[1:] for pattern in patterns if pattern[0] == "!")
        ), f"{source} is kept from the image"
    assert len(stages) == len(re.findall(r"^FROM ", text, re.MULTILINE))
    assert all(re.search(r":\d+\.\d+\.\d+(-[\w-]+)?$", image) for image, _ in stages)
    assert set(re.findall(r"--from=(\S+)", text)) <= {stage for _, stage in stages}
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["1000:1000"]


def test_images_have_the_same_versions_as_everything_else() -> None:
    python = (ROOT / ".python-version").read_text().strip()
    for name in DOCKERFILES:
        assert set(re.findall(r"FROM python:(\d+\.\d+)", (ROOT / name).read_text())) == {python}
    assert COMPOSE["services"]["vault"]["image"] == f"hashicorp/vault:{VAULT_VERSION}"
    temporal = {COMPOSE["services"][name]["image"].split(":")[1] for name in ("temporal", *ONE_SHOT - {"migrate"})}
    assert len(temporal) == 1


def test_every_package_that_runs_is_in_the_image() -> None:
    server, hub = (copied((ROOT / name).read_text()) for name in DOCKERFILES)

    assert {"worker.py", "activities", "api", "integrations", "models", "workflows"} <= set(server)
    assert {"hub", "models"} <= set(hub)


# Scripts and secrets


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_script_parses(name: str, shell: str) -> None:
    assert run(shell, "-n", str(ROOT / name)).stderr == ""
    assert os.access(ROOT / name, os.X_OK)
    assert "eval" not in (ROOT / name).read_text()


def test_secrets_are_made_once_and_for_their_owner_only(made: Path) -> None:
    before = {file.name: file.read_bytes() for file in made.iterdir()}

    assert run(str(DEPLOY / "make-secrets.sh"), str(made)).returncode == 0

    assert {file.name: file.read_bytes() for file in made.iterdir()} == before
    assert set(before) == {Path(one["file"]).name for one in COMPOSE["secrets"].values()}
    assert all(one["file"].startswith("./deploy/secrets/") for one in COMPOSE["secrets"].values())
    assert {stat.S_IMODE(file.stat().st_mode) for file in made.iterdir()} == {0o600}
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert len(set(before.values())) == len(before)
    assert re.fullmatch(rb"[A-Za-z0-9_-]{43}=\n", before["session-key"])
    Fernet(before["session-key"].strip())
    EncryptionCodec.from_setting(before["payload-keys"].decode().strip())


def test_a_missing_secret_is_made_and_the_others_stay(tmp_path: Path) -> None:
    script = str(DEPLOY / "make-secrets.sh")
    run(script, str(tmp_path))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    (tmp_path / "codec-token").unlink()
    (tmp_path / "database-url").write_text("damaged")
    (tmp_path / "session-key").chmod(0o644)

    run(script, str(tmp_path))

    after = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"codec-token"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}


def test_secrets_stay_out_of_git_and_out_of_images() -> None:
    ignored = (DEPLOY / ".gitignore").read_text().split()

    assert {"/secrets/", "/.env"} <= set(ignored)
    assert not re.search(r"^!deploy(/(secrets|\.env).*)?$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)


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
    listed = run("git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "deploy").stdout
    files = [ROOT / "docker-compose.yml", ROOT / ".dockerignore", *(ROOT / name for name in listed.split())]

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
        ("api", "secret/data/nbhub/*"): {"create", "update"},
        ("worker", "secret/data/nbhub/*"): {"read"},
        ("worker", "secret/metadata/nbhub/*"): {"delete", "list"},
        ("worker", "auth/token/revoke"): {"update"},
    }
    assert "min_wrapping_ttl" in worker["secret/data/nbhub/*"]
    assert "max_wrapping_ttl" in worker["secret/data/nbhub/*"]


def test_policies_of_the_embedded_stack_are_these() -> None:
    tree = ast.parse((ROOT / "stack" / "vault_setup.py").read_text())
    inline = [
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and "capabilities" in str(node.value)
    ]
    shipped = {(DEPLOY / "vault" / f"{name}.hcl").read_text().strip() for name in ("api", "worker")}

    assert {str(text).strip() for text in inline} <= shipped


def test_vault_keeps_what_it_is_told() -> None:
    text = (DEPLOY / "vault" / "config.hcl").read_text()

    assert 'storage "raft"' in text
    assert "vault:/vault/file" in COMPOSE["services"]["vault"]["volumes"]
    assert COMPOSE["services"]["vault"]["command"] == ["server"]


# The worker's health


@pytest.mark.parametrize(("identity", "healthy"), [("7@here", True), ("7@elsewhere", False)])
async def test_worker_is_healthy_while_it_polls(
    identity: str, healthy: bool, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("worker_health", DEPLOY / "worker_health.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    async def describe(*_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(pollers=[SimpleNamespace(identity=identity)])

    async def connect(*_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(workflow_service=SimpleNamespace(describe_task_queue=describe))

    monkeypatch.setattr(module, "Client", SimpleNamespace(connect=connect))

    settings = Settings.from_environment(environment_of("worker", made))

    assert await module.polls(settings, "here") is healthy
