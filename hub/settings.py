"""What JupyterHub's side is told by its environment: `NBHUB_HUB_<FIELD>`, plus three names shared with the rest."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

SPAWNERS = ("bubblewrap", "local", "kube", "docker")
# Not of JupyterHub's side alone, so without the `HUB_` prefix.
_SHARED = {
    "api_url": "NBHUB_API_URL",
    "ui_url": "NBHUB_UI_URL",
    "profiles_file": "NBHUB_PROFILES_FILE",
    "crash_points": "NBHUB_CRASH_POINTS",
}
_SECRETS = {"worker_token", "proxy_token", "admin_token", "oidc_client_secret"}


def variable_of(field: str) -> str:
    """The environment variable of a setting."""
    return _SHARED.get(field, f"NBHUB_HUB_{field.upper()}")


class HubSettingsInvalid(Exception):
    """The environment of JupyterHub's side is incomplete or wrong; the message names each variable."""


class HubSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All input of `jupyterhub_config.py` and of the truth service."""

    bind_url: str = "http://127.0.0.1:8000"
    # Where the hub itself listens; servers on other machines and in containers reach it by `connect_url`.
    host: str = "127.0.0.1"
    port: int = 8081
    connect_url: str = ""
    proxy_api_port: int = 8001
    truth_port: int = 8003
    data_dir: Path
    worker_token: str = ""
    proxy_token: str = ""
    admin_token: str = ""
    spec_keys: Path = Path("keys")
    spawner: str = "bubblewrap"
    # The program of the sandbox: a name that PATH leads to, or a whole path.
    bubblewrap: str = "bwrap"
    oidc_issuer: str = ""
    oidc_client_id: str = "jupyterhub"
    oidc_client_secret: str = ""
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
    proxy_command: tuple[str, ...] = ("configurable-http-proxy",)
    allowed_roots: tuple[str, ...] = ()
    # Further directories that every server may read, e.g. /opt/conda.
    system_directories: tuple[str, ...] = ()
    start_timeout: int = 300
    concurrent_starts: int = 8
    # Directory of armed faults; for tests only.
    crash_points: str = ""
    # Docker: the network that the hub shares with its containers.
    docker_network: str = ""
    # Kubernetes: the hub's namespace, and a JSON object of directories (as in the spec) and the claims that hold them.
    kube_namespace: str = "default"
    kube_claims: dict[str, str] = {}
    # A delegated cgroup v2 directory; empty: limits are set per process.
    cgroup: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "HubSettings":
        """Read the settings; a secret may also be given by file, as `…_FILE`."""
        source = os.environ if environment is None else environment
        values: dict[str, object] = {}
        problems: list[str] = []
        for field in msgspec.structs.fields(cls):
            variable = variable_of(field.name)
            raw = source.get(variable)
            if raw is None and field.name in _SECRETS and f"{variable}_FILE" in source:
                raw = Path(source[f"{variable}_FILE"]).read_text().strip()
            if raw is None:
                if field.required:
                    problems.append(f"{variable} is missing")
                continue
            value: object = raw
            try:
                if field.name in ("proxy_command", "kube_claims"):
                    value = msgspec.json.decode(raw)
                elif field.name in ("allowed_roots", "system_directories"):
                    value = tuple(part.strip() for part in raw.split(",") if part.strip())
                values[field.name] = msgspec.convert(value, field.type, strict=False, dec_hook=_to_path)
            except msgspec.MsgspecError as problem:
                problems.append(f"{variable}: {problem}")
        if values.get("spawner", "bubblewrap") not in SPAWNERS:
            problems.append(f"NBHUB_HUB_SPAWNER must be one of {', '.join(SPAWNERS)}")
        if problems:
            raise HubSettingsInvalid("; ".join(problems))
        return cls(**values)  # type: ignore[arg-type]  # every value was converted to its field's type

    def public_keys(self) -> dict[str, bytes]:
        """Return the public keys of the spec's signers by key id (`<kid>.pem`).

        Read at each start of a server, so that a new key needs no restart of the hub.
        """
        return {file.stem: file.read_bytes() for file in self.spec_keys.glob("*.pem")}

    def __repr__(self) -> str:
        shown = (
            f"{field.name}={'***' if field.name in _SECRETS else repr(getattr(self, field.name))}"
            for field in msgspec.structs.fields(self)
        )
        return f"HubSettings({', '.join(shown)})"


def _to_path(kind: type, value: object) -> Path:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError
