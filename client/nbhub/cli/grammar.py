"""The grammar of the command line: `nbhub NOUN VERB NAME --option`, of plain functions.

A function is a command: what comes before `/` are its words, what comes after `*` its options, its docstring the help.
A parameter whose type is a dataclass stands for the options that are its fields. `argparse` reads the words: it starts
in a fraction of what libraries of more looks need.
"""

import inspect
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import datetime
from textwrap import wrap
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin

from nbhub.cli.exits import UsageProblem
from nbhub.cli.text import WIDTH, nearest, section

F = TypeVar("F", bound=Callable[..., int | None])

_METAVARS: dict[Any, str] = {int: "NUMBER", float: "SECONDS", datetime: "DATE"}


@dataclass(frozen=True)
class Option:
    """What an option is called, if not as its parameter, and what it is for."""

    help: str = ""
    name: str = ""
    short: str = ""
    names: str = ""
    """The noun whose names a shell completes it with."""


class OfEveryCommand:
    """Base of the dataclass of options that every command has."""


@dataclass(frozen=True)
class _Word:
    """One thing that a command understands."""

    target: str
    """Its parameter, or `parameter.field`."""
    kind: Any
    option: Option
    positional: bool
    required: bool
    several: bool
    common: bool

    @property
    def shown(self) -> str:
        """As people type it."""
        name = self.target.rpartition(".")[2]
        return name.upper() if self.positional else self.option.name or "--" + name.replace("_", "-")

    @property
    def metavar(self) -> str:
        """What stands for its value."""
        if self.kind is bool or self.positional:
            return ""
        if get_origin(self.kind) is Literal:
            return "|".join(get_args(self.kind))
        return _METAVARS.get(self.kind, "TEXT")


class Commands:
    """The verbs of a noun; of those that are two words, as `audit list`, the first is a group."""

    def __init__(self, name: str, about: str) -> None:
        self.name, self.about = name, about
        self.commands: dict[str, Callable[..., int | None]] = {}

    def command(self, name: str) -> Callable[[F], F]:
        """Make a function the command of this name."""

        def named(function: F) -> F:
            self.commands[name] = function
            return function

        return named

    @property
    def groups(self) -> dict[str, list[str]]:
        """The first words of verbs of two, and what comes after each."""
        found: dict[str, list[str]] = {}
        for first, _, second in (name.partition(" ") for name in self.commands):
            if second:
                found.setdefault(first, []).append(second)
        return found


def call(path: str, function: Callable[..., int | None], words: list[str]) -> int | None:
    """Call a command with what was typed. Raises `UsageProblem`."""
    typed = read(path, function, words)
    given: list[Any] = []
    options: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        kind = _stripped(parameter.annotation)[0]
        if isinstance(kind, type) and is_dataclass(kind):
            prefix = f"{parameter.name}."
            of_group = {name.removeprefix(prefix): value for name, value in typed.items() if name.startswith(prefix)}
            options[parameter.name] = kind(**of_group)
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            given.append(typed.get(parameter.name, parameter.default))
        elif parameter.name in typed:
            options[parameter.name] = typed[parameter.name]
    return function(*given, **options)


def read(path: str, function: Callable[..., int | None], words: list[str]) -> dict[str, Any]:
    """What was typed after a command, by parameter. Raises `UsageProblem`."""
    return _Parser(path, _words_of(function)).read(words)


def help_of(path: str, function: Callable[..., int | None]) -> str:
    """What a command does, and what it understands."""
    found = _words_of(function)
    typed = [one.shown if one.required else f"[{one.shown}]" for one in found if one.positional]
    typed += [f"{one.shown} {one.metavar}" for one in found if one.required and not one.positional]
    usage = wrap(" ".join(["Usage:", path, *typed, "[options]"]), WIDTH, subsequent_indent="  ")
    options = [one for one in found if not one.positional]
    rows = {name: [_row(one) for one in options if one.common is common] for name, common in _HEADINGS}
    words = [(one.shown, one.option.help) for one in found if one.positional and one.option.help]
    return "\n".join(
        [*usage, "", *(_paragraphs(inspect.getdoc(function) or "")), *section("Words", words)]
        + [line for heading, some in rows.items() for line in section(heading, some)]
    )


