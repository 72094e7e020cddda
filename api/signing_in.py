"""What the ways to sign in share: the cookies of a browser, the exchange of a code, the session that comes of it."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

import msgspec
import structlog
from cryptography.fernet import Fernet
from litestar import Request
from litestar.datastructures import Cookie
from msgspec import Meta

from api.http.authentication import identity_of, says_all
from api.http.fields import AnswerBody, RequestBody
from api.http.rates import address_of
from api.http.services import Services
from integrations.oidc import Claims, TokenAnswer, joined
from models.domain.errors import IdentityUnknown, RequestInvalid, RequestMalformed
from models.domain.logins import login_of
from models.domain.settings import Settings
from models.domain.values import Subject
from models.records import persons, sessions

log = structlog.get_logger(__name__)

Token = Annotated[str, msgspec.Meta(min_length=1, max_length=16_384)]

_LOOPBACK = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\])):[1-9][0-9]{0,4}(/.*)", re.ASCII)
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
LOGIN, BROWSER = "nbhub_login", "nbhub_browser"
"""The cookies: of the sign-ins that a browser has begun, and of a browser that stays signed in."""

# Digits of its name that tell the cookie of one sign-in from that of another.
_OF_STATE = 12


class TokenRequest(RequestBody, frozen=True, kw_only=True):
    """What the provider sent the browser back with."""

    example: ClassVar[dict[str, Any]] = {"code": "8f2d61c4-code-of-the-provider", "state": "Zk3QyVbR0w"}

    code: Annotated[Token, Meta(description="The `code` of the address to which the provider sent the browser back.")]
    state: Annotated[Token, Meta(description="The `state` of the same address.")] | None = None


class TokenView(AnswerBody, frozen=True, kw_only=True):
    """Tokens. `expires_at` is in seconds since 1970, `expires_in` in seconds from now."""

    access_token: Annotated[str, Meta(description="What requests show: `Authorization: Bearer …`.")]
    expires_at: Annotated[int, Meta(description="When the access token ends, in seconds since 1970.")]
    expires_in: Annotated[int, Meta(description="Seconds until the access token ends.")]
    id_token: Annotated[str, Meta(description="Says who signed in; for `POST /auth/logout`.")]
    scope: Annotated[str, Meta(description="What the provider granted, with spaces between.")]
    token_type: Annotated[str, Meta(description="`Bearer`.")]
    refresh_token: (
        Annotated[str, Meta(description="For `POST /auth/refresh`; absent where the provider gives none.")] | None
    ) = None


def cookie_name(settings: Settings, name: str) -> str:
    """The name of a cookie that binds something to a browser, as guarded as it can be where the API is.

    A `__Host-` cookie no other host can set, not even one of the same domain, as people's servers may be. It has to
    have `Path=/` and so would be sent to whatever else is on the API's own host; where JupyterHub is there too, or
    without https, it is not to be had.
    """
    if not _is_https(settings):
        return name
    return f"__Host-{name}" if _has_own_host(settings) else f"__Secure-{name}"


def login_cookie(state: str) -> str:
    """The cookie of one sign-in: another that is begun in the same browser meanwhile has its own."""
    return f"{LOGIN}_{sessions.digest(state).hex()[:_OF_STATE]}"


def begun_login(request: Request[Any, Any, Any], settings: Settings, state: str | None) -> str | None:
    """The name of the cookie of a sign-in, if there is one; of the last that was begun, where no state is known."""
    if state is not None:
        name = login_cookie(state)
        return name if cookie_name(settings, name) in request.cookies else None
    begins = cookie_name(settings, f"{LOGIN}_")
    # Browsers send those first that they have had longest (RFC 6265, 5.4).
    begun = [key.removeprefix(begins) for key in request.cookies if key.startswith(begins)]
    return f"{LOGIN}_{begun[-1]}" if begun else None


def ended_login(request: Request[Any, Any, Any], settings: Settings, state: str | None) -> list[Cookie]:
    """What takes the cookie of a sign-in away that has come to its end, and leaves those of others."""
    name = begun_login(request, settings, state)
    return [] if name is None else [cookie_of(settings, name, "", max_age=0)]


def cookie_of(settings: Settings, name: str, value: str, *, max_age: int, strict: bool = False) -> Cookie:
    """A cookie for the sign-in alone; `strict` where no page of another site leads to its use. Of no age it is gone."""
    key = cookie_name(settings, name)
    return Cookie(
        key=key,
        value=value,
        # Else not below Path=/: that would also be sent to people's own servers on another port of this host.
        path="/" if key.startswith("__Host-") else "/auth",
        max_age=max_age,
        httponly=True,
        samesite="strict" if strict else "lax",
        secure=_is_https(settings),
    )


def _is_https(settings: Settings) -> bool:
    return settings.browser_api_url.startswith("https://")


def _has_own_host(settings: Settings) -> bool:
    """Whether no server of JupyterHub's is on the API's host; on which port does not matter to cookies."""
    return urlsplit(settings.browser_api_url).hostname != urlsplit(settings.browser_hub_url).hostname


def redirect_uri_of(settings: Settings, wanted: str | None) -> str:
    """Where the provider is to send a browser back to; raises `RequestInvalid` for what is not configured."""
    allowed = settings.oidc_redirect_uris
    if wanted is None and allowed:
        return allowed[0]
    if wanted is None or (wanted not in allowed and _portless(wanted) not in allowed):
        raise RequestInvalid.of("/redirect_uri", "allowed", "is not one of the configured redirect URIs")
    return wanted


def _portless(address: str) -> str | None:
    """An address of a program on the browser's own machine without its port, which it cannot choose (RFC 8252, 7.3)."""
    found = _LOOPBACK.fullmatch(address)
    return found and found[1] + found[2]


