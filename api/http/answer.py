"""Answers in JSON, or of bytes, made without what none of ours has: cookies, work that follows.

A GET is answered with an entity tag, and without a body (304) where the client names that tag: whoever asks again and
again costs a look, and no transfer.

Whatever a handler returns becomes one (`api.http.calls`), if it is no response already; a handler with headers of its
own returns one. What it is no shorter way for is left to Litestar.
"""

from typing import Any, TypeVar

import msgspec
from litestar import Litestar, Request, Response
from litestar.serialization import default_serializer
from litestar.types import ASGIApp, Receive, Scope, Send

from api.http.etag import etag_of, is_known

T = TypeVar("T")

_JSON = "application/json"
_encode = msgspec.json.Encoder(enc_hook=default_serializer).encode


class Answer(Response[T]):
    """An answer of this content; bytes are sent as they are. `version` is that of the one record that it is about."""

    def __init__(
        self,
        content: T,
        *,
        version: int | None = None,
        headers: dict[str, str] | None = None,
        status_code: int | None = None,
        media_type: str | None = None,
    ) -> None:
        # What Litestar makes of no cookies and the like, without asking of what types they are.
        self.content, self.headers, self.status_code, self.media_type = content, headers or {}, status_code, media_type
        self.background, self.cookies, self.encoding, self.response_type_encoders = None, [], "utf-8", {}
        self._version = version

    def to_asgi_response(self, app: Litestar | None, request: Request[Any, Any, Any], **options: Any) -> ASGIApp:  # type: ignore[override]
        """The answer as an application that sends it."""
        status = self.status_code or options.get("status_code") or 200
        media_type = self.media_type or options.get("media_type") or _JSON
        plain = isinstance(self.content, bytes) or (media_type == _JSON and not isinstance(self.content, str))
        if not plain or status in (204, 304):
            return super().to_asgi_response(app, request, **options)
        body = self.content if isinstance(self.content, bytes) else _encode(self.content)
        headers = self.headers
        if request.method == "GET" and status == 200:
            tag = etag_of(body, self._version)
            headers = {**headers, "ETag": tag}
            if is_known(request, tag):
                return _Sent(304, b"", headers)
        return _Sent(status, body, headers, media_type)


class _Sent:
    __slots__ = ("_body", "_headers", "_status")

    def __init__(self, status: int, body: bytes, headers: dict[str, str], media_type: str = _JSON) -> None:
        self._status, self._body = status, body
        self._headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        if status != 304:
            self._headers += ((b"content-type", media_type.encode("latin-1")), (b"content-length", b"%d" % len(body)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body, "more_body": False})
