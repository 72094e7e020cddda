# Made of nbhub/asynchronous/following.py by `make client`: change it there.
"""Following everything that one may see."""

from collections.abc import Generator
from contextlib import closing
from time import sleep

import httpx2
import msgspec

from nbhub.errors import ConnectionFailed, RateLimited, Unavailable
from nbhub.events import Event, EventReader
from nbhub.models import Change, Reset
from nbhub.retries import seconds_until
from nbhub.synchronous.transport import Transport

_SILENCE_SECONDS = 40.0
"""While a stream lives something comes every 15 s."""
_MOST_LOSSES = 12
"""In a row: about a minute."""
_BREATH_SECONDS = 0.5


def follow(transport: Transport) -> Generator[Change | Reset, None, None]:
    """Each change once and in order. A connection that is lost is made up for."""
    losses, last = 0, None
    while True:
        pause, reader = _BREATH_SECONDS, EventReader()
        try:
            with closing(_stream(transport, reader, last)) as events:
                for event in events:
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
        sleep(pause)


def _stream(transport: Transport, reader: EventReader, last: str | None) -> Generator[Event, None, None]:
    """The events of one connection."""
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
    with transport.stream("/events", headers=headers, silence=_SILENCE_SECONDS, retries=0) as response:
        for line in response.iter_lines():
            if (event := reader.feed(line)) is not None:
                yield event
