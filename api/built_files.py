"""Files that were built into a directory, as browsers get them.

They are read once, when the application starts: no request names a file, so none can leave the directory.
"""

import gzip
import mimetypes
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from litestar import Request, Response
from msgspec import Struct

from api.http.etag import etag_of, is_known
from models.domain.environment import SettingsInvalid

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
MOST_BYTES = 50_000_000
"""Of all files of a directory together: they are kept in memory."""

FOREVER = "public, max-age=31536000, immutable"
LOOK_FIRST = "no-cache"


class BuiltFile(Struct, frozen=True):
    """A file as it is sent; `zipped` is None where that would be no smaller."""

    body: bytes
    zipped: bytes | None
    tag: str
    media_type: str


def files_of(directory: Path, *, setting: str) -> dict[str, BuiltFile]:
    """The files beneath `directory`, by their path there; raises `SettingsInvalid` for what was not built."""
    if not (directory / "index.html").is_file():
        raise SettingsInvalid(f"{setting}: there is no index.html in {directory}")
    paths = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    if sum(path.stat().st_size for path in paths) > MOST_BYTES:
        raise SettingsInvalid(f"{setting}: the files in {directory} have more than {MOST_BYTES} bytes")
    return {path.relative_to(directory).as_posix(): _file(path.name, path.read_bytes()) for path in paths}


def _file(name: str, body: bytes) -> BuiltFile:
    # Without the time, so that every process has the same bytes of it.
    zipped = gzip.compress(body, mtime=0)
    media_type = mimetypes.guess_type(name)[0] or _BYTES
    return BuiltFile(body, zipped if len(zipped) < len(body) else None, etag_of(body), media_type)


_BYTES = "application/octet-stream"


def sent(request: Request[Any, Any, Any], file: BuiltFile, *, keep: str) -> Response[bytes]:
    """The answer that has a file, which the browser may `keep`."""
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
    if file.zipped is None or not _takes_gzip(request):
        return Response(file.body, media_type=file.media_type, headers=headers)
    return Response(file.zipped, media_type=file.media_type, headers={**headers, "Content-Encoding": "gzip"})


def _takes_gzip(request: Request[Any, Any, Any]) -> bool:
    for entry in request.headers.get("accept-encoding", "").lower().split(","):
        name, *options = (part.replace(" ", "") for part in entry.split(";"))
        if name == "gzip":
            return not any(_NEVER.fullmatch(option) for option in options)
    return False


_NEVER = re.compile(r"q=0(\.0*)?")
