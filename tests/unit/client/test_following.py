"""Following everything: a stream that ends or is refused is gone on with where it was."""

import httpx2
import pytest

from nbhub import AsyncHub, Hub, models
from nbhub.asynchronous import following as asynchronous
from nbhub.errors import Unauthorized
from nbhub.synchronous import following
from tests.unit.client.documented import ID, URL

CHANGE = f'{{"kind":"server","_id":"{ID}","change":"changed","at":"2026-11-27T03:30:00Z","version":4}}'


def test_a_stream_that_is_lost_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_BREATH_SECONDS", 0)
    monkeypatch.setattr(following, "seconds_until", lambda *_: 0)
    answers: list[str | int] = [
        'id: 1:1:\nevent: reset\ndata: {"reason":"began"}\n\n',
        503,
        f": keep-alive\n\nid: 2:2:\nevent: server\ndata: {CHANGE}\n\nevent: expired\ndata: {{}}\n\n",
        f": keep-alive\nid: 3:3:\n\nid: 4:4:\nevent: server\ndata: {CHANGE}\n",
        401,
    ]
    asked: list[str | None] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.headers.get("last-event-id"))
        answer = answers[len(asked) - 1]
        if isinstance(answer, int):
            return httpx2.Response(answer)
        return httpx2.Response(200, text=answer, headers={"Content-Type": "text/event-stream"})

    seen: list[models.Change | models.Reset] = []
    with pytest.raises(Unauthorized):
        seen.extend(Hub(URL, "token", transport=httpx2.MockTransport(handle)).events())
    reset, change = seen
    assert reset == models.Reset(reason="began")
    assert isinstance(change, models.Change)
    assert (change.id, change.version) == (ID, 4)
    assert asked == [None, "1:1:", "1:1:", "2:2:", "3:3:"], "what is cut off was not told"


async def test_the_asynchronous_client_does_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asynchronous, "_BREATH_SECONDS", 0)
    asked: list[str | None] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.headers.get("last-event-id"))
        if len(asked) == 3:
            return httpx2.Response(401)
        return httpx2.Response(200, text=f"id: {len(asked)}:{len(asked)}:\nevent: server\ndata: {CHANGE}\n\n")

    seen: list[models.Change | models.Reset] = []

    async def follow() -> None:
        async with AsyncHub(URL, "token", transport=httpx2.MockTransport(handle)) as hub:
            async for one in hub.events():
                seen.append(one)  # noqa: PERF401 - what comes before the error counts

    with pytest.raises(Unauthorized):
        await follow()
    assert [isinstance(one, models.Change) for one in seen] == [True, True]
    assert asked == [None, "1:1:", "2:2:"]
