"""Who may use a route. Every route says so, and an application with one that does not will not start.

    @get("/servers", opt=needs(Policy.SIGNED_IN))

A policy is what can be decided before any record is read. Whether *this* caller may see or change *this*
record is decided by the statement that reads the record; `RECORD` promises that one does.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from litestar import Litestar, Request
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from models.domain.errors import ActionForbidden, IdentityUnknown
from models.domain.values import Caller


class Policy(StrEnum):
    """What a route asks of its caller."""

    PUBLIC = "public"
    """Nothing: no token is looked at."""
    SIGNED_IN = "signed-in"
    """A valid token; the answer holds what this caller may see."""
    RECORD = "record"
    """A valid token, and a right to the record that the request names: hidden ones are 404, others 403."""
    ADMIN = "admin"
    """A valid token of an admin."""


class PolicyMissing(Exception):
    """Routes do not say who may use them."""


def needs(policy: Policy) -> dict[str, Any]:
    """The `opt` of a route; `PUBLIC` also tells the authentication to stand aside."""
    return {"policy": policy, "exclude_from_auth": policy is Policy.PUBLIC}


def check_policy(request: Request[Any, Any, Any]) -> None:
    """Refuse a caller whom the route's policy does not admit. Runs once the request is known to be valid."""
    policy = policy_of(request.route_handler)
    if policy is Policy.PUBLIC:
        return
    caller = request.scope.get("user")
    if not isinstance(caller, Caller):
        raise IdentityUnknown("A valid access token is needed.")
    if policy is Policy.ADMIN and not caller.admin:
        raise ActionForbidden("Only an admin may do this.")


def policy_of(handler: HTTPRouteHandler) -> Policy | None:
    """The policy that a route declares."""
    policy = handler.opt.get("policy")
    return policy if isinstance(policy, Policy) else None


def handlers_of(app: Litestar) -> Iterable[tuple[str, HTTPRouteHandler]]:
    """Every route of the application with its path, in order; not the framework's answers to OPTIONS."""
    for route in sorted(app.routes, key=lambda one: one.path):
        if isinstance(route, HTTPRoute):
            for handler in sorted(route.route_handlers, key=lambda one: sorted(one.http_methods)):
                if set(handler.http_methods) != {"OPTIONS"}:
                    yield route.path, handler


def require_policies(app: Litestar) -> None:
    """Raise `PolicyMissing` naming every route without a policy."""
    silent = sorted(
        f"{', '.join(sorted(handler.http_methods))} {path}"
        for path, handler in handlers_of(app)
        if policy_of(handler) is None
    )
    if silent:
        raise PolicyMissing("these routes declare no policy: " + "; ".join(silent))
