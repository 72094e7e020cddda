"""Everything that an operator can set, read from the environment once at start.

Each field `name` is the variable `NBHUB_NAME`; a field marked secret may also be given as
`NBHUB_NAME_FILE`, the path of a file that holds it. `python -m models.domain.settings` prints the table.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct, structs

from models.domain.emails import EmailInvalid, parse_domain, parse_email


class SettingsInvalid(Exception):
    """The environment does not make valid settings; the message names every variable at fault."""


def _about(text: str, *, secret: bool = False, form: Callable[[str], str] | None = None) -> Meta:
    """What a setting means, and the one form in which each of its words is kept."""
    return Meta(description=text, extra={"secret": secret, "form": form})


LONGEST_WRAPPING = 1800.0
"""Seconds that the workers' policy in Vault allows a wrapped secret to wait."""
Text = Annotated[str, Meta(max_length=65_536)]
Words = tuple[str, ...]


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of an API or worker process. `repr` shows no secret."""

    database_url: Annotated[
        str,
        _about(
            "PostgreSQL: `postgresql://user:password@host:port/name`, or `postgresql:///name?host=/directory/of/socket`.",
            secret=True,
        ),
    ]
    database_pool_size: Annotated[int, Meta(ge=1, le=200), _about("Connections that one process keeps.")] = 10
    temporal_address: Annotated[str, _about("Temporal's frontend, `host:port`.")] = "127.0.0.1:7233"
    temporal_namespace: Annotated[str, _about("Temporal namespace of the workflows.")] = "default"
    temporal_task_queue: Annotated[str, _about("Task queue that the workers poll.")] = "notebooks-hub"
    temporal_ui_url: Annotated[str, _about("Base URL of the Temporal web UI, for the links in operations.")] = ""
    payload_keys: Annotated[
        str,
        _about(
            "Keys of the payload codec, `id:key,id:key`: Fernet keys; the first encrypts, all decrypt. Empty: payloads are not encrypted.",
            secret=True,
        ),
    ] = ""
    codec_token: Annotated[
        str,
        _about(
            "Capability in the path of the codec endpoint for the Temporal web UI (`/codec/{token}`). Empty: only admins' bearer tokens are accepted.",
            secret=True,
        ),
    ] = ""
    jupyterhub_url: Annotated[str, _about("JupyterHub as API and workers reach it, without `/hub`.")] = (
        "http://127.0.0.1:8000"
    )
    jupyterhub_public_url: Annotated[str, _about("JupyterHub as browsers reach it. Default: `jupyterhub_url`.")] = ""
    jupyterhub_token: Annotated[
        str, _about("Token of JupyterHub's service `nbhub-worker`. Workers only.", secret=True)
    ] = ""
    hub_truth_url: Annotated[
        str,
        _about(
            "The service beside JupyterHub that reports processes. Default: `{jupyterhub_url}/services/nbhub-truth`."
        ),
    ] = ""
    spec_signing_key_file: Annotated[
        str, _about("File of the Ed25519 private key (PEM) that signs what a server may be started with. Workers only.")
    ] = ""
    spec_key_id: Annotated[str, _about("Id of that key; JupyterHub holds the public key of the same id.")] = "1"
    vault_url: Annotated[str, _about("Vault's address. Empty: there is none, so secrets have no values.")] = ""
    vault_engine: Annotated[
        str,
        Meta(pattern="^[A-Za-z0-9_-]+$"),
        _about("Vault's key-value engine (version 2) that holds the values of secrets."),
    ] = "secret"
    vault_role_id: Annotated[
        str, _about("Role id of this process's AppRole in Vault; API and workers have different ones.")
    ] = ""
    vault_secret_id: Annotated[str, _about("Secret id of that AppRole.", secret=True)] = ""
    secret_mount_prefixes: Annotated[
        Words, _about("Directories, comma separated, beneath which secrets may be put inside a server.")
    ] = ("/opt/secret", "/run/secrets")
    secrets_unwrapped_by: Annotated[
        str,
        Meta(pattern="^(hub|container)$"),
        _about(
            "Who opens the wrapped secrets of a start: the `hub` at once (bubblewrap), or a `container` when it is there (Kubernetes). Workers only."
        ),
    ] = "hub"
    oidc_issuer: Annotated[str, _about("Issuer of the OpenID Connect provider; all else is found by discovery.")] = ""
    oidc_client_id: Annotated[str, _about("Client id of this service at the provider.")] = "notebooks-hub"
    oidc_client_secret: Annotated[str, _about("Client secret. Empty: a public client.", secret=True)] = ""
    oidc_redirect_uris: Annotated[
        Words, _about("Allowed redirect URIs of the sign-in, comma separated; the first is the default.")
    ] = ()
    oidc_post_logout_redirect_uri: Annotated[str, _about("Where the provider sends the browser after a logout.")] = ""
    oidc_scopes: Annotated[str, _about("Scopes asked for at sign-in.")] = "openid profile email offline_access"
    oidc_audiences: Annotated[Words, _about("Accepted `aud` of JWT access tokens. Default: the client id.")] = ()
    oidc_trusted_clients: Annotated[
        Words, _about("Further client ids whose access tokens are accepted, e.g. JupyterHub's.")
    ] = ()
    oidc_email_verified_required: Annotated[
        bool,
        _about(
            "Refuse accounts of which the provider does not say `email_verified`. Whatever it says but true is refused anyway."
        ),
    ] = False
    admin_claim: Annotated[
        str, _about("Claim that makes an admin, `path.to.claim=value`, e.g. `realm_access.roles=nbhub-admin`.")
    ] = ""
    admin_emails: Annotated[Words, _about("E-mails of admins, comma separated.", form=parse_email)] = ()
    org_claim: Annotated[
        str, _about("Path of the claim that lists a person's organisations: names, or objects as Keycloak has them.")
    ] = ""
    org_domains: Annotated[
        Words, _about("E-mail domains that count as organisations, comma separated.", form=parse_domain)
    ] = ()
    allow_code_only_login: Annotated[
        bool,
        _about(
            "Accept `POST /auth/token` with a code that no browser transaction vouches for. For old UIs only: it allows login CSRF."
        ),
    ] = False
    session_key: Annotated[
        str, _about("Fernet key: refresh tokens at rest, page cursors, idempotency digests. API only.", secret=True)
    ] = ""
    dataset_location: Annotated[str, _about("Directory of all datasets.")] = "/opt/datasets"
    module_location: Annotated[str, _about("Directory of all modules.")] = "/opt/modules"
    notebook_location: Annotated[str, _about("Directory of all homes.")] = "/opt/notebooks"
    group_location: Annotated[str, _about("Directory of all group directories.")] = "/opt/groups"
    files_uid: Annotated[int, _about("Owner of directories that are made; -1 leaves it.")] = -1
    files_gid: Annotated[int, _about("Group of directories that are made; -1 leaves it.")] = -1
    profiles_file: Annotated[str, _about("TOML of application types and hardware. Default: the shipped one.")] = ""
    cors_origins: Annotated[Words, _about("Origins of a web UI on another host or port.")] = ()
    public_url: Annotated[str, _about("This API as browsers reach it. Default: `http://{api_host}:{api_port}`.")] = ""
    api_host: Annotated[str, _about("Address that the API listens on.")] = "127.0.0.1"
    api_port: Annotated[int, Meta(ge=0, le=65535), _about("Port that the API listens on.")] = 8002
    server_start_timeout: Annotated[float, Meta(gt=0), _about("Seconds that one spawn may take.")] = 300.0
    dependency_patience: Annotated[
        float, Meta(ge=0), _about("Seconds that a start waits for a dependency that is down.")
    ] = 900.0
    reconcile_interval: Annotated[float, Meta(ge=1), _about("Seconds between two looks at what is really running.")] = (
        15.0
    )
    stalled_after: Annotated[
        float, Meta(ge=1), _about("Seconds without progress after which an operation is woken again.")
    ] = 30.0
    janitor_interval: Annotated[float, Meta(ge=1), _about("Seconds between two clean-ups of what has expired.")] = 300.0
    idempotency_hours: Annotated[float, Meta(gt=0), _about("Hours that an `Idempotency-Key` is remembered.")] = 24.0
    featured_by_admins_only: Annotated[
        bool, _about("Only admins may make modules featured, and templates of type `featured`.")
    ] = False
    on_revoke: Annotated[
        str,
        Meta(pattern="^(stop|defer)$"),
        _about(
            "What happens to a server whose owner lost access to something it holds: `stop` it after the grace time, or `defer` until it is stopped anyway."
        ),
    ] = "stop"
    revoke_grace: Annotated[
        float,
        Meta(ge=0, le=86_400),
        _about("Seconds between the loss of an access and the stop of the servers that hold it."),
    ] = 60.0
    trash_days: Annotated[
        float, Meta(ge=0), _about("Days that a deleted dataset or module can be restored; then it is purged.")
    ] = 7.0
    org_names: Annotated[
        Words, _about("Organisations that can be shared with before anybody of them has signed in, comma separated.")
    ] = ()
    hub_group_prefix: Annotated[
        str,
        Meta(min_length=1, max_length=64, pattern="^[A-Za-z0-9._-]+$"),
        _about("Prefix of the JupyterHub groups that mirror ours; all groups with it are ours."),
    ] = "nbhub-"
    share_link_lifetime: Annotated[int, Meta(ge=60), _about("Seconds that a server's share link lives.")] = 86_400
    max_body_bytes: Annotated[int, Meta(ge=1024), _about("Largest request body.")] = 1_048_576
    max_file_bytes: Annotated[int, Meta(ge=0), _about("Largest content of a file made by `POST /volume/file`.")] = (
        10_485_760
    )
    log_format: Annotated[
        str, Meta(pattern="^(auto|json|console)$"), _about("`json`, `console`, or `auto`: console on a terminal.")
    ] = "auto"
    log_level: Annotated[
        str, Meta(pattern="^(debug|info|warning|error)$"), _about("Least severity that is logged.")
    ] = "info"
    crash_points: Annotated[str, _about("Directory of armed crash points. For tests of fault tolerance only.")] = ""
    commit: Annotated[str, _about("Commit that was built, shown by `GET /version`.")] = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings; raises `SettingsInvalid` naming every variable that is wrong or missing."""
        source = os.environ if environment is None else environment
        values: dict[str, object] = {}
        problems: list[str] = []
        hints = get_type_hints(cls, include_extras=True)
        for field in structs.fields(cls):
            variable = f"NBHUB_{field.name.upper()}"
            raw = source.get(variable)
            path = source.get(f"{variable}_FILE") if _is_secret(hints[field.name]) else None
            if raw is None and path:
                try:
                    raw = Path(path).read_text(encoding="utf-8").strip()
                except OSError as error:
                    problems.append(f"{variable}_FILE: {error.strerror or error}")
                    continue
            if raw is None:
                if field.required:
                    problems.append(f"{variable}: is required; {_description(hints[field.name])}")
                continue
            text: object = raw
            if hints[field.name] is Words or get_origin(_bare(hints[field.name])) is tuple:
                text = tuple(word.strip() for word in raw.split(",") if word.strip())
            try:
                value = msgspec.convert(text, hints[field.name], strict=False)
                form = _form(hints[field.name])
                values[field.name] = value if form is None else tuple(map(form, value))
            except (msgspec.ValidationError, EmailInvalid) as error:
                problems.append(f"{variable}: {error}")
        if problems:
            raise SettingsInvalid("These settings need attention:\n  " + "\n  ".join(problems))
        return cls(**values)  # type: ignore[arg-type]

    @property
    def known_orgs(self) -> tuple[str, ...]:
        """Organisations that are known without anybody of them having signed in."""
        return (*self.org_names, *self.org_domains)

    @property
    def wrapping_seconds(self) -> float:
        """How long a wrapped secret waits to be opened."""
        return 120 if self.secrets_unwrapped_by == "hub" else min(self.server_start_timeout + 60, LONGEST_WRAPPING)

    @property
    def truth_url(self) -> str:
        """Base URL of the service that reports processes."""
        return self.hub_truth_url or f"{self.jupyterhub_url.rstrip('/')}/services/nbhub-truth"

    @property
    def browser_hub_url(self) -> str:
        """JupyterHub as browsers reach it, without a slash at the end."""
        return (self.jupyterhub_public_url or self.jupyterhub_url).rstrip("/")

    @property
    def browser_api_url(self) -> str:
        """This API as browsers reach it, without a slash at the end."""
        return (self.public_url or f"http://{self.api_host}:{self.api_port}").rstrip("/")

    def __repr__(self) -> str:
        hints = get_type_hints(type(self), include_extras=True)
        shown = (
            f"{name}={'***' if _is_secret(hint) and getattr(self, name) else repr(getattr(self, name))}"
            for name, hint in hints.items()
        )
        return f"Settings({', '.join(shown)})"


