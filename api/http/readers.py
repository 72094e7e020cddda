"""Readers of requests: what a value has to be, made once from a type's annotations, and applied to what clients send.

msgspec stops at the first problem and tells it to programmers; a reader finds all of them and tells them to people.
What it lets through is an instance of the type. `reader_of` makes one when the application starts, never in a request:
a type that msgspec is given on its own is compiled anew each time, and msgspec 0.22 frees some of them wrongly.
"""

import math
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

from msgspec import UNSET, Struct, ValidationError, convert, inspect, structs

from api.http.fields import EMAIL
from models.domain.emails import EmailInvalid, parse_email
from models.domain.errors import MOST_PROBLEMS, Malformed, ProblemDetail, printable, quoted
from models.domain.ids import parse_id

_CONTROLS = "\\x00-\\x1f\\x7f-\\x9f\u2028\u2029"
# Characters that turn the direction of what follows: they make one name look like another.
_TURNERS = "\u202a-\u202e\u2066-\u2069"
_NOT_IN_A_LINE = re.compile(f"[{_CONTROLS}{_TURNERS}]")
_NOT_IN_LINES = re.compile(f"(?![\\n\\t\\r])[{_CONTROLS}{_TURNERS}]")
_MOST_SHRINKING = 4
"""How many characters normalisation may make one of, and more: a text that is longer than that is never normalised."""


class EnoughProblems(Exception):
    """So many problems were found that no more are looked for."""


class Problems:
    """The problems of one request, as they are found. The last one that is told ends the search: `EnoughProblems`."""

    def __init__(self) -> None:
        self.found: list[ProblemDetail] = []
        self.malformed: list[ProblemDetail] = []
        """Those of entries that are kept as `Malformed`."""
        self.place = ""
        """Where parameters are: `query` or `path`; empty for the body."""

    def add(self, path: str, code: str, message: str, **info: object) -> None:
        """Note a problem that keeps the handler from running."""
        if self.place:
            info["in"] = self.place
        self.found.append(ProblemDetail(path=path, code=code, message=message, info=info))
        self._end()

    def keep(self, problem: ProblemDetail) -> None:
        """Note a problem of an entry that the handler is to name together with entries that nobody knows."""
        self.malformed.append(problem)
        self._end()

    def all(self) -> list[ProblemDetail]:
        """Everything that was found."""
        return [*self.found, *self.malformed]

    def _end(self) -> None:
        if len(self.found) + len(self.malformed) >= MOST_PROBLEMS:
            raise EnoughProblems


class Reader(ABC):
    """What one value has to be."""

    @abstractmethod
    def read(self, value: object, path: str, problems: Problems) -> Any:
        """The value as its handler gets it; `UNSET` if there is a problem, which is added to `problems`."""

    def read_parameter(self, text: str, name: str, problems: Problems) -> Any:
        """The same for one value of a query or a path, where everything is text."""
        return self.read(text, name, problems)

    def takes(self, value: object) -> bool:
        """Whether a value of this kind is meant for this reader, right or wrong."""
        return True


class _Anything(Reader):
    def read(self, value: object, path: str, problems: Problems) -> object:
        return value


