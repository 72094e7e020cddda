"""What can go wrong, as a tree.

NotebooksHubError
├── ConnectionFailed        no answer, after all retries
├── UnexpectedAnswer        an answer, but none of Notebooks Hub
├── Ambiguous               a name or prefix of several records
├── ApiError                refused: `status`, `code`, `hint`, `details`
│   ├── Unauthorized        401: sign in
│   ├── Forbidden           403
│   ├── NotFound            404
│   ├── Conflict            409
│   ├── Stale               412: it has changed since it was read
│   ├── Invalid             400, 413, 415, 416, 422: `details` name the fields
│   ├── RateLimited         429: `retry_after`
│   └── Unavailable         502, 503, 504: `retry_after`
├── OperationFailed         the work has failed: `operation`
│   └── OperationCancelled
└── OperationTimedOut       the work goes on: `operation`
"""

from collections.abc import Sequence

from nbhub.models import ErrorDetail, OperationState, Record

MOST_CANDIDATES = 10
"""So many of those that a name may mean are told."""


class NotebooksHubError(Exception):
    """Anything that this client raises of its own accord."""


class ConnectionFailed(NotebooksHubError):
    """No answer. With `perhaps_done` a write may have taken place all the same; repeated by hand it is another one."""

    def __init__(self, message: str, *, perhaps_done: bool = False) -> None:
        super().__init__(message)
        self.perhaps_done = perhaps_done
        """Whether a request that changes something was sent, and its answer lost."""


class UnexpectedAnswer(NotebooksHubError):
    """Something answered that is not Notebooks Hub, or not as it should."""


class Ambiguous(NotebooksHubError):
    """Several records have this name, or an id that begins so."""

    def __init__(self, reference: str, candidates: Sequence[Record]) -> None:
        self.reference = reference
        self.candidates = list(candidates)
        shown = "".join(f"\n  {one.id}  {one.name}" for one in self.candidates[:MOST_CANDIDATES])
        more = len(self.candidates) - MOST_CANDIDATES
        rest = f"\n  and {more} more" if more > 0 else ""
        super().__init__(f"{reference} may be any of {len(self.candidates)}; an id says which:{shown}{rest}")


class ApiError(NotebooksHubError):
    """A request that Notebooks Hub has refused."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str = "",
        hint: str | None = None,
        details: Sequence[ErrorDetail] = (),
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        """The HTTP status."""
        self.code = code
        """A word for programs, such as `VALIDATION_FAILED`."""
        self.hint = hint
        """What to do next, if anything is known that helps."""
        self.details = list(details)
        """One for each thing that is wrong, with the path of the field."""
        self.request_id = request_id
        """By which the request is found in the logs."""
        self.retry_after = retry_after
        """Seconds after which it may be tried again."""

    def __str__(self) -> str:
        # What the message says already is not said again.
        more = [one for one in self.details if one.message not in self.message]
        problems = "".join(f"\n  {one.path.lstrip('/') or 'request'}: {one.message}" for one in more)
        return self.message + problems + (f"\n  {self.hint}" if self.hint else "")


class Unauthorized(ApiError):
    """There is no valid access token: sign in."""


class Forbidden(ApiError):
    """The caller may not do this."""


class NotFound(ApiError):
    """There is no such thing, or none that the caller may see."""


class Conflict(ApiError):
    """The state of the thing, or somebody else's request, stands against it."""


class Stale(ApiError):
    """The record has changed since it was read: read it again."""


class Invalid(ApiError):
    """The request is not valid; `details` says what of it."""


class RateLimited(ApiError):
    """Too many requests; `retry_after` says when to come back."""


class Unavailable(ApiError):
    """Something that Notebooks Hub needs is away for the moment."""


OF_STATUS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: Stale,
    413: Invalid,
    415: Invalid,
    416: Invalid,
    422: Invalid,
    429: RateLimited,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


class OperationFailed(NotebooksHubError):
    """What was asked for was tried, and failed."""

    def __init__(self, operation: OperationState) -> None:
        self.operation = operation
        self.code = operation.error.code if operation.error else operation.status.upper()
        self.hint = operation.error.hint if operation.error else None
        super().__init__(operation.error.message if operation.error else f"{operation.kind} was {operation.status}")

    def __str__(self) -> str:
        return f"{self.args[0]}\n  {self.hint}" if self.hint else str(self.args[0])


class OperationCancelled(OperationFailed):
    """What was asked for was cancelled, or something else was asked for instead."""


class OperationTimedOut(NotebooksHubError):
    """The work had not ended in the time that one wanted to wait. It goes on."""

    def __init__(self, operation: OperationState, seconds: float) -> None:
        self.operation = operation
        super().__init__(f"{operation.kind} is still {operation.status} after {seconds:g} s; it goes on")
