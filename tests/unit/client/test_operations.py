"""Following an operation: to its end, through lost connections, no longer than one wants to."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

import nbhub.asynchronous.operations
import nbhub.synchronous.operations
from nbhub import AsyncHub, Hub
from nbhub.errors import ConnectionFailed, NotFound, OperationCancelled, OperationFailed, OperationTimedOut
from nbhub.events import Event, EventReader
from tests.unit.client.documented import ID, SCHEMAS, URL, sample

STATE: dict[str, Any] = sample(SCHEMAS["OperationView"]) | {"status": "running"}
SERVER: dict[str, Any] = sample(SCHEMAS["ServerView"]) | {"url": "http://hub.test/user/x/lab/"}


def message(status: str, version: int, **more: object) -> str:
    name = "operation" if status in ("queued", "running") else "outcome"
    return f"event: {name}\nid: {version}\ndata: {json.dumps(STATE | {'status': status} | more)}\n\n"


class Cut(httpx2.SyncByteStream):
    """A body that ends in the middle."""

    def __init__(self, *parts: str, error: Exception | None) -> None:
        self._parts, self._error = parts, error

    def __iter__(self) -> Iterator[bytes]:
        yield from (one.encode() for one in self._parts)
        if self._error is not None:
            raise self._error


def stream(*parts: str, error: Exception | None = None) -> httpx2.Response:
    return httpx2.Response(200, stream=Cut(*parts, error=error), headers={"Content-Type": "text/event-stream"})


class Api:
    """An operation whose streams are these."""

    def __init__(self, *streams: httpx2.Response | Exception) -> None:
        self._streams = list(streams)
        self.state = STATE
        self.last_ids: list[str | None] = []
        self.reads = 0

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/events"):
            self.last_ids.append(request.headers.get("last-event-id"))
            answer = self._streams.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        if request.url.path.startswith("/operations"):
            self.reads += 1
            return httpx2.Response(200, json=self.state)
        if request.method == "PUT":
            return httpx2.Response(202, json=STATE, headers={"Location": f"/operations/{ID}"})
        return httpx2.Response(200, json=SERVER)


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr(nbhub.synchronous.operations, "sleep", pauses.append)
    return pauses


def hub_of(api: Api) -> Hub:
    return Hub(URL, "token", transport=httpx2.MockTransport(api.handle))


def test_a_start_gives_the_server_that_runs() -> None:
    api = Api(stream(message("queued", 1), ": keep-alive\n\n", message("running", 2), message("succeeded", 3)))
    operation = hub_of(api).servers.start(ID)
    assert operation.status == "running"
    assert operation.wait().url == SERVER["url"]
    assert operation.status == "succeeded"
    assert operation.wait().url == SERVER["url"], "once more, without following it again"
    assert len(api.last_ids) == 1


def test_it_is_shown_once_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    hub_of(Api(stream(message("succeeded", 3)))).servers.start(ID).open()
    assert shown == [SERVER["url"]]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "javascript:alert(1)", "--help"])
def test_what_is_no_address_of_the_web_is_not_opened(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    assert nbhub.synchronous.operations.show(url) is False
    assert shown == []


def test_a_failure_says_why_and_what_to_do() -> None:
    error = {"code": "SPAWN_FAILED", "message": "No node is free.", "hint": "Take less."}
    with pytest.raises(OperationFailed, match=r"No node is free\.\n  Take less\.") as caught:
        hub_of(Api(stream(message("failed", 3, error=error)))).servers.start(ID).wait()
    assert caught.value.code == "SPAWN_FAILED"
    assert caught.value.operation.id == ID


def test_one_that_is_cancelled_has_no_server() -> None:
    with pytest.raises(OperationCancelled):
        hub_of(Api(stream(message("cancelled", 3)))).servers.start(ID).wait()


def test_a_lost_connection_goes_on_where_it_was() -> None:
    api = Api(
        stream(message("queued", 1), message("running", 2)[:20], error=httpx2.ReadError("cut off")),
        httpx2.ConnectError("down"),
        stream(message("running", 4)),  # the API goes down in order
        stream("event: expired\ndata: {}\n\n"),
        stream(message("succeeded", 5)),
    )
    seen = [state.status for state in hub_of(api).servers.start(ID).events()]
    assert seen == ["queued", "running", "succeeded"]
    assert api.last_ids == [None, "1", "1", "4", "4"]


def test_what_stays_lost_is_said_in_the_end(slept: list[float]) -> None:
    api = Api(*[httpx2.ConnectError("down") for _ in range(20)])
    with pytest.raises(ConnectionFailed, match="goes on"):
        hub_of(api).servers.start(ID).wait()
    assert 30 < sum(slept) < 120


def test_who_has_too_many_streams_looks_now_and_then() -> None:
    error = {"statusCode": 429, "name": "E", "code": "THROTTLED", "message": "too many"}
    api = Api(*[httpx2.Response(429, json={"error": error}) for _ in range(2)])
    operation = hub_of(api).servers.start(ID)
    api.state = STATE | {"status": "succeeded"}
    assert operation.wait().url == SERVER["url"]
    assert api.reads == 1


def test_one_that_is_gone_is_not_waited_for() -> None:
    error = {"statusCode": 404, "name": "E", "code": "ENTITY_NOT_FOUND", "message": "no"}
    with pytest.raises(NotFound):
        hub_of(Api(httpx2.Response(404, json={"error": error}))).servers.start(ID).wait()


def test_nobody_waits_longer_than_they_want(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api(*[stream(message("running", 2), error=httpx2.ReadTimeout("silence")) for _ in range(99)])
    monkeypatch.setattr(nbhub.synchronous.operations, "sleep", time.sleep)
    begun = time.monotonic()
    with pytest.raises(OperationTimedOut, match="goes on") as caught:
        hub_of(api).servers.start(ID).wait(timeout=0.2)
    assert time.monotonic() - begun < 5
    assert caught.value.operation.status == "running"


async def test_it_can_be_awaited() -> None:
    def handle(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/events"):
            return httpx2.Response(200, text=message("running", 1) + message("succeeded", 2))
        return httpx2.Response(202, json=STATE) if request.method == "PUT" else httpx2.Response(200, json=SERVER)

    async with AsyncHub(URL, "token", transport=httpx2.MockTransport(handle)) as hub:
        server = await (await hub.servers.start(ID))
        assert server.url == SERVER["url"]
        states = [one.status async for one in (await hub.servers.start(ID)).events()]
        assert states == ["running", "succeeded"]


def read(text: str) -> list[Event]:
    reader = EventReader()
    return [event for line in text.splitlines() if (event := reader.feed(line)) is not None]


def test_a_stream_is_read_as_the_standard_says() -> None:
    assert read(": hello\r\nevent: a\r\ndata: 1\r\ndata:  2\r\nid: 7\r\nretry: 5\r\n\r\ndata\n\nevent: b\n\n") == [
        Event("a", "1\n 2", "7"),
        Event("message", "", None),
    ]
