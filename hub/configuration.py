"""Configures JupyterHub for Notebooks Hub. `jupyterhub_config.py` calls it; each function is one concern."""

import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import jupyterhub

from hub import pages
from hub.half_starts import ClearsHalfStarts
from hub.last_used import database_of
from hub.order import Order
from hub.plugin import Plugin, left_closed, no_secrets, opened_by_the_hub
from hub.records import Records
from hub.settings import HubSettings
from hub.warm import start_warming
from models.domain.environment import SettingsInvalid
from models.domain.origins import TRUTH_SERVICE, subdomain

WORKER_SERVICE, STACK_SERVICE = "nbhub-worker", "nbhub-stack"
_PROJECT = Path(__file__).resolve().parent.parent
_KEEP_LOGS_SECONDS = 30 * 24 * 3600
_VERSION = int(jupyterhub.__version__.split(".")[0])


def configure(c: Any, settings: HubSettings) -> None:
    """Set everything but the sign-in."""
    if not settings.worker_token or not settings.spec_keys.is_dir():
        raise SettingsInvalid("NBHUB_HUB_WORKER_TOKEN and NBHUB_HUB_SPEC_KEYS (a directory) are required")
    configure_hub(c, settings)
    configure_proxy(c, settings)
    configure_rights(c, settings)
    configure_services(c, settings)
    configure_spawner(c, settings)


def configure_hub(c: Any, settings: HubSettings) -> None:
    """Addresses, data, pages, and how the hub treats slow and failing starts."""
    data = settings.data_dir
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    c.JupyterHub.bind_url = settings.bind_url
    c.JupyterHub.hub_bind_url = f"http://{settings.host}:{settings.port}"
    if settings.connect_url:
        c.JupyterHub.hub_connect_url = settings.connect_url
    if settings.subdomains:
        c.JupyterHub.subdomain_host = settings.browser_url
        c.JupyterHub.subdomain_hook = subdomain
    c.JupyterHub.db_url = f"sqlite:///{database_of(data)}"
    c.JupyterHub.cookie_secret_file = str(data / "cookie_secret")
    # A browser session ends within a day: who lost the right to sign in loses it here too.
    c.JupyterHub.cookie_max_age_days = 1
    c.JupyterHub.allow_named_servers = True
    # Servers live on while the hub is away.
    c.JupyterHub.cleanup_servers = False
    # Answer quickly; who asked for a start watches it from then on.
    c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 1, "slow_stop_timeout": 5}
    if settings.browser_url.startswith("https://"):
        # Its own and, handed on to them, those of servers: whatever a request or a proxy says of how it came.
        c.JupyterHub.tornado_settings["cookie_options"] = {"secure": True}
    c.JupyterHub.concurrent_spawn_limit = settings.concurrent_starts
    # Not to a page that would start a server.
    c.JupyterHub.default_url = "/hub/home"
    c.JupyterHub.template_paths = [str(Path(__file__).with_name("templates"))]
    c.JupyterHub.template_vars = {"ui_url": settings.ui_url}
    pages.install()


def configure_proxy(c: Any, settings: HubSettings) -> None:
    """The proxy that the hub starts and restarts."""
    c.ConfigurableHTTPProxy.command = list(settings.proxy_command)
    c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{settings.proxy_api_port}"
    c.ConfigurableHTTPProxy.pid_file = str(settings.data_dir / "proxy.pid")
    if settings.proxy_token:
        c.ConfigurableHTTPProxy.auth_token = settings.proxy_token


def configure_rights(c: Any, settings: HubSettings) -> None:
    """Who may do what: people use servers, the worker makes and ends them."""
    start = "start:servers" if _VERSION >= 6 else "servers"
    c.JupyterHub.load_roles = [
        # Instead of JupyterHub's own role of this name, which holds everything a person could do. No start,
        # and no sight of the options that a server was started with.
        {
            "name": "user",
            "scopes": ["access:servers!user", "read:users!user", "users:activity!user"],
        },
        # What a server itself holds, which all can read who have ever run something in it. It says that the server is
        # used; by JupyterHub's own role of this name it would also open it, for guests that have lost their share too.
        {"name": "server", "scopes": ["users:activity!user"]},
        {
            "name": WORKER_SERVICE,
            "services": [WORKER_SERVICE],
            "scopes": [
                *("list:users", "read:users", "admin:users", start, "read:servers", "delete:servers"),
                *("admin:groups", "groups", "shares", "read:users:name", "read:groups:name"),
                *("read:hub", "read:metrics", f"access:services!service={TRUTH_SERVICE}"),
            ],
        },
    ]
    if settings.admin_token:
        # Development stacks only: makes tokens of people, for scripts that look into their servers.
        c.JupyterHub.load_roles.append(
            {
                "name": STACK_SERVICE,
                "services": [STACK_SERVICE],
                "scopes": ["admin:users", "tokens", "access:servers", "read:servers"],
            }
        )


