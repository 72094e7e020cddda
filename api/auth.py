"""Signing in and out, and who one is."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
import structlog
from cryptography.fernet import Fernet
from litestar import Controller, MediaType, Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from api.http.authentication import identity_of, says_all
from api.http.fields import EMAIL, AnswerBody, RequestBody
from api.http.operation_view import OperationView
from api.http.policy import Policy, needs
from api.http.rates import AUTH, address_of, limited
from api.http.services import Services
from api.http.write import Write
from integrations.oidc import Claims, TokenAnswer, joined
from models.domain.errors import IdentityUnknown, ProviderUnavailable, RequestInvalid, RequestMalformed
from models.domain.logins import login_of
from models.domain.settings import Settings
from models.domain.values import Caller, Subject
from models.records import persons, sessions
from models.records.sessions import BegunLogin

log = structlog.get_logger(__name__)

Token = Annotated[str, msgspec.Meta(min_length=1, max_length=16_384)]
Address = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class AuthorizeRequest(RequestBody, frozen=True, kw_only=True):
    """Where the browser is to come back to: one of the configured addresses."""

    redirect_uri: Address | None = None


class AuthorizeAnswer(AnswerBody, frozen=True, kw_only=True):
    """Where the browser signs in."""

    authorization_url: str = msgspec.field(name="authorizationUrl")


class TokenRequest(RequestBody, frozen=True, kw_only=True):
    """What the provider sent the browser back with."""

    code: Token
    state: Token | None = None


class RefreshRequest(RequestBody, frozen=True, kw_only=True):
    """A refresh token."""

    refresh_token: Token


class LogoutRequest(RequestBody, frozen=True, kw_only=True):
    """The id token of the session that ends, expired or not."""

    id_token: Token


class LogoutAnswer(AnswerBody, frozen=True, kw_only=True):
    """Where the browser signs out of the provider."""

    logout_url: str = msgspec.field(name="logoutUrl")


class TokenView(AnswerBody, frozen=True, kw_only=True):
    """Tokens. `expires_at` is in seconds since 1970, `expires_in` in seconds from now."""

    access_token: str
    expires_at: int
    expires_in: int
    id_token: str
    scope: str
    token_type: str
    refresh_token: str | None = None


class AuthController(Controller):
    """Signing in and out, and who one is."""

    tags = ("Sign-in",)

    @post(
        "/auth/authorize",
        opt=needs(Policy.PUBLIC) | limited(AUTH),
        status_code=200,
        operation_id="beginSignIn",
        summary="Begin a sign-in",
    )
    async def authorize(
        self, services: NamedDependency[Services], data: JSONBody[AuthorizeRequest | None] = None
    ) -> Response[AuthorizeAnswer]:
        """Begin a sign-in. It is bound to this browser by a cookie, lasts ten minutes, and can be completed once."""
        settings = services.settings
        redirect_uri = _redirect_uri(settings, data.redirect_uri if data else None)
        login = await services.oidc.begin(redirect_uri)
        cookie = secrets.token_urlsafe(32)
        begun = BegunLogin(nonce=login.nonce, code_verifier=login.code_verifier, redirect_uri=redirect_uri)
        await sessions.begin_login(login.state, cookie, begun)
        answer = AuthorizeAnswer(authorization_url=login.url)
        return Response(answer, cookies=[_cookie(settings, cookie)], headers=NO_STORE)

    @post(
        "/auth/token",
        opt=needs(Policy.PUBLIC) | limited(AUTH) | {"refusals": (401, 403)},
        status_code=200,
        operation_id="completeSignIn",
        summary="Complete a sign-in",
    )
    async def token(
        self, data: JSONBody[TokenRequest], request: Request[Any, Any, Any], services: NamedDependency[Services]
    ) -> Response[TokenView]:
        """Exchange the code for tokens. The sign-in is known by the cookie of the browser that has begun it.

        Its `state` alone is enough from the origins that the settings name.
        """
        settings = services.settings
        cookie = request.cookies.get(cookie_name(settings))
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
        redirect_uri = login.redirect_uri if login else _redirect_uri(settings, None)
        tokens = await services.oidc.exchange(data.code, redirect_uri, login.code_verifier if login else None)
        if tokens.id_token is None:
            raise RequestMalformed("The sign-in provider gave no id token.", code="CODE_REJECTED")
        claims = await services.oidc.read_id_token(tokens.id_token, nonce=login.nonce if login else None)
        await _keep_session(services, tokens, claims, tokens.id_token)
        response = Response(_view(tokens, tokens.id_token), headers=NO_STORE)
        response.set_cookie(_cookie(settings, "", max_age=0))
        return response

    @post(
        "/auth/refresh",
        opt=needs(Policy.PUBLIC) | limited(AUTH) | {"refusals": (401, 403)},
        status_code=200,
        operation_id="refreshTokens",
        summary="Refresh tokens",
    )
    async def refresh(
        self, data: JSONBody[RefreshRequest], request: Request[Any, Any, Any], services: NamedDependency[Services]
    ) -> Response[TokenView]:
        """Exchange a refresh token for fresh tokens. One that was used before ends its session."""
        known = await _is_known(services, data.refresh_token)
        tokens = await services.oidc.refresh(data.refresh_token, known=known, address=address_of(request))
        if tokens.id_token is None:
            raise IdentityUnknown("The sign-in provider gave no id token.", hint="Sign in again.")
        claims = await services.oidc.read_id_token(tokens.id_token, nonce=None)
        await _keep_session(services, tokens, claims, tokens.id_token, refreshed=data.refresh_token)
        return Response(_view(tokens, tokens.id_token), headers=NO_STORE)

    @post(
        "/auth/logout",
        opt=needs(Policy.PUBLIC) | limited(AUTH) | {"refusals": (401,)},
        status_code=200,
        operation_id="signOut",
        summary="Sign out",
    )
    async def logout(
        self, data: JSONBody[LogoutRequest], services: NamedDependency[Services]
    ) -> Response[LogoutAnswer]:
        """End the session of an id token at once, and what JupyterHub and the provider have of it, now or later.

        The provider's own session is the browser's: the answer says where it ends that. Servers run on.
        """
        person = await _end_session(services, data.id_token)
        if person is not None:
            await services.workflows.wake(Subject(Subject.SIGN_OUT, person))
        home = services.settings.oidc_post_logout_redirect_uri
        try:
            url = await services.oidc.logout_url(data.id_token, home)
        except ProviderUnavailable:
            # Where its own session ends is not known here yet. Ours has ended all the same.
            url = home
        return Response(LogoutAnswer(logout_url=url), headers=NO_STORE)

    @get(
        "/authenticated",
        opt=needs(Policy.SIGNED_IN),
        operation_id="isSignedIn",
        summary="Whether one is signed in",
        media_type=MediaType.JSON,
        sync_to_thread=False,
    )
    def authenticated(self) -> str:
        """Answers 200 to a valid token."""
        return _json_text("authenticated route")

    @get(
        "/whoami",
        opt=needs(Policy.SIGNED_IN),
        operation_id="whoAmI",
        summary="Who one is",
        media_type=MediaType.JSON,
        sync_to_thread=False,
    )
    def whoami(self, caller: NamedDependency[Caller]) -> str:
        """The user name: the e-mail in lower case."""
        return _json_text(caller.email)

    @get(
        "/whoami/jupyterhub",
        opt=needs(Policy.SIGNED_IN),
        operation_id="whoAmIInJupyterHub",
        summary="Who one is in JupyterHub",
        media_type=MediaType.JSON,
    )
    async def whoami_in_jupyterhub(self, caller: NamedDependency[Caller]) -> str:
        """The name of one's JupyterHub user: it stays when the e-mail changes, and is nobody else's ever."""
        return _json_text(await persons.hub_user_of(caller.id))

    @post(
        "/persons/release",
        opt=needs(Policy.ADMIN) | {"refusals": (404,)},
        status_code=202,
        operation_id="releaseEmail",
        summary="Release an e-mail address",
    )
    async def release(
        self, email: Annotated[str, QueryParameter(format=EMAIL)], write: NamedDependency[Write]
    ) -> Response[OperationView]:
        """Let another account sign in with an e-mail address, from now on. It inherits nothing of who had it.

        The operation ends when that person's servers are stopped and the JupyterHub user is gone, with its sign-ins,
        tokens, groups and shares. The person keeps everything else, and has it after a sign-in with another address.
        """
        async with write:
            person, operation = await persons.release(email, write.caller)
            write.accepts(operation, wakes=Subject("person", person))
        return write.answer


def _json_text(text: str) -> str:
    """A JSON string. The framework sends a text as it is, even where the media type is JSON."""
    return msgspec.json.encode(text).decode()


def cookie_name(settings: Settings) -> str:
    """The name of the cookie that binds a sign-in to its browser, as guarded as it can be where the API is.

    A `__Host-` cookie no other host can set, not even one of the same domain, as people's servers may be. It has to
    have `Path=/` and so would be sent to whatever else is on the API's own host; where JupyterHub is there too, or
    without https, it is not to be had.
    """
    if not _is_https(settings):
        return "nbhub_login"
    return "__Host-nbhub_login" if _has_own_host(settings) else "__Secure-nbhub_login"


def _cookie(settings: Settings, value: str, *, max_age: int = sessions.TRANSACTION_SECONDS) -> Cookie:
    name = cookie_name(settings)
    return Cookie(
        key=name,
        value=value,
        # Else not below Path=/: that would also be sent to people's own servers on another port of this host.
        path="/" if name.startswith("__Host-") else "/auth",
        max_age=max_age,
        httponly=True,
        samesite="lax",
        secure=_is_https(settings),
    )


def _is_https(settings: Settings) -> bool:
    return settings.browser_api_url.startswith("https://")


def _has_own_host(settings: Settings) -> bool:
    """Whether no server of JupyterHub's is on the API's host; on which port does not matter to cookies."""
    return urlsplit(settings.browser_api_url).hostname != urlsplit(settings.browser_hub_url).hostname


def _redirect_uri(settings: Settings, wanted: str | None) -> str:
    allowed = settings.oidc_redirect_uris
    if wanted is None and allowed:
        return allowed[0]
    if wanted not in allowed:
        raise RequestInvalid.of("/redirect_uri", "allowed", "is not one of the configured redirect URIs")
    return wanted


async def _keep_session(
    services: Services, tokens: TokenAnswer, claims: Claims, id_token: str, *, refreshed: str | None = None
) -> None:
    """Bind the person of an id token, and keep the session of the access token that came with it."""
    if not says_all(claims, services.settings):
        claims = joined(claims, await services.oidc.read_more(tokens.access_token, str(claims["sub"])))
    identity = identity_of(claims, services.settings)
    person = await persons.bind(identity)
    fernet = Fernet(services.settings.session_key)
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
        sid=_sid(claims, id_token),
        refreshed_hash=sessions.digest(refreshed) if refreshed is not None else None,
    )
    if refreshed is not None and not kept:
        # It was good when the provider was asked.
        await services.workflows.wake(Subject(Subject.SIGN_OUT, person))
        await _is_known(services, refreshed)


async def _end_session(services: Services, id_token: str) -> UUID | None:
    """End the login of an id token; whose it was, if there was any.

    The token of a session that lives is known: its signature was checked when that was made, so the provider's keys
    need not be there, nor this one among them still.
    """
    known = await sessions.end_by_id_token(sessions.digest(id_token))
    if known is not None:
        return known
    claims = await services.oidc.read_logout_hint(id_token)
    return await sessions.end(
        issuer=services.settings.oidc_issuer, subject=str(claims["sub"]), sid=_sid(claims, id_token)
    )


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


def _sid(claims: Claims, id_token: str) -> str:
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
