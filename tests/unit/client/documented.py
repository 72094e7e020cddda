"""An API that is what its document says: it refuses requests that the document does not have, and answers samples."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import jsonschema

from tests.project import PROJECT

DOCUMENT: dict[str, Any] = json.loads((PROJECT / "docs" / "openapi.json").read_text())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
ID = "0199a2b3-0000-7000-8000-0123456789ab"
URL = "http://hub.test"
MOMENT = "2026-11-27T03:00:00Z"


def operations() -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Every operation: its method, path and description, by its id."""
    return {
        described["operationId"]: (method.upper(), path, described)
        for path, methods in DOCUMENT["paths"].items()
        for method, described in methods.items()
    }


def sample(schema: Mapping[str, Any]) -> Any:
    """Something of a schema, with every property that it may have."""
    if "$ref" in schema:
        return sample(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    if "enum" in schema:
        return schema["enum"][0]
    for several in ("oneOf", "anyOf"):
        if several in schema:
            return sample(schema[several][0])
    match schema.get("type"):
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return {"one": sample(schema["additionalProperties"])}
        case "object":
            return {name: sample(one) for name, one in schema.get("properties", {}).items()}
        case "array":
            return [sample(schema["items"])]
        case "integer":
            return 1
        case "number":
            return 0.5
        case "boolean":
            return True
    match schema.get("format"):
        case "uuid":
            return ID
        case "date-time":
            return MOMENT
    return "text"


class Documented:
    """Notes which operations were asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.requests: list[httpx2.Request] = []

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        """The handler of a `MockTransport`."""
        request.read()
        self.requests.append(request)
        identity, described = self._operation(request)
        self.asked.append(identity)
        self._check(request, described)
        return self._answer(identity, described, request, previewed="dry_run" in request.url.params)

    def _operation(self, request: httpx2.Request) -> tuple[str, dict[str, Any]]:
        path_asked = request.url.raw_path.decode().partition("?")[0]
        found = [
            (path.count("{"), identity, described)
            for identity, (method, path, described) in operations().items()
            if method == request.method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), path_asked)
        ]
        assert found, f"the document has no {request.method} {request.url.path}"
        _, identity, described = min(found, key=lambda one: one[0])
        return identity, described

    def _check(self, request: httpx2.Request, described: dict[str, Any]) -> None:
        parameters = described.get("parameters", [])
        named = {one["name"]: one for one in parameters if one["in"] == "query"}
        given = dict(parse_qsl(request.url.query.decode(), keep_blank_values=True))
        assert given.keys() <= named.keys(), f"{described['operationId']} has no {given.keys() - named.keys()}"
        assert {name for name, one in named.items() if one.get("required")} <= given.keys()
        headers = {one["name"].lower() for one in parameters if one["in"] == "header"}
        ours = {"idempotency-key", "prefer", "if-match", "if-none-match", "last-event-id"}
        assert (ours & set(request.headers)) <= headers, described["operationId"]
        assert ("idempotency-key" in request.headers) is ("idempotency-key" in headers), described["operationId"]
        content = described.get("requestBody", {}).get("content", {})
        if not content:
            assert request.content == b""
        elif "application/json" in content:
            schema = content["application/json"]["schema"] | {"components": DOCUMENT["components"]}
            body = json.loads(request.content)
            jsonschema.Draft202012Validator(schema).validate(body)
            refused = SCHEMAS.get(schema.get("$ref", "").rpartition("/")[2], {})
            if "properties" in refused:
                assert body.keys() <= refused["properties"].keys()

    def _answer(
        self, identity: str, described: dict[str, Any], request: httpx2.Request, *, previewed: bool
    ) -> httpx2.Response:
        if previewed:
            return httpx2.Response(200, json=sample(SCHEMAS["PreviewView"]))
        if identity == "followOperation":
            state = sample(SCHEMAS["OperationView"]) | {"status": "succeeded"}
            text = f"event: outcome\nid: 7\ndata: {json.dumps(state)}\n\n"
            return httpx2.Response(200, text=text, headers={"Content-Type": "text/event-stream"})
        if identity == "followEvents":
            text = described["responses"]["200"]["content"]["text/event-stream"]["example"]
            return httpx2.Response(200, text=text, headers={"Content-Type": "text/event-stream"})
        # Of what is deleted or removed nothing but a preview is 200.
        goes = request.method == "DELETE"
        status = next(
            code for code in (("202", "204") if goes else ("200", "202", "204")) if code in described["responses"]
        )
        content = described["responses"][status].get("content", {})
        if "application/json" not in content:
            return httpx2.Response(int(status), content=b"" if status == "204" else b"bytes")
        body = sample(content["application/json"]["schema"])
        counted = {"Total-Count": "7"} if "count" in request.url.params else {}
        return httpx2.Response(int(status), json=body, headers={"ETag": '"7-x"', **counted})
