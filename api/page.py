"""The page: `/ui` serves what `ui/` was built into, and `/` and `/callback` lead a browser there."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from litestar import Request, Response, get
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from api.built_files import FOREVER, LOOK_FIRST, files_of, sent
from api.http.policy import Policy, needs
from api.http.validation import ANY_QUERY
from models.domain.errors import RecordMissing
from models.domain.settings import Settings

_ASSETS = "assets/"
_OPEN = needs(Policy.PUBLIC) | {ANY_QUERY: True}

_NOT_BUILT = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Notebooks Hub</title></head>
<body><h1>The page is not here</h1>
<p>This is the API of Notebooks Hub. Its page is built by <code>make up</code>, or by <code>npm ci &amp;&amp; npm run
build</code> in <code>ui/</code>; NBHUB_UI_DIRECTORY names the directory that this makes.</p>
<p><a href="/docs">The API's documentation</a></p></body></html>
"""


def page_routes(settings: Settings) -> Sequence[ControllerRouterHandler]:
    """The routes of the page that the settings name: one of these files, one that is elsewhere, or none."""
    files = {}
    if settings.ui_directory and not settings.ui_url:
        files = files_of(Path(settings.ui_directory), setting="NBHUB_UI_DIRECTORY")

    def first(request: Request[Any, Any, Any]) -> Response[bytes]:
        """The page itself: which of its parts is shown is decided in the browser."""
        if settings.ui_url:
            return _lead(settings.ui_url)
        if not files:
            return Response(_NOT_BUILT, media_type="text/html; charset=utf-8", status_code=404)
        return sent(request, files["index.html"], keep=LOOK_FIRST)

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
        return sent(request, files[name], keep=FOREVER)

    return (front, page, part)


def _lead(where: str) -> Response[bytes]:
    return Response(b"", status_code=302, media_type="text/plain", headers={"Location": where, "Vary": "Accept"})
