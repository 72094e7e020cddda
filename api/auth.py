"""Signing in and out, and who one is."""

import secrets
from typing import Annotated, Any, ClassVar
from uuid import UUID

import msgspec
from litestar import Controller, MediaType, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter
from msgspec import Meta

from api.http.fields import EMAIL, AnswerBody, RequestBody, Url
from api.http.operation_view import OperationView
from api.http.policy import Policy, needs
from api.http.rates import AUTH, limited
from api.http.services import Services
from api.http.write import Write
from api.signing_in import (
    NO_STORE,
    Token,
    TokenRequest,
    TokenView,
    complete,
    cookie_of,
    ended_login,
    login_cookie,
    redirect_uri_of,
    refreshed,
    sid_of,
)
from models.domain.errors import ProviderUnavailable
from models.domain.values import Caller, Subject
from models.records import persons, sessions
from models.records.sessions import BegunLogin

Address = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]


class AuthorizeRequest(RequestBody, frozen=True, kw_only=True):
    """Where the browser is to come back to: one of the configured addresses."""

    example: ClassVar[dict[str, Any]] = {"redirect_uri": "https://hub.example.org/signed-in"}

    redirect_uri: (
        Annotated[
            Address,
            Meta(
                description="Where the browser comes back to with the code; absent: the first one that is configured."
            ),
        ]
        | None
    ) = None


class AuthorizeAnswer(AnswerBody, frozen=True, kw_only=True):
    """Where the browser signs in."""

    authorization_url: Annotated[Url, Meta(description="Where to send the browser.")] = msgspec.field(
        name="authorizationUrl"
    )


class RefreshRequest(RequestBody, frozen=True, kw_only=True):
    """A refresh token."""

    example: ClassVar[dict[str, Any]] = {"refresh_token": "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl"}

    refresh_token: Annotated[Token, Meta(description="The latest one of the session; it can be used once.")]


class LogoutRequest(RequestBody, frozen=True, kw_only=True):
    """The id token of the session that ends, expired or not."""

    example: ClassVar[dict[str, Any]] = {"id_token": "eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl"}

    id_token: Annotated[Token, Meta(description="The `id_token` of the sign-in.")]


class LogoutAnswer(AnswerBody, frozen=True, kw_only=True):
    """Where the browser signs out of the provider."""

    logout_url: Annotated[
        Url, Meta(description="Where to send the browser, so that the provider forgets the sign-in too.")
    ] = msgspec.field(name="logoutUrl")


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
        redirect_uri = redirect_uri_of(settings, data.redirect_uri if data else None)
        login = await services.oidc.begin(redirect_uri)
        cookie = secrets.token_urlsafe(32)
        begun = BegunLogin(nonce=login.nonce, code_verifier=login.code_verifier, redirect_uri=redirect_uri)
        await sessions.begin_login(login.state, cookie, begun)
        answer = AuthorizeAnswer(authorization_url=login.url)
        kept = cookie_of(settings, login_cookie(login.state), cookie, max_age=sessions.TRANSACTION_SECONDS)
        return Response(answer, cookies=[kept], headers=NO_STORE)

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
        view = await complete(data, request, services)
        return Response(view, headers=NO_STORE, cookies=ended_login(request, services.settings, data.state))

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
        return Response(await refreshed(data.refresh_token, request, services), headers=NO_STORE)

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
        self,
        email: Annotated[str, QueryParameter(format=EMAIL, description="The address to release.")],
        write: NamedDependency[Write],
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
        issuer=services.settings.oidc_issuer, subject=str(claims["sub"]), sid=sid_of(claims, id_token)
    )
