"""Following everything that one may see."""

from asyncio import sleep
from collections.abc import AsyncGenerator
from contextlib import aclosing

import httpx2
import msgspec

from nbhub.asynchronous.transport import AsyncTransport
from nbhub.errors import ConnectionFailed, RateLimited, Unavailable
from nbhub.events import Event, EventReader
from nbhub.models import Change, Reset
from nbhub.retries import seconds_until

_SILENCE_SECONDS = 40.0
"""While a stream lives something comes every 15 s."""
_MOST_LOSSES = 12
"""In a row: about a minute."""
_BREATH_SECONDS = 0.5


async def follow(transport: AsyncTransport) -> AsyncGenerator[Change | Reset, None]:
    """Each change once and in order. A connection that is lost is made up for."""
    losses, last = 0, None
    while True:
        pause, reader = _BREATH_SECONDS, EventReader()
        try:
            async with aclosing(_stream(transport, reader, last)) as events:
                async for event in events:
                    if event.name == "expired":
                        # The next request has another token, or is refused.
                        break
                    losses = 0
                    if event.name == "reset":
                        yield msgspec.json.decode(event.data, type=Reset)
                    else:
                        yield msgspec.json.decode(event.data, type=Change)
        except (httpx2.TransportError, ConnectionFailed, RateLimited, Unavailable) as error:
            losses += 1
            if losses > _MOST_LOSSES:
                raise ConnectionFailed(f"lost sight of what changes: {error}") from error
            pause = seconds_until(losses, None) or 0
        last = reader.last_id or last
        await sleep(pause)


async def _stream(transport: AsyncTransport, reader: EventReader, last: str | None) -> AsyncGenerator[Event, None]:
    """The events of one connection."""
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
    async with transport.stream("/events", headers=headers, silence=_SILENCE_SECONDS, retries=0) as response:
        async for line in response.aiter_lines():
            if (event := reader.feed(line)) is not None:
                yield event
