"""Readers of requests: what a value has to be, made once from a type's annotations, and applied to what clients send.

msgspec stops at the first problem and tells it to programmers; a reader finds all of them and tells them to people.
What it lets through is an instance of the type. `reader_of` makes one when the application starts, never in a request:
a type that msgspec is given on its own is compiled anew each time, and msgspec 0.22 frees some of them wrongly.
"""

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from math import inf
from typing import Any

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
    """What one value has to be: of one kind of JSON, at first."""

    kind: type = object
    word = "a string"
    """The kind, in words."""
    most_values: float = 1
    """How many JSON values it is made of at most, with itself: `inf` where nothing says so."""

    def read(self, value: object, path: str, problems: Problems) -> Any:
        """The value as its handler gets it; `UNSET` if there is a problem, which is added to `problems`."""
        if type(value) is self.kind:
            return self._read(value, path, problems)
        problems.add(path, "type", f"must be {self.word}, not {json_kind(value)}")
        return UNSET

    def read_parameter(self, text: str, name: str, problems: Problems) -> Any:
        """The same for one value of a query or a path, where everything is text."""
        return self.read(text, name, problems)

    @abstractmethod
    def _read(self, value: Any, path: str, problems: Problems) -> Any:
        """`read`, of a value of the kind."""


class _Text(Reader):
    """A text. What msgspec's `Meta` cannot say is in its `extra`: see `api.http.fields`."""

    kind = str

    def __init__(self, kind: inspect.StrType, rules: Mapping[str, Any]) -> None:
        self._least, self._most = kind.min_length or 0, kind.max_length
        self.pattern = re.compile(kind.pattern) if kind.pattern else None
        self._rules = rules

    def _read(self, value: str, path: str, problems: Problems) -> Any:
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
        if self.pattern is not None and not self.pattern.fullmatch(text):
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
    kind = bool
    word = "true or false"

    def _read(self, value: bool, path: str, problems: Problems) -> bool:
        return value

    def read_parameter(self, text: str, name: str, problems: Problems) -> Any:
        if text in ("true", "false"):
            return text == "true"
        problems.add(name, "type", f"must be true or false, not {quoted(text)}")
        return UNSET


def _whole(value: object) -> object:
    """A number that is whole as an `int`: JSON has but one kind of numbers, and 2.0 is 2."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class _WholeNumber(Reader):
    kind = int
    word = "a whole number"

    def __init__(self, kind: inspect.IntType) -> None:
        self._least, self._most = kind.ge, kind.le

    def read(self, value: object, path: str, problems: Problems) -> Any:
        return super().read(_whole(value), path, problems)

    def _read(self, value: int, path: str, problems: Problems) -> Any:
        if self._least is not None and value < self._least:
            problems.add(path, "minimum", f"must be at least {self._least}")
        elif self._most is not None and value > self._most:
            problems.add(path, "maximum", f"must be at most {self._most}")
        else:
            return value
        return UNSET

    def read_parameter(self, text: str, name: str, problems: Problems) -> Any:
        if re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII):
            return self.read(int(text), name, problems)
        problems.add(name, "type", f"must be {self.word}, not {quoted(text)}")
        return UNSET


class _Choice(Reader):
    kind = str

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def _read(self, value: str, path: str, problems: Problems) -> Any:
        if value in self._values:
            return self._values[value]
        problems.add(path, "enum", f"must be one of {', '.join(self._values)}, not {quoted(value)}")
        return UNSET


class _Instant(Struct, frozen=True):
    value: datetime


class _Moment(Reader):
    kind = str

    def __init__(self, kind: inspect.DateTimeType) -> None:
        self._aware = kind.tz

    def read_parameter(self, text: str, name: str, problems: Problems) -> Any:
        """In a query a time says its offset in any case: Litestar keeps no `Meta` that could ask for it."""
        return self._moment(text, name, problems, aware=True)

    def _read(self, value: str, path: str, problems: Problems) -> Any:
        return self._moment(value, path, problems, aware=self._aware)

    def _moment(self, value: str, path: str, problems: Problems, *, aware: bool | None) -> Any:
        try:
            moment = convert({"value": value}, _Instant).value
        except (ValidationError, UnicodeEncodeError):
            problems.add(path, "format", f"{quoted(value)} is not a time such as 2030-01-31T12:00:00Z")
            return UNSET
        if aware and moment.tzinfo is None:
            problems.add(path, "format", f"{quoted(value)} must say its offset from UTC, as 2030-01-31T12:00:00Z does")
            return UNSET
        try:
            # It is kept and compared in UTC, whose years have four digits too.
            return moment if moment.tzinfo is None else moment.astimezone(UTC)
        except OverflowError:
            problems.add(path, "format", f"{quoted(value)} is not a time of the years 1 to 9999 in UTC")
            return UNSET


class _Many(Reader):
    one: str
    several: str

    def __init__(self, kind: inspect.ListType | inspect.DictType) -> None:
        self._least, self._most = kind.min_length or 0, kind.max_length

    def _most_values(self, entry: Reader) -> float:
        return 1 + (inf if self._most is None else self._most) * entry.most_values

    def _is_of_size(self, size: int, path: str, problems: Problems) -> bool:
        if self._most is not None and size > self._most:
            problems.add(path, "maxLength", f"must have at most {self._most} {self.several}")
        elif size < self._least:
            least = self.one if self._least == 1 else f"at least {self._least} {self.several}"
            problems.add(path, "minLength", f"must have {least}")
        else:
            return True
        return False


class _Array(_Many):
    kind, word = list, "an array"
    one, several = "an entry", "entries"

    def __init__(self, entry: Reader, kind: inspect.ListType) -> None:
        super().__init__(kind)
        self._entry = entry
        self.most_values = self._most_values(entry)

    def _read(self, value: list[object], path: str, problems: Problems) -> Any:
        before = len(problems.found)
        if not self._is_of_size(len(value), path, problems):
            return UNSET
        entries = [self._entry.read(one, f"{path}/{index}", problems) for index, one in enumerate(value)]
        return entries if len(problems.found) == before else UNSET

    def read_parameter(self, text: str, name: str, problems: Problems) -> Any:
        return self._entry.read_parameter(text, name, problems)


class _Members(_Many):
    """An object with keys of the client's."""

    kind, word = dict, "an object"
    one, several = "a member", "members"

    def __init__(self, key: Reader, value: Reader, kind: inspect.DictType) -> None:
        super().__init__(kind)
        self._key, self._value = key, value
        self.most_values = self._most_values(value)

    def _read(self, value: dict[str, object], path: str, problems: Problems) -> Any:
        before = len(problems.found)
        if not self._is_of_size(len(value), path, problems):
            return UNSET
        members: dict[Any, Any] = {}
        for name, one in value.items():
            here = f"{path}/{printable(name)}"
            key = self._key.read(name, here, problems)
            if key in members:
                problems.add(here, "duplicate", f"{quoted(name)} is there twice")
            members[key] = self._value.read(one, here, problems)
        return members if len(problems.found) == before else UNSET


