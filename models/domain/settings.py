"""Everything that an operator can set, read once at start: from the environment, or else from a TOML file.

Each field `name` is the variable `NBHUB_NAME`; a field marked secret may also be given as
`NBHUB_NAME_FILE`, the path of a file that holds it. In the file that `NBHUB_SETTINGS` names it is `name`, or `name_file`;
what the environment has comes before that. `python -m models.domain.settings` prints the table.
"""

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated
from urllib.parse import quote, urlsplit

from msgspec import Meta, Struct

from models.domain.emails import parse_domain, parse_email
from models.domain.environment import (
    Given,
    SettingsInvalid,
    Words,
    about,
    parse_address,
    parse_network,
    parse_origin,
    parse_quota,
    read,
    read_file,
    settings_of,
    shown,
)
from models.domain.origins import TRUTH_SERVICE, origin_of, require_domain

FILE = "NBHUB_SETTINGS"
"""The variable that names the file."""

LONGEST_WRAPPING = 1800.0
"""Seconds that the workers' policy in Vault allows a wrapped secret to wait."""


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of an API or worker process. `repr` shows no secret."""

    database_url: Annotated[
        str,
        about(
            "PostgreSQL: `postgresql://user:password@host:port/name`, or `postgresql:///name?host=/directory/of/socket`.",
            secret=True,
        ),
    ]
    database_pool_size: Annotated[int, Meta(ge=1, le=200), about("Connections that one process keeps.")] = 10
    temporal_address: Annotated[str, about("Temporal's frontend, `host:port`.")] = "127.0.0.1:7233"
    temporal_namespace: Annotated[str, about("Temporal namespace of the workflows.")] = "default"
    temporal_tls_ca: Annotated[
        str,
        about(
            "Certificates (PEM) of those who vouch for Temporal's; given, or with a certificate, TLS is used.",
            secret=True,
        ),
    ] = ""
    temporal_tls_cert: Annotated[
        str, about("Certificate (PEM) by which Temporal knows this process, with its key.", secret=True)
    ] = ""
    temporal_tls_key: Annotated[str, about("The private key (PEM) of that certificate.", secret=True)] = ""
    temporal_tls_server_name: Annotated[
        str, about("Name in Temporal's certificate. Default: the host of the address.")
    ] = ""
    temporal_task_queue: Annotated[
        str, about("Task queue that the workers poll. API processes poll the one with `-api` behind it.")
    ] = "notebooks-hub"
    temporal_ui_url: Annotated[
        str,
        about(
            "Base URL of the Temporal web UI: operations link to it, and its pages may ask the codec (`/codec`) to decrypt payloads."
        ),
    ] = ""
    payload_keys: Annotated[
        str,
        about(
            "Keys of the payload codec, `id:key,id:key`: Fernet keys; the first encrypts, all decrypt. Empty: payloads are not encrypted.",
            secret=True,
        ),
    ] = ""
    payload_plain: Annotated[
        str,
        Meta(pattern="^(refuse|accept)$"),
        about(
            "What becomes of payloads that are not encrypted, where there are keys. `accept` only while workflows run that were started without keys: whoever reaches Temporal could have workers do something."
        ),
    ] = "refuse"
    codec_token: Annotated[
        str,
        about(
            "Development only, for a Temporal web UI without sign-in: whoever knows this has payloads decrypted, at `/codec/{token}`. Empty: only an admin's access token is accepted, at `/codec`.",
            secret=True,
        ),
    ] = ""
    jupyterhub_url: Annotated[str, about("JupyterHub as API and workers reach it, without `/hub`.")] = (
        "http://127.0.0.1:8000"
    )
    jupyterhub_public_url: Annotated[str, about("JupyterHub as browsers reach it. Default: `jupyterhub_url`.")] = ""
    subdomains: Annotated[
        bool,
        about(
            "Each person's servers have an origin of their own, `{name}.{host of NBHUB_JUPYTERHUB_PUBLIC_URL}`, for which a wildcard name leads to JupyterHub. Without it a page of one server can do in JupyterHub and in other servers what its visitor can (deploy/README.md). JupyterHub has the same setting."
        ),
    ] = False
    jupyterhub_token: Annotated[
        str, about("Token of JupyterHub's service `nbhub-worker`. Workers only.", secret=True)
    ] = ""
    hub_truth_url: Annotated[
        str,
        about(
            "The service beside JupyterHub that reports processes. Default: `{jupyterhub_url}/services/nbhub-truth`."
        ),
    ] = ""
    spec_signing_key_file: Annotated[
        str, about("File of the Ed25519 private key (PEM) that signs what a server may be started with. Workers only.")
    ] = ""
    spec_key_id: Annotated[str, about("Id of that key; JupyterHub holds the public key of the same id.")] = "1"
    vault_url: Annotated[str, about("Vault's address. Empty: there is none, so secrets have no values.")] = ""
    vault_engine: Annotated[
        str,
        Meta(pattern="^[A-Za-z0-9_-]+$"),
        about("Vault's key-value engine (version 2) that holds the values of secrets."),
    ] = "secret"
    vault_role_id: Annotated[
        str, about("Role id of this process's AppRole in Vault; API and workers have different ones.")
    ] = ""
    vault_secret_id: Annotated[str, about("Secret id of that AppRole.", secret=True)] = ""
    secret_mount_prefixes: Annotated[
        Words, about("Directories, comma separated, beneath which secrets may be put inside a server.")
    ] = ("/opt/secret", "/run/secrets")
    secrets_unwrapped_by: Annotated[
        str,
        Meta(pattern="^(hub|container)$"),
        about(
            "Who opens the wrapped secrets of a start: the `hub` at once (bubblewrap), or a `container` when it is there (Kubernetes). Workers only."
        ),
    ] = "hub"
    oidc_issuer: Annotated[str, about("Issuer of the OpenID Connect provider; all else is found by discovery.")] = ""
    oidc_client_id: Annotated[str, about("Client id of this service at the provider.")] = "notebooks-hub"
    oidc_client_secret: Annotated[str, about("Client secret. Empty: a public client.", secret=True)] = ""
    oidc_redirect_uris: Annotated[
        Words,
        about(
            "Allowed redirect URIs of the sign-in, comma separated; the first is the default. `http://127.0.0.1/callback`, without a port, lets `nbhub login` come back, on any port of the browser's own machine; the provider has to allow it too."
        ),
    ] = ()
    oidc_post_logout_redirect_uri: Annotated[str, about("Where the provider sends the browser after a logout.")] = ""
    oidc_scopes: Annotated[str, about("Scopes asked for at sign-in.")] = "openid profile email offline_access"
    oidc_audiences: Annotated[Words, about("Accepted `aud` of JWT access tokens. Default: the client id.")] = ()
    oidc_trusted_clients: Annotated[
        Words, about("Further client ids whose access tokens are accepted, e.g. JupyterHub's.")
    ] = ()
    oidc_unverified_issuers: Annotated[
        Words,
        about(
            "Issuers that may leave `email_verified` out, comma separated; what is said has to be true. Of whom it is left out an address alone makes no admin, no member of an organisation and no invited person."
        ),
    ] = ()
    admin_claim: Annotated[
        str, about("Claim that makes an admin, `path.to.claim=value`, e.g. `realm_access.roles=nbhub-admin`.")
    ] = ""
    admin_emails: Annotated[Words, about("E-mails of admins, comma separated.", form=parse_email)] = ()
    org_claim: Annotated[
        str, about("Path of the claim that lists a person's organisations: names, or objects as Keycloak has them.")
    ] = ""
    org_domains: Annotated[
        Words, about("E-mail domains that count as organisations, comma separated.", form=parse_domain)
    ] = ()
    state_checking_origins: Annotated[
        Words,
        about(
            "Origins of web UIs that check `state` themselves, comma separated: from them alone `POST /auth/token` needs no cookie. One that does not check it lets people be signed in as somebody else.",
            form=parse_origin,
        ),
    ] = ()
    allow_code_only_login: Annotated[
        bool,
        about(
            "Accept `POST /auth/token` with a code that no browser transaction vouches for. For old UIs only: it allows login CSRF."
        ),
    ] = False
    session_key: Annotated[
        str, about("Fernet key: refresh tokens at rest, page cursors, idempotency digests. API only.", secret=True)
    ] = ""
    dataset_location: Annotated[str, about("Directory of all datasets.")] = "/opt/datasets"
    module_location: Annotated[str, about("Directory of all modules.")] = "/opt/modules"
    notebook_location: Annotated[str, about("Directory of all homes.")] = "/opt/notebooks"
    group_location: Annotated[str, about("Directory of all group directories.")] = "/opt/groups"
    files_uid: Annotated[int, about("Owner of directories that are made; -1 leaves it.")] = -1
    files_gid: Annotated[int, about("Group of directories that are made; -1 leaves it.")] = -1
    profiles_file: Annotated[str, about("TOML of application types and hardware. Default: the shipped one.")] = ""
    cors_origins: Annotated[Words, about("Origins of a web UI on another host or port.")] = ()
    public_url: Annotated[str, about("This API as browsers reach it. Default: `http://{api_host}:{api_port}`.")] = ""
    ui_directory: Annotated[
        str, about("Directory of the page that `/ui` serves, as `npm run build` makes it in `ui/`. API only.")
    ] = ""
    help_directory: Annotated[
        str, about("Directory of the help that `/help` serves, as `make docs` makes it of `docs/`. API only.")
    ] = ""
    ui_url: Annotated[str, about("Another page, which `/` and `/ui` lead to instead. API only.")] = ""
    api_host: Annotated[str, about("Address that the API listens on.")] = "127.0.0.1"
    api_port: Annotated[int, Meta(ge=0, le=65535), about("Port that the API listens on.")] = 8002
    api_processes: Annotated[
        int,
        Meta(ge=1, le=64),
        about("Processes that serve the API on that port, each with a pool of its own: one for each processor."),
    ] = 1
    server_start_timeout: Annotated[float, Meta(gt=0), about("Seconds that one spawn may take.")] = 300.0
    dependency_patience: Annotated[
        float, Meta(ge=0), about("Seconds that a start waits for a dependency that is down.")
    ] = 900.0
    reconcile_interval: Annotated[float, Meta(ge=1), about("Seconds between two looks at what is really running.")] = (
        15.0
    )
    stalled_after: Annotated[
        float, Meta(ge=1), about("Seconds without progress after which an operation is woken again.")
    ] = 30.0
    janitor_interval: Annotated[float, Meta(ge=1), about("Seconds between two clean-ups of what has expired.")] = 300.0
    idempotency_hours: Annotated[float, Meta(gt=0), about("Hours that an `Idempotency-Key` is remembered.")] = 24.0
    upload_hours: Annotated[
        float, Meta(gt=0), about("Hours after its last part that a file which comes in parts is kept unfinished.")
    ] = 24.0
    featured_by_admins_only: Annotated[
        bool, about("Only admins may make modules featured, and templates of type `featured`.")
    ] = False
    featured_templates_by_admins_only: Annotated[
        bool, about("Only admins may make templates of type `featured`, whoever may make modules featured.")
    ] = True
    quotas: Annotated[
        Words,
        about(
            "How many of something one person may have, `servers=20,running_servers=5`; 0: any number. `GET /me/usage` has all names; the rest has defaults (docs/operations.md). Admins have no quotas.",
            form=parse_quota,
        ),
    ] = ()
    auth_per_minute: Annotated[
        int,
        Meta(ge=0),
        about("Requests to `/auth/*` that one address may make in a minute, all at once; 0: any number."),
    ] = 600
    health_per_minute: Annotated[
        int, Meta(ge=0), about("Requests to `/healthcheck` that one address may make in a minute; 0: any number.")
    ] = 600
    refused_per_minute: Annotated[
        int, Meta(ge=0), about("Tokens of one address that may be refused in a minute; 0: any number.")
    ] = 300
    writes_per_minute: Annotated[
        int, Meta(ge=0), about("Requests of one person in a minute that change something; 0: any number.")
    ] = 1200
    trusted_proxies: Annotated[
        Words,
        about(
            "Addresses or networks of proxies in front of the API, comma separated: of them `X-Forwarded-For` is believed. Without it everybody behind a proxy counts as one address.",
            form=parse_network,
        ),
    ] = ()
    on_revoke: Annotated[
        str,
        Meta(pattern="^(stop|defer)$"),
        about(
            "What happens to a server whose owner lost access to something it holds: `stop` it after the grace time, or `defer` until it is stopped anyway."
        ),
    ] = "stop"
    revoke_grace: Annotated[
        float,
        Meta(ge=0, le=86_400),
        about("Seconds between the loss of an access and the stop of the servers that hold it."),
    ] = 60.0
    trash_days: Annotated[
        float, Meta(ge=0), about("Days that a deleted dataset or module can be restored; then it is purged.")
    ] = 7.0
    org_names: Annotated[
        Words, about("Organisations that can be shared with before anybody of them has signed in, comma separated.")
    ] = ()
    directory: Annotated[
        str,
        Meta(pattern="^(none|organisation|all)$"),
        about(
            "Whom people find to share with, by how an address or a name begins: `none` but those with whom they share a group or something else, also those of their `organisation`, or `all` who have signed in. The latter two also tell what people are called, and `all` which organisations there are. Admins find all."
        ),
    ] = "none"
    hub_group_prefix: Annotated[
        str,
        Meta(min_length=1, max_length=64, pattern="^[A-Za-z0-9._-]+$"),
        about("Prefix of the JupyterHub groups that mirror ours; all groups with it are ours."),
    ] = "nbhub-"
    share_link_lifetime: Annotated[int, Meta(ge=60), about("Seconds that a server's share link lives.")] = 86_400
    shares_end_with_stop: Annotated[
        bool, about("Whether a server's share link, and the access of whom it is shared with, end when it stops.")
    ] = False
    max_connections: Annotated[
        int, Meta(ge=10), about("Connections that one API process has at once; further requests are told to come back.")
    ] = 500
    client_patience: Annotated[
        float,
        Meta(ge=1),
        about(
            "Seconds that a client has for a request's head, and for every 4 KiB of its body or of the answer; then its connection is ended."
        ),
    ] = 10.0
    max_body_bytes: Annotated[int, Meta(ge=1024), about("Largest request body.")] = 1_048_576
    max_file_bytes: Annotated[int, Meta(ge=0), about("Largest content of a file made by `POST /volume/file`.")] = (
        1_048_576
    )
    max_upload_bytes: Annotated[
        int, Meta(ge=0), about("Largest file written by `PUT /volume/file`, which is never in memory as a whole.")
    ] = 5_368_709_120
    metrics_address: Annotated[
        str,
        about(
            "Where this process serves its metrics to Prometheus, an IP address with a port, without asking who wants them; empty: nowhere. Of several API processes (`NBHUB_API_PROCESSES`) each has a port of its own, from this one on.",
            form=parse_address,
        ),
    ] = ""
    temporal_metrics_address: Annotated[
        str,
        about("The same for the metrics of Temporal's SDK in a worker.", form=parse_address),
    ] = ""
    log_format: Annotated[
        str, Meta(pattern="^(auto|json|console)$"), about("`json`, `console`, or `auto`: console on a terminal.")
    ] = "auto"
    log_level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$"), about("Least severity that is logged.")] = (
        "info"
    )
    crash_points: Annotated[str, about("Directory of armed crash points. For tests of fault tolerance only.")] = ""
    commit: Annotated[str, about("Commit that was built, shown by `GET /version`.")] = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings, from the environment and from the file that `NBHUB_SETTINGS` names, if it does.

        Raises `SettingsInvalid` naming every variable that is wrong or missing.
        """
        source = os.environ if environment is None else environment
        path = source.get(FILE)
        settings = read(cls, variable_of, source, read_file(cls, path) if path else Given())
        if bool(settings.temporal_tls_cert) != bool(settings.temporal_tls_key):
            raise SettingsInvalid("NBHUB_TEMPORAL_TLS_CERT and NBHUB_TEMPORAL_TLS_KEY are given together or not at all")
        if settings.subdomains:
            require_domain(settings.browser_hub_url)
        return settings

    @property
    def admins_feature_templates(self) -> bool:
        """Whether only admins make templates of type `featured`."""
        return self.featured_by_admins_only or self.featured_templates_by_admins_only

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
        return self.hub_truth_url or f"{self.jupyterhub_url.rstrip('/')}/services/{TRUTH_SERVICE}"

    @property
    def truth_host(self) -> str:
        """The name by which JupyterHub's proxy knows that service, where it goes by names; else nothing."""
        if not self.subdomains or self.hub_truth_url:
            return ""
        return urlsplit(origin_of(self.browser_hub_url, TRUTH_SERVICE, "service")).netloc

    @property
    def browser_hub_url(self) -> str:
        """JupyterHub as browsers reach it, without a slash at the end."""
        return (self.jupyterhub_public_url or self.jupyterhub_url).rstrip("/")

    def server_url(self, hub_user: str, name: str) -> str:
        """A server as browsers reach it."""
        return f"{_home_url(self.browser_hub_url, self.subdomains, hub_user)}/{name}/"

    @property
    def browser_api_url(self) -> str:
        """This API as browsers reach it, without a slash at the end."""
        return (self.public_url or f"http://{self.api_host}:{self.api_port}").rstrip("/")

    def __repr__(self) -> str:
        return shown(self)


@lru_cache(maxsize=10_000)
def _home_url(hub: str, subdomains: bool, hub_user: str) -> str:
    origin = origin_of(hub, hub_user) if subdomains else hub
    # JupyterHub's own spelling: a server knows itself by this prefix and no other.
    return f"{origin}/user/{quote(hub_user, safe='@~')}"


def variable_of(field: str) -> str:
    """The variable of a setting."""
    return f"NBHUB_{field.upper()}"


def table() -> list[tuple[str, str, str]]:
    """Every variable with its default and its meaning, in order."""
    rows: list[tuple[str, str, str]] = []
    for setting in settings_of(Settings):
        variable = variable_of(setting.name)
        if setting.secret:
            variable += f"` or `{variable}_FILE"
        default = ",".join(setting.default) if isinstance(setting.default, tuple) else str(setting.default)
        rows.append((variable, "required" if setting.required else default, setting.meaning))
    return rows


if __name__ == "__main__":
    print("| variable | default | meaning |\n|---|---|---|")  # noqa: T201
    for variable, default, meaning in table():
        print(f"| `{variable}` | {f'`{default}`' if default else ''} | {meaning} |")  # noqa: T201