async def complete(
    data: TokenRequest, request: Request[Any, Any, Any], services: Services, *, browser: bytes | None = None
) -> TokenView:
    """Exchange a code for tokens. The sign-in is known by the cookie of the browser that has begun it.

    Its `state` alone is enough from the origins that the settings name. `browser` is the hash of what the browser is to
    stay signed in by, if it is.
    """
    settings = services.settings
    name = begun_login(request, settings, data.state)
    cookie = None if name is None else request.cookies[cookie_name(settings, name)]
    login = None
    # Anybody has a state of a sign-in that they began themselves: alone it does not say whose browser this is.
    if cookie is not None or request.headers.get("origin") in settings.state_checking_origins:
        login = await sessions.take_login(state=data.state, cookie=cookie)
    if login is None:
        if not settings.allow_code_only_login or data.state is not None or cookie is not None:
            raise RequestMalformed(
                "This code belongs to no sign-in that this browser has begun.",
                hint="Begin at POST /auth/authorize and send its cookie back. A sign-in lasts ten minutes and can "
                "be completed once. A web UI of another site has to be named in NBHUB_STATE_CHECKING_ORIGINS.",
                code="SIGN_IN_UNKNOWN",
            )
        log.warning("sign_in_by_code_alone")
    redirect_uri = login.redirect_uri if login else redirect_uri_of(settings, None)
    tokens = await services.oidc.exchange(data.code, redirect_uri, login.code_verifier if login else None)
    return await admitted(tokens, services, nonce=login.nonce if login else None, browser=browser)


async def admitted(
    tokens: TokenAnswer, services: Services, *, nonce: str | None, browser: bytes | None = None
) -> TokenView:
    """Let the person of fresh tokens in, if that one may: every way to sign in ends here.

    A `nonce` of None is for tokens that the provider gave for a code which no browser has brought.
    """
    if tokens.id_token is None:
        raise RequestMalformed("The sign-in provider gave no id token.", code="CODE_REJECTED")
    claims = await services.oidc.read_id_token(tokens.id_token, nonce=nonce)
    await _keep_session(services, tokens, claims, tokens.id_token, browser=browser)
    return _view(tokens, tokens.id_token)


