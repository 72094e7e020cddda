"""Pages of lists: an opaque cursor that holds the key of the last row, and only works where it was made.

The cursor is signed together with the caller and the query, so nobody can make one, use another's, or use one
for another list. A controller takes the dependency `page: NamedDependency[Page]`, and no other, asks for one row more
than `page.limit` in `page.order(sort)`, or from `page.before` (lists by id) or `page.after` (by another key) on, and
answers with `page.answer(rows, key=..., view=...)`. The order is part of the query that a cursor is signed with.

A route whose `page` is `LISTED` takes `count=true`, and hands `page.count` on to what reads the rows, and `fields`;
`COUNTED` and `SPARSE` take one of the two.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar, get_args
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import msgspec
from litestar import Request, Response
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter
from litestar.types import Dependencies
from msgspec import Raw, Struct, structs
from msgspec.structs import replace

from api.http.answer import Answer
from models.database.lists import Order, Sort, SortByAge
from models.database.sql import Counted
from models.domain.errors import MOST_PROBLEMS, ProblemDetail, RequestInvalid, quoted
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


Count = Annotated[
    bool,
    QueryParameter(
        description="Also tell in `Total-Count` how many there are in all, whatever the page. All that the list has is "
        "looked through for it: milliseconds for what is one's own, a second or two for a million of everybody's. "
        "The link to the next page does not ask again."
    ),
]
Fields = Annotated[
    str | None,
    QueryParameter(
        max_length=1024,
        description="Names of fields, with commas between them: entries have these and their `_id` alone, as far as "
        "they have them.",
    ),
]


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
    count: bool = False
    """Whether all are to be counted."""
    fields: frozenset[str] | None = None
    """The fields that are asked for; None: all."""

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
        answer = self.answer_part(shown, after=key(shown[-1]) if len(rows) > self.limit else None, view=view)
        if isinstance(rows, Counted):
            answer.headers["Total-Count"] = str(rows.total)
        return answer

    def answer_part(
        self, rows: Sequence[T], *, after: tuple[str, ...] | None, view: Callable[[T], V]
    ) -> Response[list[V]]:
        """The answer with these rows, and a `Link` to what comes `after` them if there may be more."""
        headers = {}
        if after is not None:
            cursor = _seal(after, self.context, self.key)
            headers["Link"] = f'<{self.address}?{urlencode([*self.query, ("cursor", cursor)])}>; rel="next"'
        views: list[Any] = [view(row) for row in rows]
        if self.fields is not None:
            views = [_sparse(one, self.fields) for one in views]
        return Answer(views, headers=headers)


def provide_page(request: Request[Caller, Any, Any], limit: Limit = LARGEST_PAGE, cursor: Cursor = None) -> Page:
    """The dependency `page`."""
    settings: Settings = request.app.state.services.settings
    pairs = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    query = tuple((name, value) for name, value in pairs if name not in ("cursor", "count"))
    # The size of a page, and what is shown of each, may change on the way through a list; what is listed may not.
    filters = sorted(pair for pair in query if pair[0] not in ("limit", "fields"))
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


def provide_counted(
    request: Request[Caller, Any, Any], limit: Limit = LARGEST_PAGE, cursor: Cursor = None, count: Count = False
) -> Page:
    """The dependency `page` of a list that can be counted."""
    page = provide_page(request, limit, cursor)
    return replace(page, count=True) if count else page


def provide_listed(
    request: Request[Caller, Any, Any],
    limit: Limit = LARGEST_PAGE,
    cursor: Cursor = None,
    count: Count = False,
    fields: Fields = None,
) -> Page:
    """The dependency `page` of a list of records that can be counted, and of which fields can be asked for."""
    page = provide_counted(request, limit, cursor, count)
    return page if fields is None else replace(page, fields=_known_fields(fields, request.route_handler))


def provide_sparse(
    request: Request[Caller, Any, Any], limit: Limit = LARGEST_PAGE, cursor: Cursor = None, fields: Fields = None
) -> Page:
    """The dependency `page` of a list of which fields can be asked for, and nobody knows how long it is."""
    return provide_listed(request, limit, cursor, fields=fields)


COUNTED: Dependencies = {"page": Provide(provide_counted, sync_to_thread=False)}
"""The `dependencies` of a list that takes `count=true`."""
SPARSE: Dependencies = {"page": Provide(provide_sparse, sync_to_thread=False)}
"""Those of one that takes `fields`: it answers a list of one struct."""
LISTED: Dependencies = {"page": Provide(provide_listed, sync_to_thread=False)}
"""Those of one that takes both."""


def fields_of(handler: HTTPRouteHandler) -> list[str]:
    """The names of the fields that entries of a list have."""
    ((view,),) = (get_args(one) for one in get_args(handler.parsed_return_field.annotation))
    return [field.encode_name for field in structs.fields(view)]


def _known_fields(text: str, handler: HTTPRouteHandler) -> frozenset[str]:
    """The fields that a request names; raises `RequestInvalid` naming those that there are not."""
    named, known = text.split(","), fields_of(handler)
    unknown = [one for one in named if one not in known]
    if unknown:
        raise RequestInvalid(
            [
                ProblemDetail(
                    path="fields",
                    code="enum",
                    message=f"there is no field {quoted(one)}; there are {', '.join(known)}",
                    info={"in": "query"},
                )
                for one in unknown[:MOST_PROBLEMS]
            ]
        )
    return frozenset((*named, "_id"))


_OBJECT = msgspec.json.Decoder(dict[str, Raw])


def _sparse(view: object, fields: frozenset[str]) -> dict[str, Raw]:
    """Of what an entry says, what is asked for."""
    whole = _OBJECT.decode(msgspec.json.encode(view))
    return {name: value for name, value in whole.items() if name in fields}


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