class _Text(Reader):
    """A text. What msgspec's `Meta` cannot say is in its `extra`: see `api.http.fields`."""

    def __init__(self, kind: inspect.StrType, rules: Mapping[str, Any]) -> None:
        self._least, self._most = kind.min_length or 0, kind.max_length
        self._pattern = re.compile(kind.pattern) if kind.pattern else None
        self._rules = rules

    def takes(self, value: object) -> bool:
        return isinstance(value, str)

    def read(self, value: object, path: str, problems: Problems) -> Any:
        if not isinstance(value, str):
            problems.add(path, "type", f"must be a string, not {json_kind(value)}")
            return UNSET
        try:
            return self._checked(value)
        except _Refused as refused:
            if self._rules.get("kept"):
                problem = ProblemDetail(path=path, code=refused.code, message=refused.message)
                problems.keep(problem)
                return Malformed(value, problem)
            problems.add(path, refused.code, refused.message)
            return UNSET

    def _checked(self, text: str) -> str:
        kind = self._rules.get("text")
        if kind not in (None, "path"):
            text = text.strip()
            if self._most is not None and len(text) > self._most * _MOST_SHRINKING:
                raise self._too_long()
            text = unicodedata.normalize("NFC", text)
        if self._most is not None and len(text) > self._most:
            raise self._too_long()
        if "\0" in text or not _is_utf8(text):
            raise _Refused("format", "must not hold NUL or lone surrogates")
        if kind is not None and (_NOT_IN_LINES if kind == "lines" else _NOT_IN_A_LINE).search(text):
            raise _Refused("format", "must not hold control characters")
        if len(text) < self._least:
            least = "must not be empty" if self._least == 1 else f"must have at least {self._least} characters"
            raise _Refused("minLength", least)
        if self._rules.get("format") == EMAIL:
            return _email(text)
        if self._rules.get("no_uuid") and parse_id(text.lower()) is not None:
            raise _Refused("format", f"{quoted(text)} must not look like the id of a record")
        if self._pattern is not None and not self._pattern.fullmatch(text):
            raise _Refused("pattern", f"{quoted(text)} {self._rules['says']}")
        return text

    def _too_long(self) -> "_Refused":
        return _Refused("maxLength", f"must have at most {self._most} characters")


class _Refused(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def _email(text: str) -> str:
    try:
        return parse_email(text)
    except EmailInvalid:
        raise _Refused("format", f"{quoted(text)} is not an e-mail address") from None


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Boolean(Reader):
    def read(self, value: object, path: str, problems: Problems) -> Any:
        if isinstance(value, bool):
            return value
        problems.add(path, "type", f"must be true or false, not {json_kind(value)}")
        return UNSET

    def read_parameter(self, text: str, name: str, problems: Problems) -> Any:
        if text in ("true", "false"):
            return text == "true"
        problems.add(name, "type", f"must be true or false, not {quoted(text)}")
        return UNSET


class _Number(Reader):
    def __init__(self, kind: inspect.IntType | inspect.FloatType) -> None:
        self._whole = isinstance(kind, inspect.IntType)
        self._word = "a whole number" if self._whole else "a number"
        self._least, self._most = kind.ge, kind.le

    def read(self, value: object, path: str, problems: Problems) -> Any:
        if isinstance(value, bool) or not isinstance(value, int if self._whole else (int, float)):
            problems.add(path, "type", f"must be {self._word}, not {json_kind(value)}")
        elif self._least is not None and value < self._least:
            problems.add(path, "minimum", f"must be at least {self._least}")
        elif self._most is not None and value > self._most:
            problems.add(path, "maximum", f"must be at most {self._most}")
        else:
            return value
        return UNSET

    def read_parameter(self, text: str, name: str, problems: Problems) -> Any:
        if re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII):
            return self.read(int(text), name, problems)
        try:
            number = math.nan if self._whole else float(text)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return self.read(number, name, problems)
        problems.add(name, "type", f"must be {self._word}, not {quoted(text)}")
        return UNSET


class _Choice(Reader):
    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def takes(self, value: object) -> bool:
        return isinstance(value, str)

    def read(self, value: object, path: str, problems: Problems) -> Any:
        if isinstance(value, str):
            if value in self._values:
                return self._values[value]
            problems.add(path, "enum", f"must be one of {', '.join(self._values)}, not {quoted(value)}")
        else:
            problems.add(path, "type", f"must be a string, not {json_kind(value)}")
        return UNSET


class _Instant(Struct, frozen=True):
    value: datetime


class _Moment(Reader):
    def __init__(self, kind: inspect.DateTimeType) -> None:
        self._aware = kind.tz

    def takes(self, value: object) -> bool:
        return isinstance(value, str)

    def read(self, value: object, path: str, problems: Problems) -> Any:
        if not isinstance(value, str):
            problems.add(path, "type", f"must be a string, not {json_kind(value)}")
            return UNSET
        try:
            moment = convert({"value": value}, _Instant).value
        except ValidationError:
            problems.add(path, "format", f"{quoted(value)} is not a time such as 2030-01-31T12:00:00Z")
            return UNSET
        if self._aware and moment.tzinfo is None:
            problems.add(path, "format", f"{quoted(value)} must say its offset from UTC, as 2030-01-31T12:00:00Z does")
            return UNSET
        try:
            # It is kept and compared in UTC, whose years have four digits too.
            return moment if moment.tzinfo is None else moment.astimezone(UTC)
        except OverflowError:
            problems.add(path, "format", f"{quoted(value)} is not a time of the years 1 to 9999 in UTC")
            return UNSET


