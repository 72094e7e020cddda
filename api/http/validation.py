"""Checks a request before its handler or any dependency runs, and reports every problem at once.

Litestar would look up the record first and validate last, stop at a body's first problem, and take
`"true"` for a boolean. `check_request` therefore does it beforehand, driven by the
annotations of the handler: size (413), media type (415), syntax (400), body and query (422), and at last
whether the ids in the path can exist (404). What was read is what `api.http.calls` gives to the handler.
"""

import asyncio
import contextlib
import json
import math
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any, NoReturn, ParamSpec, TypeVar, get_args
from urllib.parse import parse_qsl
from uuid import UUID

from litestar import Request
from litestar.exceptions import InternalServerException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.handlers import HTTPRouteHandler
from litestar.params import ParameterKwarg
from litestar.types import Scope
from litestar.typing import FieldDefinition
from msgspec import UNSET, Struct

from api.http.readers import EnoughProblems, Problems, Reader, reader_of
from models.domain.errors import (
    ContentTooLarge,
    MediaTypeUnsupported,
    RecordMissing,
    RequestInvalid,
    RequestMalformed,
    printable,
    quoted,
)
from models.domain.ids import parse_id
from models.domain.process import threads_behind

P = ParamSpec("P")
T = TypeVar("T")

LARGEST_INTEGER = 2**63 - 1
MOST_AT_ONCE = 65_536
"""Bytes of the largest body that is read on the event loop: others wait for it no longer than a few milliseconds."""
MOST_VALUES_AT_ONCE = 1_000
"""Values of the largest one."""

STREAMED = "streamed"
"""The `opt` of a route that reads its body itself, by `body_parts`: the media type that the body has to have."""

ANY_QUERY = "any_query"
"""The `opt` of a route for browsers, whose address may have any query: nothing is read of it."""

SPARE_VALUES = 1_000
"""Values that a body may have beyond those that it can need: what is wrong with it is told, up to here."""

# Few: each has a body in memory, and they share one interpreter with the event loop.
_LARGE_BODIES = threads_behind(2, "large-body")


class QueryField(Struct, frozen=True):
    """A query parameter that a handler or one of its dependencies declares."""

    reader: Reader
    required: bool
    repeatable: bool


class RequestReader:
    """How the requests of one handler are read. Made when the application starts."""

    def __init__(self, handler: HTTPRouteHandler) -> None:
        body = handler.parsed_data_field
        self.body_optional = body is not None and type(None) in get_args(body.annotation)
        self.body: Reader | None = None if body is None else reader_of(body.annotation)
        self.most_values = SPARE_VALUES + (0 if self.body is None else self.body.most_values)
        self.query = {
            name: QueryField(
                reader=reader_of(annotation),
                required=field.is_required and not field.is_optional,
                repeatable=field.is_non_string_sequence,
            )
            for name, field, definition, annotation in _parameters(handler)
            if definition.param_type == "query"
        }
        self.headers = {
            name: (reader_of(annotation), field.is_required and not field.is_optional)
            for name, field, definition, annotation in _parameters(handler)
            if definition.param_type == "header"
        }
        self.query_is_due = any(field.required for field in self.query.values())
        self.path = {
            name: reader_of(annotation)
            for name, _, definition, annotation in _parameters(handler)
            if definition.param_type == "path" and definition.format
        }
        self.ids = [
            name
            for name, field, definition, _ in _parameters(handler)
            if definition.param_type == "path" and field.annotation is UUID
        ]


