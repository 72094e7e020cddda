"""The document says all that a client has to know: what `make api-lint` asks of it beside this takes minutes."""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from api.app import create_app
from api.document import DOCUMENT
from api.http.openapi import request_types
from api.http.policy import Policy, handlers_of, policy_of
from api.http.readers import Problems, reader_of
from models.domain.settings import Settings

Schema = dict[str, Any]
APP = create_app(Settings(database_url="postgresql:///unused"))
SERVED: Schema = json.loads(DOCUMENT.read_text())
COMPONENTS: Schema = SERVED["components"]
_TIMES = re.compile(r"^(at|as_of|timestamp)$|_(at|since)$")
# In seconds since 1970.
_OF_TOKENS = ("TokenView", "expires_at")
HANDLERS = {handler.operation_id: handler for _, handler in handlers_of(APP) if handler.resolve_include_in_schema()}
OPERATIONS: dict[str, Schema] = {
    operation["operationId"]: operation for item in SERVED["paths"].values() for operation in item.values()
}


def properties() -> Iterator[tuple[str, str, Schema]]:
    for name, component in COMPONENTS["schemas"].items():
        for field, schema in component.get("properties", {}).items():
            yield name, field, schema


def refused(operation: Schema, status: str) -> set[str]:
    """The headers of a refusal."""
    answer = operation["responses"][status]
    if "$ref" in answer:
        answer = COMPONENTS["responses"][answer["$ref"].rpartition("/")[2]]
    return set(answer["headers"])


def test_every_component_property_and_parameter_is_described() -> None:
    silent = [name for name, one in COMPONENTS["schemas"].items() if not one.get("description")]
    silent += [
        f"{name}.{field}" for name, field, one in properties() if not one.get("description") and "$ref" not in one
    ]
    for identity, operation in OPERATIONS.items():
        silent += [
            f"{identity}: {one['name']}" for one in operation.get("parameters", ()) if not one.get("description")
        ]
    assert silent == []


def test_times_and_addresses_say_that_they_are() -> None:
    for name, field, schema in properties():
        texts = [one for one in (schema, *schema.get("anyOf", ())) if one.get("type") == "string"]
        if _TIMES.search(field) and (name, field) != _OF_TOKENS:
            assert [one.get("format") for one in texts] == ["date-time"], (name, field)
        if re.search("(?i)url$", field):
            assert [one.get("format") for one in texts] == ["uri"], f"{name}.{field}: api.http.fields.Url"


def test_every_tag_is_described_and_used() -> None:
    described = {tag["name"]: tag["description"] for tag in SERVED["tags"]}
    assert all(described.values())
    assert {tag for operation in OPERATIONS.values() for tag in operation["tags"]} == described.keys()


@pytest.mark.parametrize("identity", [one for one, handler in HANDLERS.items() if request_types(handler)])
def test_every_body_has_an_example_which_is_read(identity: str) -> None:
    content = OPERATIONS[identity]["requestBody"]["content"]["application/json"]
    (body,) = request_types(HANDLERS[identity])
    schema = content["schema"] | {"components": COMPONENTS}
    assert [one.message for one in Draft202012Validator(schema).iter_errors(content["example"])] == []
    problems = Problems()
    # As it comes, and with nothing in it that a client would not have to know.
    reader_of(body).read(json.loads(msgspec.json.encode(content["example"])), "", problems)
    assert problems.all() == []


@pytest.mark.parametrize("identity", HANDLERS)
def test_an_operation_has_the_answers_that_its_kind_has(identity: str) -> None:
    operation, handler = OPERATIONS[identity], HANDLERS[identity]
    responses = operation["responses"]
    (method,) = handler.http_methods
    for status in ("204", "304"):
        assert "content" not in responses.get(status, {})
    if policy_of(handler) is not Policy.PUBLIC:
        assert {"401", "403", "429"} <= responses.keys()
        assert "WWW-Authenticate" in refused(operation, "401")
    if "requestBody" in operation:
        assert {"400", "413", "415"} <= responses.keys()
    if method != "GET" and policy_of(handler) is not Policy.PUBLIC:
        assert "409" in responses
        assert "Idempotency-Key" in {one["name"] for one in operation["parameters"]}
    if "429" in responses:
        limits = {f"RateLimit-{name}" for name in ("Limit", "Remaining", "Reset")}
        assert {"Retry-After", *limits} <= refused(operation, "429")
    if identity != "checkHealth":
        assert "Retry-After" in refused(operation, "503")
    if "202" in responses:
        assert "Location" in responses["202"]["headers"]
    if "limit" in {one["name"] for one in operation.get("parameters", ())}:
        assert "Link" in responses["200"]["headers"]
    stream = responses.get("200", {}).get("content", {}).get("text/event-stream")
    if stream is not None:
        assert all(one["$ref"].rpartition("/")[2] in COMPONENTS["schemas"] for one in stream["x-event-data"].values())
    assert all("X-Request-Id" in answer["headers"] for answer in responses.values() if "$ref" not in answer)