class _Identity(Reader):
    def takes(self, value: object) -> bool:
        return isinstance(value, str)

    def read(self, value: object, path: str, problems: Problems) -> UUID | Any:
        if not isinstance(value, str):
            problems.add(path, "type", f"must be a string, not {json_kind(value)}")
            return UNSET
        found = parse_id(value)
        if found is None:
            problems.add(path, "format", f"{quoted(value)} is not the id of a record")
            return UNSET
        return found


class _Array(Reader):
    def __init__(self, entry: Reader, kind: Any, make: Callable[[list[Any]], Any]) -> None:
        self._entry, self._make = entry, make
        self._least, self._most = kind.min_length or 0, kind.max_length

    def takes(self, value: object) -> bool:
        return isinstance(value, list)

    def read(self, value: object, path: str, problems: Problems) -> Any:
        if not isinstance(value, list):
            problems.add(path, "type", f"must be an array, not {json_kind(value)}")
        elif self._most is not None and len(value) > self._most:
            problems.add(path, "maxLength", f"must have at most {self._most} entries")
        elif len(value) < self._least:
            problems.add(path, "minLength", f"must have at least {self._least} entries")
        else:
            before = len(problems.found)
            entries = [self._entry.read(one, f"{path}/{index}", problems) for index, one in enumerate(value)]
            return self._make(entries) if len(problems.found) == before else UNSET
        return UNSET

    def read_parameter(self, text: str, name: str, problems: Problems) -> Any:
        return self._entry.read_parameter(text, name, problems)


class _Members(Reader):
    """An object with keys of the client's."""

    def __init__(self, key: Reader, value: Reader, kind: inspect.DictType) -> None:
        self._key, self._value = key, value
        self._least, self._most = kind.min_length or 0, kind.max_length

    def takes(self, value: object) -> bool:
        return isinstance(value, dict)

    def read(self, value: object, path: str, problems: Problems) -> Any:
        if not isinstance(value, dict):
            problems.add(path, "type", f"must be an object, not {json_kind(value)}")
        elif self._most is not None and len(value) > self._most:
            problems.add(path, "maxLength", f"must have at most {self._most} members")
        elif len(value) < self._least:
            problems.add(path, "minLength", "must have a member" if self._least == 1 else "has too few members")
        else:
            before = len(problems.found)
            members: dict[Any, Any] = {}
            for name, one in value.items():
                here = f"{path}/{printable(name)}"
                key = self._key.read(name, here, problems)
                if key in members:
                    problems.add(here, "duplicate", f"{quoted(name)} is there twice")
                members[key] = self._value.read(one, here, problems)
            return members if len(problems.found) == before else UNSET
        return UNSET


class _Field(Struct, frozen=True):
    name: str
    reader: Reader
    required: bool
    null: object
    """What null stands for: `None` clears, `UNSET` counts as absent, anything else is refused."""


_REFUSED = object()


class _Object(Reader):
    """A struct."""

    def __init__(self, kind: inspect.StructType, readers: "_Readers") -> None:
        self._kind = kind.cls
        defaults = {field.name: field.default for field in structs.fields(kind.cls)}
        self._fields = {}
        for field in kind.fields:
            null: object = UNSET
            if defaults[field.name] is UNSET:
                null = None if _takes_null(field.type) else _REFUSED
            self._fields[field.encode_name] = _Field(field.name, readers.of(field.type), field.required, null)

    def takes(self, value: object) -> bool:
        return isinstance(value, dict)

    def read(self, value: object, path: str, problems: Problems) -> Any:
        if not isinstance(value, dict):
            problems.add(path, "type", f"must be an object, not {json_kind(value)}")
            return UNSET
        before = len(problems.found)
        for name in value:
            if name not in self._fields:
                shown = printable(name)
                message = f"there is no field {quoted(name)}"
                problems.add(f"{path}/{shown}", "additionalProperties", message, additionalProperty=shown)
        values: dict[str, object] = {}
        for wire_name, field in self._fields.items():
            here = f"{path}/{wire_name}"
            given = value.get(wire_name)
            if given is not None:
                values[field.name] = field.reader.read(given, here, problems)
            elif wire_name in value and field.null is None:
                values[field.name] = None
            elif wire_name in value and field.null is _REFUSED:
                problems.add(here, "type", "must not be null")
            elif field.required:
                problems.add(here, "required", "is required", missingProperty=wire_name)
        if len(problems.found) > before:
            return UNSET
        try:
            return self._kind(**values)
        except ValueError as error:  # a rule over several fields, in `__post_init__`
            problems.add(path, "invalid", str(error))
            return UNSET