async def check_request(request: Request[Any, Any, Any], reader: RequestReader) -> dict[str, object]:
    """What the request says, by the names of its parameters; `data` is the body. Raises what is wrong with it."""
    raw = b""
    if STREAMED in request.route_handler.opt:
        _require_stream(request)
    elif has_body(request.scope):
        # Read in any case: a body that nobody asked for may be too large all the same.
        raw = await _read_body(request)
    problems, values = Problems(), dict[str, object]()
    try:
        if reader.body is not None:
            values["data"] = await _body(request, raw, reader, problems)
        problems.place = "query"
        if (request.scope["query_string"] or reader.query_is_due) and ANY_QUERY not in request.route_handler.opt:
            _read_query(request, reader, problems, values)
        problems.place = "header"
        for name, (one, required) in reader.headers.items():
            if (text := request.headers.get(name)) is not None:
                values[name] = _parameter(text, one, name, problems)
            elif required:
                problems.add(name, "required", "is required")
        problems.place = "path"
        for name, text in request.scope["path_params"].items():
            values[name] = _parameter(text, reader.path[name], name, problems) if name in reader.path else text
    except EnoughProblems:
        raise RequestInvalid(problems.all()) from None
    if problems.found:
        raise RequestInvalid(problems.all())
    for name in reader.ids:
        if (identity := parse_id(text := request.scope["path_params"][name])) is None:
            raise RecordMissing.of("record", printable(text))
        values[name] = identity
    return values


def has_body(scope: Scope) -> bool:
    """Whether a request says that it has a body; one that does not has none (RFC 9112, 6.3)."""
    return any(name in _ANNOUNCE_BODY for name, _ in scope["headers"])


_ANNOUNCE_BODY = (b"content-length", b"transfer-encoding")


async def _read_body(request: Request[Any, Any, Any]) -> bytes:
    with _cut_off_told():
        return await request.body()


async def body_parts(request: Request[Any, Any, Any], size: int, seconds: float) -> AsyncIterator[bytes]:
    """The body as it comes, in parts of about `size` bytes or of as many `seconds`.

    Raises `ContentTooLarge`, or `RequestMalformed` where the request was cut off.
    """
    part, due = bytearray(), time.monotonic() + seconds
    try:
        with _cut_off_told():
            async for more in request.stream():
                part += more
                if len(part) >= size or time.monotonic() > due:
                    yield bytes(part)
                    part, due = bytearray(), time.monotonic() + seconds
    except RequestEntityTooLarge:
        raise _file_too_large(request) from None
    yield bytes(part)


@contextlib.contextmanager
def _cut_off_told() -> Iterator[None]:
    try:
        yield
    except InternalServerException as error:
        # Litestar calls it an error of the server that the client went away; nobody reads the answer.
        raise RequestMalformed("The request ended before its body did.") from error


def _file_too_large(request: Request[Any, Any, Any]) -> ContentTooLarge:
    largest = request.route_handler.resolve_request_max_body_size()
    return ContentTooLarge(f"A file may have at most {largest} bytes.")


def _require_stream(request: Request[Any, Any, Any]) -> None:
    """What can be known of a body before any of it is read."""
    largest = request.route_handler.resolve_request_max_body_size()
    if largest is not None and (request.content_length or 0) > largest:
        raise _file_too_large(request)
    wanted = request.route_handler.opt[STREAMED]
    if request.content_type[0].lower() != wanted:
        raise MediaTypeUnsupported(f"The body has to be {wanted}.")
    _require_plain(request)


async def _body(request: Request[Any, Any, Any], raw: bytes, reader: RequestReader, problems: Problems) -> object:
    """The body as the handler gets it; what is wrong with it is added to `problems`."""
    if not raw:
        if reader.body_optional:
            return None
        raise RequestInvalid.of("", "required", "a JSON object is due as the body")
    _require_json(request)
    return await work_on(raw, _converted, raw, reader, problems)


