"""Modulefiles: an ordered list of calls, checked, and written as the Lua text that Lmod runs.

An argument passes through three interpreters, and none may take a part of it for code:

    Lua         reads the modulefile: `render` escapes, whatever an argument holds.
    the shell   evaluates what Lmod prints: Lmod escapes values, but neither line feeds nor names.
    Lua again   reads Lmod's cache and its table of what is loaded: Lmod quotes some of them badly.

What would run something, break Lmod's own files, or be lost on the way to the shell or at an unload, is refused by
`problems`. All else Lmod (8.6) carries byte for byte to the shell, but for the entries of a path: `/opt//x/bin/`
arrives as `/opt/x/bin`, without spaces around it, once, and with the home directory in place of a first `~`.

This holds for sh, bash and ksh, in UTF-8 and in the C locale. zsh besides puts the path of a command in place of
`=name`, at the beginning and after a colon, and for csh and fish Lmod does not quote the text of an alias at all.
"""

import re
from collections.abc import Callable, Sequence

from msgspec import Struct

from models.domain.kinds import DIRECTORIES
from models.domain.reserved_variables import LOCALE_VARIABLE, OTHER_SHELLS, VARIABLE, reserved
from models.domain.values import ModuleCall

BINARIES, MODULEFILES = DIRECTORIES["module"].below, "modulefiles"
"""Beneath the directory of all modules: a directory to a module, and a directory to an owner."""

MOST_ARGUMENTS = 1000
"""How many arguments the calls of a module may have together."""
MOST_BYTES = 65_536
"""How many bytes these may have together, in UTF-8."""

_ROOT = "/luaModuleFile"
_MOST_IN_LINE = 200
"""How many arguments are written one by one: Lua has 250 registers for them."""


def file_name(version: str) -> str:
    """The name of the modulefile of a version."""
    return f"{version}.lua"


def with_line_feeds(calls: Sequence[ModuleCall]) -> list[ModuleCall]:
    """The calls with texts whose lines end as Lmod needs them, also where they were written on Windows."""
    return [
        ModuleCall(id=call.id, arguments=[text.replace("\r\n", "\n") for text in call.arguments])
        if call.id in FUNCTIONS and FUNCTIONS[call.id].kinds == (_text,)
        else call
        for call in calls
    ]


def problems(calls: Sequence[ModuleCall]) -> list[tuple[str, str, str]]:
    """All that is wrong with the calls of a module: where, a code, a sentence. Of one that is too large only that."""
    excess = _excess(calls)
    if excess:
        return excess
    return [problem for number, call in enumerate(calls) for problem in _call_problems(number, call)] + _quarrels(calls)


def render(calls: Sequence[ModuleCall]) -> bytes:
    """The Lua text of the calls, a line for each, in ASCII: it hands over the arguments byte for byte.

    No argument can end its string, also where `problems` has something against it. Raises ValueError for a function
    that is not in the table, and for a lone surrogate (UnicodeEncodeError).
    """
    return b"".join(map(_call_text, calls))


_EXTENDED = frozenset(
    (
        *("PATH", "LD_LIBRARY_PATH", "MANPATH", "PYTHONPATH", "NODE_PATH", "JUPYTER_PATH", "JUPYTER_CONFIG_PATH"),
        *("R_LIBS", "R_LIBS_SITE", "R_LIBS_USER"),
    )
)
"""Reserved variables to which software has to add: entries are put to them, and none is taken away."""

_LOCALE = re.compile(r"C|POSIX|[A-Za-z_]+\.(UTF|utf)-?8(@[A-Za-z]+)?")

_ALIASES_RUN_UNTYPED = frozenset(
    (
        # What Lmod prints after an alias: shells replace these words there too.
        "alias",
        "unalias",
        "export",
        "unset",
        "set",
        "setenv",
        "unsetenv",
        "functions",
        "complete",
        "eval",
        "source",
        "echo",
        "true",
        "false",
        "test",
        # What csh runs by itself.
        "precmd",
        "postcmd",
        "cwdcmd",
        "jobcmd",
        "periodic",
        "beepcmd",
        "helpcommand",
        "shell",
    )
)

