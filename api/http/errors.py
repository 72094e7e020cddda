"""Turns every failure into LoopBack's envelope, the one shape that clients of this API know.

    {"error": {"statusCode", "name", "message", "code", "details"?: [{"path", "code", "message", "info"}]}}

Domain errors carry their own status; what the framework and the database raise is translated here. What
nobody expected is logged with its traceback and told to the caller without any of it.
"""

import math
from typing import Annotated, Any

import asyncpg
import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, NotAuthorizedException, ValidationException
from litestar.types import ExceptionHandlersMap
from msgspec import Meta, Struct

from models.database.engine import CONNECTION_PROBLEMS, DATABASE_ERRORS
from models.domain.errors import (
    ContentTooLarge,
    DatabaseUnavailable,
    DependencyUnavailable,
    DomainError,
    IdentityUnknown,
    MediaTypeUnsupported,
    ProblemDetail,
    RecordMissing,
    RequestInvalid,
    RequestMalformed,
    RequestThrottled,
    StateConflict,
)

log = structlog.get_logger(__name__)


class ErrorDetail(Struct, frozen=True, kw_only=True):
    """One problem of a request."""

    path: Annotated[str, Meta(description="The field, as a JSON pointer, or the name of the parameter.")]
    code: Annotated[str, Meta(description="Which rule it breaks, for programs.")]
    message: Annotated[str, Meta(description="What is wrong with it, in words.")]
    info: Annotated[dict[str, Any], Meta(description="More about it, such as the bound that it exceeds.")] = {}


class ErrorBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong, for people (`message`) and for programs (`code`)."""

    statusCode: Annotated[int, Meta(description="The status of the answer.")]  # noqa: N815 - LoopBack's name on the wire
    name: Annotated[str, Meta(description="The kind of refusal.")]
    message: Annotated[str, Meta(description="What went wrong, in words.")]
    code: Annotated[str, Meta(description="What went wrong, for programs.")]
    hint: Annotated[str, Meta(description="What to do next.")] | None = None
    details: (
        Annotated[list[ErrorDetail], Meta(description="Each problem of the request, where there are several to tell.")]
        | None
    ) = None


class ErrorEnvelope(Struct, frozen=True):
    """The body of every answer that is not a success."""

    error: ErrorBody


_CLASHES = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
)

# The framework's own refusals, by status, in the words of the domain.
_OF_FRAMEWORK: dict[int, tuple[type[DomainError], str]] = {
    400: (RequestMalformed, "The request cannot be read."),
    401: (IdentityUnknown, "A valid access token is needed."),
    404: (RecordMissing, "There is nothing at this address."),
    413: (ContentTooLarge, "The request is too large."),
    415: (MediaTypeUnsupported, "The body has to be application/json."),
}


class MethodUnknown(DomainError):
    """The address is right, the method is not."""

    status, name, code = 405, "MethodNotAllowedError", "METHOD_NOT_ALLOWED"


def answer_for(error: DomainError, headers: dict[str, str] | None = None) -> Response[ErrorEnvelope]:
    """The answer that tells `error`."""
    headers = dict(headers or {})
    if isinstance(error, DependencyUnavailable | RequestThrottled):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, RequestThrottled) and error.limit is not None:
        headers["RateLimit-Limit"] = str(error.limit)
        headers["RateLimit-Remaining"] = "0"
        headers["RateLimit-Reset"] = str(max(1, math.ceil(error.reset)))
    if isinstance(error, IdentityUnknown):
        headers.setdefault("WWW-Authenticate", "Bearer")
    details = [msgspec.convert(detail, ErrorDetail, from_attributes=True) for detail in error.details]
    body = ErrorBody(
        statusCode=error.status,
        name=error.name,
        message=error.message,
        code=error.code,
        hint=error.hint or None,
        details=details or None,
    )
    # An error is never worth keeping in a cache.
    headers.setdefault("Cache-Control", "no-store")
    return Response(ErrorEnvelope(body), status_code=error.status, headers=headers, media_type="application/json")


def handle_domain_error(_: Request[Any, Any, Any], error: DomainError) -> Response[ErrorEnvelope]:
    """A failure that the domain expects."""
    return answer_for(error)


def handle_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[ErrorEnvelope]:
    """A refusal of the framework: no such route, no such method, a body that is too large."""
    headers = {name.title(): value for name, value in (error.headers or {}).items()}
    if isinstance(error, ValidationException):
        return answer_for(RequestInvalid(_details_of(error)))
    if error.status_code == 405:
        return answer_for(MethodUnknown(f"{request.method} is not possible here."), headers)
    if error.status_code >= 500:
        return handle_unexpected(request, error)
    kind, message = _OF_FRAMEWORK.get(error.status_code, (RequestMalformed, "The request cannot be read."))
    if isinstance(error, NotAuthorizedException):
        message = error.detail or message
    return answer_for(kind(message), headers)


def _details_of(error: ValidationException) -> list[ProblemDetail]:
    extra = error.extra if isinstance(error.extra, list) else []
    return [
        ProblemDetail(
            path=str(problem.get("key", "")),
            code="invalid",
            message=str(problem.get("message", "")),
            info={"in": str(problem.get("source", ""))},
        )
        for problem in extra
        if isinstance(problem, dict)
    ] or [ProblemDetail(path="", code="invalid", message="the request is not valid")]


def handle_database_error(request: Request[Any, Any, Any], error: Exception) -> Response[ErrorEnvelope]:
    """What a use of the database raises: lost is 503, a lock that was waited for too long 409, unstorable input 422."""
    if isinstance(error, asyncpg.DataError | ValueError):
        # A check is missing somewhere, but the fault is in what was sent.
        log.error("input_not_storable", error=type(error).__name__)
        return answer_for(RequestInvalid.of("", "format", "a value cannot be stored"))
    if isinstance(error, _CLASHES):
        return answer_for(
            StateConflict("Another request is changing the same thing.", hint="Repeat the request in a moment.")
        )
    if isinstance(error, CONNECTION_PROBLEMS):
        log.warning("database_unavailable", error=type(error).__name__)
        return answer_for(DatabaseUnavailable("The database does not answer at the moment."))
    return handle_unexpected(request, error)


def handle_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[ErrorEnvelope]:
    """A defect. Its traceback goes to the log; the caller gets the id that finds it there."""
    log.error("request_failed", error=type(error).__name__, exc_info=error)
    request_id = request.scope.get("state", {}).get("request_id", "")
    return answer_for(DomainError("Something went wrong here.", hint=f"Request id: {request_id}" if request_id else ""))


# The nearest class in an exception's order of inheritance decides.
EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    DomainError: handle_domain_error,
    HTTPException: handle_http_exception,
    **dict.fromkeys(DATABASE_ERRORS, handle_database_error),
    Exception: handle_unexpected,
}
