"""What JupyterHub's side is told by its environment: `NBHUB_HUB_<FIELD>`, plus names shared with the rest."""

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated

import msgspec

from models.domain.environment import Words, about, read, shown
from models.domain.origins import require_domain
from models.domain.profiles import Profiles, load_profiles

SPAWNERS = ("bubblewrap", "local", "kube", "docker")
LIMITS = ("cgroup", "none")
NETWORKS = ("closed", "internet", "host")
# Not of JupyterHub's side alone, so without the `HUB_` prefix.
_SHARED = {
    "api_url": "NBHUB_API_URL",
    "ui_url": "NBHUB_UI_URL",
    "public_url": "NBHUB_JUPYTERHUB_PUBLIC_URL",
    "subdomains": "NBHUB_SUBDOMAINS",
    "profiles_file": "NBHUB_PROFILES_FILE",
}
Secret = Annotated[str, about(secret=True)]


def variable_of(field: str) -> str:
    """The environment variable of a setting."""
    return _SHARED.get(field, f"NBHUB_HUB_{field.upper()}")


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def checked(word: str) -> str:
        if word not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return word

    return checked


class HubSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All input of `jupyterhub_config.py` and of the truth service."""

    bind_url: str = "http://127.0.0.1:8000"
    # As browsers reach it, and whether each person's servers have an origin beneath it; see `models.domain.settings`.
    public_url: str = ""
    subdomains: bool = False
    # Where the hub itself listens; servers on other machines and in containers reach it by `connect_url`.
    host: str = "127.0.0.1"
    port: int = 8081
    connect_url: str = ""
    proxy_api_port: int = 8001
    truth_port: int = 8003
    data_dir: Path
    worker_token: Secret = ""
    proxy_token: Secret = ""
    admin_token: Secret = ""
    spec_keys: Path = Path("keys")
    spawner: Annotated[str, about(form=_one_of(SPAWNERS))] = "bubblewrap"
    # The program of the sandbox: a name that PATH leads to, or a whole path.
    bubblewrap: str = "bwrap"
    oidc_issuer: str = ""
    oidc_client_id: str = "jupyterhub"
    oidc_client_secret: Secret = ""
    oidc_scopes: str = "openid profile email"
    api_url: str = ""
    # Where people make and start servers; JupyterHub's pages lead there.
    ui_url: str = ""
    profiles_file: str = ""
    # Where wrapped secrets are opened; no credential is needed there.
    vault_url: str = ""
    # Lmod's start-up file for bash, as servers see it.
    lmod_init: str = "/usr/share/lmod/lmod/init/bash"
    # A JSON array, because arguments may hold spaces.
    proxy_command: Annotated[Words, about(json=True)] = ("configurable-http-proxy",)
    allowed_roots: Words = ()
    # Further directories that every server may read, e.g. /opt/conda.
    system_directories: Words = ()
    start_timeout: int = 300
    concurrent_starts: int = 8
    # So long servers let somebody in by what JupyterHub said before.
    let_in_seconds: Annotated[int, msgspec.Meta(ge=1)] = 30
    # Docker: the network that the hub shares with its containers.
    docker_network: str = ""
    # Kubernetes: the hub's namespace, and a JSON object of directories (as in the spec) and the claims that hold them.
    kube_namespace: str = "default"
    kube_claims: Annotated[dict[str, str], about(json=True)] = {}
    # What holds a server to its memory, processors and processes: a cgroup, or (none) limits of each process.
    limits: Annotated[str, about(form=_one_of(LIMITS))] = "cgroup"
    # What a server reaches: itself and the hub (closed), and what is public in the world (internet), or all (host).
    network: Annotated[str, about(form=_one_of(NETWORKS))] = "closed"
    # The way into the internet: its program; networks closed besides private ones; who is asked for names.
    slirp4netns: str = "slirp4netns"
    closed_networks: Annotated[Words, about(form=lambda text: str(IPv4Network(text)))] = ()
    name_servers: Annotated[Words, about(form=lambda text: str(IPv4Address(text)))] = ()
    # A delegated cgroup v2 directory; empty: below the hub's own cgroups.
    cgroup: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "HubSettings":
        """Read the settings; raises `SettingsInvalid` naming every variable that is wrong or missing."""
        settings = read(cls, variable_of, environment)
        if settings.subdomains:
            require_domain(settings.browser_url)
        return settings

    @property
    def browser_url(self) -> str:
        """JupyterHub as browsers reach it, without a slash at the end."""
        return (self.public_url or self.bind_url).rstrip("/")

    def public_keys(self) -> dict[str, bytes]:
        """Return the public keys of the spec's signers by key id (`<kid>.pem`).

        Read at each start of a server, so that a new key needs no restart of the hub.
        """
        return {file.stem: file.read_bytes() for file in self.spec_keys.glob("*.pem")}

    def profiles(self) -> Profiles:
        """Read the application types and hardware options; raises `ProfilesInvalid`."""
        return load_profiles(Path(self.profiles_file) if self.profiles_file else None)

    def __repr__(self) -> str:
        return shown(self)
