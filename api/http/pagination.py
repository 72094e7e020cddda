"""Pages of lists: an opaque cursor that holds the key of the last row, and only works where it was made.

The cursor is signed together with the caller and the query, so nobody can make one, use another's, or use one
for another list. A controller takes the dependency `page: NamedDependency[Page]`, and no other, asks for one row more
than `page.limit` in `page.order(sort)`, or from `page.before` (lists by id) or `page.after` (by another key) on, and
answers with `page.answer(rows, key=..., view=...)`. The order is part of the query that a cursor is signed with.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import msgspec
from litestar import Request, Response
from litestar.params import QueryParameter
from msgspec import Struct

from api.http.answer import Answer
from models.database.lists import Order, Sort, SortByAge
from models.domain.errors import RequestInvalid
from models.domain.settings import Settings
from models.domain.values import LARGEST_PAGE, Caller

_SIGNATURE_BYTES = 16
_ROW_KEY = msgspec.json.Decoder(tuple[str, ...])

T = TypeVar("T")
V = TypeVar("V")

Limit = Annotated[int, QueryParameter(ge=1, le=LARGEST_PAGE, description="Most entries of the answer.")]
Cursor = Annotated[
    str | None,
    QueryParameter(
        max_length=1024,
        description="Where the previous page ended: from its `Link`.",
        schema_extra={"pattern": "^[A-Za-z0-9_-]+$"},
    ),
]


SortQuery = Annotated[
    Sort,
    QueryParameter(description="By age, by name, or by what was changed last; a minus in front turns it around."),
]
SortByAgeQuery = Annotated[SortByAge, QueryParameter(description="By age; a minus in front turns it around.")]
SearchQuery = Annotated[str | None, QueryParameter(max_length=128, description="A part of the name, in any case.")]


class Page(Struct, frozen=True, kw_only=True):
    """The page that a request asks for."""

    caller: Caller
    settings: Settings
    limit: int
    after: tuple[str, ...] | None
    """Key of the last row of the page before; None for the first page."""
    address: str
    query: tuple[tuple[str, str], ...]
    context: bytes
    key: bytes

    @property
    def before(self) -> UUID | None:
        """For lists by id, newest first: the id of the last row of the page before."""
        return None if self.after is None else UUID(self.after[0])

    def order(self, sort: Sort | SortByAge = Sort.NEWEST) -> Order:
        """In which order to read what, for lists that have several."""
        return Order(Sort(sort), self.after)

    def answer(
        self, rows: Sequence[T], *, key: Callable[[T], tuple[str, ...]], view: Callable[[T], V]
    ) -> Response[list[V]]:
        """The answer with at most `limit` of `rows`, and a `Link` to the next page if there are more."""
        shown = rows[: self.limit]
        return self.answer_part(shown, after=key(shown[-1]) if len(rows) > self.limit else None, view=view)

    def answer_part(
        self, rows: Sequence[T], *, after: tuple[str, ...] | None, view: Callable[[T], V]
    ) -> Response[list[V]]:
        """The answer with these rows, and a `Link` to what comes `after` them if there may be more."""
        headers = {}
        if after is not None:
            cursor = _seal(after, self.context, self.key)
            headers["Link"] = f'<{self.address}?{urlencode([*self.query, ("cursor", cursor)])}>; rel="next"'
        return Answer([view(row) for row in rows], headers=headers)


def provide_page(request: Request[Caller, Any, Any], limit: Limit = LARGEST_PAGE, cursor: Cursor = None) -> Page:
    """The dependency `page`."""
    settings: Settings = request.app.state.services.settings
    pairs = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    query = tuple((name, value) for name, value in pairs if name != "cursor")
    # The size of a page may change on the way through a list; what is listed may not.
    filters = sorted(pair for pair in query if pair[0] != "limit")
    context = msgspec.json.encode([str(request.user.id), request.scope["path"], filters])
    key = settings.session_key.encode()
    return Page(
        caller=request.user,
        settings=settings,
        limit=limit,
        after=None if cursor is None else _open(cursor, context, key),
        address=settings.browser_api_url + request.scope["path"],
        query=query,
        context=context,
        key=key,
    )


def _sign(content: bytes, context: bytes, key: bytes) -> bytes:
    return hmac.new(key, b"cursor\0" + context + b"\0" + content, hashlib.sha256).digest()[:_SIGNATURE_BYTES]


def _seal(row_key: tuple[str, ...], context: bytes, key: bytes) -> str:
    content = msgspec.json.encode(row_key)
    return base64.urlsafe_b64encode(_sign(content, context, key) + content).rstrip(b"=").decode()


def _open(cursor: str, context: bytes, key: bytes) -> tuple[str, ...]:
    refusal = RequestInvalid.of("cursor", "cursor", "is not a cursor of this list and caller", **{"in": "query"})
    try:
        sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise refusal from None
    signature, content = sealed[:_SIGNATURE_BYTES], sealed[_SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _sign(content, context, key)):
        raise refusal
    return _ROW_KEY.decode(content)