async def work_on(body: bytes, call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """The result of a call that takes the longer the larger a body is: of a large one, in a thread."""
    if len(body) <= MOST_AT_ONCE and body.count(b",") < MOST_VALUES_AT_ONCE:
        return call(*arguments, **named)
    return await asyncio.get_running_loop().run_in_executor(_LARGE_BODIES, partial(call, *arguments, **named))


def _require_json(request: Request[Any, Any, Any]) -> None:
    media_type, options = request.content_type
    media_type = media_type.lower()
    if not re.fullmatch(r"application/([a-z0-9.-]+\+)?json", media_type):
        raise MediaTypeUnsupported("The body has to be application/json.")
    if options.get("charset", "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise MediaTypeUnsupported("The body has to be UTF-8.")
    _require_plain(request)


def _require_plain(request: Request[Any, Any, Any]) -> None:
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise MediaTypeUnsupported("A compressed body is not read here.")


def _converted(raw: bytes, reader: RequestReader, problems: Problems) -> object:
    if _has_more_values(raw, reader.most_values):
        raise ContentTooLarge(f"A body of this request may have at most {reader.most_values} values.")
    value = decode_json(raw)
    if value is None and reader.body_optional:
        return None
    if value is None:
        problems.add("", "type", "must be an object, not null")
        return None
    assert reader.body is not None
    return reader.body.read(value, "", problems)


def _has_more_values(raw: bytes, most: float) -> bool:
    """Whether JSON has more values than a request can need: reading them would keep others from the interpreter.

    Commas are counted, those in texts only as far as needed; every step is a single pass in C.
    """
    if raw.count(b",") <= most:
        return False
    bare = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    if bare.count(b'"') > 4 * most:  # two texts to a member, two quotation marks to a text
        return True
    return sum(one.count(b",") for one in bare.split(b'"')[::2]) > most


def decode_json(raw: bytes) -> object:
    """Strict JSON: UTF-8, no key twice, no NaN, no number that has no end."""
    try:
        return json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_int=_read_integer,
            parse_float=_read_float,
        )
    except RecursionError:
        raise RequestMalformed("The body is nested too deeply.") from None
    except ValueError:  # JSONDecodeError and UnicodeDecodeError are among them
        raise RequestMalformed("The body is not well-formed JSON in UTF-8.") from None


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        name = printable(twice)
        raise RequestInvalid.of(f"/{name}", "duplicate", f"the member {quoted(twice)} is there twice", property=name)
    return members


def _refuse_constant(text: str) -> NoReturn:
    raise RequestMalformed(f"{text} is not JSON.")


def _read_integer(text: str) -> int:
    if len(text) > 20 or abs(number := int(text)) > LARGEST_INTEGER:
        raise RequestInvalid.of("", "maximum", "a number is too large")
    return number


def _read_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise RequestInvalid.of("", "maximum", "a number is too large")
    return number


def _parameters(handler: HTTPRouteHandler) -> Iterator[tuple[str, FieldDefinition, ParameterKwarg, Any]]:
    """The parameters that a handler and its dependencies declare: name on the wire, field, declaration, annotation."""
    providers = handler.resolve_dependencies()
    models = [handler.signature_model]
    seen: set[str] = set()
    while models:
        model = models.pop()
        for name, field in model._fields.items():
            if name in providers and name not in seen:
                seen.add(name)
                models.append(providers[name].signature_model)
            definition = field.kwarg_definition
            if name not in providers and isinstance(definition, ParameterKwarg):
                yield definition.name or name, field, definition, model.__annotations__[name]


def _read_query(
    request: Request[Any, Any, Any], reader: RequestReader, problems: Problems, values: dict[str, object]
) -> None:
    """Read the query string into `values`, e-mails in their one form."""
    given: dict[str, list[str]] = {}
    for name, value in parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True):
        given.setdefault(name, []).append(value)
    for name, texts in given.items():
        if name not in reader.query:
            problems.add(printable(name), "additionalProperties", f"there is no query parameter {quoted(name)}")
            continue
        field = reader.query[name]
        if len(texts) > 1 and not field.repeatable:
            problems.add(name, "duplicate", "must be given once")
            continue
        found = [_parameter(text, field.reader, name, problems) for text in texts]
        values[name] = found if field.repeatable else found[0]
    for name, field in reader.query.items():
        if field.required and name not in given:
            problems.add(name, "required", "is required")


def _parameter(text: str, reader: Reader, name: str, problems: Problems) -> object:
    """A parameter as its handler gets it."""
    if "\0" in text:
        problems.add(name, "format", "must not hold NUL")
        return UNSET
    return reader.read_parameter(text, name, problems)
