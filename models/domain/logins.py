"""What a login is called, so that the API and JupyterHub mean the same one: by the provider's session (`sid`)."""

import hashlib
from collections.abc import Mapping


def login_of(claims: Mapping[str, object]) -> str | None:
    """The login that an id token is of; None where the provider does not say."""
    sid = claims.get("sid")
    return f"provider:{sid}" if isinstance(sid, str) and sid else None


def hub_session_of(login: str) -> str:
    """The id of a login's session in JupyterHub."""
    return hashlib.sha256(login.encode()).hexdigest()
