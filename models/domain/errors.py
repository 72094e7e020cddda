"""The domain's errors: one vocabulary from an integration to an activity, a workflow and an HTTP answer.

The errors know nothing of HTTP but the number that their kind stands for. What may heal by itself, so that trying again
is of use, is a `DependencyUnavailable`.
"""

from collections.abc import Iterable
from itertools import islice
from typing import ClassVar
from uuid import UUID

from msgspec import Struct

from models.domain.values import Subject

MOST_PROBLEMS = 100
"""How many problems of one request are looked for, and told."""


class ProblemDetail(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing wrong with a request: where (`/name`), a code, a sentence."""

    path: str
    code: str
    message: str
    info: dict[str, object] = {}


def printable(text: str) -> str:
    """`text` fit for an error message: short, and valid UTF-8 without control characters."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[:64])
    return shown if len(text) <= 64 else f"{shown}…"


def quoted(text: str) -> str:
    """What a client has sent, in quotation marks, fit for an error message."""
    return f"'{printable(text)}'"


class Malformed(str):
    """An entry of a list that cannot name anything. Whoever looks the others up tells its `problem` with theirs."""

    problem: ProblemDetail

    def __new__(cls, text: str, problem: ProblemDetail) -> "Malformed":
        """The entry as it came, with what is wrong with it."""
        made = super().__new__(cls, text)
        made.problem = problem
        return made


class DomainError(Exception):
    """An expected failure. `message` says what is wrong, `hint` what to do next."""

    status: ClassVar[int] = 500
    name: ClassVar[str] = "InternalServerError"
    code: str = "INTERNAL"

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details: list[ProblemDetail] = []
        if code is not None:
            self.code = code


class RequestInvalid(DomainError):
    """The request can be read but breaks the contract; nothing was done. No more than `MOST_PROBLEMS` are taken."""

    status, name, code = 422, "UnprocessableEntityError", "VALIDATION_FAILED"

    def __init__(self, details: Iterable[ProblemDetail], message: str = "") -> None:
        details = list(islice(details, MOST_PROBLEMS))
        text = message or "The request is not valid: " + "; ".join(
            f"{detail.path or '/'} {detail.message}" for detail in details[:5]
        )
        super().__init__(text)
        self.details = details

    @classmethod
    def of(cls, path: str, code: str, message: str, **info: object) -> "RequestInvalid":
        """The error with a single detail."""
        return cls([ProblemDetail(path=path, code=code, message=message, info=info)])


class RequestMalformed(DomainError):
    """The request cannot be read."""

    status, name, code = 400, "BadRequestError", "MALFORMED"


class IdentityUnknown(DomainError):
    """Nobody is known by the given token."""

    status, name, code = 401, "UnauthorizedError", "UNAUTHENTICATED"


class ActionForbidden(DomainError):
    """The caller sees the object, and may not do this to it. It is `about` the record, if it is about one."""

    status, name, code = 403, "ForbiddenError", "FORBIDDEN"

    def __init__(self, message: str, *, hint: str = "", code: str | None = None, about: Subject | None = None) -> None:
        super().__init__(message, hint=hint, code=code)
        self.about = about


class RecordMissing(DomainError):
    """No such object, or none that the caller may know of."""

    status, name, code = 404, "NotFoundError", "ENTITY_NOT_FOUND"
    about: Subject | None = None
    """What was looked for by an id that a record can have."""

    @classmethod
    def of(cls, kind: str, identity: object) -> "RecordMissing":
        """The error for the record `identity` of a kind such as `server`."""
        error = cls(f"There is no {kind} with the id {str(identity)[:64]!r}.")
        if isinstance(identity, UUID):
            error.about = Subject(kind, identity)
        return error


class StateConflict(DomainError):
    """The object is in a state in which this cannot be done."""

    status, name, code = 409, "ConflictError", "CONFLICT"


class QuotaReached(StateConflict):
    """A person has as many of something as one person may have."""

    code = "QUOTA_REACHED"


class RecordChanged(DomainError):
    """The object is no longer the version that the caller named."""

    status, name, code = 412, "PreconditionFailedError", "STALE"


class ContentTooLarge(DomainError):
    """The request is larger than a setting allows."""

    status, name, code = 413, "PayloadTooLargeError", "TOO_LARGE"


class MediaTypeUnsupported(DomainError):
    """The body is not in a format that is read here."""

    status, name, code = 415, "UnsupportedMediaTypeError", "MEDIA_TYPE"


class RangeRefused(DomainError):
    """Nothing of the range of bytes that was asked for is there."""

    status, name, code = 416, "RangeNotSatisfiableError", "RANGE"


class RequestThrottled(DomainError):
    """Too many requests; `retry_after` is in seconds.

    Where they are counted, `limit` may come at once, and again so many in `reset` seconds.
    """

    status, name, code = 429, "TooManyRequestsError", "THROTTLED"

    def __init__(
        self,
        message: str,
        *,
        retry_after: float = 1,
        limit: int | None = None,
        reset: float = 0,
        hint: str = "",
        code: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.retry_after = retry_after
        self.limit = limit
        self.reset = reset


NOBODY_BEHIND = (502, 503, 504)
"""The statuses by which a proxy says that what is behind it does not answer."""


class DependencyUnavailable(DomainError):
    """A part that this needs does not answer; the same request may succeed later (`retry_after` seconds).

    One that is `away` answers nobody: other requests would fare no better now.
    """

    status, name, code = 503, "ServiceUnavailableError", "DEPENDENCY_UNAVAILABLE"

    def __init__(self, message: str, *, retry_after: float = 5, hint: str = "", away: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
        self.away = away


class HubUnavailable(DependencyUnavailable):
    """JupyterHub does not answer, or answers with a failure of its own."""

    code = "JUPYTERHUB_UNAVAILABLE"


class HubThrottled(HubUnavailable):
    """JupyterHub asks to come back later."""

    code = "JUPYTERHUB_THROTTLED"


class ServerNotEnding(DependencyUnavailable):
    """A server still lives, or JupyterHub still holds on to it, long after it was asked to end it."""

    code = "SERVER_NOT_ENDING"


class ProviderUnavailable(DependencyUnavailable):
    """The OpenID Connect provider does not answer."""

    code = "PROVIDER_UNAVAILABLE"


class DatabaseUnavailable(DependencyUnavailable):
    """PostgreSQL does not answer."""

    code = "DATABASE_UNAVAILABLE"


class VaultUnavailable(DependencyUnavailable):
    """Vault does not answer or is sealed."""

    code = "VAULT_UNAVAILABLE"


class VolumeUnavailable(DependencyUnavailable):
    """A directory of the shared file system cannot be used."""

    code = "VOLUME_UNAVAILABLE"


class HubUserStays(DependencyUnavailable):
    """A JupyterHub user that is to be removed is still there, or servers of it are."""

    code = "JUPYTERHUB_USER_STAYS"


class HubRefused(DomainError):
    """JupyterHub understood the request and refuses it; asking again would not help."""

    status, name, code = 502, "BadGatewayError", "JUPYTERHUB_REFUSED"


class HubUserMissing(HubRefused):
    """JupyterHub has no such user yet."""

    code = "JUPYTERHUB_USER_MISSING"


class SpawnFailed(DomainError):
    """A server did not become ready. `log` holds its last lines, free of tokens."""

    status, name, code = 502, "BadGatewayError", "SPAWN_FAILED"

    def __init__(self, message: str, *, log: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint or "Read the last lines of its log, in `last_error` of the server.")
        self.log = log
