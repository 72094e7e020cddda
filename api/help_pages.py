"""The help: `/help` serves what `docs/` was built into."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from litestar import Request, Response, get
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from api.built_files import LOOK_FIRST, files_of, sent
from api.http.policy import Policy, needs
from api.http.validation import ANY_QUERY
from models.domain.errors import RecordMissing
from models.domain.settings import Settings

_FIRST = "/help/index.html"
_OPEN = needs(Policy.PUBLIC) | {ANY_QUERY: True}

_NOT_BUILT = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Notebooks Hub</title></head>
<body><h1>The help is not here</h1>
<p>It is built by <code>make docs</code>, which says where it is then, and by <code>make up</code> for its own API;
NBHUB_HELP_DIRECTORY names that directory to another one.</p>
<p><a href="/docs">The API's documentation</a></p></body></html>
"""


def help_routes(settings: Settings) -> Sequence[ControllerRouterHandler]:
    """The routes of the help that the settings name, if they do."""
    directory = settings.help_directory
    files = files_of(Path(directory), setting="NBHUB_HELP_DIRECTORY") if directory else {}

    @get("/help", opt=_OPEN, include_in_schema=False, sync_to_thread=False)
    def first() -> Response[bytes]:
        """Lead to the first page, whose links begin at its directory."""
        if not files:
            return Response(_NOT_BUILT, media_type="text/html; charset=utf-8", status_code=404)
        return Response(b"", status_code=302, media_type="text/plain", headers={"Location": _FIRST})

    @get("/help/{path:path}", opt=_OPEN, include_in_schema=False, sync_to_thread=False)
    def page(request: Request[Any, Any, Any], path: FromPath[str]) -> Response[bytes]:
        """A page of the help, or what belongs to it."""
        file = files.get(path.removeprefix("/"))
        if file is None:
            raise RecordMissing("There is nothing at this address.", hint="The help begins at /help.")
        return sent(request, file, keep=LOOK_FIRST)

    return (first, page)
