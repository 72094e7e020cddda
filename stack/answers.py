"""A part that does not answer is named, with its log."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from stack.layout import Layout
from stack.state import StackFailed


@contextmanager
def expected(layout: Layout) -> Iterator[None]:
    """Have every part answer; raises `StackFailed` that says which one does not, and where to look."""
    try:
        yield
    except httpx.HTTPStatusError as failure:
        request, answer = failure.request, failure.response
        raise StackFailed(
            f"{_name(layout, request)} answers {answer.status_code} to {request.method} {request.url.path}: "
            f"{answer.text[:300]}{_log(layout, request)}"
        ) from failure
    except httpx.RequestError as failure:
        raise StackFailed(
            f"{_name(layout, failure.request)} does not answer ({type(failure).__name__})"
            f"{_log(layout, failure.request)}; `nbhub status` says what runs"
        ) from failure


def _name(layout: Layout, request: httpx.Request) -> str:
    return layout.part_at(request.url.port) or f"{request.url.host}:{request.url.port}"


def _log(layout: Layout, request: httpx.Request) -> str:
    part = layout.part_at(request.url.port)
    return f"; its log is {layout.logs / part}.log" if part else ""
