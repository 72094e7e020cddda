"""Who is behind a request: finds the person of a bearer token, and refuses every other request.

A token that this API gave out is found by one indexed SELECT, so that a logout is true at the next request.
Any other is checked with the provider's keys, or by asking the provider, and its person is bound.

What is read needs no SELECT of its own for that (decision 30): it is read for whom the token was last, or for whom its
subject was, by a statement that finds nothing unless it is still theirs.
"""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from litestar import Request
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from msgspec import UNSET, Struct, UnsetType

from api.http.fields import Name
from api.http.rates import REFUSED, address_of
from api.http.readers import Problems, reader_of
from api.http.services import Services
from integrations.oidc import LARGEST_TOKEN
from models.database.sql import Guard, guarded
from models.domain.emails import EmailInvalid, parse_email
from models.domain.errors import ActionForbidden, IdentityUnknown
from models.domain.settings import Settings
from models.domain.values import Caller
from models.records import persons, sessions
from models.records.persons import Identity
from models.records.sessions import SignedIn

_EXPIRY = "token_expires_at"
_SESSION = "session"
_SUBJECT = "subject"
MOST_KNOWN = 10_000
"""Tokens, and as many subjects, of which it is remembered whose they were last."""
_UNSAID = timedelta(minutes=5)
_LONGEST = timedelta(days=1)
_NAME = reader_of(Name)

K = TypeVar("K")
V = TypeVar("V")


class Authentication:
    """Middleware that puts the caller in the scope of every request to a route that does not stand open."""

    def __init__(self) -> None:
        # What each token of ours was last, and who each subject of the provider: nobody is let in by it.
        self._known: dict[bytes, SignedIn] = {}
        self._persons: dict[str, UUID] = {}

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """An application that refuses (401) or passes on to `app`."""

        async def admitted(scope: Scope, receive: Receive, send: Send) -> None:
            method = scope.get("method")
            if not scope["route_handler"].opt.get("exclude_from_auth") and method != "OPTIONS":
                if method == "GET":
                    admission = self._admission(scope)
                    if admission is not None and await _answer(scope, receive, send, app, admission):
                        return
                scope["user"] = await authenticate(Request(scope))
                self._remember(scope)
            await app(scope, receive, send)

        return admitted

    def _admission(self, scope: Scope) -> "_Admission | None":
        """For whom to answer by what is remembered; None for whom nothing is known of, or who is refused."""
        token = _bearer_token(scope)
        token_hash = sessions.digest(token)
        session = self._known.pop(token_hash, None)
        if session is not None:
            # The last one again; it is forgotten if it does not hold.
            self._known[token_hash] = session
            return _Admission(
                session.caller(token_hash),
                session.expires_at,
                sessions.as_before(token_hash, session),
                lambda: self._known.pop(token_hash, None),
            )
        return self._admission_of_another(scope["litestar_app"].state.services, token, token_hash)

    def _admission_of_another(self, services: Services, token: str, token_hash: bytes) -> "_Admission | None":
        """For whom a token is that the provider signed, if nobody has to be asked or told anything about it."""
        settings = services.settings
        if not self._persons:
            return None
        try:
            claims = services.oidc.read_at_hand(token, says_all=lambda claims: says_all(claims, settings))
            if claims is None or claims["sub"] not in self._persons:
                return None
            identity = identity_of(claims, settings)
        except ActionForbidden:
            return None
        person = self._persons[claims["sub"]]
        guard = persons.as_before(token_hash, identity, person)
        if guard is None:
            return None
        return _Admission(
            identity.caller(person, token_hash),
            _expiry(claims),
            guard,
            lambda: self._persons.pop(claims["sub"], None),
        )

    def _remember(self, scope: Scope) -> None:
        """What was found by authenticating a request."""
        caller: Caller = scope["user"]
        state = scope["state"]
        if _SESSION in state:
            _keep(self._known, caller.token_hash, state.pop(_SESSION))
        elif _SUBJECT in state:
            _keep(self._persons, state.pop(_SUBJECT), caller.id)


def _keep(known: dict[K, V], key: K, value: V) -> None:
    """Remember one more, the oldest less if there are many."""
    if len(known) >= MOST_KNOWN and key not in known:
        del known[next(iter(known))]
    known[key] = value