_ALIAS = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_MODULE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*)?")
_UNFIT_FOR_A_PATH = re.compile(r'["\\\x00-\x1f\x7f]')
_LATER_A_LINE_FEED = re.compile("[\u0280-\u02bf]")
_COMMAND_CUT_SHORT = re.compile(r";[ \t\r\v\f]*\Z")
_DEEP_BRACKET = re.compile(r"\[========\[|\]========\]")
_GOTO = "goto"
"""The word of Lua 5.3 that Lmod does not know: it writes it as a key without quotes, and cannot read that any more."""
RESERVED_NAMES, RESERVED_VERSIONS = frozenset((_GOTO,)), frozenset(("default",))
"""What no module and no version of one may be called: the first makes Lmod's table of what is loaded unreadable."""
_UNREADABLE = "Lmod could not read its cache any more"
_TABLE_UNREADABLE = "would make Lmod's table of what is loaded unreadable"
_COLON = ":"
"""What is between the entries of a variable unless a call says otherwise."""


def _variable(text: str) -> str:
    if not VARIABLE.fullmatch(text):
        return "must be the name of a variable: letters, digits and `_`, no digit first"
    if text in _EXTENDED:
        return "is a list to which entries are added: use `prepend_path` or `append_path`"
    return _not_anybodys(text)


def _not_anybodys(variable: str) -> str:
    if reserved(variable):
        return "is a variable on which the start of a server depends"
    return "is a variable that a shell does not take as it is given" if variable in OTHER_SHELLS else ""


def _path_variable(text: str) -> str:
    if text in _EXTENDED:
        return ""
    return "is not a list of paths but a locale" if LOCALE_VARIABLE.fullmatch(text) else _variable(text)


def _text(text: str) -> str:
    # Lmod puts it into quotes in its cache, a Lua text, where a line ends at one.
    return "must not hold carriage returns but before line feeds: " + _UNREADABLE if "\r" in text else ""


def _line(text: str) -> str:
    # Lmod escapes all else for the shell, but what follows a line feed would be a command.
    return "must not hold line feeds: Lmod cannot give them to a shell" if "\n" in text else ""


def _value(text: str) -> str:
    # Of every third byte Lmod loses the two highest bits when it puts a value back that somebody's `pushenv` hid.
    feeds = "must not hold U+0280 to U+02BF: Lmod would make line feeds of them when it puts the value back"
    return _line(text) or (feeds if _LATER_A_LINE_FEED.search(text) else "")


def _pushed(text: str) -> str:
    return _line(text) or ("" if text and text.isascii() else "must be ASCII and not empty: Lmod could not put it back")


def _command(text: str) -> str:
    # What is left of `find … -exec … \;` would be another command.
    return _line(text) or ("must not end in `;`: Lmod takes it away" if _COMMAND_CUT_SHORT.search(text) else "")


def _path(text: str) -> str:
    # Entries become keys in Lmod's cache, a Lua text, where Lmod puts them into quotes as they are.
    unfit = 'must not hold control characters, `"` or `\\`: Lmod would take them for code'
    return unfit if _UNFIT_FOR_A_PATH.search(text) else _value(text)


def _entries(text: str, separator: str) -> str:
    entries = text.split(separator)
    written = [*map(_written, entries)]
    if not all(written):
        return "must not hold an entry of which Lmod leaves nothing: to programs that is the current directory"
    if not all(map(_taken_out, entries, written)):
        return (
            "must not have spaces before a last `/`, nor spaces or `~` after a first `./`: Lmod would not take them out"
        )
    # Lmod writes down with both how many modules added an entry.
    if any(":" in entry or ";" in entry for entry in entries):
        return "must not hold `:` or `;` but between entries: Lmod could not tell when to take them out"
    return f"must not hold the entry `{_GOTO}`: {_UNREADABLE}" if _GOTO in written else ""


def _written(entry: str) -> str:
    """What Lmod makes of an entry; but it leaves two slashes at the end, and expands a first `~`."""
    bare = entry.strip(" ")
    steps = "/".join(step for step in bare.split("/") if step not in ("", "."))
    if bare.startswith("/"):
        return steps and f"/{steps}"
    return steps or bare[:1]