async def refreshed(
    refresh_token: str, request: Request[Any, Any, Any], services: Services, *, browser: bytes | None = None
) -> TokenView:
    """Exchange a refresh token for fresh tokens. One that was used before ends its session: `IdentityUnknown`."""
    known = await _is_known(services, refresh_token)
    tokens = await services.oidc.refresh(refresh_token, known=known, address=address_of(request))
    if tokens.id_token is None:
        raise IdentityUnknown("The sign-in provider gave no id token.", hint="Sign in again.")
    claims = await services.oidc.read_id_token(tokens.id_token, nonce=None)
    await _keep_session(services, tokens, claims, tokens.id_token, refreshed=refresh_token, browser=browser)
    return _view(tokens, tokens.id_token)


async def _keep_session(
    services: Services,
    tokens: TokenAnswer,
    claims: Claims,
    id_token: str,
    *,
    refreshed: str | None = None,
    browser: bytes | None = None,
) -> None:
    """Bind the person of an id token, and keep the session of the access token that came with it."""
    settings = services.settings
    async with services.denials.letting_in(settings.oidc_issuer, claims):
        if not says_all(claims, settings):
            claims = joined(claims, await services.oidc.read_more(tokens.access_token, str(claims["sub"])))
        identity = identity_of(claims, settings)
        person = await persons.bind(identity)
    fernet = Fernet(settings.session_key)
    # A provider need not give a fresh refresh token: then the old one goes on.
    refresh_token = tokens.refresh_token or refreshed
    kept = await sessions.keep(
        sessions.digest(tokens.access_token),
        person_id=person,
        admin=identity.admin,
        orgs=identity.orgs,
        expires_at=datetime.now(UTC) + timedelta(seconds=tokens.lifetime),
        refresh_token_encrypted=fernet.encrypt(refresh_token.encode()) if refresh_token else None,
        refresh_token_hash=sessions.digest(refresh_token) if refresh_token else None,
        id_token_hash=sessions.digest(id_token),
        sid=sid_of(claims, id_token),
        browser_hash=browser,
        refreshed_hash=sessions.digest(refreshed) if refreshed is not None else None,
    )
    if refreshed is not None and not kept:
        # It was good when the provider was asked.
        await services.workflows.wake(Subject(Subject.SIGN_OUT, person))
        await _is_known(services, refreshed)


async def _is_known(services: Services, refresh_token: str) -> bool:
    """Whether a refresh token was given out here; raises `IdentityUnknown` for one that is good no more.

    That was exchanged, or its login has ended. Whoever brings an exchanged one has stolen it, or was robbed: its login
    ends. Of one that had ended a browser may know nothing yet, and the same login at the provider may have led to a new
    session since: that one stays.
    """
    login = await sessions.login_of(sessions.digest(refresh_token))
    if login is None or login.live:
        return login is not None
    if not login.ended:
        log.warning("refresh_token_replayed", person=str(login.person))
        await sessions.end_login(login.person, login.sid)
        await services.workflows.wake(Subject(Subject.SIGN_OUT, login.person))
    raise IdentityUnknown("This refresh token was used before, or its session has ended.", hint="Sign in again.")


def sid_of(claims: Claims, id_token: str) -> str:
    """The login of an id token: what the provider calls it, else the token itself if it is the first of its login."""
    return login_of(claims) or f"id-token:{sessions.digest(id_token).hex()}"


def _view(tokens: TokenAnswer, id_token: str) -> TokenView:
    return TokenView(
        access_token=tokens.access_token,
        expires_at=int(datetime.now(UTC).timestamp() + tokens.lifetime),
        expires_in=int(tokens.lifetime),
        id_token=id_token,
        scope=tokens.scope or "",
        token_type=tokens.token_type,
        refresh_token=tokens.refresh_token,
    )