class _Admission(Struct, frozen=True):
    """For whom a request is carried out, as long as a guard holds; what is remembered of it is forgotten if not."""

    caller: Caller
    expires_at: datetime
    guard: Guard
    forget: Callable[[], object]


async def _answer(scope: Scope, receive: Receive, send: Send, app: ASGIApp, admission: _Admission) -> bool:
    """Answer for whom a token seems to be; False, and nothing was sent, if it is not theirs (any more)."""
    guard = admission.guard

    async def send_if_it_holds(message: Message) -> None:
        if not guard.holds and not await guard.look():
            raise IdentityUnknown("A valid access token is needed.")
        await send(message)

    scope["user"] = admission.caller
    scope["state"][_EXPIRY] = admission.expires_at
    try:
        with guarded(guard):
            await app(scope, receive, send_if_it_holds)
    except Exception:
        if guard.holds or await guard.look():
            raise
    return bool(guard.holds)


async def authenticate(request: Request[Any, Any, Any]) -> Caller:
    """The caller of a request.

    Raises `IdentityUnknown`, `RequestThrottled` for too many unknown tokens, or `ActionForbidden` for an account that
    may not be used.
    """
    token = _bearer_token(request.scope)
    token_hash = sessions.digest(token)
    session = await sessions.find(token_hash)
    if session is not None:
        request.scope["state"].update({_EXPIRY: session.expires_at, _SESSION: session})
        return session.caller(token_hash)
    services = request.app.state.services
    settings = services.settings
    rates, address = services.rates, address_of(request)
    said: dict[str, Any] = {}

    def noted(claims: Mapping[str, Any]) -> bool:
        said.update(claims)
        return says_all(claims, settings)

    async with services.denials.letting_in(settings.oidc_issuer, said):
        try:
            claims = await services.oidc.read_access_token(
                token, says_all=noted, admit=lambda: rates.require(REFUSED, address), address=address
            )
        except IdentityUnknown:
            await rates.spend(REFUSED, address)
            raise
        said.update(claims)
        identity = identity_of(claims, settings)
        person = await persons.bind(identity)
    request.scope["state"].update({_EXPIRY: _expiry(claims), _SUBJECT: identity.subject})
    return identity.caller(person, token_hash)


async def token_expiry(request: Request[Any, Any, Any]) -> datetime:
    """When the token of an authenticated request expires."""
    expiry: datetime = request.scope["state"][_EXPIRY]
    return expiry


def _expiry(claims: Mapping[str, Any]) -> datetime:
    """When a validated token expires. Introspection need not say it (RFC 7662); a stream must end all the same."""
    now = datetime.now(UTC)
    try:
        left = float(claims["exp"]) - now.timestamp()
    except (KeyError, TypeError, ValueError):
        return now + _UNSAID
    if not math.isfinite(left):
        return now + _UNSAID
    return now + timedelta(seconds=min(max(left, 0), _LONGEST.total_seconds()))


def _bearer_token(scope: Scope) -> str:
    """The one bearer token of a request; raises `IdentityUnknown`."""
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, token = given[0].decode("latin-1").partition(" ") if len(given) == 1 else ("", "", "")
    plain = token.isascii() and token.isprintable() and " " not in token
    if scheme.lower() != "bearer" or not 0 < len(token) <= LARGEST_TOKEN or not plain:
        raise IdentityUnknown("A valid access token is needed.", hint="Send it as `Authorization: Bearer …`.")
    return token


def identity_of(claims: Mapping[str, Any], settings: Settings) -> Identity:
    """What validated claims say of a person, by the claims that the settings name.

    Raises `ActionForbidden` for a claim that says something which cannot be read: that is not the same as nothing.
    """
    email = _email(claims)
    verified = _is_verified(claims, settings)
    vouched = email if verified else ""
    return Identity(
        issuer=settings.oidc_issuer,
        subject=str(claims["sub"]),
        email=email,
        email_verified=verified,
        name=_called(claims),
        admin=_is_admin(claims, vouched, settings),
        orgs=_orgs(claims, vouched, settings),
        issued_at=_issued_at(claims),
    )


