"""Entity tags, and the conditions that requests make on versions.

The tag of a record is the number of its version, which `If-Match` is about, and a digest of the answer, because that
also says what is no part of the record: who asks, and what they may. The tag of a list is a digest alone.

The digest (XXH3, 128 bits) tells answers apart, and vouches for nothing: whoever could make two with one digest would
keep a change of their own from who has the first, until the next change. What a change depends on is the version.
"""

import base64
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct
from xxhash import xxh3_128_digest

from models.domain.errors import RecordChanged

VERSIONED = {"versioned": True}
"""The `opt` of a route about one record: reading it answers the `ETag`, changing it heeds `If-Match`."""

TAGGED = {"tagged": True}
"""The `opt` of a route whose answer has the `ETag` of what it made or changed."""

DOWNLOADED = {"downloaded": True}
"""The `opt` of a route that answers the content of a file, or a range of it, and heeds all conditions."""

_OF_RECORD = re.compile(r'"([0-9]+)(?:-[\w-]+)?"', re.ASCII)


def is_versioned(handler: HTTPRouteHandler) -> bool:
    """Whether a route is about one record that has versions."""
    return "versioned" in handler.opt


def etag_of(body: bytes, version: int | None = None) -> str:
    """The entity tag of an answer, strong for that about one version of a record."""
    digest = base64.urlsafe_b64encode(xxh3_128_digest(body)).rstrip(b"=").decode()
    return f'W/"{digest}"' if version is None else f'"{version}-{digest}"'


def is_known(request: Request[Any, Any, Any], tag: str) -> bool:
    """Whether the client of a GET has the answer of this tag already."""
    known = _tags(request, b"if-none-match")
    return known is not None and ("*" in known or tag.removeprefix("W/") in {one.removeprefix("W/") for one in known})


def require_match(request: Request[Any, Any, Any], version: int) -> None:
    """Raise `RecordChanged` if the request names versions and this is none of them.

    Call it with the version of a row that the transaction has locked, after the caller was authorised.
    """
    match = _tags(request, b"if-match")
    # A weak tag never matches here (RFC 9110, 13.1.1).
    if match is not None and "*" not in match and str(version) not in map(_version_in, match):
        raise RecordChanged(
            "The record has changed since that version was read.", hint="Read it again and repeat the change."
        )


class Conditions(Struct, frozen=True, kw_only=True):
    """What a request makes depend on the version that is there (RFC 9110, 13); a tag of None: there is nothing."""

    match: frozenset[str] | None
    none_match: frozenset[str] | None
    modified_since: float | None
    unmodified_since: float | None

    @classmethod
    def of(cls, request: Request[Any, Any, Any]) -> "Conditions":
        """Those of a request; a date that cannot be read is none."""
        none_match = _tags(request, b"if-none-match")
        return cls(
            match=_tags(request, b"if-match"),
            # Whether a tag is weak makes no difference here.
            none_match=None if none_match is None else frozenset(one.removeprefix("W/") for one in none_match),
            modified_since=_date(request, "if-modified-since"),
            unmodified_since=_date(request, "if-unmodified-since"),
        )

    def require(self, tag: str | None, modified: int = 0) -> None:
        """Raise `RecordChanged` if a change must not take place."""
        self.require_same(tag, modified)
        if self._is_named(tag):
            raise _another()

    def require_same(self, tag: str | None, modified: int = 0) -> None:
        """Raise `RecordChanged` if the request is about another version than this."""
        if self.match is not None:
            if tag is None or not self.match & {"*", tag}:
                raise _another()
        elif self.unmodified_since is not None and tag is not None and modified > self.unmodified_since:
            raise _another()

    def is_known(self, tag: str, modified: int) -> bool:
        """Whether the client of a GET has this version already."""
        if self.none_match is not None:
            return self._is_named(tag)
        return self.modified_since is not None and modified <= self.modified_since

    def _is_named(self, tag: str | None) -> bool:
        return self.none_match is not None and tag is not None and bool(self.none_match & {"*", tag})


def _tags(request: Request[Any, Any, Any], header: bytes) -> frozenset[str] | None:
    # Not by `request.headers`, which is made of all headers when it is first asked for one: most reads need none.
    given = [value.decode("latin-1") for name, value in request.scope["headers"] if name == header]
    return frozenset(tag.strip() for one in given for tag in one.split(",")) if given else None


def _version_in(tag: str) -> str | None:
    found = _OF_RECORD.fullmatch(tag)
    return found and found[1]


def _date(request: Request[Any, Any, Any], header: str) -> float | None:
    try:
        found = parsedate_to_datetime(request.headers.get(header, ""))
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or UTC).timestamp()


def _another() -> RecordChanged:
    return RecordChanged(
        "The file is not the version that the request asks for.", hint="Read it again and repeat the request."
    )
