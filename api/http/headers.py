"""Headers that every answer carries: nothing is guessed, framed, referred to or kept in a cache."""

from collections.abc import Iterable

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
_UNLESS_GIVEN = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    # Answers are the caller's own, and some hold tokens.
    (b"cache-control", b"no-store"),
)
_ALL = (*_ALWAYS, *_UNLESS_GIVEN)
_MAY_BE_GIVEN = {name for name, _ in _UNLESS_GIVEN}


def with_headers(given: Iterable[tuple[bytes, bytes]], request_id: bytes) -> list[tuple[bytes, bytes]]:
    """The headers of an answer, and those of every answer."""
    headers = [*given, (b"x-request-id", request_id)]
    names = {name.lower() for name, _ in headers}
    if names.isdisjoint(_MAY_BE_GIVEN):
        headers += _ALL
    else:
        headers += _ALWAYS
        headers += (header for header in _UNLESS_GIVEN if header[0] not in names)
    return headers
