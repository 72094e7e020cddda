"""Checks a request before its handler or any dependency runs, and reports every problem at once.

Litestar would look up the record first and validate last, stop at a body's first problem, and take
`"true"` for a boolean. The hook `check_request` therefore does it beforehand, driven by the
annotations of the handler: size (413), media type (415), syntax (400), body and query (422), and at last
whether the ids in the path can exist (404). The converted body is put where Litestar looks for it.
"""

import json
import math
import re
import types
import typing
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, NoReturn, Union, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from litestar.exceptions import ClientException
from litestar.handlers import HTTPRouteHandler
from litestar.params import ParameterKwarg
from litestar.utils.scope.state import ScopeState
from msgspec import UNSET, Meta, Struct, UnsetType, ValidationError, structs

from api.fields import UUID_TEXT
from models.errors import MediaTypeUnsupported, ProblemDetail, RecordMissing, RequestInvalid, RequestMalformed
from models.ids import parse_id

LARGEST_INTEGER = 2**63 - 1
MOST_PROBLEMS = 100

_CODES = (
    (re.compile(r"of length >="), "minLength"),
    (re.compile(r"of length <="), "maxLength"),
    (re.compile(r"of length"), "length"),
    (re.compile(r"matching regex"), "pattern"),
    (re.compile(r" >=? "), "minimum"),
    (re.compile(r" <=? "), "maximum"),
    (re.compile(r"^Invalid enum"), "enum"),
    (re.compile(r"^Invalid "), "format"),
)
_SURROGATE = re.compile("[\ud800-\udfff]")
# Characters that turn the direction of what follows: they make one name look like another.
_TURNERS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


async def check_request(request: Request[Any, Any, Any]) -> None:
    """Litestar's `before_request` hook of the whole application."""
    handler = request.route_handler
    problems: list[ProblemDetail] = []
    body_field = handler.parsed_data_field
    # Read in any case: a body that nobody asked for may be too large all the same.
    raw = await _read_body(request)
    if body_field is not None:
        annotation = body_field.annotation
        optional = type(None) in get_args(annotation)
        value = read_json(request, raw) if raw or not optional else None
        if value is None and optional:
            converted: object = None
        else:
            converted = convert_body(value, annotation, problems)
        ScopeState.from_scope(request.scope).json = converted
    check_query(request.scope["query_string"], query_fields(handler), problems)
    if problems:
        raise RequestInvalid(problems[:MOST_PROBLEMS])
    for name, text in request.scope["path_params"].items():
        if (name == "id" or name.endswith("_id")) and parse_id(text) is None:
            raise RecordMissing.of("record", printable(text))


async def _read_body(request: Request[Any, Any, Any]) -> bytes:
    try:
        return await request.body()
    except ClientException:
        raise
    except Exception as error:
        # Litestar calls it an error of the server that the client went away; nobody reads the answer.
        raise RequestMalformed("The request ended before its body did.") from error


