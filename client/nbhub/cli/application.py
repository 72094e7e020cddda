"""All commands, put together; of the modules that have them only the one that is asked for is imported."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from nbhub.cli.exits import MEANINGS, UsageProblem
from nbhub.cli.text import nearest, section

if TYPE_CHECKING:
    from nbhub.cli.grammar import Commands

Verb = Callable[..., int | None]
_HELP = ("--help", "-h", "help")


class _Lazy(NamedTuple):
    """Where a noun or a command is."""

    module: str
    name: str
    about: str

    def load(self) -> Any:
        """Import it."""
        return getattr(import_module(f"nbhub.cli.{self.module}"), self.name)


SIGN_IN = {
    "login": _Lazy("sign_in", "login", "sign in"),
    "logout": _Lazy("sign_in", "logout", "sign out"),
    "whoami": _Lazy("sign_in", "whoami", "show who one is, and where"),
    "profiles": _Lazy("sign_in", "profiles", "show where one is signed in, and change which is meant"),
}
NOUNS = {
    "servers": _Lazy("servers", "servers", "where one works"),
    "templates": _Lazy("templates", "templates", "what servers are made of"),
    "datasets": _Lazy("records", "datasets", "directories of data"),
    "modules": _Lazy("records", "modules", "software that servers load"),
    "secrets": _Lazy("records", "secrets", "values that servers are given"),
    "groups": _Lazy("groups", "groups", "people whom one shares with under one name"),
    "people": _Lazy("people", "people", "whom one may share with"),
    "trash": _Lazy("records", "trash", "what was deleted, and can be taken out again for a time"),
    "files": _Lazy("files", "files", "what is in homes and datasets, and the way there and back"),
    "ops": _Lazy("operations", "operations", "what was asked for, and how far it is"),
    "admin": _Lazy("admin", "admin", "for those who run Notebooks Hub"),
}
MORE = {
    "usage": _Lazy("service", "usage", "show how much one has, and may have"),
    "health": _Lazy("service", "health", "show whether all is there that Notebooks Hub needs"),
    "events": _Lazy("service", "events", "print what changes, as it happens"),
    "api": _Lazy("operations", "api", "send any request of the API"),
    "completion": _Lazy("completion", "completion", "print what completes commands in a shell"),
}
NAMED = ("servers", "templates", "datasets", "modules", "secrets", "groups")
"""The nouns whose names a shell completes."""


class Typed(NamedTuple):
    """A command, and what was typed after it."""

    path: str
    function: Verb
    words: list[str]


def run(words: list[str], added: tuple[str, ...] = ()) -> int | None:
    """Run what was typed. `added` are commands that are found elsewhere. Raises `UsageProblem`."""
    found = find(words, added)
    if isinstance(found, Typed):
        from nbhub.cli.grammar import call

        return call(found.path, found.function, found.words)
    print(found)
    return None


def find(words: list[str], added: tuple[str, ...] = ()) -> Typed | str:
    """The command that was typed, or the help that was asked for. Raises `UsageProblem`."""
    if not words or words[0] in _HELP:
        return help_text(added)
    first, *rest = words
    if first in NOUNS:
        return _verb(NOUNS[first].load(), rest)
    found = {**SIGN_IN, **MORE}.get(first)
    if found is None:
        hint = nearest(first, [*SIGN_IN, *NOUNS, *MORE, *added])
        raise UsageProblem(f"there is no command {first}{hint}\n  What there is: nbhub --help")
    return _command(f"nbhub {first}", found.load(), rest)


def _verb(noun: "Commands", words: list[str]) -> Typed | str:
    path = f"nbhub {noun.name}"
    if not words or words[0] in _HELP:
        return noun_help(noun)
    verb, *rest = words
    if verb in noun.groups:
        if not rest or rest[0] in _HELP:
            return noun_help(noun, f"{verb} ")
        verb, rest = f"{verb} {rest[0]}", rest[1:]
    if verb not in noun.commands:
        hint = nearest(verb, noun.commands)
        raise UsageProblem(f"{path} has no command {verb}{hint}\n  What there is: {path} --help")
    return _command(f"{path} {verb}", noun.commands[verb], rest)


def _command(path: str, function: Verb, words: list[str]) -> Typed | str:
    before = words[: words.index("--")] if "--" in words else words
    if "--help" in before or "-h" in before:
        from nbhub.cli.grammar import help_of

        return help_of(path, function)
    return Typed(path, function, words)


def noun_help(noun: "Commands", beginning: str = "") -> str:
    """What a noun is, and its verbs, or those that begin so."""
    from nbhub.cli.grammar import about

    rows = [(name, about(function)) for name, function in noun.commands.items() if name.startswith(beginning)]
    lines = [f"Usage: nbhub {noun.name} COMMAND", "", noun.about, *section("Commands", rows)]
    return "\n".join([*lines, "", f"Each tells more: nbhub {noun.name} COMMAND --help"])


def help_text(added: tuple[str, ...] = ()) -> str:
    """All commands, and what the exit codes say."""
    lines = ["Usage: nbhub COMMAND", "", "Notebooks Hub from the command line."]
    for heading, some in (("Sign-in", SIGN_IN), ("Work", NOUNS), ("More", MORE)):
        lines += section(heading, [(name, one.about) for name, one in some.items()])
    if added:
        lines += ["", "The stack on this machine:", f"  {', '.join(added)}"]
    lines += section("Exit codes", [(f"{code.value:3}", meaning) for code, meaning in MEANINGS.items()])
    return "\n".join([*lines, "", "Each tells more: nbhub COMMAND --help"])
