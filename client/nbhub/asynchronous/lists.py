"""Lists, a page at a time: whoever goes through one never meets where a page ends."""

from collections.abc import AsyncIterator
from typing import Any, TypeVar

from nbhub.answers import cursor_of, read
from nbhub.asynchronous.transport import AsyncTransport, Query
from nbhub.display import AsyncShown

T = TypeVar("T")


class AsyncPage(list[T]):
    """A part of a list, and where the next begins; `cursor` is None on the last."""

    cursor: str | None = None


class AsyncPages(AsyncShown[T]):
    """A list of Notebooks Hub. Each walk through it asks anew."""

    def __init__(self, transport: AsyncTransport, path: str, kind: type[T], query: Query | None = None) -> None:
        self._transport, self._path, self._kind, self._query = transport, path, kind, dict(query or {})
        self._limit: int | None = None

    def __repr__(self) -> str:
        return f"<list of {self._kind.__name__} at {self._path}>"

    def in_pages_of(self, limit: int) -> "AsyncPages[T]":
        """The same list, of which so many entries are asked for at a time; as many as there may be by default."""
        pages = AsyncPages(self._transport, self._path, self._kind, self._query)
        pages._limit = limit
        return pages

    async def page(self, *, cursor: str | None = None, limit: int | None = None) -> AsyncPage[T]:
        """One page: the first, or the one at a `cursor`."""
        query = {**self._query, "cursor": cursor, "limit": limit or self._limit}
        response = await self._transport.send("GET", self._path, query=query)
        page = AsyncPage(read(response, list[self._kind]))  # type: ignore[name-defined]
        page.cursor = cursor_of(response)
        return page

    async def __aiter__(self) -> AsyncIterator[T]:
        cursor = None
        while True:
            page = await self.page(cursor=cursor)
            for one in page:
                yield one
            if page.cursor is None:
                return
            cursor = page.cursor

    async def count(self) -> int:
        """How many entries there are in all, which lists of files, say, do not tell (`Invalid`)."""
        response = await self._transport.send("GET", self._path, query={**self._query, "count": True, "limit": 1})
        return int(response.headers["total-count"])

    async def fields(self, *names: str) -> list[dict[str, Any]]:
        """Of every entry these fields, by their names in the API, and its `_id`."""
        pages = AsyncPages(self._transport, self._path, dict[str, Any], {**self._query, "fields": ",".join(names)})
        return await pages.all()

    async def first(self) -> T | None:
        """The first entry; None of an empty list."""
        page = await self.page(limit=1)
        return page[0] if page else None

    async def all(self) -> list[T]:
        """Every entry."""
        return [one async for one in self]
