"""Operations: what was asked for, followed to its end."""

import math
import time
from abc import abstractmethod
from asyncio import sleep
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Generic, TypeVar

import httpx2
import msgspec

from nbhub.asynchronous.lists import AsyncPages
from nbhub.asynchronous.transport import AsyncTransport, segment
from nbhub.awaiting import AsyncAwaited
from nbhub.display import card_of, is_link
from nbhub.errors import (
    ConnectionFailed,
    OperationCancelled,
    OperationFailed,
    OperationTimedOut,
    RateLimited,
    Unavailable,
)
from nbhub.events import Event, EventReader
from nbhub.models import OperationState, Result, Server
from nbhub.retries import seconds_until

T = TypeVar("T")

_SILENCE_SECONDS = 40.0
"""While a stream lives something comes every 15 s."""
_MOST_LOSSES = 12
"""In a row: about a minute."""
_LOOK_EVERY = 2.0
_BREATH_SECONDS = 0.1


class AsyncOperation(AsyncAwaited[T], Generic[T]):
    """Work that Notebooks Hub does. It goes on whether or not anybody waits."""

    def __init__(self, transport: AsyncTransport, state: OperationState) -> None:
        self._transport = transport
        self.state = state
        """As last seen."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state.kind} {self.id}: {self.state.status}>"

    def _repr_html_(self) -> str:
        return card_of(self.state)

    @property
    def id(self) -> str:
        """By which it is found again."""
        return self.state.id

    @property
    def status(self) -> str:
        """As last seen."""
        return self.state.status

    async def refresh(self) -> OperationState:
        """How far it is."""
        self.state = await self._transport.call("GET", f"/operations/{segment(self.id)}", OperationState)
        return self.state

    async def cancel(self) -> OperationState:
        """Take it back: a start becomes a stop, what was not begun is removed; all else is a `Conflict`."""
        self.state = await self._transport.call("POST", f"/operations/{segment(self.id)}/cancel", OperationState)
        return self.state

    def results(self) -> AsyncPages[Result]:
        """What it came to for each person, group or organisation."""
        return AsyncPages(self._transport, f"/operations/{segment(self.id)}/results", Result)

    async def wait(self, timeout: float | None = None) -> T:
        """What it came to, once it has ended.

        Raises `OperationFailed`, or `OperationTimedOut` after so many seconds.
        """
        if not self.state.ended:
            async with aclosing(self.events(timeout)) as states:
                async for _ in states:
                    pass
        if self.state.status == "failed":
            raise OperationFailed(self.state)
        if self.state.status != "succeeded":
            raise OperationCancelled(self.state)
        return await self._outcome()

    @abstractmethod
    async def _outcome(self) -> T:
        """What `wait` gives."""

    async def events(self, timeout: float | None = None) -> AsyncGenerator[OperationState, None]:
        """How far it is, at each change, the last time when it has ended.

        A connection that is lost is made up for. Raises `OperationTimedOut` after so many seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        losses, last = 0, None
        while True:
            pause = _BREATH_SECONDS
            try:
                async with aclosing(self._stream(last, deadline)) as events:
                    async for event in events:
                        if event.name not in ("operation", "outcome"):
                            continue
                        losses, last = 0, event.id
                        self.state = msgspec.json.decode(event.data, type=OperationState)
                        yield self.state
                        if self.state.ended:
                            return
            except RateLimited:
                # Too many streams: looking now and then needs none.
                pause, seen = _LOOK_EVERY, self.state
                if await self.refresh() != seen:
                    yield self.state
                if self.state.ended:
                    return
            except (httpx2.TransportError, ConnectionFailed, Unavailable) as error:
                losses += 1
                if losses > _MOST_LOSSES:
                    raise ConnectionFailed(
                        f"lost sight of {self.state.kind} {self.id}, which goes on: {error}"
                    ) from error
                pause = seconds_until(losses, None) or 0
            left = math.inf if deadline is None else deadline - time.monotonic()
            if left <= 0:
                assert timeout is not None
                raise OperationTimedOut(self.state, timeout)
            await sleep(min(pause, left))

    async def _stream(self, last: str | None, deadline: float | None) -> AsyncGenerator[Event, None]:
        """The events of one connection, until it ends or the deadline has come."""
        reader, silence = EventReader(), _SILENCE_SECONDS
        if deadline is not None:
            silence = min(silence, max(0.05, deadline - time.monotonic()))
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
        path = f"/operations/{segment(self.id)}/events"
        async with self._transport.stream(path, headers=headers, silence=silence, retries=0) as response:
            async for line in response.aiter_lines():
                if (event := reader.feed(line)) is not None:
                    yield event
                if deadline is not None and deadline - time.monotonic() < silence:
                    # To be silent for that long would be too late.
                    return


class AsyncPlainOperation(AsyncOperation[OperationState]):
    """One of which there is no more to say than how it ended."""

    async def _outcome(self) -> OperationState:
        return self.state


class AsyncDeletion(AsyncOperation[None]):
    """One after which something is gone."""

    async def _outcome(self) -> None:
        return None


class AsyncSharing(AsyncOperation[list[Result]]):
    """A share or a revoke, which comes to something for each person, group and organisation."""

    async def _outcome(self) -> list[Result]:
        return await self.results().all()


class AsyncServerOperation(AsyncOperation[Server]):
    """A start or a stop of a server."""

    async def _outcome(self) -> Server:
        return await self._transport.call("GET", f"/servers/{segment(self.state.subject)}", Server)

    async def open(self, timeout: float | None = None) -> Server:
        """Show the server in a browser, once it runs."""
        server = await self.wait(timeout)
        show(server.url)
        return server


def show(url: str) -> bool:
    """Open an address in a browser; whether there is one. What is no address of the web is not opened."""
    import webbrowser

    return is_link(url) and webbrowser.open(url)
