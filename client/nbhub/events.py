"""Server-sent events, read line by line."""

from msgspec import Struct


class Event(Struct, frozen=True):
    """One message of a stream."""

    name: str
    data: str
    id: str | None


class EventReader:
    """Makes events of the lines of a stream; comments and what it does not know are passed over."""

    def __init__(self) -> None:
        self._name, self._data = "", list[str]()
        self._id: str | None = None
        self.last_id: str | None = None
        """Where to go on: also a message that says nothing else may tell it."""

    def feed(self, line: str) -> Event | None:
        """The event that ends with this line, if one does."""
        line = line.rstrip("\r\n")
        if not line:
            event = Event(self._name or "message", "\n".join(self._data), self._id) if self._data else None
            self.last_id = self._id or self.last_id
            self._name, self._data, self._id = "", [], None
            return event
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._name = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None