class _Either(Reader):
    """One of several kinds; each JSON value is meant for one of them, if for any."""

    def __init__(self, choices: Sequence[Reader], words: Sequence[str]) -> None:
        self._choices, self._words = choices, words

    def takes(self, value: object) -> bool:
        return any(one.takes(value) for one in self._choices)

    def read(self, value: object, path: str, problems: Problems) -> Any:
        for choice in self._choices:
            if choice.takes(value):
                return choice.read(value, path, problems)
        problems.add(path, "type", f"must be {' or '.join(self._words)}, not {json_kind(value)}")
        return UNSET


class _Readers:
    """Makes readers of a tree of types as msgspec describes it, one of each struct."""

    def __init__(self) -> None:
        self._structs: dict[type, Reader] = {}

    def of(self, kind: inspect.Type, rules: Mapping[str, Any] | None = None) -> Reader:
        match kind:
            case inspect.Metadata(type=inner, extra=extra):
                return self.of(inner, {**(rules or {}), **(extra or {})})
            case inspect.StrType():
                return _Text(kind, rules or {})
            case inspect.BoolType():
                return _Boolean()
            case inspect.IntType() | inspect.FloatType():
                return _Number(kind)
            case inspect.EnumType(cls=cls):
                return _Choice({str(one.value): one for one in cls if isinstance(one, Enum)})
            case inspect.DateTimeType():
                return _Moment(kind)
            case inspect.UUIDType():
                return _Identity()
            case inspect.ListType():
                return _Array(self.of(kind.item_type), kind, list)
            case inspect.VarTupleType():
                return _Array(self.of(kind.item_type), kind, tuple)
            case inspect.DictType():
                return _Members(self.of(kind.key_type), self.of(kind.value_type), kind)
            case inspect.StructType(cls=cls):
                if cls not in self._structs:
                    self._structs[cls] = _Object(kind, self)
                return self._structs[cls]
            case inspect.UnionType(types=types):
                return self._either([one for one in types if not isinstance(one, inspect.NoneType)], rules)
            case inspect.AnyType():
                return _Anything()
        raise TypeError(f"no request is read as {kind}")

    def _either(self, kinds: Sequence[inspect.Type], rules: Mapping[str, Any] | None) -> Reader:
        if len(kinds) == 1:
            return self.of(kinds[0], rules)
        bare = [_bare(one) for one in kinds]
        if any(isinstance(one, inspect.StrType) and one.pattern for one in bare):
            # While such a type lives, nothing happens; that depends on nobody ever freeing it.
            raise TypeError("msgspec 0.22 frees a union with a text that has a pattern wrongly, and the process dies")
        return _Either([self.of(one) for one in kinds], [_WORDS.get(type(one), "a string") for one in bare])


def reader_of(annotation: Any) -> Reader:
    """The reader of values of a type; null is for whoever asks it. Raises TypeError for a type that has none."""
    return _Readers().of(inspect.type_info(annotation))


def _takes_null(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.UnionType) and kind.includes_none


def _bare(kind: inspect.Type) -> inspect.Type:
    return _bare(kind.type) if isinstance(kind, inspect.Metadata) else kind


_WORDS: dict[type[inspect.Type], str] = {
    inspect.ListType: "an array",
    inspect.VarTupleType: "an array",
    inspect.DictType: "an object",
    inspect.StructType: "an object",
    inspect.IntType: "a number",
    inspect.FloatType: "a number",
    inspect.BoolType: "a boolean",
}


def json_kind(value: object) -> str:
    """What kind of JSON value this is, in words."""
    words = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return words.get(type(value), "a number")