def _issued_at(claims: Mapping[str, Any]) -> datetime | None:
    """When the provider issued a token, if it says so: introspection need not (RFC 7662)."""
    try:
        return datetime.fromtimestamp(claims["iat"], UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


def _email(claims: Mapping[str, Any]) -> str:
    given = str(claims.get("email") or "").strip()
    try:
        return parse_email(given)
    except EmailInvalid:
        # Nobody's: `persons.bind` refuses it, and says so.
        return given


def _called(claims: Mapping[str, Any]) -> str:
    """What the provider calls a person; empty where it says nothing that is a name people can read in one line."""
    name: str | UnsetType = _NAME.read(claims.get("name"), "", Problems())
    return "" if name is UNSET else name


def says_all(claims: Mapping[str, Any], settings: Settings) -> bool:
    """Whether the claims hold everything that the settings ask for; some providers put roles elsewhere.

    Raises `ActionForbidden` for a claim that cannot be read.
    """
    wanted = ("email", "email_verified", settings.admin_claim.partition("=")[0], settings.org_claim)
    return all(_claim(claims, path) is not None for path in wanted if path)


def _is_verified(claims: Mapping[str, Any], settings: Settings) -> bool | None:
    """Whether the e-mail is verified; None where this issuer says nothing and may do so."""
    said = claims.get("email_verified")
    if said is not None:
        # A text too, as Cognito has it.
        return said is True or (isinstance(said, str) and said.strip().lower() == "true")
    if settings.oidc_issuer not in settings.oidc_unverified_issuers:
        raise ActionForbidden(
            "The sign-in provider does not say whether the e-mail address of this account is verified.",
            hint="An administrator can have it send `email_verified`, or name it in NBHUB_OIDC_UNVERIFIED_ISSUERS.",
        )
    return None


def _is_admin(claims: Mapping[str, Any], email: str, settings: Settings) -> bool:
    if email and email in settings.admin_emails:
        return True
    path, _, wanted = settings.admin_claim.partition("=")
    if not wanted:
        return False
    value = _claim(claims, path)
    # A claim can be a yes or no: `is_admin=true`.
    return wanted == str(value).lower() if isinstance(value, bool) else wanted in _names(claims, path)


def _orgs(claims: Mapping[str, Any], email: str, settings: Settings) -> tuple[str, ...]:
    found = _names(claims, settings.org_claim) if settings.org_claim else []
    domain = email.rpartition("@")[2]
    if domain and domain in settings.org_domains:
        found.append(domain)
    return tuple(dict.fromkeys(found))


def _names(claims: Mapping[str, Any], path: str) -> list[str]:
    """The names that a claim lists; raises `ActionForbidden` for one that says something else."""
    value = _claim(claims, path)
    elsewhere = claims.get("_claim_names")
    if value is None and isinstance(elsewhere, Mapping) and path.partition(".")[0] in elsewhere:
        # Distributed claims (OpenID Connect Core 5.6.2): Entra's, of whoever is in too many groups.
        raise _unreadable(path, "the provider keeps it elsewhere")
    found: list[str] = []
    for one in value if isinstance(value, list) else [value]:
        names = _name(one)
        if names is None:
            raise _unreadable(path, "it lists neither names nor objects that have names")
        found.extend(names)
    return found


def _name(value: object) -> list[str] | None:
    """The names in one value of a list; None if it cannot be read."""
    if value is None or value == "":
        return []
    if isinstance(value, str | int) and not isinstance(value, bool):
        return [str(value)]
    if not isinstance(value, Mapping):
        return None
    # Objects by name: Keycloak's organisations, Zitadel's roles.
    if all(isinstance(one, Mapping) for one in value.values()):
        return [*value]
    name = value.get("name")
    return [name] if isinstance(name, str) and name else None


def _claim(claims: Mapping[str, Any], path: str) -> object:
    """The value at a path such as `realm_access.roles`; a claim whose own name has dots wins.

    Raises `ActionForbidden` where the path leads through something else than objects.
    """
    if path in claims:
        return claims[path]
    value: object = claims
    for name in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(name)
        elif value:
            raise _unreadable(path, "it is not where the setting looks")
        else:
            return None
    return value


def _unreadable(path: str, reason: str) -> ActionForbidden:
    return ActionForbidden(
        f"The claim `{path}` that the sign-in provider sends of this account cannot be read: {reason}.",
        hint="An administrator can have the provider send a list of names, or name another claim in the settings.",
        code="CLAIM_UNREADABLE",
    )
