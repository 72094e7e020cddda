"""The parts of a stack: how each is started, which keys it is given, and how one asks whether it is ready."""

import contextlib
import json
import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import asyncpg
import httpx
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from models.domain.kinds import DIRECTORIES
from models.domain.origins import TRUTH_SERVICE
from stack import secrets, tools
from stack.isolation import SLIRP4NETNS, Isolation
from stack.layout import Layout
from stack.programs import Program
from stack.secrets import Secrets
from stack.vault_setup import role_of

PROJECT = tools.PROJECT
ADMIN_CLAIM = "realm_access.roles=nbhub-admin"
CALLBACK = "/callback"
DEVICE_CODES = "urn:ietf:params:oauth:grant-type:device_code"
OF_PROGRAMS = "http://127.0.0.1/callback"
"""Where a program of this machine that signs in comes back, on a port that it may choose."""

Ready = Callable[[], Awaitable[bool]]

# What any process needs of ours; nothing else of this environment reaches a part.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
# JupyterHub's own, where servers have the internet.
_OF_THE_INTERNET = ("NBHUB_HUB_NAME_SERVERS", "NBHUB_HUB_CLOSED_NETWORKS")


@dataclass(frozen=True)
class Part:
    """One part, ready to be started."""

    name: str
    command: list[str]
    ready: Ready
    values: Mapping[str, str] = field(default_factory=dict)
    """Its variables, besides those that any process needs."""
    patience: float = 60
    programs: tuple[Program, ...] = ()


def environment(values: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a part."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | dict(values)


def as_ordinary_user(command: list[str]) -> list[str]:
    """The command, as seen by itself not run by root: PostgreSQL insists on that."""
    if os.geteuid() != 0:
        return command
    return ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--", *command]


async def answers(url: str, *statuses: int, host: str = "") -> bool:
    """Whether something answers at `url`, asked for by another name if need be, with one of these statuses."""
    try:
        async with httpx.AsyncClient(timeout=2) as client:
            return (await client.get(url, headers={"Host": host} if host else {})).status_code in (statuses or (200,))
    except httpx.HTTPError:
        return False


def postgres(layout: Layout, program: Program, *, durable: bool = True) -> Part:
    """PostgreSQL on a socket that only we can reach; if `durable`, what it has written survives a power failure."""
    data = layout.directory / "postgres"

    async def ready() -> bool:
        try:
            connection = await asyncpg.connect(layout.database_url("postgres"), timeout=2)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError):
            return False
        await connection.close()
        return True

    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(layout.database_socket),
        "max_connections": "200",
        "shared_buffers": "64MB",
        "fsync": "on" if durable else "off",
    }
    options = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
    command = as_ordinary_user([str(program.path), "-D", str(data), *options])
    return Part("postgres", command, ready, programs=(program,))


def temporal(layout: Layout, program: Program, keys: Secrets, *, durable: bool = True) -> Part:
    """Temporal's development server with its web UI; `durable` as PostgreSQL is."""
    values = {
        # Its one shard hands out 20 tasks a second by default: each step of a workflow would wait 50 ms.
        "history.transferProcessorMaxPollRPS": "2000",
        "history.timerProcessorMaxPollRPS": "2000",
        "system.enableActivityEagerExecution": "true",
        # With more partitions than pollers a task may wait for a poll to end, which takes up to a minute.
        "matching.numTaskqueueReadPartitions": "1",
        "matching.numTaskqueueWritePartitions": "1",
    }
    command = [
        *(str(program.path), "server", "start-dev", "--ip", "127.0.0.1", "--log-level", "warn"),
        *("--port", str(layout.ports["temporal"]), "--ui-port", str(layout.ports["temporal_ui"])),
        *("--db-filename", str(temporal_database(layout))),
        *("--sqlite-pragma", f"synchronous={'full' if durable else 'off'}"),
        *("--ui-codec-endpoint", f"{layout.url('api')}/codec/{keys.codec_token}"),
        *(part for name, value in values.items() for part in ("--dynamic-config-value", f"{name}={value}")),
    ]

    async def ready() -> bool:
        try:
            client = await Client.connect(f"127.0.0.1:{layout.ports['temporal']}")
            await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
        except (RuntimeError, RPCError):
            return False
        return True

    return Part("temporal", command, ready, programs=(program,))


def temporal_database(layout: Layout) -> Path:
    """Temporal's database file."""
    return layout.directory / "temporal" / "temporal.sqlite"


def temporal_has_begun(database: Path) -> bool:
    """Whether Temporal's database has a namespace: what is made last, before anything else can be in it."""
    if not database.exists():
        return False
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return all(
            connection.execute(question).fetchone()
            for question in ("SELECT 1 FROM sqlite_master WHERE name = 'namespaces'", "SELECT 1 FROM namespaces")
        )


