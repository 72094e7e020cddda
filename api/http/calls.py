"""How a route is called: what was read of the request goes to its handler, and what that returns is sent.

Litestar finds the route, and documents it from the handler's annotations. It would also call the handler; but
`check_request` has read and checked everything by then, and Litestar would convert each parameter once more, ask for
dependencies in tasks, and keep the answer for later: more work than a small read takes beside it. So each handler is
called here, with values that are what its annotations say, and nothing stands between it and what it returns.

The order of refusals is `Calls.answer`; who asks was found out before (`api.http.authentication`).
"""

from collections.abc import Callable, Iterable, Mapping
from inspect import iscoroutinefunction, isfunction, isgeneratorfunction
from typing import Any

from litestar import Request, Response
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.params import ParameterKwarg
from litestar.types import ASGIApp, Empty, Receive, Scope, Send
from litestar.typing import FieldDefinition

from api.http.answer import Answer
from api.http.large_bodies import LargeBodies
from api.http.policy import check_policy
from api.http.rates import check_address, check_person
from api.http.validation import RequestReader, check_request, has_body
from models.domain.errors import ActionForbidden, RecordMissing
from models.domain.values import Caller

Values = Mapping[str, object]
"""What was read of a request, by the names that parameters have there; the body is `data`."""
Getter = Callable[[Request[Any, Any, Any], Values], Any]


class Call:
    """One handler, with all that can be known of its calls before there are any."""

    def __init__(self, handler: HTTPRouteHandler) -> None:
        """Raise `TypeError` for a handler whose request could not be read."""
        self.handler = handler
        self.reader = RequestReader(handler)
        self._getters = _getters(handler.signature_model._fields, handler.resolve_dependencies())
        self._waits = not handler.has_sync_callable

    async def returned(self, request: Request[Any, Any, Any], values: Values) -> Response[Any]:
        """What the handler returns, as a response."""
        found = self.handler.fn(**{name: get(request, values) for name, get in self._getters})
        if self._waits:
            found = await found
        return found if isinstance(found, Response) else Answer(found)

    def sent(self, response: Response[Any], request: Request[Any, Any, Any]) -> ASGIApp:
        """The application that sends a response."""
        handler = self.handler
        return response.to_asgi_response(
            None, request, status_code=handler.status_code, media_type=handler.media_type, headers={}, cookies=[]
        )


def _getters(fields: Mapping[str, FieldDefinition], providers: Mapping[str, Provide]) -> list[tuple[str, Getter]]:
    return [(name, _getter(name, field, providers)) for name, field in fields.items()]


def _getter(name: str, field: FieldDefinition, providers: Mapping[str, Provide]) -> Getter:
    """How an argument of a handler, or of what provides one, is got."""
    if name in providers:
        provide: Callable[..., Any] = providers[name].dependency
        if not isfunction(provide) or iscoroutinefunction(provide) or isgeneratorfunction(provide):
            raise TypeError(f"{name} is not provided by a plain function")
        given = _getters(providers[name].signature_model._fields, providers)
        return lambda request, values: provide(**{name: get(request, values) for name, get in given})
    if name == "request":
        return lambda request, _: request
    definition = field.kwarg_definition
    at = definition.name or name if isinstance(definition, ParameterKwarg) else name
    default = None if field.default is Empty else field.default
    return lambda _, values: values.get(at, default)


class Calls:
    """The innermost of the application's middleware: it answers by itself."""

    def __init__(self) -> None:
        self._calls: dict[object, Call] = {}
        self._large_bodies = LargeBodies()

    def prepare(self, handlers: Iterable[HTTPRouteHandler]) -> None:
        """Make ready for calls of these; raises `TypeError` for one whose request could not be read."""
        self._calls = {handler: Call(handler) for handler in handlers}

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """The application in place of Litestar's own."""

        async def answered(scope: Scope, receive: Receive, send: Send) -> None:
            request: Request[Any, Any, Any] = Request(scope, receive, send)
            if request.method == "OPTIONS":
                answer = _methods(request)
            elif has_body(scope):
                with self._large_bodies.worked_on(scope):
                    answer = await self.answer(request)
            else:
                answer = await self.answer(request)
            await answer(scope, receive, send)

        return answered

    async def answer(self, request: Request[Any, Any, Any]) -> ASGIApp:
        """What answers a request. Its checks are in the contract's order of refusals."""
        call = self._calls[request.route_handler]
        await check_address(request)
        values = await check_request(request, call.reader)
        try:
            check_policy(request)
            await check_person(request)
            return call.sent(await call.returned(request, values), request)
        except (ActionForbidden, RecordMissing) as error:
            # Of nobody known there is nothing to tell; nor is there what tells it in an application that knows nobody.
            if isinstance(request.scope.get("user"), Caller):
                await request.app.state.services.denials.record(request, error)
            raise


def _methods(request: Request[Any, Any, Any]) -> ASGIApp:
    """The framework's own answer knows but the methods of whichever handler of the address came first."""
    methods = request.app.state.methods[request.scope["path_template"]]
    return Response(None, status_code=204, headers={"Allow": ", ".join(methods)}).to_asgi_response(None, request)
