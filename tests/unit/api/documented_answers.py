"""Whether an answer is one that the API's document has: by its status, and by the headers that clients go by."""

import json
import re
from typing import Any

import httpx

from tests.project import PROJECT

_DOCUMENT: dict[str, Any] = json.loads((PROJECT / "docs" / "openapi.json").read_text())
_PATHS = [
    # What is named by its own word comes before what is named by an id.
    (re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), operations)
    for path, operations in sorted(_DOCUMENT["paths"].items(), key=lambda one: one[0].count("{"))
]
_GONE_BY = (
    "etag",
    "location",
    "link",
    "retry-after",
    "www-authenticate",
    "x-request-id",
    "content-range",
    "total-count",
)


def check_documented(request: httpx.Request, answer: httpx.Response) -> None:
    """Fail for an answer of a documented operation that the document does not have."""
    path = request.url.raw_path.decode().partition("?")[0]
    found: dict[str, Any] = next((operations for pattern, operations in _PATHS if pattern.fullmatch(path)), {})
    operation = found.get(request.method.lower())
    if operation is None:
        return
    described = operation["responses"].get(str(answer.status_code))
    asked = f"{request.method} {request.url.path}: {answer.status_code}"
    assert described is not None, f"{asked} is not in the document"
    if "$ref" in described:
        described = _DOCUMENT["components"]["responses"][described["$ref"].rpartition("/")[2]]
    known = {name.lower() for name in described.get("headers", {})}
    missing = {name for name in _GONE_BY if name in answer.headers} - known
    assert not missing, f"{asked} has headers that are not in the document: {missing}"