_HEADINGS = (("Options", False), ("Options of every command", True))


def about(function: Callable[..., int | None]) -> str:
    """What a command does, in a line."""
    return (inspect.getdoc(function) or "").partition("\n")[0]


def options_of(function: Callable[..., int | None]) -> list[str]:
    """The options of a command, as they are typed."""
    return [*(one.shown for one in _words_of(function) if not one.positional), "--help"]


def named_by(function: Callable[..., int | None]) -> tuple[str, dict[str, str]]:
    """The nouns whose names complete a command: for its first word, and for the values of its options."""
    found = _words_of(function)
    first = next((one.option.names for one in found if one.positional), "")
    return first, {one.shown: one.option.names for one in found if not one.positional and one.option.names}


class _Parser(ArgumentParser):
    """Says in a sentence what is wrong, and ends nothing."""

    def __init__(self, path: str, words: list[_Word]) -> None:
        super().__init__(prog=path, add_help=False, allow_abbrev=False)
        self._words = words
        for one in words:
            if one.positional:
                self.add_argument(one.target, metavar=one.shown, nargs=None if one.required else "?", **_reading(one))
                continue
            names = [one.shown, one.option.short] if one.option.short else [one.shown]
            if one.kind is bool:
                self.add_argument(*names, dest=one.target, action="store_true")
            else:
                action = "append" if one.several else "store"
                self.add_argument(*names, dest=one.target, action=action, required=one.required, **_reading(one))

    def read(self, words: list[str]) -> dict[str, Any]:
        """What was typed, of which nothing is that was not."""
        found, rest = self.parse_known_args(words)
        if rest:
            named = rest[0].partition("=")[0]
            options = [one.shown for one in self._words if not one.positional]
            self.error(f"{named} is not understood here{nearest(named, options)}")
        return {name: value for name, value in vars(found).items() if value is not None}

    def error(self, message: str) -> NoReturn:
        """Raise `UsageProblem`."""
        raise UsageProblem(f"{message}\n  How it is used: {self.prog} --help")


def _reading(word: _Word) -> dict[str, Any]:
    """How a value is read."""
    if get_origin(word.kind) is Literal:
        return {"choices": get_args(word.kind)}
    return {"type": _READ.get(word.kind, word.kind)}


def _date(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text} is no date such as 2027-01-31 or 2027-01-31T18:00") from None


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text} is no whole number") from None


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text} is no number of seconds") from None


_READ: dict[Any, Callable[[str], Any]] = {datetime: _date, int: _number, float: _seconds}


def _words_of(function: Callable[..., int | None]) -> list[_Word]:
    found: list[_Word] = []
    for parameter in inspect.signature(function).parameters.values():
        kind, option, several = _stripped(parameter.annotation)
        if isinstance(kind, type) and is_dataclass(kind):
            common = issubclass(kind, OfEveryCommand)
            for field in fields(kind):
                inner, described, many = _stripped(field.type)
                target = f"{parameter.name}.{field.name}"
                required = field.default is MISSING and field.default_factory is MISSING
                found.append(_Word(target, inner, described, False, required, many, common))
        else:
            positional, required = parameter.kind is parameter.POSITIONAL_ONLY, parameter.default is parameter.empty
            found.append(_Word(parameter.name, kind, option, positional, required, several, False))
    return found


def _stripped(annotation: Any) -> tuple[Any, Option, bool]:
    """The type of a value, what is said of it, and whether there may be several."""
    option, several = Option(), False
    if get_origin(annotation) is Annotated:
        annotation, option = get_args(annotation)[:2]
    if get_origin(annotation) in (UnionType, Union):
        (annotation,) = (one for one in get_args(annotation) if one is not NoneType)
    if get_origin(annotation) is list:
        (annotation,), several = get_args(annotation), True
    return annotation, option, several


def _row(word: _Word) -> tuple[str, str]:
    short = f"{word.option.short}, " if word.option.short else ""
    return f"{short}{word.shown} {word.metavar}".rstrip(), word.option.help


def _paragraphs(text: str) -> list[str]:
    lines: list[str] = []
    for number, paragraph in enumerate(text.split("\n\n")):
        lines += [""] if number else []
        lines += wrap(paragraph, WIDTH)
    return lines
