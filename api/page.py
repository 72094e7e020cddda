"""The page: `/ui` serves what `ui/` was built into, and `/` and `/callback` lead a browser there.

What is served is read once, when the application starts: no request names a file, so none can leave the directory.
"""

import gzip
import mimetypes
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from litestar import Request, Response, get
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler
from msgspec import Struct

from api.http.etag import etag_of, is_known
from api.http.policy import Policy, needs
from api.http.validation import ANY_QUERY
from models.domain.environment import SettingsInvalid
from models.domain.errors import RecordMissing
from models.domain.settings import Settings

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
MOST_BYTES = 50_000_000
"""Of all files together: they are kept in memory."""

_ASSETS = "assets/"
_FOREVER = "public, max-age=31536000, immutable"
_LOOK_FIRST = "no-cache"
_OPEN = needs(Policy.PUBLIC) | {ANY_QUERY: True}

_NOT_BUILT = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Notebooks Hub</title></head>
<body><h1>The page is not here</h1>
<p>This is the API of Notebooks Hub. Its page is built by <code>make up</code>, or by <code>npm ci &amp;&amp; npm run
build</code> in <code>ui/</code>; NBHUB_UI_DIRECTORY names the directory that this makes.</p>
<p><a href="/docs">The API's documentation</a></p></body></html>
"""


class File(Struct, frozen=True):
    """A file as it is sent."""

    body: bytes
    zipped: bytes
    tag: str
    media_type: str


def files_of(directory: Path) -> dict[str, File]:
    """The files beneath `directory`, by their path there; raises `SettingsInvalid` for what is no page."""
    if not (directory / "index.html").is_file():
        raise SettingsInvalid(f"NBHUB_UI_DIRECTORY: there is no index.html in {directory}")
    paths = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    if sum(path.stat().st_size for path in paths) > MOST_BYTES:
        raise SettingsInvalid(f"NBHUB_UI_DIRECTORY: the files in {directory} have more than {MOST_BYTES} bytes")
    return {path.relative_to(directory).as_posix(): _file(path.name, path.read_bytes()) for path in paths}


def _file(name: str, body: bytes) -> File:
    # Without the time, so that every process has the same bytes of it.
    return File(body, gzip.compress(body, mtime=0), etag_of(body), mimetypes.guess_type(name)[0] or _BYTES)


_BYTES = "application/octet-stream"


def page_routes(settings: Settings) -> Sequence[ControllerRouterHandler]:
    """The routes of the page that the settings name: one of these files, one that is elsewhere, or none."""
    files = files_of(Path(settings.ui_directory)) if settings.ui_directory and not settings.ui_url else {}

    def first(request: Request[Any, Any, Any]) -> Response[bytes]:
        """The page itself: which of its parts is shown is decided in the browser."""
        if settings.ui_url:
            return _lead(settings.ui_url)
        if not files:
            return Response(_NOT_BUILT, media_type="text/html; charset=utf-8", status_code=404)
        return _sent(request, files["index.html"], keep=_LOOK_FIRST)

    @get("/", opt=_OPEN, include_in_schema=False, sync_to_thread=False)
    def front(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Lead a browser to the page; for others there is nothing here."""
        if "text/html" not in request.headers.get("accept", ""):
            raise RecordMissing("There is nothing at this address.")
        return _lead(settings.ui_url or "/ui")

    @get(["/ui", "/callback"], opt=_OPEN, include_in_schema=False, sync_to_thread=False)
    def page(request: Request[Any, Any, Any]) -> Response[bytes]:
        """The page, also where the sign-in provider sends a browser back to."""
        return first(request)

    @get("/ui/{path:path}", opt=_OPEN, include_in_schema=False, sync_to_thread=False)
    def part(request: Request[Any, Any, Any], path: FromPath[str]) -> Response[bytes]:
        """A file of the page, by the name that the build gave it; else the page."""
        name = path.removeprefix("/")
        if not name.startswith(_ASSETS):
            return first(request)
        if name not in files:
            raise RecordMissing("There is nothing at this address.")
        return _sent(request, files[name], keep=_FOREVER)

    return (front, page, part)


def _lead(where: str) -> Response[bytes]:
    return Response(b"", status_code=302, media_type="text/plain", headers={"Location": where, "Vary": "Accept"})


def _sent(request: Request[Any, Any, Any], file: File, *, keep: str) -> Response[bytes]:
    headers: Mapping[str, str] = {"Cache-Control": keep, "ETag": file.tag, "Vary": "Accept-Encoding"}
    if file.media_type == "text/html":
        headers = {
            **headers,
            "Content-Security-Policy": CONTENT_POLICY,
            # A server that the page opens, on another port of this host perhaps, gets no hold of the page.
            "Cross-Origin-Opener-Policy": "same-origin",
        }
    if is_known(request, file.tag):
        return Response(b"", status_code=304, headers=headers)
    if not _takes_gzip(request):
        return Response(file.body, media_type=file.media_type, headers=headers)
    return Response(file.zipped, media_type=file.media_type, headers={**headers, "Content-Encoding": "gzip"})


def _takes_gzip(request: Request[Any, Any, Any]) -> bool:
    for entry in request.headers.get("accept-encoding", "").lower().split(","):
        name, *options = (part.replace(" ", "") for part in entry.split(";"))
        if name == "gzip":
            return not any(_NEVER.fullmatch(option) for option in options)
    return False


_NEVER = re.compile(r"q=0(\.0*)?")
