"""Where browsers find JupyterHub's servers and services: each person on an origin of its own, if it is set so."""

import hashlib
import re
from urllib.parse import urlsplit

from models.domain.environment import SettingsInvalid

TRUTH_SERVICE = "nbhub-truth"
_LABEL = re.compile(r"(?!.*--)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def subdomain(name: str, domain: str, kind: str) -> str:
    """The host of a user's servers or of a service beneath JupyterHub's `domain`: its `subdomain_hook`.

    Names that we make are labels of a host's name as they are. What is none, an e-mail of before, is in a digest.
    """
    label = name if _LABEL.fullmatch(name) else f"u--{hashlib.sha256(name.encode()).hexdigest()[:32]}"
    return f"{label}.{domain}" if kind == "user" else f"{label}--{kind}.{domain}"


def page_origin(url: str) -> str:
    """Scheme, host and port of an address, as browsers send them in `Origin`."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def origin_of(hub_url: str, name: str, kind: str = "user") -> str:
    """The origin of a user's servers or of a service, beneath JupyterHub's as browsers reach it."""
    hub = urlsplit(hub_url)
    host = subdomain(name, hub.hostname or "", kind)
    return f"{hub.scheme}://{host}" + (f":{hub.port}" if hub.port else "")


def require_domain(hub_url: str) -> None:
    """Raise `SettingsInvalid` where no name can lie beneath JupyterHub's own."""
    hub = urlsplit(hub_url)
    host = hub.hostname or ""
    if "." not in host or ":" in host or host.replace(".", "").isdigit() or hub.path.strip("/"):
        raise SettingsInvalid(
            "NBHUB_SUBDOMAINS needs other names beneath JupyterHub's own: NBHUB_JUPYTERHUB_PUBLIC_URL has to be an "
            f"origin such as https://hub.example.org or http://hub.localhost:8000, and not {hub_url!r}"
        )
