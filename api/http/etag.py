"""`ETag` and `If-Match` of single records, from the number of their version."""

from typing import Any

from litestar import Request
from litestar.handlers import HTTPRouteHandler

from models.domain.errors import RecordChanged

VERSIONED = {"versioned": True}
"""The `opt` of a route about one record: reading it answers the `ETag`, changing it heeds `If-Match`."""


def is_versioned(handler: HTTPRouteHandler) -> bool:
    """Whether a route is about one record that has versions."""
    return "versioned" in handler.opt


def etag_of(version: int) -> str:
    """The strong entity tag of a record's version."""
    return f'"{version}"'


def require_match(request: Request[Any, Any, Any], version: int) -> None:
    """Raise `RecordChanged` if the request names versions and this is none of them.

    Call it with the version of a row that the transaction has locked, after the caller was authorised.
    """
    given = request.headers.getall("if-match", [])
    if not given:
        return
    tags = [tag.strip() for header in given for tag in header.split(",")]
    # A weak tag never matches here (RFC 9110, 13.1.1).
    if "*" not in tags and etag_of(version) not in tags:
        raise RecordChanged(
            "The record has changed since that version was read.", hint="Read it again and repeat the change."
        )
