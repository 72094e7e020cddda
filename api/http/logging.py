"""One line per request, however it ended, and the ids that connect it with everything else it caused.

`request_id` is made here and is no other request's. A client may have named one of its own, to find what it caused:
`client_request_id`, which proves nothing, and which such a client gets back.

The line names the route's template and the person's id: no address, query, header or body, because those may
hold names, tokens and secrets.
"""

import os
import re
import time

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from api.http.headers import with_headers
from models.domain.logging import REQUEST, tell
from models.domain.metrics import REQUESTS_NOW, count_request
from models.domain.values import Caller

_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")


def log_requests(app: ASGIApp, *, counts: bool) -> ASGIApp:
    """Wrap the whole application, so that unknown addresses are seen too; if it `counts`, metrics have them as well."""

    async def logged(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.WEBSOCKET:
            await app(scope, receive, send)
            return
        if counts:
            REQUESTS_NOW.inc()
        started = time.perf_counter()
        ids = {"request_id": os.urandom(16).hex()}
        if client_id := _client_id(scope):
            ids["client_request_id"] = client_id
        answered = (client_id or ids["request_id"]).encode()
        # Litestar makes the mapping anew for each request; `request.scope["state"]` is where handlers look.
        scope.setdefault("state", {}).update(ids)
        token = REQUEST.set(ids)
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = with_headers(message["headers"], answered)
            await send(message)

        try:
            await app(scope, receive, send_with_headers)
        finally:
            caller = scope.get("user")
            seconds = time.perf_counter() - started
            if counts:
                REQUESTS_NOW.dec()
                count_request(scope["method"], scope.get("path_template") or "-", status, seconds)
            tell(
                "api.request",
                "request",
                method=scope["method"],
                route=scope.get("path_template") or "-",
                status=status,
                ms=round(seconds * 1000, 1),
                user=str(caller.id) if isinstance(caller, Caller) else None,
            )
            REQUEST.reset(token)

    return logged


def _client_id(scope: Scope) -> str | None:
    given = [value for name, value in scope["headers"] if name == b"x-request-id"]
    if len(given) == 1 and _SANE_ID.fullmatch(given[0]):
        return given[0].decode()
    return None
