"""The OpenAPI document, complete: what Litestar derives from the handlers, and what follows from the policies.

Which refusals a route may answer with, and which headers it understands, is the same for all routes of a
kind, so it is added here and not repeated at each handler.
"""

from typing import Any, get_args, get_origin

import msgspec
from litestar import Litestar, Request, Response, Router
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Tag
from msgspec import Struct

from api.http.errors import ErrorEnvelope
from api.http.etag import DOWNLOADED, TAGGED, is_versioned
from api.http.event_streams import EVENTS, EVENTS_EXAMPLE
from api.http.pagination import fields_of
from api.http.policy import Policy, handlers_of, needs, policy_of
from api.http.preview import PreviewView
from api.http.text_schemas import describe_moments, describe_text, describe_texts
from api.http.validation import STREAMED

API_VERSION = "1.0.0"

_REFERENCE = "#/components/schemas/{name}"
_TAGS_DESCRIBED = {
    "Audit": "Who did what, for admins, and the proof that nobody has changed it since.",
    "Datasets": "Directories that people share.",
    "Events": "What changes of everything that one may see, as it happens.",
    "Groups": "People who are given things together, and have a directory together.",
    "Modules": "Software that servers load, and that people share.",
    "Operations": "What was asked for, how far it is, and how it ended.",
    "Persons": "Who one is, what one may do, and whom one can share with.",
    "Secrets": "Values that servers get and nobody reads back.",
    "Servers": "Application instances that JupyterHub launches.",
    "Service": "The service itself.",
    "Sign-in": "How a browser gets tokens of the provider, and gives them up.",
    "Templates": "The settings from which servers are made.",
    "Volume": "Files of one's home, and of datasets, modules and groups.",
}
_REASONS = {
    400: "The request cannot be read.",
    401: "No valid access token was given.",
    403: "The caller may not do this.",
    404: "There is no such thing, or none that the caller may see.",
    409: "The state of the thing, or a request at the same time, stands against it.",
    412: "The record is no longer the version that `If-Match` names, or another condition does not hold.",
    413: "The body is too large.",
    415: "The body is not of the media type that is due.",
    416: "Nothing of the range is there.",
    422: "The request is not valid; `details` names every problem.",
    429: "Too many requests, or too many unknown tokens at once.",
    500: "A defect of this service.",
    503: "Something that this needs does not answer at the moment.",
}
_EXAMPLE = "example"
_FORMS = "forms"
_DONE = {
    "200": "It is done, or read.",
    "202": "It is accepted, and will be done: the operation says how far it is.",
    "204": "It is done.",
}
_BINARY = {"type": "string", "format": "binary"}
_HEADERS = {
    "X-Request-Id": ("The id of the request, by which its lines in the log are found.", "string"),
    "Location": ("The operation to follow.", "string"),
    "Link": ('The next page, with `rel="next"`; absent on the last one.', "string"),
    "WWW-Authenticate": ("How to show who one is: `Bearer`.", "string"),
    "Retry-After": ("Seconds after which to try again.", "integer"),
    "RateLimit-Limit": ("Requests that may come at once, where requests are counted.", "integer"),
    "Total-Count": ("With `count=true`: how many there are in all.", "integer"),
    "RateLimit-Remaining": ("Those that are left: none.", "integer"),
    "RateLimit-Reset": ("Seconds after which as many may come again.", "integer"),
}
"""What headers of answers say, wherever they are; others say what they say of one answer."""
_MAY_BE_ABSENT = ("Link", "Total-Count", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
_CONDITIONS = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Range", "If-Range")
_TAG = r'(W/)?"[!#-~]*"'
_TAGS = {"pattern": rf"^(\*|{_TAG}(, *{_TAG})*)$"}
_KEY = {"minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
_REQUEST_HEADERS = {
    name: {
        **{"name": name, "in": "header", "required": False, "description": description},
        "schema": {"type": "string", **more},
    }
    for name, description, more in (
        ("Idempotency-Key", "The same request with the same key gets the first answer again, for a day.", _KEY),
        ("If-Match", "The `ETag` of the version to change.", _TAGS),
        ("If-None-Match", "The `ETag` of versions that the client has; `*`: any.", _TAGS),
        ("If-Modified-Since", "The `Last-Modified` of the version that the client has.", {}),
        ("If-Unmodified-Since", "The `Last-Modified` of the version that is asked for.", {}),
        ("Range", "One range, as in `bytes=0-99`, `bytes=100-` or `bytes=-100`.", {}),
        ("If-Range", "The `ETag` of the version that a range is asked of: of another, all is the answer.", {}),
        ("Prefer", "`wait=N`: seconds, at most 60, to wait for the end of the work.", {}),
    )
}


def shown(example: object) -> dict[str, Any]:
    """The `opt` of a route whose answer is shown by an example, which is an answer of its."""
    return {_EXAMPLE: example}


def also_as(*media_types: str) -> dict[str, Any]:
    """The `opt` of a route that answers in these forms too, whichever `Accept` asks for."""
    return {_FORMS: media_types}


class SchemaFile(OpenAPIRenderPlugin):
    """Serves the document at `/schema/openapi.json`."""

    def __init__(self) -> None:
        super().__init__(path="/openapi.json", media_type="application/json")  # type: ignore[arg-type]
        self._encoded: bytes | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The encoded document, made once."""
        if self._encoded is None:
            self._encoded = msgspec.json.encode(complete(openapi_schema, request.app))
        return self._encoded


def config() -> OpenAPIConfig:
    """The configuration that `api.app` gives to Litestar."""
    return OpenAPIConfig(
        title="Notebooks Hub API",
        version=API_VERSION,
        description="The control plane of notebook servers. A write is durable; long work is an operation to follow.",
        use_handler_docstrings=True,
        render_plugins=[SchemaFile()],
        openapi_router=Router("/schema", route_handlers=[], include_in_schema=False, opt=needs(Policy.PUBLIC)),
        security=[{"bearer": []}],
        tags=[Tag(name=name, description=description) for name, description in _TAGS_DESCRIBED.items()],
        components=Components(
            security_schemes={
                "bearer": SecurityScheme(
                    type="http", scheme="bearer", description="An access token from `POST /auth/token`."
                )
            }
        ),
    )


def document(app: Litestar) -> dict[str, Any]:
    """The complete document of an application."""
    return complete(app.openapi_schema.to_schema(), app)


def complete(schema: dict[str, Any], app: Litestar) -> dict[str, Any]:
    """Add refusals, headers and exemptions to what Litestar derived. Doing it twice changes nothing."""
    components = schema["components"]
    components.setdefault("schemas", {}).update(_components(app))
    components["headers"] = {
        name: _header(description, required=name not in _MAY_BE_ABSENT, type=type)
        for name, (description, type) in _HEADERS.items()
    }
    refused: dict[str, Any] = components.setdefault("responses", {})
    formats = {route.path: route.path_format for route in app.routes}
    for path, handler in handlers_of(app):
        operations = schema["paths"].get(formats[path])
        if operations is None or not handler.resolve_include_in_schema():
            continue
        for method in handler.http_methods:
            refused |= _complete_operation(operations[method.lower()], method, handler)
    return schema


def request_types(handler: HTTPRouteHandler) -> list[type[Struct]]:
    """The types of the bodies that a handler takes: one, or none."""
    if handler.parsed_data_field is None:
        return []
    annotation = handler.parsed_data_field.annotation
    return [one for one in (get_args(annotation) or (annotation,)) if one is not type(None)]


def _components(app: Litestar) -> dict[str, Any]:
    """The schemas of all bodies as msgspec writes them: Litestar's leave out the constraints of list entries, and
    that unknown fields are refused."""
    requests: list[type[Struct]] = []
    bodies: list[Any] = [ErrorEnvelope, PreviewView]
    for _, handler in handlers_of(app):
        if handler.resolve_include_in_schema():
            bodies.extend(handler.opt.get(EVENTS, {}).values())
            requests.extend(request_types(handler))
            bodies.extend(_answer_types(handler.parsed_return_field.annotation))
    bodies.extend(requests)
    _, components = msgspec.json.schema_components(bodies, ref_template=_REFERENCE)
    describe_texts(requests, components)
    describe_moments(bodies, components)
    for component in components.values():
        for field in component.get("properties", {}).values():
            _lift_description(field)
        if component.get("additionalProperties") is not False:  # an answer: what has no value is absent
            for name, field in component.get("properties", {}).items():
                if name not in component.get("required", ()):
                    _forget_null(field)
    return components


def _answer_types(annotation: Any) -> list[Any]:
    """The types that msgspec encodes in an answer of this annotation."""
    if annotation is None or annotation is type(None):
        return []
    if isinstance(get_origin(annotation), type) and issubclass(get_origin(annotation), Response):
        return [argument for argument in get_args(annotation) if argument is not type(None)]
    if isinstance(annotation, type) and issubclass(annotation, Response):
        return []
    return [annotation]


def _lift_description(field: dict[str, Any]) -> None:
    """Describe a property, and not what it may be beside null."""
    choices = [one for one in field.get("anyOf", ()) if one != {"type": "null"}]
    if len(choices) == 1 and "$ref" not in choices[0] and "description" in choices[0]:
        field.setdefault("description", choices[0].pop("description"))


def _forget_null(field: dict[str, Any]) -> None:
    for alternatives in ("anyOf", "oneOf"):
        choices = [choice for choice in field.get(alternatives, ()) if choice != {"type": "null"}]
        if len(choices) == 1:
            del field[alternatives]
            field.update(choices[0] | field)
    if "default" in field and field["default"] is None:
        del field["default"]


def _complete_operation(operation: dict[str, Any], method: str, handler: HTTPRouteHandler) -> dict[str, Any]:
    """Complete an operation; the answers of components that it refers to."""
    policy = policy_of(handler)
    responses = operation["responses"]
    # What Litestar adds for its own way of refusing is never sent.
    responses.pop("400", None)
    for status in sorted(_refusals(policy, handler)):
        responses.setdefault(str(status), {"$ref": f"#/components/responses/Refused{status}"})
    if "202" in responses:
        responses["202"].setdefault("headers", {})["Location"] = _header_of("Location")
        if method == "DELETE":
            responses.setdefault("204", {})
        else:
            responses.setdefault("200", {"content": responses["202"]["content"]})
    if "204" in responses:
        responses["204"].pop("content", None)
    for done, description in _DONE.items():
        if done in responses:
            responses[done]["description"] = description
    if "dry_run" in {parameter["name"] for parameter in operation.get("parameters", ())}:
        _describe_preview(responses)
    for parameter in operation.get("parameters", ()):
        if (parameter["in"], parameter["name"]) == ("path", "id"):
            parameter.setdefault("description", "Id of the record.")
        _forget_null(parameter["schema"])
        if (parameter["in"], parameter["name"]) == ("query", "fields"):
            names = {"type": "array", "items": {"type": "string", "enum": fields_of(handler)}, "minItems": 1}
            parameter |= {"schema": names, "style": "form", "explode": False}
        if parameter["in"] == "query":
            describe_text(parameter["schema"])
    if handler.parsed_data_field is not None:
        operation["requestBody"]["required"] = type(None) not in get_args(handler.parsed_data_field.annotation)
        for body in request_types(handler):
            if (example := getattr(body, "example", None)) is not None:
                operation["requestBody"]["content"]["application/json"]["example"] = example
    if STREAMED in handler.opt:
        operation["requestBody"] = {"required": True, "content": {handler.opt[STREAMED]: {"schema": _BINARY}}}
    if handler.opt.items() >= DOWNLOADED.items():
        _describe_download(responses)
    if _EXAMPLE in handler.opt:
        responses["200"]["content"]["application/json"]["example"] = msgspec.to_builtins(handler.opt[_EXAMPLE])
    for form in handler.opt.get(_FORMS, ()):
        responses["200"]["content"][form] = {"schema": {"type": "string"}}
    if EVENTS in handler.opt:
        _describe_events(responses, handler.opt[EVENTS])
    _add_headers(operation, method, handler)
    for answer in responses.values():
        if "$ref" not in answer:
            answer["headers"] = {**answer.get("headers", {}), "X-Request-Id": _header_of("X-Request-Id")}
    if policy is Policy.PUBLIC:
        operation["security"] = []
    referred = (answer["$ref"].rpartition("/")[2] for answer in responses.values() if "$ref" in answer)
    return {name: _refusal(int(name.removeprefix("Refused"))) for name in referred}


def _describe_preview(responses: dict[str, Any]) -> None:
    """With `dry_run` the answer is 200, and what the write would come to."""
    preview = {"$ref": _REFERENCE.format(name=PreviewView.__name__)}
    done = responses.setdefault("200", {"description": _DONE["200"]})
    content = done.get("content", {}).get("application/json")
    schema = preview if content is None else {"anyOf": [content["schema"], preview]}
    done["content"] = {"application/json": {"schema": schema}}


def _describe_events(responses: dict[str, Any], events: dict[str, type[Struct]]) -> None:
    """What the data of each event is, by its name: OpenAPI 3.1 has no words for it."""
    data = {name: {"$ref": _REFERENCE.format(name=struct.__name__)} for name, struct in events.items()}
    example = {"example": EVENTS_EXAMPLE} if "reset" in events else {}
    responses["200"]["content"]["text/event-stream"] |= {**example, "x-event-data": data}


def _describe_download(responses: dict[str, Any]) -> None:
    content = {"application/octet-stream": {"schema": _BINARY}}
    version = {"ETag": _header("The version of the content."), "Last-Modified": _header("When it was changed.")}
    part = {"Content-Range": _header("Which bytes these are, and of how many.")}
    responses["200"] = {"description": "All of it.", "content": content, "headers": version}
    responses["206"] = {"description": "A range of it.", "content": content, "headers": version | part}
    responses["304"] = {"description": "The client has this version.", "headers": version}
    responses["416"] = _refusal(416)
    responses["416"]["headers"]["Content-Range"] = _header("How many bytes there are.")


def _add_headers(operation: dict[str, Any], method: str, handler: HTTPRouteHandler) -> None:
    """The headers that a handler understands, and those of its answer."""
    responses = operation["responses"]
    understood = []
    if _takes(handler, "write"):
        if method != "GET":
            understood.append("Idempotency-Key")
        if "202" in responses:
            understood.append("Prefer")
    if is_versioned(handler) and method != "GET":
        understood.append("If-Match")
    if TAGGED.items() <= handler.opt.items() or (method == "PATCH" and is_versioned(handler)):
        about = "The version of the answer, for `If-Match`."
        responses["200"].setdefault("headers", {})["ETag"] = _header(about, required=False)
    if STREAMED in handler.opt:
        understood += ["If-Match", "If-None-Match"]
        responses["200"].setdefault("headers", {})["ETag"] = _header("The version of the content.")
    if handler.opt.items() >= DOWNLOADED.items():
        understood += _CONDITIONS
    if method == "GET" and _is_json(responses["200"]):
        # The header of the request is HTTP's own: one that names no tag is ignored, so no value of it is wrong.
        tag = {"ETag": _header("Of this answer; of one record its version, for `If-Match`.")}
        responses["200"]["headers"] = {**responses["200"].get("headers", {}), **tag}
        responses["304"] = {
            "description": "The client has this answer: `If-None-Match` names its `ETag`.",
            "headers": tag,
        }
    if _takes(handler, "page"):
        for status in {"200", "304"} & {*responses}:
            responses[status]["headers"] = {**responses[status].get("headers", {}), "Link": _header_of("Link")}
    if "count" in {parameter["name"] for parameter in operation.get("parameters", ())}:
        for status in {"200", "304"} & {*responses}:
            responses[status]["headers"] = {**responses[status]["headers"], "Total-Count": _header_of("Total-Count")}
    if understood:
        operation.setdefault("parameters", [])
        given = {parameter["name"] for parameter in operation["parameters"]}
        operation["parameters"].extend(_REQUEST_HEADERS[name] for name in understood if name not in given)


def _is_json(response: dict[str, Any]) -> bool:
    """Whether it is an object or a list: a text is sent as it is."""
    found = response.get("content", {}).get("application/json", {}).get("schema", {})
    return bool(found) and found.get("type") != "string"


def _takes(handler: HTTPRouteHandler, dependency: str) -> bool:
    return dependency in handler.signature_model._fields


def _header(description: str, *, required: bool = True, type: str = "string") -> dict[str, Any]:
    return {"description": description, "required": required, "schema": {"type": type}}


def _header_of(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/headers/{name}"}


def _refusals(policy: Policy | None, handler: HTTPRouteHandler) -> set[int]:
    # 422: a query parameter that there is not, in any case.
    found = {422, 500, 503, *handler.opt.get("refusals", ())}
    if "rate" in handler.opt:
        found.add(429)
    if policy is not Policy.PUBLIC:
        # 403: also for an account that may not be used, or that asks about somebody else.
        found |= {401, 403, 429}
    if policy is Policy.RECORD:
        found.add(404)
    if handler.parsed_data_field is not None or STREAMED in handler.opt:
        found |= {400, 413, 415}
    if STREAMED in handler.opt:
        found |= {412, 429}
    if handler.opt.items() >= DOWNLOADED.items():
        found |= {412, 416, 429}
    if _takes(handler, "write"):
        found.add(409)
        if is_versioned(handler):
            found.add(412)
    return found


def _refusal(status: int) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": _REASONS[status],
        "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(name="ErrorEnvelope")}}},
    }
    names = ["X-Request-Id"]
    if status == 401:
        names.append("WWW-Authenticate")
    if status in (429, 503):
        names.append("Retry-After")
    if status == 429:
        names += [name for name in _HEADERS if name.startswith("RateLimit-")]
    answer["headers"] = {name: _header_of(name) for name in names}
    return answer
