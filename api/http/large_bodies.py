"""Bodies that are read as a whole, and large enough to fill the memory together: so many of one person at once."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from uuid import UUID

from litestar.types import Scope

from api.http.validation import MOST_AT_ONCE, STREAMED
from models.domain.errors import RequestThrottled
from models.domain.values import Caller

MOST = 8
"""Large bodies of one person in one process; and of all together of whom nothing is known."""


class LargeBodies:
    """The large bodies that one process works on."""

    def __init__(self) -> None:
        self._of: Counter[UUID | None] = Counter()

    @contextlib.contextmanager
    def worked_on(self, scope: Scope) -> Iterator[None]:
        """Work on a request; raises `RequestThrottled` where there are too many, before any of its body is read."""
        if not _is_large(scope) or STREAMED in scope["route_handler"].opt:
            yield
            return
        caller = scope.get("user")
        person = caller.id if isinstance(caller, Caller) else None
        if self._of[person] >= MOST:
            raise RequestThrottled(
                f"{MOST} large requests of yours are being worked on.", hint="Wait for one of them.", retry_after=5
            )
        self._of[person] += 1
        try:
            yield
        finally:
            self._of[person] -= 1
            if not self._of[person]:
                del self._of[person]


def _is_large(scope: Scope) -> bool:
    """Whether a body may be large; one that does not say how large it is, may."""
    headers = dict(scope["headers"])
    # The server has made sure that it is a number.
    return b"transfer-encoding" in headers or int(headers.get(b"content-length", 0)) > MOST_AT_ONCE
