"""Hooks of Schemathesis: what no schema can say, and users of the API know, is put into requests meant to succeed."""

import itertools
import re
from typing import Any

import schemathesis
from hypothesis import strategies
from schemathesis import Case, GenerationMode, HookContext

from api.http.fields import EMAIL
from integrations.containment import LONGEST_NAME

_numbers = itertools.count(1)
_KEY = re.compile("[!-~]{1,255}")

# Fields that are replaced where a request has them; None: left out. The rest of the body is as it was generated.
_OF_A_TEMPLATE: dict[str, Any] = {
    "applicationType": "jupyterlab",
    "creator": None,
    "datasets": [],
    "filePath": "",
    "hardware": "cpuSmall",
    "modules": [],
    "secrets": [],
}
_OF_A_MODULE = {"luaModuleFile": [{"id": "whatis", "arguments": ["Name: x"]}], "owner": None}
_OF_A_SECRET = {"mount_path": None, "owner": None, "type": "raw", "value": "x"}
_PATHS = {"path", "to"}
_FIELDS: dict[str, dict[str, Any]] = {
    "beginSignIn": {"redirect_uri": None},
    "createDataset": {"owner": None},
    "createModule": _OF_A_MODULE,
    "createSecret": _OF_A_SECRET,
    "createServer": _OF_A_TEMPLATE,
    "createTemplate": _OF_A_TEMPLATE,
    "updateModule": _OF_A_MODULE,
    "updateSecret": _OF_A_SECRET,
    "updateTemplate": _OF_A_TEMPLATE,
}

schemathesis.openapi.format(EMAIL, strategies.from_regex(r"[a-z0-9]{1,20}@[a-z0-9]{1,20}\.org", fullmatch=True))


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Make a request that fits the schema one that can succeed."""
    if case.headers and _KEY.fullmatch(case.headers.get("Idempotency-Key") or ""):
        # A key stands for one request: with a used one, any other is refused, and the same is not looked at again.
        case.headers["Idempotency-Key"] = f"key-{next(_numbers)}"
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if case.query and "cursor" in case.query:
        # Cursors are sealed: only the API makes them.
        case.query = {name: value for name, value in case.query.items() if name != "cursor"}
    if case.query and "fields" in case.query:
        # The schema of an answer says what a whole one has; `tests/unit/api/test_sparse_lists.py` asks for parts.
        case.query = {name: value for name, value in case.query.items() if name != "fields"}
    if isinstance(case.body, dict):
        case.body = _known(case.operation.definition.raw["operationId"], case.body)
        case.body |= {name: "file" for name in _PATHS & {*case.body} if _too_long(str(case.body[name]))}


def _too_long(path: str) -> bool:
    """Whether a name in it has more bytes than a file system takes, which no pattern of characters says."""
    return any(len(name.encode()) > LONGEST_NAME for name in path.split("/"))


def _known(operation: str, body: dict[str, Any]) -> dict[str, Any]:
    if operation == "createFile":
        return {"root": "notebooks", "name": f"file-{next(_numbers)}", "type": "file", "content": "x"}
    if operation.startswith(("share", "revoke")):
        # Groups and organisations have to be known, people need not.
        return {"relation": body["relation"], "userArray": ["someone@example.org"]}
    known = {name: value for name, value in _FIELDS.get(operation, {}).items() if name in body}
    return {name: value for name, value in (body | known).items() if value is not None or name not in known}
