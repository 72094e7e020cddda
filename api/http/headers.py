"""Headers that every answer carries: nothing is guessed, framed, referred to or kept in a cache."""

from litestar.types import Message, Scope

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


async def add_headers(message: Message, _: Scope) -> None:
    """Litestar's `before_send` hook of the whole application."""
    if message["type"] != "http.response.start":
        return
    headers = list(message["headers"])
    given = {name.lower() for name, _ in headers}
    headers.extend(_ALWAYS)
    headers.extend(header for header in _UNLESS_GIVEN if header[0] not in given)
    message["headers"] = headers
