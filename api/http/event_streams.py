"""What streams of server-sent events have in common: how many a person may have open, and how they are kept alive."""

import contextlib
from collections.abc import Iterator
from typing import Annotated
from uuid import UUID
from weakref import WeakSet

from litestar.params import HeaderParameter

from models.domain.settings import Settings
from models.domain.values import Caller
from models.ledger import quotas

KEEP_ALIVE_SECONDS = 15.0

EVENTS = "events"
"""The `opt` of a route that answers events: the struct of the data of each, by its name; `*` is any other."""
EVENTS_EXAMPLE = """\
id: 8140:8140:
event: reset
data: {"reason":"began"}

id: 8140:8140:/8152:8152:/3071
event: server
data: {"kind":"server","_id":"01a20000-0000-7000-8000-000000000001","change":"changed","at":"2026-11-27T03:30:00Z",\
"version":4,"status":"starting"}

id: 8152:8152:
event: operation
data: {"kind":"operation","_id":"01a20000-0000-7000-8000-000000000002","change":"changed","at":"2026-11-27T03:30:00Z",\
"version":3,"status":"running","action":"server.start","subject":"01a20000-0000-7000-8000-000000000001",\
"subject_kind":"server","step":{"name":"spawn","status":"running"}}

: keep-alive
id: 8160:8160:

"""

LastEventId = Annotated[
    str | None, HeaderParameter(name="Last-Event-ID", description="Id of the last event that was received.")
]


class Stream:
    """One that a person has open. Of some no message is ever read: those just go out of memory."""

    def __init__(self, person: UUID) -> None:
        self.person = person


class Streams:
    """The open streams of one API process, of whatever kind."""

    def __init__(self) -> None:
        self._open: WeakSet[Stream] = WeakSet()

    def __len__(self) -> int:
        return len(self._open)

    def of(self, person: UUID) -> int:
        """How many streams a person has open here."""
        return sum(stream.person == person for stream in self._open)

    def admit(self, caller: Caller, settings: Settings) -> Stream:
        """A stream that counts to a caller until it has ended, or is dropped; raises `RequestThrottled` for too many.

        Admins have as many as they like.
        """
        limit, used = quotas.limits_of(settings.quotas)[quotas.EVENT_STREAMS], self.of(caller.id)
        if used >= limit > 0 and not caller.admin:
            raise quotas.exceeded(quotas.EVENT_STREAMS, limit, used=used, wanted=used + 1)
        stream = Stream(caller.id)
        self._open.add(stream)
        return stream

    @contextlib.contextmanager
    def counted(self, stream: Stream | None) -> Iterator[None]:
        """Messages of a stream are read while the context lives, and then no more."""
        try:
            yield
        finally:
            if stream is not None:
                self._open.discard(stream)
