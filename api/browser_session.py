"""Browsers that stay signed in: by a cookie that only the sign-in sees and no script reads."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from cryptography.fernet import Fernet
from litestar import Controller, Request, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from api.http.policy import Policy, needs
from api.http.rates import AUTH, limited
from api.http.services import Services
from api.signing_in import (
    BROWSER,
    NO_STORE,
    TokenRequest,
    TokenView,
    complete,
    cookie_name,
    cookie_of,
    ended_login,
    refreshed,
)
from models.domain.errors import ActionForbidden, DependencyUnavailable, IdentityUnknown, RequestThrottled
from models.domain.origins import page_origin
from models.domain.settings import Settings
from models.records import sessions

_SIGNED_IN_SECONDS = 400 * 24 * 3600
"""As long as browsers keep any cookie; the provider decides when the session ends."""


class BrowserSessionController(Controller):
    """The session of a browser."""

    tags = ("Sign-in",)

    @post(
        "/auth/session",
        opt=needs(Policy.PUBLIC) | limited(AUTH) | {"refusals": (401, 403)},
        status_code=200,
        operation_id="resumeSession",
        summary="Sign a browser in, or stay signed in",
    )
    async def resume(
        self,
        request: Request[Any, Any, Any],
        services: NamedDependency[Services],
        data: JSONBody[TokenRequest | None] = None,
    ) -> Response[TokenView]:
        """Tokens for a page of this address: for the provider's code, or by the cookie of an earlier answer.

        The refresh token stays here. The cookie is for this browser, and is sent to nothing but the sign-in.
        """
        settings = services.settings
        _require_own_page(request, settings)
        if data is not None:
            browser = secrets.token_urlsafe(32)
            view = await complete(data, request, services, browser=sessions.digest(browser))
            kept = [
                cookie_of(settings, BROWSER, browser, max_age=_SIGNED_IN_SECONDS, strict=True),
                *ended_login(request, settings, data.state),
            ]
            return Response(_without_refresh_token(view), headers=NO_STORE, cookies=kept)
        known = request.cookies.get(cookie_name(settings, BROWSER))
        if known is None:
            raise IdentityUnknown("This browser is not signed in.", hint="Begin at POST /auth/authorize.")
        hashed = sessions.digest(known)
        async with _refresh_token(services, hashed) as refresh_token:
            view = await refreshed(refresh_token, request, services, browser=hashed)
        return Response(_without_refresh_token(view), headers=NO_STORE)


@asynccontextmanager
async def _refresh_token(services: Services, browser_hash: bytes) -> AsyncIterator[str]:
    """What a browser is signed in by, for one use; raises `IdentityUnknown`, or `RequestThrottled` while it is used."""
    found = await sessions.take_refresh_token(browser_hash)
    if found is None:
        raise IdentityUnknown("This browser is not signed in any more.", hint="Begin at POST /auth/authorize.")
    if not found.taken:
        raise RequestThrottled("Another page of this browser is asking.", hint="Ask again.", retry_after=1)
    try:
        yield Fernet(services.settings.session_key).decrypt(found.refresh_token_encrypted).decode()
    except DependencyUnavailable:
        await sessions.give_back_refresh_token(found.token_hash)
        raise


def _require_own_page(request: Request[Any, Any, Any], settings: Settings) -> None:
    """Refuse what comes from anywhere but a page of this API: a server's page may be on the same host or site."""
    if request.headers.get("origin") != page_origin(settings.browser_api_url):
        raise ActionForbidden(
            f"This is for pages of {settings.browser_api_url} alone.", hint="Open that address.", code="OTHER_ORIGIN"
        )


def _without_refresh_token(view: TokenView) -> TokenView:
    return TokenView(
        access_token=view.access_token,
        expires_at=view.expires_at,
        expires_in=view.expires_in,
        id_token=view.id_token,
        scope=view.scope,
        token_type=view.token_type,
    )