def vault(layout: Layout, program: Program) -> Part:
    """Vault with integrated storage: development mode would forget everything at a restart."""
    storage = vault_storage(layout)
    storage.mkdir(parents=True, exist_ok=True, mode=0o700)
    listener = {
        "address": f"127.0.0.1:{layout.ports['vault']}",
        "cluster_address": f"127.0.0.1:{layout.ports['vault_cluster']}",
        "tls_disable": True,
    }
    configuration = {
        # The only node: it need not wait long for others before it leads.
        "storage": {"raft": {"path": str(storage), "node_id": "stack", "performance_multiplier": 1}},
        "api_addr": layout.url("vault"),
        "cluster_addr": layout.url("vault_cluster"),
        "ui": False,
    }
    if program.version.startswith("OpenBao"):
        # A secret may have a thousand files, each a string of its own.
        listener |= {"max_request_json_strings": 20_000, "max_request_json_memory": 64 * 1024 * 1024}
        # Tests read the audit log.
        configuration |= {"unsafe_allow_api_audit_creation": True}
    else:
        configuration |= {"disable_mlock": True}
    file = vault_directory(layout) / "vault.json"
    file.write_text(json.dumps(configuration | {"listener": {"tcp": listener}}))

    # Not yet initialised, sealed, or serving: it answers.
    ready = partial(answers, f"{layout.url('vault')}/v1/sys/health", 200, 429, 501, 503)
    command = [str(program.path), "server", f"-config={file}"]
    return Part("vault", command, ready, programs=(program,))


def vault_directory(layout: Layout) -> Path:
    """What Vault and who opens it keep."""
    return layout.directory / "vault"


def vault_storage(layout: Layout) -> Path:
    """What Vault itself keeps."""
    return vault_directory(layout) / "raft"


def oidc(layout: Layout, node: Program, modules: Path, keys: Secrets, *, token_format: str = "opaque") -> Part:
    """The development sign-in provider."""
    clients = [
        {
            "client_id": "notebooks-hub",
            "client_secret": keys.api_client_secret,
            "redirect_uris": [layout.url("api") + CALLBACK, OF_PROGRAMS],
            # Of whom the port does not matter where they come back to this machine.
            "application_type": "native",
            "grant_types": ["authorization_code", "refresh_token", DEVICE_CODES],
            "post_logout_redirect_uris": [layout.url("api") + "/"],
        },
        {
            "client_id": "jupyterhub",
            "client_secret": keys.hub_client_secret,
            "redirect_uris": [f"{layout.browser_hub_url}/hub/oauth_callback"],
            "post_logout_redirect_uris": [],
        },
    ]
    values = {
        "OIDC_PORT": str(layout.ports["oidc"]),
        "OIDC_ISSUER": layout.url("oidc"),
        "OIDC_CLIENTS": json.dumps(clients),
        "OIDC_DATA_DIR": str(layout.directory / "oidc"),
        "OIDC_MODULES": str(modules),
        "OIDC_TOKEN_FORMAT": token_format,
        "OIDC_SID": "1",
    }
    command = [str(node.path), str(PROJECT / "stack" / "oidc" / "provider.mjs")]
    ready = partial(answers, f"{layout.url('oidc')}/.well-known/openid-configuration")
    return Part("oidc", command, ready, values, programs=(node,))


