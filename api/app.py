"""Puts the API together: settings → clients → controllers → application."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from litestar import Litestar, Request
from litestar.config.cors import CORSConfig
from litestar.types import ControllerRouterHandler, Middleware

from api import openapi
from api.dependencies import DEPENDENCIES
from api.errors import EXCEPTION_HANDLERS
from api.headers import add_headers
from api.idempotency import Replayed, handle_replayed
from api.logging import log_requests
from api.policy import check_policy, require_policies
from api.validation import check_request
from models.settings import Settings

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


def assemble(
    route_handlers: Sequence[ControllerRouterHandler],
    *,
    settings: Settings,
    lifespan: Sequence[Lifespan] = (),
    middleware: Sequence[Middleware] = (),
) -> Litestar:
    """An application of these handlers under the rules that hold for all of them."""
    app = Litestar(
        route_handlers,
        before_request=before_request,
        before_send=[add_headers],
        cors_config=_cors(settings),
        debug=False,
        dependencies=DEPENDENCIES,
        exception_handlers={**EXCEPTION_HANDLERS, Replayed: handle_replayed},
        lifespan=list(lifespan),
        logging_config=None,
        middleware=list(middleware),
        openapi_config=openapi.config(),
        pdb_on_exception=False,
        request_max_body_size=settings.max_body_bytes,
    )
    require_policies(app)
    # Outermost, so that answers to unknown addresses are logged too.
    app.asgi_handler = log_requests(app.asgi_handler)
    return app


async def before_request(request: Request[Any, Any, Any]) -> None:
    """What every request passes before its handler, in the contract's order of refusals."""
    await check_request(request)
    check_policy(request)


def _cors(settings: Settings) -> CORSConfig | None:
    if not settings.cors_origins:
        return None
    return CORSConfig(
        allow_origins=list(settings.cors_origins),
        # The sign-in is bound to a cookie of this API.
        allow_credentials="*" not in settings.cors_origins,
        allow_headers=[
            "Authorization",
            "Content-Type",
            "Idempotency-Key",
            "If-Match",
            "Last-Event-ID",
            "Prefer",
            "X-Request-Id",
        ],
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        expose_headers=["ETag", "Link", "Location", "Retry-After", "X-Request-Id"],
    )