def read_json(request: Request[Any, Any, Any], raw: bytes) -> object:
    """The request's body as JSON; raises the error for whatever keeps it from being read."""
    if not raw:
        raise RequestInvalid.of("", "required", "a JSON object is due as the body")
    media_type, options = request.content_type
    media_type = media_type.lower()
    if not re.fullmatch(r"application/([a-z0-9.-]+\+)?json", media_type):
        raise MediaTypeUnsupported("The body has to be application/json.")
    if options.get("charset", "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise MediaTypeUnsupported("The body has to be UTF-8.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise MediaTypeUnsupported("A compressed body is not read here.")
    return decode_json(raw)


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
        raise RequestInvalid.of(f"/{name}", "duplicate", f"the member {name!r} is there twice", property=name)
    return members


def _refuse_constant(text: str) -> NoReturn:
    raise RequestMalformed(f"{text} is not JSON.")


def _read_integer(text: str) -> int:
    if len(text) > 20 or abs(int(text)) > LARGEST_INTEGER:
        raise RequestInvalid.of("", "maximum", "a number is too large")
    return int(text)


def _read_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise RequestInvalid.of("", "maximum", "a number is too large")
    return number


def convert_body(value: object, annotation: Any, problems: list[ProblemDetail]) -> object:
    """`value` as an instance of `annotation`; whatever is wrong is added to `problems`."""
    if value is None:
        problems.append(ProblemDetail(path="", code="type", message="must be an object, not null"))
        return None
    return _convert(value, annotation, "", problems)


def printable(text: str) -> str:
    """`text` fit for an error message: short, and valid UTF-8 without control characters."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[:64])
    return shown if len(text) <= 64 else f"{shown}…"


def _convert(value: object, annotation: Any, path: str, problems: list[ProblemDetail]) -> object:
    """Walk value and annotation side by side; a value with a problem comes back as `UNSET`."""
    bare, metas = _unwrap(annotation)
    origin = get_origin(bare)
    if origin in (Union, types.UnionType):
        member = _member_for(value, bare)
        if member is None:
            # Not msgspec's to say: it frees the pattern of a text too early that may also be a list or an object,
            # and a few requests end the process.
            problems.append(ProblemDetail(path=path, code="type", message=_expected(bare, value)))
            return UNSET
        return _convert(value, _annotated(member, metas), path, problems)
    elif isinstance(bare, type) and issubclass(bare, Struct):
        return _convert_struct(value, bare, path, problems)
    elif origin in (list, tuple) and isinstance(value, list):
        return _convert_items(value, bare, metas, path, problems)
    elif origin is dict and isinstance(value, dict):
        return _convert_members(value, bare, metas, path, problems)
    if isinstance(value, str):
        extra: dict[str, Any] = {}
        for meta in metas:
            extra |= meta.extra or {}
        try:
            value = clean_text(value, extra)
        except ValueError as error:
            problems.append(ProblemDetail(path=path, code="format", message=str(error)))
            return UNSET
    return _constrain(value, annotation, path, problems)


def _constrain(value: object, annotation: Any, path: str, problems: list[ProblemDetail]) -> object:
    try:
        return msgspec.convert(value, annotation, strict=True)
    except ValidationError as error:
        problems.append(_problem(path, error))
        return UNSET


def _convert_struct(value: object, kind: type[Struct], path: str, problems: list[ProblemDetail]) -> object:
    if not isinstance(value, dict):
        problems.append(ProblemDetail(path=path, code="type", message=f"must be an object, not {_json_kind(value)}"))
        return UNSET
    before = len(problems)
    hints = _hints(kind)
    fields = {field.encode_name: field for field in structs.fields(kind)}
    for name in value:
        if name not in fields:
            shown = printable(name)
            problems.append(
                ProblemDetail(
                    path=f"{path}/{shown}",
                    code="additionalProperties",
                    message=f"there is no field {shown!r}",
                    info={"additionalProperty": shown},
                )
            )
    values: dict[str, object] = {}
    for wire_name, field in fields.items():
        here = f"{path}/{wire_name}"
        given = value.get(wire_name)
        if given is None:
            if wire_name in value and not _null_counts_as_absent(hints[field.name]):
                if type(None) in get_args(hints[field.name]) and UnsetType in get_args(hints[field.name]):
                    values[field.name] = None
                else:
                    problems.append(ProblemDetail(path=here, code="type", message="must not be null"))
            elif field.required:
                problems.append(
                    ProblemDetail(
                        path=here, code="required", message="is required", info={"missingProperty": wire_name}
                    )
                )
            continue
        values[field.name] = _convert(given, hints[field.name], here, problems)
    if len(problems) > before:
        return UNSET
    try:
        return kind(**values)
    except ValueError as error:  # a rule over several fields, in `__post_init__`
        problems.append(ProblemDetail(path=path, code="invalid", message=str(error)))
        return UNSET


@lru_cache(maxsize=256)
def _hints(kind: type[Struct]) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def _null_counts_as_absent(annotation: Any) -> bool:
    return UnsetType not in get_args(annotation)


def _convert_items(
    value: list[object], bare: Any, metas: tuple[Meta, ...], path: str, problems: list[ProblemDetail]
) -> object:
    item_type = get_args(bare)[0]
    before = len(problems)
    # The length first: a list that is too long is one problem, not a hundred thousand.
    _constrain(value, _annotated(list[Any], metas), path, problems)
    if len(problems) > before:
        return UNSET
    items: list[object] = []
    for index, item in enumerate(value):
        items.append(_convert(item, item_type, f"{path}/{index}", problems))
        if len(problems) >= before + MOST_PROBLEMS:
            break
    if len(problems) > before:
        return UNSET
    return tuple(items) if get_origin(bare) is tuple else items


def _convert_members(
    value: dict[str, object], bare: Any, metas: tuple[Meta, ...], path: str, problems: list[ProblemDetail]
) -> object:
    key_type, value_type = get_args(bare)
    before = len(problems)
    members: dict[object, object] = {}
    for key, item in value.items():
        here = f"{path}/{printable(key)}"
        members[_convert(key, key_type, here, problems)] = _convert(item, value_type, here, problems)
        if len(problems) >= before + MOST_PROBLEMS:
            break
    if len(problems) == before:
        _constrain(value, _annotated(dict[Any, Any], metas), path, problems)
    return members if len(problems) == before else UNSET


def _unwrap(annotation: Any) -> tuple[Any, tuple[Meta, ...]]:
    if get_origin(annotation) is not Annotated:
        return annotation, ()
    return annotation.__origin__, tuple(meta for meta in annotation.__metadata__ if isinstance(meta, Meta))


def _annotated(annotation: Any, metas: tuple[Meta, ...]) -> Any:
    return Annotated[(annotation, *metas)] if metas else annotation


def _members(union: Any) -> list[Any]:
    return [member for member in get_args(union) if member not in (type(None), UnsetType)]


def _member_for(value: object, union: Any) -> Any:
    """The member of a union that a JSON value of this kind is meant for; None if there is none."""
    members = _members(union)
    if len(members) == 1:
        return members[0]
    for member in members:
        bare, _ = _unwrap(member)
        origin = get_origin(bare) or bare
        if isinstance(value, list) and origin in (list, tuple):
            return member
        if isinstance(value, dict) and (origin is dict or (isinstance(origin, type) and issubclass(origin, Struct))):
            return member
        if isinstance(value, str) and isinstance(origin, type) and issubclass(origin, str):
            return member
    return None


def _expected(union: Any, value: object) -> str:
    """What a value of a union may be, and what it is."""
    kinds = [
        "a string" if origin is str else "an array" if origin in (list, tuple) else "an object"
        for origin in (get_origin(bare) or bare for bare, _ in map(_unwrap, _members(union)))
    ]
    return f"must be {' or '.join(kinds)}, not {_json_kind(value)}"


def clean_text(text: str, rules: Mapping[str, Any]) -> str:
    """`text` as it is kept: trimmed and normalised as `rules` say. Raises ValueError with the reason."""
    # A text may be a whole file: no loop over its characters.
    if "\0" in text or _SURROGATE.search(text):
        raise ValueError("must not hold NUL or lone surrogates")
    kind = rules.get("text")
    if kind is None:
        return text
    text = unicodedata.normalize("NFC", text.strip())
    allowed = "\n\t\r" if kind == "lines" else ""
    for character in text:
        control = unicodedata.category(character) in ("Cc", "Zl", "Zp") or character in _TURNERS
        if control and character not in allowed:
            raise ValueError("must not hold control characters")
    if rules.get("lower"):
        text = text.lower()
    if rules.get("no_uuid") and re.fullmatch(UUID_TEXT, text.lower()):
        raise ValueError("must not look like the id of a record")
    return text


def _problem(path: str, error: ValidationError) -> ProblemDetail:
    """msgspec's message, with its own note of the place turned into part of the path."""
    message, _, place = str(error).partition(" - at `$")
    if place:
        path += re.sub(r"\[(\w+|\.\.\.)\]", r"/\1", place.rstrip("`")).replace(".", "/")
    code = next((code for pattern, code in _CODES if pattern.search(message)), "type")
    # The value of an enumeration is quoted by msgspec as it came.
    message = message[:1].lower() + message[1:].replace("`", "'")
    return ProblemDetail(path=path, code=code, message="".join(map(printable, _pieces(message[:300]))))


def _pieces(text: str) -> list[str]:
    return [text[start : start + 64] for start in range(0, len(text), 64)]


def _json_kind(value: object) -> str:
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


class QueryField(Struct, frozen=True):
    """A query parameter that a handler or one of its dependencies declares."""

    annotation: Any
    required: bool
    repeatable: bool


@lru_cache(maxsize=1024)
def query_fields(handler: HTTPRouteHandler) -> dict[str, QueryField]:
    """The query parameters of a handler by their names on the wire."""
    providers = handler.resolve_dependencies()
    models = [handler.signature_model]
    found: dict[str, QueryField] = {}
    seen: set[str] = set()
    while models:
        model = models.pop()
        for name, field in model._fields.items():
            if name in providers and name not in seen:
                seen.add(name)
                models.append(providers[name].signature_model)
            definition = field.kwarg_definition
            if name not in providers and isinstance(definition, ParameterKwarg) and definition.param_type == "query":
                found[definition.name or name] = QueryField(
                    annotation=model.__annotations__[name],
                    required=field.is_required and not field.is_optional,
                    repeatable=field.is_non_string_sequence,
                )
    return found


def check_query(raw: bytes, fields: Mapping[str, QueryField], problems: list[ProblemDetail]) -> None:
    """Add what is wrong with the query string to `problems`."""
    given: dict[str, list[str]] = {}
    for name, value in parse_qsl(raw.decode("latin-1"), keep_blank_values=True):
        given.setdefault(name, []).append(value)
    for name, values in given.items():
        shown = printable(name)
        field = fields.get(name)
        if field is None:
            problems.append(_query_problem(shown, "additionalProperties", f"there is no query parameter {shown!r}"))
        elif len(values) > 1 and not field.repeatable:
            problems.append(_query_problem(shown, "duplicate", "must be given once"))
        elif any("\0" in value for value in values):
            problems.append(_query_problem(shown, "format", "must not hold NUL"))
        else:
            try:
                msgspec.convert(values if field.repeatable else values[0], field.annotation, strict=False)
            except ValidationError as error:
                found = _problem(shown, error)
                problems.append(_query_problem(shown, found.code, found.message))
    problems.extend(
        _query_problem(name, "required", "is required")
        for name, field in fields.items()
        if field.required and name not in given
    )


def _query_problem(name: str, code: str, message: str) -> ProblemDetail:
    return ProblemDetail(path=name, code=code, message=message, info={"in": "query"})
