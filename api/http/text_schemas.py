"""What JSON Schema says of texts, beside what msgspec's schema says: which characters `api.http.readers` refuses, and
which are moments.

That white space around a text is trimmed is left out: lengths are those of the text itself.
"""

import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct, structs

from api.http.fields import UUID_TEXT

Schema = dict[str, Any]

_CONTROL = r"\u007f-\u009f\u2028-\u202e\u2066-\u2069"
_REFUSED = {"line": r"\u0000-\u001f" + _CONTROL, "lines": r"\u0000-\u0008\u000b\u000c\u000e-\u001f" + _CONTROL}
_TYPES = {str: "string", list: "array", dict: "object"}


def describe_texts(bodies: Iterable[type[Struct]], components: dict[str, Schema]) -> None:
    """Put the patterns of accepted texts into the schemas of bodies and of what they are made of."""
    waiting, seen = list(bodies), set[type[Struct]]()
    while waiting:
        body = waiting.pop()
        if body in seen:
            continue
        seen.add(body)
        schema, hints = components[body.__name__], get_type_hints(body, include_extras=True)
        schema.update(getattr(body, "schema_extra", {}))
        for field in structs.fields(body):
            waiting.extend(_describe(hints[field.name], {}, schema["properties"][field.encode_name]))


def _describe(annotation: Any, extra: dict[str, Any], schema: Schema) -> Iterator[type[Struct]]:
    """Describe the texts of one field; yields the structs that it is made of."""
    if get_origin(annotation) is Annotated:
        for meta in annotation.__metadata__:
            if isinstance(meta, Meta):
                extra = extra | (meta.extra or {})
        annotation = annotation.__origin__
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if origin in (Union, types.UnionType):
        for member in arguments:
            yield from _describe(member, extra, schema)
    elif origin in _TYPES:
        for part in (schema, *schema.get("anyOf", ())):
            if part.get("type") != _TYPES[origin]:
                continue
            if origin is str:
                describe_text(part, extra)
            else:
                yield from _describe(arguments[-1], {}, part["items" if origin is list else "additionalProperties"])
    elif isinstance(origin, type) and issubclass(origin, Struct):
        yield origin


def describe_moments(types_: Iterable[Any], components: dict[str, Schema]) -> None:
    """Say of the fields that are moments, in these types and what they are made of, that they are written so."""
    waiting = [part for found in msgspec.inspect.multi_type_info(types_) for part in _parts(found)]
    seen = set[type]()
    while waiting:
        found = waiting.pop()
        if not isinstance(found, msgspec.inspect.StructType) or found.cls in seen:
            continue
        seen.add(found.cls)
        for field in found.fields:
            parts = [*_parts(field.type)]
            waiting.extend(parts)
            if any(isinstance(part, msgspec.inspect.DateTimeType) for part in parts):
                schema = components[found.cls.__name__]["properties"][field.encode_name]
                for text in (schema, *schema.get("anyOf", ())):
                    if text.get("type") == "string":
                        text["format"] = "date-time"


def _parts(found: msgspec.inspect.Type) -> Iterator[msgspec.inspect.Type]:
    """What a type is made of, but for the fields of structs; a list of moments is none."""
    match found:
        case msgspec.inspect.Metadata(type=one):
            yield from _parts(one)
        case msgspec.inspect.UnionType(types=several):
            for one in several:
                yield from _parts(one)
        case msgspec.inspect.ListType(item_type=one) | msgspec.inspect.DictType(value_type=one):
            yield from (part for part in _parts(one) if not isinstance(part, msgspec.inspect.DateTimeType))
        case _:
            yield found


def describe_text(schema: Schema, extra: dict[str, Any] | None = None) -> None:
    """Put the pattern of what is accepted into the schema of a text; leaves alone what is no text."""
    if schema.get("type") != "string" or "enum" in schema or "format" in schema:
        return
    extra = extra or {}
    if extra.get("no_uuid"):
        schema["not"] = {"pattern": UUID_TEXT.replace("a-f", "A-Fa-f")}
    refused = _REFUSED.get(extra.get("text", ""))
    if refused is None:
        schema.setdefault("pattern", r"^[^\u0000]*$")
    elif "pattern" not in schema:
        # White space alone is trimmed to nothing.
        some = rf"[^\s{refused}][^{refused}]*" if schema.get("minLength") else ""
        schema["pattern"] = f"^[^{refused}]*{some}$"