def _taken_out(entry: str, written: str) -> bool:
    # At an unload Lmod looks for what it wrote, but reads the variable as it reads an entry: spaces that only now are
    # around it are gone, and a `~` that only now is the first has become the home directory.
    return written == written.strip(" ") and (not written.startswith("~") or entry.strip(" ").startswith("~"))


def _separator(text: str) -> str:
    # It is a Lua pattern to Lmod.
    return "" if text in (":", ";", ",", " ") else "must be one of `:`, `;`, `,` and a space"


def _module(text: str) -> str:
    if not _MODULE.fullmatch(text):
        return "must be `name` or `name/version`: letters, digits, `.`, `_`, `+` and `-`, a letter or digit first"
    return _TABLE_UNREADABLE if text.partition("/")[0] in RESERVED_NAMES else ""


def _family(text: str) -> str:
    # It becomes a part of a variable's name, and a key in Lmod's table of what is loaded.
    if not VARIABLE.fullmatch(text):
        return "must consist of letters, digits and `_`, no digit first"
    if text.startswith("__"):
        return "must not begin with `__`: Lmod would forget it"
    return _TABLE_UNREADABLE if text == _GOTO else ""


def _alias(text: str) -> str:
    if not _ALIAS.fullmatch(text):
        return "must consist of letters, digits, `_` and `-`, and begin with a letter or `_`"
    # Lmod holds aliases and variables in one table.
    return "is a word that shells or Lmod need" if text in _ALIASES_RUN_UNTYPED or _not_anybodys(text) else ""


class Function(Struct, frozen=True):
    """A function that a modulefile may call: the fewest and the most arguments (None: any number), and their kinds.

    A kind is what tells what is wrong with an argument (nothing is the empty text); the last is that of all further
    ones.
    """

    fewest: int
    most: int | None
    kinds: tuple[Callable[[str], str], ...]


FUNCTIONS = {
    # What `module help` and `module whatis` show. Lmod puts the arguments of one `help` together.
    "help": Function(1, None, (_text,)),
    "whatis": Function(1, 1, (_text,)),
    # Put entries before or after those of a variable, `:` between them unless a third argument says otherwise.
    "prepend_path": Function(2, 3, (_path_variable, _path, _separator)),
    "append_path": Function(2, 3, (_path_variable, _path, _separator)),
    # `setenv` leaves the variable unset after an unload, `pushenv` puts the value from before back.
    "setenv": Function(2, 2, (_variable, _value)),
    "pushenv": Function(2, 2, (_variable, _pushed)),
    "unsetenv": Function(1, 1, (_variable,)),
    # `depends_on` loads what is not loaded, and unloads it when nothing depends on it any more; `load` always does.
    "depends_on": Function(1, None, (_module,)),
    "load": Function(1, None, (_module,)),
    # Refuse to load while one of these is loaded, or one of these is not.
    "conflict": Function(1, None, (_module,)),
    "prereq": Function(1, None, (_module,)),
    # Of the modules of one family a single one is loaded: the next replaces it.
    "family": Function(1, 1, (_family,)),
    # The command is the shell's to run when somebody types the name: that is its purpose.
    "set_alias": Function(2, 2, (_alias, _command)),
}
"""The functions that a modulefile may call; their order is the one in which they are listed."""


def _excess(calls: Sequence[ModuleCall]) -> list[tuple[str, str, str]]:
    if len(calls) > MOST_ARGUMENTS:  # each call has one at least
        return [(_ROOT, "maxItems", f"must have at most {MOST_ARGUMENTS} calls")]
    found = []
    if sum(len(call.arguments) for call in calls) > MOST_ARGUMENTS:
        found.append((_ROOT, "maxItems", f"must have at most {MOST_ARGUMENTS} arguments in all"))
    # A lone surrogate, refused below, counts too.
    if sum(len(text.encode(errors="surrogatepass")) for call in calls for text in call.arguments) > MOST_BYTES:
        found.append((_ROOT, "maxLength", f"must have arguments of at most {MOST_BYTES} bytes in all"))
    return found


