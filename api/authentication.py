"""Who is behind a request: finds the person of a bearer token, and refuses every other request.

A token that this API gave out is found by one indexed SELECT, so that a logout is true at the next request.
Any other is checked with the provider's keys, or by asking the provider, and its person is bound.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from litestar import Request
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from integrations.oidc import LARGEST_TOKEN
from models import persons, sessions
from models.errors import IdentityUnknown
from models.persons import Identity
from models.settings import Settings
from models.values import Caller

_EXPIRY = "token_expires_at"
_UNSAID = timedelta(minutes=5)
_LONGEST = timedelta(days=1)


class Authentication(ASGIMiddleware):
    """Puts the caller in the scope of every request to a route that does not stand open."""

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Refuse (401) or pass on."""
        handler = scope.get("route_handler")
        if handler is not None and not handler.opt.get("exclude_from_auth") and scope.get("method") != "OPTIONS":
            scope["user"] = await authenticate(Request(scope))
        await next_app(scope, receive, send)


async def authenticate(request: Request[Any, Any, Any]) -> Caller:
    """The caller of a request; raises `IdentityUnknown`, or `ActionForbidden` for an account that may not be used."""
    token = bearer_token(request)
    token_hash = sessions.digest(token)
    session = await sessions.find(token_hash)
    if session is not None:
        request.scope["state"][_EXPIRY] = session.expires_at
        return session.caller(token_hash)
    services = request.app.state.services
    claims = await services.oidc.read_access_token(token)
    identity = identity_of(claims, services.settings)
    person = await persons.bind(identity)
    request.scope["state"][_EXPIRY] = _expiry(claims)
    return Caller(
        id=person, email=identity.email.lower(), admin=identity.admin, orgs=identity.orgs, token_hash=token_hash
    )


async def token_expiry(request: Request[Any, Any, Any]) -> datetime:
    """When the token of an authenticated request expires."""
    expiry: datetime = request.scope["state"][_EXPIRY]
    return expiry


def _expiry(claims: Mapping[str, Any]) -> datetime:
    """When a validated token expires. Introspection need not say it (RFC 7662); a stream must end all the same."""
    now = datetime.now(UTC)
    exp = claims.get("exp")
    if isinstance(exp, bool) or not isinstance(exp, int | float):
        return now + _UNSAID
    return now + timedelta(seconds=min(max(exp - now.timestamp(), 0), _LONGEST.total_seconds()))


def bearer_token(request: Request[Any, Any, Any]) -> str:
    """The one bearer token of a request; raises `IdentityUnknown`."""
    given = request.headers.getall("authorization", [])
    if len(given) != 1:
        raise IdentityUnknown("A valid access token is needed.", hint="Send it as `Authorization: Bearer …`.")
    scheme, _, token = given[0].partition(" ")
    if scheme.lower() != "bearer" or not 0 < len(token) <= LARGEST_TOKEN or not _plain(token):
        raise IdentityUnknown("A valid access token is needed.", hint="Send it as `Authorization: Bearer …`.")
    return token


def _plain(token: str) -> bool:
    return token.isascii() and token.isprintable() and " " not in token


def identity_of(claims: Mapping[str, Any], settings: Settings) -> Identity:
    """What validated claims say of a person, by the claims that the settings name."""
    email = str(claims.get("email") or "").strip().lower()
    verified = claims.get("email_verified")
    return Identity(
        issuer=settings.oidc_issuer,
        subject=str(claims["sub"]),
        email=email,
        email_verified=verified if isinstance(verified, bool) else None,
        admin=_is_admin(claims, email, settings),
        orgs=_orgs(claims, email, settings),
    )


def says_all(claims: Mapping[str, Any], settings: Settings) -> bool:
    """Whether the claims hold everything that the settings ask for; some providers put roles elsewhere."""
    wanted = ("email", settings.admin_claim.partition("=")[0], settings.org_claim)
    return all(_claim(claims, path) is not None for path in wanted if path)


def _is_admin(claims: Mapping[str, Any], email: str, settings: Settings) -> bool:
    if email and email in settings.admin_emails:
        return True
    path, _, wanted = settings.admin_claim.partition("=")
    return bool(wanted) and wanted in _texts(_claim(claims, path))


def _orgs(claims: Mapping[str, Any], email: str, settings: Settings) -> tuple[str, ...]:
    found = _texts(_claim(claims, settings.org_claim)) if settings.org_claim else []
    domain = email.rpartition("@")[2]
    if domain and domain in settings.org_domains:
        found.append(domain)
    return tuple(dict.fromkeys(found))


def _claim(claims: Mapping[str, Any], path: str) -> object:
    """The value at a path such as `realm_access.roles`; a claim whose own name has dots wins."""
    if path in claims:
        return claims[path]
    value: object = claims
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [
        str(one).lower() if isinstance(one, bool) else str(one) for one in values if isinstance(one, str | bool | int)
    ]