def jupyterhub(
    layout: Layout,
    python: Path,
    node: Program,
    bubblewrap: Program,
    isolation: Isolation,
    modules: Path,
    keys: Secrets,
    more: Mapping[str, str],
) -> Part:
    """JupyterHub with its proxy and what is ours in it."""
    proxy = [
        str(node.path),
        str(modules / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"),
    ]
    values = {
        "PYTHONPATH": str(PROJECT),
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "NBHUB_HUB_BIND_URL": layout.url("hub_proxy"),
        "NBHUB_HUB_PORT": str(layout.ports["hub"]),
        **_names(layout),
        "NBHUB_HUB_PROXY_API_PORT": str(layout.ports["hub_proxy_api"]),
        "NBHUB_HUB_TRUTH_PORT": str(layout.ports["hub_truth"]),
        "NBHUB_HUB_DATA_DIR": str(layout.hub_data),
        "NBHUB_HUB_WORKER_TOKEN": keys.worker_token,
        "NBHUB_HUB_PROXY_TOKEN": keys.proxy_token,
        "NBHUB_HUB_ADMIN_TOKEN": keys.hub_admin_token,
        "NBHUB_HUB_SPEC_KEYS": str(secrets.verifying_keys(layout.keys)),
        "NBHUB_HUB_OIDC_ISSUER": layout.url("oidc"),
        "NBHUB_HUB_OIDC_CLIENT_ID": "jupyterhub",
        "NBHUB_HUB_OIDC_CLIENT_SECRET": keys.hub_client_secret,
        "NBHUB_HUB_PROXY_COMMAND": json.dumps(proxy),
        "NBHUB_HUB_BUBBLEWRAP": str(bubblewrap.path),
        "NBHUB_HUB_SPAWNER": isolation.spawner,
        "NBHUB_HUB_LIMITS": isolation.limits,
        "NBHUB_HUB_NETWORK": isolation.network,
        "NBHUB_HUB_ALLOWED_ROOTS": str(layout.data_root),
        "NBHUB_API_URL": layout.url("api"),
        "NBHUB_HUB_VAULT_URL": layout.url("vault"),
    }
    if isolation.network == "internet":
        values["NBHUB_HUB_SLIRP4NETNS"] = os.environ[SLIRP4NETNS]
        values |= {name: os.environ[name] for name in _OF_THE_INTERNET if name in os.environ}
    command = [str(python), "-m", "jupyterhub", "-f", str(PROJECT / "hub" / "jupyterhub_config.py")]

    async def ready() -> bool:
        hub = layout.url("hub_proxy")
        # The truth service refuses who has no token: it is there.
        truth = f"{hub}/services/{TRUTH_SERVICE}/servers"
        return await answers(f"{hub}/hub/health") and await answers(truth, 401, host=layout.truth_host)

    return Part("jupyterhub", command, ready, {**values, **more}, patience=90, programs=(node, bubblewrap))


def _names(layout: Layout) -> dict[str, str]:
    """What JupyterHub, API and workers know of names."""
    return {"NBHUB_JUPYTERHUB_PUBLIC_URL": layout.browser_hub_url, "NBHUB_SUBDOMAINS": str(layout.subdomains).lower()}


def settings(layout: Layout, keys: Secrets) -> dict[str, str]:
    """What API, workers and migrations share; no key but that of the payloads."""
    return {
        "NBHUB_DATABASE_URL": layout.database_url(),
        "NBHUB_TEMPORAL_ADDRESS": f"127.0.0.1:{layout.ports['temporal']}",
        "NBHUB_TEMPORAL_UI_URL": layout.url("temporal_ui"),
        "NBHUB_PAYLOAD_KEYS": keys.payload_keys,
        "NBHUB_JUPYTERHUB_URL": layout.url("hub_proxy"),
        **_names(layout),
        "NBHUB_VAULT_URL": layout.url("vault"),
        **{f"NBHUB_{one.setting.upper()}": str(layout.data_root / one.root) for one in DIRECTORIES.values()},
        # Nobody here has work to save.
        "NBHUB_REVOKE_GRACE": "2",
    }


def api(layout: Layout, keys: Secrets, page: Path, help_pages: Path | None, more: Mapping[str, str]) -> Part:
    """The HTTP API, with the page and the help, each as it was built into a directory."""
    values = settings(layout, keys) | {
        "NBHUB_UI_DIRECTORY": str(page),
        "NBHUB_HELP_DIRECTORY": str(help_pages or ""),
        "NBHUB_API_PORT": str(layout.ports["api"]),
        "NBHUB_SESSION_KEY": keys.session_key,
        "NBHUB_CODEC_TOKEN": keys.codec_token,
        "NBHUB_OIDC_ISSUER": layout.url("oidc"),
        "NBHUB_OIDC_CLIENT_ID": "notebooks-hub",
        "NBHUB_OIDC_CLIENT_SECRET": keys.api_client_secret,
        "NBHUB_OIDC_REDIRECT_URIS": f"{layout.url('api')}{CALLBACK},{OF_PROGRAMS}",
        "NBHUB_OIDC_POST_LOGOUT_REDIRECT_URI": layout.url("api") + "/",
        "NBHUB_OIDC_TRUSTED_CLIENTS": "jupyterhub",
        "NBHUB_ADMIN_CLAIM": ADMIN_CLAIM,
        "NBHUB_ORG_CLAIM": "orgs",
        "NBHUB_VAULT_ROLE_ID": role_of("api"),
        "NBHUB_VAULT_SECRET_ID": keys.vault_api_secret_id,
    }
    ready = partial(answers, f"{layout.url('api')}/version")
    return Part("api", [sys.executable, "-m", "api"], ready, {**values, **more})


def worker(layout: Layout, keys: Secrets, more: Mapping[str, str], *, name: str) -> Part:
    """One worker process."""
    values = settings(layout, keys) | {
        "NBHUB_JUPYTERHUB_TOKEN": keys.worker_token,
        "NBHUB_SPEC_SIGNING_KEY_FILE": str(secrets.signing_key_file(layout.keys)),
        "NBHUB_SPEC_KEY_ID": secrets.spec_key_id(layout.keys),
        "NBHUB_VAULT_ROLE_ID": role_of("worker"),
        "NBHUB_VAULT_SECRET_ID": keys.vault_worker_secret_id,
    }

    async def ready() -> bool:
        try:
            async with httpx.AsyncClient(timeout=5) as client:
                health = (await client.get(f"{layout.url('api')}/healthcheck")).json()
        except (httpx.HTTPError, ValueError):
            return False
        return bool(health.get("checks", {}).get("workers", {}).get("status") == "ok")

    return Part(name, [sys.executable, str(PROJECT / "worker.py")], ready, {**values, **more})