def configure_services(c: Any, settings: HubSettings) -> None:
    """The worker's and the stack's tokens, and the truth service as a process of the hub."""
    services: list[dict[str, object]] = [
        {"name": WORKER_SERVICE, "api_token": settings.worker_token, "display": False},
        {
            "name": TRUTH_SERVICE,
            "url": f"http://127.0.0.1:{settings.truth_port}",
            "command": [sys.executable, "-m", "hub.truth"],
            "cwd": str(_PROJECT),
            "environment": {
                "PYTHONPATH": str(_PROJECT),
                "NBHUB_HUB_DATA_DIR": str(settings.data_dir),
                "NBHUB_HUB_SPAWNER": settings.spawner,
                "NBHUB_HUB_KUBE_NAMESPACE": settings.kube_namespace,
                "NBHUB_PROFILES_FILE": settings.profiles_file,
            },
            "display": False,
        },
    ]
    if settings.admin_token:
        services.append({"name": STACK_SERVICE, "api_token": settings.admin_token, "display": False})
    c.JupyterHub.services = services


def configure_spawner(c: Any, settings: HubSettings) -> None:
    """The spawner in use, and the plug-in in front of it."""
    spawner_class, apply = _spawner(c, settings)
    open_secrets: dict[str, Callable[[Order], Awaitable[Order]]] = {
        "bubblewrap": partial(opened_by_the_hub, vault=settings.vault_url),
        "kube": left_closed,
    }
    records = Records(settings.data_dir)
    records.tidy(_KEEP_LOGS_SECONDS)
    plugin = Plugin(
        records,
        settings.profiles(),
        settings.public_keys,
        apply,
        open_secrets.get(settings.spawner, no_secrets),
        let_in_seconds=settings.let_in_seconds,
    )
    c.JupyterHub.spawner_class = spawner_class
    c.Spawner.pre_spawn_hook = plugin.pre_spawn
    c.Spawner.start_timeout = settings.start_timeout
    c.Spawner.http_timeout = settings.start_timeout
    c.Spawner.poll_interval = 5
    # One bad template must not stop the hub for everybody.
    c.Spawner.consecutive_failure_limit = 0


def _spawner(c: Any, settings: HubSettings) -> tuple[type, Callable[[Any, Order], None]]:
    """Return the spawner's class and how an order is handed to it. Imports only what is used."""
    kind = settings.spawner
    if kind in ("bubblewrap", "local"):
        if not settings.allowed_roots:
            raise SettingsInvalid("NBHUB_HUB_ALLOWED_ROOTS is missing: the directories that servers may see")
        from hub.bubblewrap import BubblewrapSpawner
        from hub.local import LocalSpawner
        from hub.recorded import take_order

        c.RecordedSpawner.hub_settings = settings
        start_warming()
        return (BubblewrapSpawner if kind == "bubblewrap" else LocalSpawner), take_order
    if kind == "kube":
        from kubespawner import KubeSpawner

        from hub.kubernetes import KubernetesTranslation

        class Pods(ClearsHalfStarts, KubeSpawner):  # type: ignore[misc]  # has no types
            """KubeSpawner, configured as such."""

        return Pods, KubernetesTranslation(settings.kube_claims, settings.vault_url, settings.lmod_init).apply
    from dockerspawner import DockerSpawner

    from hub.docker import DockerTranslation

    if settings.docker_network:
        c.DockerSpawner.network_name = settings.docker_network
        c.DockerSpawner.use_internal_ip = True

    class Containers(ClearsHalfStarts, DockerSpawner):  # type: ignore[misc]  # has no types
        """DockerSpawner, configured as such."""

    return Containers, DockerTranslation(settings.allowed_roots, settings.lmod_init).apply
