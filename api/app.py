"""Puts the API together: settings → clients → controllers → application.

`assemble` gives any handlers the rules that hold for all of them; `create_app` is the application itself.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.enums import ScopeType
from litestar.middleware import AbstractMiddleware
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, ControllerRouterHandler, Middleware, Receive, Scope, Send

from api import codec, datasets, file_changes, groups, modules, secrets
from api.audit import AuditController
from api.auth import AuthController
from api.browser_session import BrowserSessionController
from api.datasets import DatasetsController
from api.device_sign_in import DeviceSignInController
from api.directory import DirectoryController
from api.events import EventsController
from api.groups import GroupsController
from api.health import HealthController
from api.help_pages import help_routes
from api.http import openapi
from api.http.authentication import Authentication
from api.http.calls import Calls
from api.http.dependencies import DEPENDENCIES
from api.http.docs_page import docs_page
from api.http.errors import EXCEPTION_HANDLERS
from api.http.logging import log_requests
from api.http.operation_events import OperationEvents
from api.http.policy import handlers_of, require_policies
from api.http.rates import Rates
from api.http.services import Services
from api.http.write import Replayed, handle_replayed
from api.initialize import InitializeController
from api.me import MeController
from api.measuring import measuring
from api.modules import ModulesController
from api.operations import OperationsController
from api.page import page_routes
from api.profiles import ProfilesController
from api.provider_work import doing_provider_work
from api.secrets import SecretsController
from api.servers import ServersController
from api.templates import TemplatesController
from api.trash import TrashController
from api.uploads import UploadsController
from api.volume import VolumeController
from integrations.oidc import OidcClient
from integrations.vault import Vault
from models.database.engine import pool
from models.domain.origins import page_origin
from models.domain.profiles import load_profiles
from models.domain.settings import Settings
from models.ledger.quotas import limits_of
from workflows.client import Workflows, connect

# A request that the database keeps waiting is answered (503) after so many seconds: before clients give up.
DATABASE_PATIENCE = 9.0

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]

HANDLERS: tuple[ControllerRouterHandler, ...] = (
    AuditController,
    AuthController,
    BrowserSessionController,
    DeviceSignInController,
    *codec.ROUTES,
    DatasetsController,
    *datasets.ROUTES,
    DirectoryController,
    EventsController,
    GroupsController,
    *groups.ROUTES,
    HealthController,
    InitializeController,
    MeController,
    ModulesController,
    *modules.ROUTES,
    OperationsController,
    ProfilesController,
    SecretsController,
    *secrets.ROUTES,
    ServersController,
    TemplatesController,
    TrashController,
    VolumeController,
    *file_changes.ROUTES,
    UploadsController,
    docs_page,
)


def create_app(settings: Settings) -> Litestar:
    """The application. Nothing is connected to before it starts. Raises `SettingsInvalid`."""
    limits_of(settings.quotas)
    handlers = (*HANDLERS, *page_routes(settings), *help_routes(settings))
    return assemble(handlers, settings=settings, lifespan=[_clients(settings)], middleware=[Authentication()])


def _clients(settings: Settings) -> Lifespan:
    @contextlib.asynccontextmanager
    async def connected(app: Litestar) -> AsyncIterator[None]:
        events = OperationEvents(settings)
        oidc = OidcClient.from_settings(settings)
        vault = Vault.from_settings(settings)
        async with contextlib.AsyncExitStack() as open_things:
            open_things.push_async_callback(oidc.close)
            open_things.push_async_callback(vault.close)
            await open_things.enter_async_context(pool(settings, patience=DATABASE_PATIENCE))
            await open_things.enter_async_context(events.running())
            await open_things.enter_async_context(doing_provider_work(settings, oidc))
            app.state.services = Services(
                settings=settings,
                profiles=load_profiles(Path(settings.profiles_file) if settings.profiles_file else None),
                workflows=Workflows(await connect(settings), settings),
                operation_events=events,
                oidc=oidc,
                vault=vault,
                rates=Rates(settings),
            )
            await open_things.enter_async_context(measuring(app.state.services))
            yield

    return connected


def assemble(
    route_handlers: Sequence[ControllerRouterHandler],
    *,
    settings: Settings,
    lifespan: Sequence[Lifespan] = (),
    middleware: Sequence[Middleware] = (),
) -> Litestar:
    """An application of these handlers under the rules that hold for all of them."""
    calls = Calls()
    app = Litestar(
        route_handlers,
        cors_config=_cors(settings),
        debug=False,
        dependencies=DEPENDENCIES,
        exception_handlers={**EXCEPTION_HANDLERS, Replayed: handle_replayed},
        lifespan=list(lifespan),
        logging_config=None,
        middleware=[*middleware, calls],
        openapi_config=openapi.config(),
        pdb_on_exception=False,
        request_max_body_size=settings.max_body_bytes,
    )
    require_policies(app)
    routes = [route for route in app.routes if isinstance(route, HTTPRoute)]
    app.state.methods = {route.path_format: sorted(route.methods) for route in routes}
    calls.prepare(handler for _, handler in handlers_of(app))
    for _, handler in handlers_of(app):
        if "largest_body" in handler.opt:
            handler.request_max_body_size = handler.opt["largest_body"](settings)
    with_cors = app.asgi_handler
    # Litestar's CORS only passes on what comes from no page, but looks through all headers for that.
    beneath_cors = with_cors.app if isinstance(with_cors, AbstractMiddleware) and app.cors_config else with_cors
    # Outermost, so that answers to unknown addresses are logged too.
    answering = _for_pages(with_cors, settings, beneath_cors=beneath_cors)
    app.asgi_handler = log_requests(answering, counts=bool(settings.metrics_address))
    return app


_CODEC = "/codec/"


def _for_pages(app: ASGIApp, settings: Settings, *, beneath_cors: ASGIApp) -> ASGIApp:
    """Have the Temporal web UI's pages read answers of the codec and no others, and nobody else's pages those.

    What comes from a page that may not is answered as what comes from none: the browser then keeps the answer from it.
    """
    ui = page_origin(settings.temporal_ui_url).encode() if settings.temporal_ui_url else b""
    elsewhere = ui.decode() in settings.cors_origins

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        if origins and scope["type"] == ScopeType.HTTP:
            at_codec = scope["path"].startswith(_CODEC)
            origins = [one for one in origins if (one == ui if at_codec else one != ui or elsewhere)]
            others = [header for header in scope["headers"] if header[0] != b"origin"]
            scope["headers"] = [*others, *((b"origin", one) for one in origins)]
        await (app if origins else beneath_cors)(scope, receive, send)

    return handle


def _cors(settings: Settings) -> CORSConfig | None:
    origins = list(settings.cors_origins)
    if settings.temporal_ui_url:
        # It asks for payloads to be decrypted from the browser; `_for_pages` sees to it that it gets no more.
        origins.append(page_origin(settings.temporal_ui_url))
    if not origins:
        return None
    return CORSConfig(
        allow_origins=origins,
        # The sign-in is bound to a cookie of this API.
        allow_credentials="*" not in settings.cors_origins,
        allow_headers=[
            "Authorization",
            "Authorization-Extras",
            "Content-Type",
            "Idempotency-Key",
            "If-Match",
            "If-Modified-Since",
            "If-None-Match",
            "If-Range",
            "If-Unmodified-Since",
            "Last-Event-ID",
            "Prefer",
            "Range",
            "X-Namespace",
            "X-Request-Id",
        ],
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        expose_headers=[
            "Accept-Ranges",
            "Content-Disposition",
            "Content-Range",
            "ETag",
            "Last-Modified",
            "Link",
            "Location",
            "RateLimit-Limit",
            "RateLimit-Remaining",
            "RateLimit-Reset",
            "Retry-After",
            "Total-Count",
            "X-Request-Id",
        ],
    )