class _Field(Struct, frozen=True):
    name: str
    reader: Reader
    required: bool
    null: object
    """What null stands for: `None` clears, `UNSET` counts as absent, anything else is refused."""


_REFUSED = object()


class _Object(Reader):
    """A struct."""

    kind, word = dict, "an object"

    def __init__(self, kind: inspect.StructType, readers: "_Readers") -> None:
        self._struct = kind.cls
        defaults = {field.name: field.default for field in structs.fields(kind.cls)}
        self._fields = {}
        for field in kind.fields:
            null: object = UNSET
            if defaults[field.name] is UNSET:
                null = None if _takes_null(field.type) else _REFUSED
            self._fields[field.encode_name] = _Field(field.name, readers.of(field.type), field.required, null)
        of_fields = 1 + sum(field.reader.most_values for field in self._fields.values())
        self.most_values = getattr(kind.cls, "most_values", None) or of_fields

    def _read(self, value: dict[str, object], path: str, problems: Problems) -> Any:
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
            return self._struct(**values)
        except ValueError as error:  # a rule over several fields, in `__post_init__`
            problems.add(path, "invalid", str(error))
            return UNSET


class _Either(Reader):
    """One of several; each kind of JSON is meant for one of them, if for any."""

    def __init__(self, choices: Sequence[Reader]) -> None:
        self._choices = {one.kind: one for one in choices}
        self.word = " or ".join(one.word for one in choices)
        self.most_values = max(one.most_values for one in choices)

    def read(self, value: object, path: str, problems: Problems) -> Any:
        choice = self._choices.get(type(value)) or self._choices.get(type(_whole(value)))
        return super().read(value, path, problems) if choice is None else choice.read(value, path, problems)

    _read = read


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
            case inspect.IntType():
                return _WholeNumber(kind)
            case inspect.EnumType(cls=cls):
                return _Choice({str(one.value): one for one in cls if isinstance(one, Enum)})
            case inspect.DateTimeType():
                return _Moment(kind)
            case inspect.ListType():
                return _Array(self.of(kind.item_type), kind)
            case inspect.DictType():
                return _Members(self.of(kind.key_type), self.of(kind.value_type), kind)
            case inspect.StructType(cls=cls):
                if cls not in self._structs:
                    self._structs[cls] = _Object(kind, self)
                return self._structs[cls]
            case inspect.UnionType(types=types):
                return self._either([one for one in types if not isinstance(one, inspect.NoneType)], rules)
        raise TypeError(f"no request is read as {kind}")

    def _either(self, kinds: Sequence[inspect.Type], rules: Mapping[str, Any] | None) -> Reader:
        if len(kinds) == 1:
            return self.of(kinds[0], rules)
        choices = [self.of(one) for one in kinds]
        if any(isinstance(one, _Text) and one.pattern for one in choices):
            # While such a type lives, nothing happens; that depends on nobody ever freeing it.
            raise TypeError("msgspec 0.22 frees a union with a text that has a pattern wrongly, and the process dies")
        return _Either(choices)


def reader_of(annotation: Any) -> Reader:
    """The reader of values of a type; null is for whoever asks it. Raises TypeError for a type that has none."""
    return _Readers().of(inspect.type_info(annotation))


def _takes_null(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.UnionType) and kind.includes_none


def json_kind(value: object) -> str:
    """What kind of JSON value this is, in words."""
    words = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return words.get(type(value), "a number")
