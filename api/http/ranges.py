"""Which part of a file a request asks for (RFC 9110, 14): one range of bytes. Of several, the whole is the answer."""

import re
from typing import Any

from litestar import Request

_ONE_RANGE = re.compile(r"bytes=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*", re.IGNORECASE)


class RangeUnsatisfiable(Exception):
    """Nothing of what is asked for is there."""


def range_of(request: Request[Any, Any, Any], size: int, tag: str) -> tuple[int, int] | None:
    """Start and length of what is asked for, of a file of this size and entity tag; None: all of it.

    What cannot be understood is ignored. Raises `RangeUnsatisfiable`.
    """
    given = request.headers.getall("range", [])
    found = _ONE_RANGE.fullmatch(given[0]) if len(given) == 1 else None
    # A date that `If-Range` names is no strong validator: then the whole is always right.
    if found is None or request.headers.get("if-range", tag) != tag:
        return None
    first, last = found.groups()
    if not first:
        if not last:
            return None
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last or size), size - 1) + 1
        if last and int(last) < start:
            return None
    if start >= end or start >= size:
        raise RangeUnsatisfiable
    return start, end - start