def _call_problems(number: int, call: ModuleCall) -> list[tuple[str, str, str]]:
    function = FUNCTIONS.get(call.id)
    if function is None:
        return [(f"{_ROOT}/{number}/id", "enum", f"must be one of {', '.join(FUNCTIONS)}")]
    place = f"{_ROOT}/{number}/arguments"
    found = []
    if len(call.arguments) < function.fewest:
        found.append((place, "minItems", f"{call.id} has at least {_counted(function.fewest)}"))
    if function.most is not None and len(call.arguments) > function.most:
        found.append((place, "maxItems", f"{call.id} has at most {_counted(function.most)}"))
    for index, text in enumerate(call.arguments[: function.most]):
        kind = function.kinds[min(index, len(function.kinds) - 1)]
        reason = _unstorable(text) or kind(text)
        if reason:
            found.append((f"{place}/{index}", "format", reason))
    if not found:
        found += [(f"{place}{which}", "format", why) for which, why in _arguments_together(function, call.arguments)]
    return found


def _arguments_together(function: Function, arguments: Sequence[str]) -> list[tuple[str, str]]:
    """What is wrong with arguments that are right one by one: which (the empty text: all), and a sentence."""
    if function.kinds == (_text,) and _quoted_badly("".join(arguments)):
        return [("", "must not hold `[========[` or `]========]`, or end in `]` after several lines: " + _UNREADABLE)]
    if function.kinds[0] is _variable and len(arguments) == 2:
        variable, value = arguments
        # In Big5, GBK and Shift JIS a character may end in the byte of the backslash that Lmod puts before the next.
        if LOCALE_VARIABLE.fullmatch(variable) and not _LOCALE.fullmatch(value):
            return [("/1", "must be `C`, `POSIX` or a locale in UTF-8: with others a shell takes values for commands")]
    if _separator in function.kinds:
        reason = _entries(arguments[1], _separator_of(arguments))
        return [("/1", reason)] if reason else []
    return []


def _separator_of(arguments: Sequence[str]) -> str:
    return arguments[2] if len(arguments) > 2 else _COLON


def _quoted_badly(text: str) -> bool:
    # Lmod writes text of several lines to its cache between the first brackets, of nine depths, that it does not hold.
    # Where it holds them all it would end there, and the rest be code: the deepest stay free. And where it ends as the
    # closing bracket begins, that bracket would be found one character too early.
    if _DEEP_BRACKET.search(text):
        return True
    depths = ("=" * number for number in range(9))
    free = next(depth for depth in depths if f"[{depth}[" not in text and f"]{depth}]" not in text)
    return "\n" in text and text.endswith(f"]{free}")


def _quarrels(calls: Sequence[ModuleCall]) -> list[tuple[str, str, str]]:
    """What calls that are right one by one do to each other."""
    known = [
        (f"{_ROOT}/{number}/arguments", call.arguments, FUNCTIONS[call.id].kinds)
        for number, call in enumerate(calls)
        if call.id in FUNCTIONS and call.arguments
    ]
    variables = {arguments[0] for _, arguments, kinds in known if kinds[0] in (_variable, _path_variable)}
    separators: dict[str, str] = {}
    found = []
    for place, arguments, kinds in known:
        if kinds[0] is _alias and arguments[0] in variables:
            found.append((f"{place}/0", "format", "is a variable of this module too: Lmod would make one of them"))
        separator = _separator_of(arguments)
        if _separator in kinds and separators.setdefault(arguments[0], separator) != separator:
            found.append((place, "format", "must have the separator of the variable's first call: Lmod takes that one"))
    return found


def _counted(number: int) -> str:
    return "one argument" if number == 1 else f"{number} arguments"


def _unstorable(text: str) -> str:
    unfit = "\0" in text or any("\ud800" <= character <= "\udfff" for character in text)
    return "must not hold NUL or lone surrogates" if unfit else ""


_WRITTEN = [chr(byte) if re.match(rb"[A-Za-z0-9_./ -]", bytes((byte,))) else f"\\{byte:03}" for byte in range(256)]
"""How each byte is written inside of a Lua string."""


def _call_text(call: ModuleCall) -> bytes:
    if call.id not in FUNCTIONS:
        raise ValueError("Not a function of modulefiles")
    arguments = ",".join(f'"{"".join(_WRITTEN[byte] for byte in text.encode())}"' for text in call.arguments)
    if len(call.arguments) > _MOST_IN_LINE:
        arguments = f"unpack({{{arguments}}})"
    return f"{call.id}({arguments})\n".encode("ascii")