def _metas(hint: object) -> list[Meta]:
    return [argument for argument in get_args(hint) if isinstance(argument, Meta)]


def _bare(hint: object) -> object:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _is_secret(hint: object) -> bool:
    return any(meta.extra and meta.extra.get("secret") for meta in _metas(hint))


def _form(hint: object) -> Callable[[str], str] | None:
    return next((meta.extra["form"] for meta in _metas(hint) if meta.extra and meta.extra.get("form")), None)


def _description(hint: object) -> str:
    return next((meta.description for meta in _metas(hint) if meta.description), "")


def table() -> list[tuple[str, str, str]]:
    """Every variable with its default and its meaning, in order."""
    hints = get_type_hints(Settings, include_extras=True)
    rows: list[tuple[str, str, str]] = []
    for field in structs.fields(Settings):
        variable = f"NBHUB_{field.name.upper()}"
        if _is_secret(hints[field.name]):
            variable += f"` or `{variable}_FILE"
        if field.required:
            default = "required"
        elif isinstance(field.default, tuple):
            default = ",".join(field.default)
        else:
            default = str(field.default)
        rows.append((variable, default, _description(hints[field.name])))
    return rows


if __name__ == "__main__":
    print("| variable | default | meaning |\n|---|---|---|")  # noqa: T201
    for variable, default, meaning in table():
        print(f"| `{variable}` | {f'`{default}`' if default else ''} | {meaning} |")  # noqa: T201
