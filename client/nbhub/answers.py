"""What an answer says: the record, the refusal, the next page."""

import re
from typing import TypeVar

import msgspec
from httpx2 import URL, InvalidURL, Response

from nbhub.errors import OF_STATUS, ApiError, UnexpectedAnswer
from nbhub.models import ErrorBody, ErrorEnvelope, Versioned
from nbhub.retries import read_retry_after

T = TypeVar("T")

_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')
_OPERATION = re.compile(r"/operations/([0-9a-f-]{36})$")


def read(response: Response, kind: type[T]) -> T:
    """The body of an answer; a versioned record with its `etag`. Raises `UnexpectedAnswer`."""
    try:
        found = msgspec.json.decode(response.content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnexpectedAnswer(f"{response.url.path} does not answer as Notebooks Hub does: {error}") from None
    tag = response.headers.get("etag")
    if isinstance(found, Versioned) and tag is not None:
        return msgspec.structs.replace(found, etag=tag)
    return found


def refusal(response: Response) -> ApiError:
    """The error that an answer tells. Its body has been read."""
    status = response.status_code
    try:
        said = msgspec.json.decode(response.content, type=ErrorEnvelope).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        # A proxy in between, or another server altogether.
        said = ErrorBody(status=status, name="", code="", message=f"{response.url.path} answers {status}.")
    kind = OF_STATUS.get(status, ApiError)
    return kind(
        said.message,
        status=status,
        code=said.code,
        hint=said.hint,
        details=said.details,
        request_id=response.headers.get("x-request-id"),
        retry_after=read_retry_after(response.headers.get("retry-after")),
    )


def cursor_of(response: Response) -> str | None:
    """Where the next page begins; None on the last.

    Only the cursor is taken: a token goes to nobody whom an answer names.
    """
    found = _NEXT.search(response.headers.get("link", ""))
    if found is None:
        return None
    try:
        cursor: str | None = URL(found[1]).params.get("cursor")
    except InvalidURL:
        return None
    return cursor


def operation_of(response: Response) -> str | None:
    """The id of the operation that an answer says to follow."""
    found = _OPERATION.search(response.headers.get("location", ""))
    return found and found[1]
