"""The served OpenAPI document holds everything that the existing web UI relies on."""

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from api.app import create_app
from api.document import DOCUMENT, rendered
from api.http.openapi import document
from models.domain.settings import Settings
from tests.contract.reference import REFERENCE, Route

Schema = dict[str, Any]


@pytest.fixture(scope="module")
def served() -> Schema:
    return document(create_app(Settings(database_url="postgresql:///unused")))


class Reader:
    """Finds fields in a document's schemas."""

    def __init__(self, served: Schema) -> None:
        self.components: Schema = served["components"]["schemas"]

    def resolve(self, schema: Schema) -> Schema:
        """The schema behind references and behind `or null`."""
        while True:
            if "$ref" in schema:
                schema = self.components[schema["$ref"].rpartition("/")[2]]
            elif choices := schema.get("oneOf") or schema.get("anyOf"):
                schema = next(one for one in choices if one != {"type": "null"})
            elif "allOf" in schema:
                schema = schema["allOf"][0]
            else:
                return schema

    def field(self, schema: Schema, path: str) -> tuple[Schema, bool]:
        """The schema of the field at a path of the table, and whether it is always there."""
        required = True
        for part in re.findall(r"\[\]|[^.\[\]]+", path):
            schema = self.resolve(schema)
            if part == "[]":
                assert schema["type"] == "array", path
                schema = schema["items"]
            else:
                assert part in schema.get("properties", {}), (
                    f"{path} is missing, there are {sorted(schema['properties'])}"
                )
                required = part in schema.get("required", ())
                schema = schema["properties"][part]
        return self.resolve(schema), required


def behind(served: Schema, node: Schema) -> Schema:
    """A node, or the component that it refers to."""
    if "$ref" in node:
        _, _, kind, name = node["$ref"].split("/")
        node = served["components"][kind][name]
    return node


def content(part: Schema) -> Schema:
    schema: Schema = next(iter(part["content"].values()))["schema"]
    return schema


def success(operation: Schema) -> Schema:
    return next(answer for status, answer in sorted(operation["responses"].items()) if status < "300")


def fields(text: str) -> list[tuple[str, bool, str]]:
    """Path, whether it is required, and type of each field."""
    return [
        (path, bool(star), type or "string") for path, star, type in re.findall(r"([^\s*:]+)(\*?)(?::(\w+))?", text)
    ]


def has_type(schema: Schema, type: str) -> bool:
    types = schema.get("type", "string" if "enum" in schema else None)
    types = types if isinstance(types, list) else [types]
    return type in types or (type == "number" and "integer" in types)


def operation_of(served: Schema, name: str) -> Schema:
    method, _, path = name.partition(" ")
    assert path in served["paths"], f"{path} is missing"
    assert method.lower() in served["paths"][path], f"{name} is missing"
    operation: Schema = served["paths"][path][method.lower()]
    return operation


@pytest.mark.parametrize(
    ("name", "route"), REFERENCE.items(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_route(served: Schema, name: str, route: Route) -> None:
    reader, operation = Reader(served), operation_of(served, name)
    parameters = {(one["in"], one["name"]) for one in operation.get("parameters", [])}
    expected = {("path", one) for one in re.findall(r"{(\w+)}", name)}
    expected |= {("query", one) for one in route.query.split()}
    assert expected <= parameters
    if route.body:
        body = content(operation["requestBody"])
        for path, required, type in fields(route.body):
            schema, always = reader.field(body, path)
            assert has_type(schema, type), (path, schema)
            assert always == required, f"{path}: required is {always}"
        # Whatever is added must be optional, or today's requests would be refused.
        known = {path.split("[")[0] for path, _, _ in fields(route.body)}
        assert set(reader.resolve(body).get("required", ())) <= known
    for path, required, type in fields(route.answer):
        schema, always = reader.field(content(success(operation)), path)
        assert has_type(schema, type), (path, schema)
        assert always or not required, f"{path} may be absent"


def test_the_document_is_complete(served: Schema) -> None:
    seen = set()
    for path, item in served["paths"].items():
        for method, operation in item.items():
            where = f"{method.upper()} {path}"
            assert operation["operationId"] not in seen, where
            seen.add(operation["operationId"])
            assert operation.get("summary"), where
            assert operation.get("description"), where
            assert operation.get("tags"), where
            assert {"500", "503"} <= set(operation["responses"]), where
            assert ("401" in operation["responses"]) or operation["security"] == [], where
            for status, answer in operation["responses"].items():
                answer = behind(served, answer)
                assert answer["description"], (where, status)
                if status >= "400" and path != "/healthcheck":
                    assert content(answer)["$ref"].endswith("/ErrorEnvelope"), (where, status)
            for parameter in operation.get("parameters", []):
                assert parameter["in"] != "path" or parameter["required"], where
    assert served["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_an_example_is_an_answer(served: Schema) -> None:
    examples = 0
    for path, item in served["paths"].items():
        for operation in item.values():
            for answer in operation["responses"].values():
                for part in answer.get("content", {}).values():
                    if "example" in part:
                        examples += 1
                        schema = part["schema"] | {"components": served["components"]}
                        problems = [one.message for one in Draft202012Validator(schema).iter_errors(part["example"])]
                        assert problems == [], path
    assert examples


def test_every_reference_leads_somewhere(served: Schema) -> None:
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                assert behind(served, node)
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(served)


def test_the_committed_document_is_current() -> None:
    assert DOCUMENT.read_bytes() == rendered(), "run `make openapi`"
