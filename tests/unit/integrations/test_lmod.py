"""Modulefiles in real Lua, real Lmod and real shells: what is accepted arrives byte for byte, and none of it is run."""

import base64
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, product
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from integrations.lmod import FUNCTIONS, MOST_ARGUMENTS, MOST_BYTES, problems, render, with_line_feeds
from models.domain.reserved_variables import VARIABLE
from models.domain.values import ModuleCall as Call

LMOD = Path("/usr/share/lmod/lmod")
INSTALL = "Lmod is not on this machine: apt-get install lmod"

# Runs the texts that it is given, one after the other. They find the functions that they may call, and nothing else:
# no other global, no method of strings.
LUA = r"""
local read, write, load, pcall, pack, char = io.read, io.write, load, pcall, table.pack, string.byte
local gsub, format, concat = string.gsub, string.format, table.concat
local functions = {...}
io.stdout:setvbuf("full")
debug.setmetatable("", nil)
local function refuse(_, name) error("touches the global " .. tostring(name), 0) end
while true do
  local size = read("n", "l")
  if not size then break end
  local text = size > 0 and read(size) or ""
  local heard = {}
  local globals = {unpack = table.unpack}
  for _, name in ipairs(functions) do
    globals[name] = function(...)
      local arguments = pack(...)
      local words = {name}
      for index = 1, arguments.n do
        local argument = arguments[index]
        if type(argument) ~= "string" then error("gives a " .. type(argument), 0) end
        local hex = gsub(argument, ".", function(byte) return format("%02x", char(byte)) end)
        words[index + 1] = format("%d:%s", #argument, hex)
      end
      heard[#heard + 1] = concat(words, " ")
    end
  end
  setmetatable(globals, {__index = refuse, __newindex = refuse, __metatable = false})
  local chunk, why = load(text, "=module", "t", globals)
  local fine = chunk ~= nil
  if fine then fine, why = pcall(chunk) end
  write(fine and "fine" or "failed: " .. gsub(tostring(why), "\n", " "), "\n")
  for _, line in ipairs(heard) do write(line, "\n") end
  write(".\n")
  io.stdout:flush()
end
"""

# Reads a file of Lmod's own, which may make globals and know none: to read one, or to call anything, fails.
READS = r"""
local function refuse(_, name) error("reads the global " .. tostring(name), 0) end
local globals = setmetatable({}, {__index = refuse})
for _, path in ipairs({...}) do
  local chunk = assert(loadfile(path, "t", globals))
  debug.setmetatable("", nil)
  chunk()
end
"""

# `canary` is a command that says that it ran, wherever it is called from.
INJECTED = (
    '"); os.execute("canary") --',
    '\\"); os.execute("canary") --',
    ']]..os.execute("canary")..[[',
    ']==]..os.execute("canary")..[==[',
    'a"] = os.execute("canary"), ["b',
    *(
        "]==]",
        "[[",
        "]]",
        "--[[",
        "--",
        "\\\n",
        "\\",
        '\\"',
        "\\'",
        "\\z",
        "\\x22",
        "\\u{22}",
        "\\34",
        '"',
        "'",
        "}",
        ")",
    ),
    *("${IFS}", "$(canary)", "`canary`", ";canary", "&canary&", "|canary", "<(canary)", ">canary", "'$(canary)'"),
    *("'; canary; '", '"; canary; "', "x;canary;", "\\$(canary)", "\\`canary`", "a[$(canary)]", "() { :;}; canary"),
    *(
        "\n",
        "\r",
        "\r\n",
        "\ncanary\n",
        "\rcanary\r",
        "a\nb]",
        "a\n]=",
        "\0",
        "a\0b",
        "\t",
        "",
        " ",
        "  a  ",
        "#",
        "!!",
    ),
    *(
        "\x1b[31m",
        "\x1b]0;title\x07",
        "\x1b[6n",
        "\u202e",
        "\u2028",
        "\ufeff",
        "\U0001f600",
        "\x01",
        "\x7f",
        "é;canary",
    ),
    *(
        "*",
        "?",
        "[a]",
        "{a,b}",
        "~",
        "~root",
        "=canary",
        "%s%n%1",
        "%{a}",
        "@(a)",
        "a:b",
        ":",
        "::",
        "a//b",
        "/",
        "goto",
    ),
    "".join(map(chr, range(0x80, 0x100))),
    "".join(f"[{'=' * depth}[" for depth in range(9)) + "\n",
)
NAMES = (
    *(
        "LD_PRELOAD",
        "BASH_ENV",
        "PATH=:",
        "BASH_FUNC_x%%",
        "JUPYTERHUB_API_TOKEN",
        "PATH",
        "MODULEPATH",
        "IFS",
        "RANDOM",
    ),
    *("X;canary", "X$(canary)", "X\ncanary\n", "X=`canary`", "1X", "X Y", "X.Y", "é", "X\n", "", "_", "__lmod_sh_dbg"),
)
VALID = {
    "help": ["What it is."],
    "whatis": ["Name: tool"],
    "prepend_path": ["TOOL_PATH", "/opt/tool/bin", ":"],
    "append_path": ["TOOL_PATH", "/opt/tool/lib", ":"],
    "setenv": ["TOOL_HOME", "/opt/tool"],
    "pushenv": ["TOOL_MODE", "fast"],
    "unsetenv": ["TOOL_OLD"],
    "depends_on": ["gcc/13.2"],
    "load": ["gcc", "python/3.12+mkl"],
    "conflict": ["icc/2024"],
    "prereq": ["cuda"],
    "family": ["compiler"],
    "set_alias": ["tool-run", "tool --run \"$@\" '$(x)'"],
}
# What Lmod and bash keep beside what a module says.
KEPT = ("__LMOD_", "LMOD_", "_ModuleTable", "BASH_FUNC_", "LOADEDMODULES", "_LMFILES_")


def _program(*candidates: str) -> str:
    found = next(filter(None, map(shutil.which, candidates)), None)
    if found is None or not LMOD.is_dir():
        pytest.fail(INSTALL, pytrace=False)
    return found


class Lua:
    """The interpreter that Lmod runs in."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout

    def run(self, text: bytes) -> list[tuple[str, list[bytes]]]:
        """The calls that a modulefile makes, with their arguments."""
        self._in.write(b"%d\n%s" % (len(text), text))
        self._in.flush()
        verdict, *lines = iter(self._out.readline, b".\n")
        assert verdict == b"fine\n"
        return [_heard(*line.decode().split()) for line in lines]


def _heard(name: str, *arguments: str) -> tuple[str, list[bytes]]:
    pairs = [argument.split(":") for argument in arguments]
    received = [bytes.fromhex(digits) for _, digits in pairs]
    assert [len(one) for one in received] == [int(length) for length, _ in pairs]
    return name, received


def _said(calls: Sequence[Call]) -> list[tuple[str, list[bytes]]]:
    return [(call.id, [text.encode() for text in call.arguments]) for call in calls]


class Shell:
    """A shell with Lmod, some modules, and the command that injected text would run."""

    def __init__(self, directory: Path) -> None:
        self.modules, self.out = directory / "modules", directory / "out"
        self._home, bin_ = directory / "home", directory / "bin"
        for one in (self.modules, self.out, self._home, bin_):
            one.mkdir()
        (bin_ / "canary").write_text('#!/bin/sh\n: >"${0%/*}/ran"\n')
        (bin_ / "canary").chmod(0o755)
        self._ran = bin_ / "ran"
        self.path = f"{bin_}:/usr/bin:/bin"

    def add(self, name: str, *calls: Call) -> str:
        file = self.modules / f"{name}.lua"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(render(calls))
        return name

    def run(
        self,
        script: str,
        *arguments: str,
        program: Sequence[str] = ("bash",),
        environment: Mapping[str, str] | None = None,
    ) -> bytes:
        """What a script says, after the commands that it may use: `module`, and `look` that writes down what is."""
        prelude = BASH if program[0] == "bash" else SH
        done = subprocess.run(
            (*program, "-c", prelude + script, *program[:1], *arguments),
            cwd=self.out,
            # A cache is written however fast it was made.
            env={"PATH": self.path, "HOME": str(self._home), "MODULEPATH": str(self.modules), "LMOD_SHORT_TIME": "-1"}
            | {"LANG": "C.UTF-8", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout.decode(errors="replace")
        assert b"stack traceback" not in done.stdout
        return done.stdout

    def ran(self) -> bool:
        return self._ran.exists()

    def environment(self, look: str) -> dict[str, str]:
        """The variables at a look, but those in which Lmod and bash keep what they need."""
        pairs = [pair.partition("=") for pair in self._words(f"{look}.env")]
        return {name: value for name, _, value in pairs if name != "_" and not name.startswith(KEPT)}

    def aliases(self, look: str) -> dict[str, str]:
        words = self._words(f"{look}.aliases")
        return dict(zip(words[::2], words[1::2], strict=True))

    def _words(self, file: str) -> list[str]:
        return (self.out / file).read_bytes().decode().split("\0")[:-1]

    def readable(self, look: str) -> bool:
        """Whether Lua takes for data what Lmod keeps: its cache, and its table of what is loaded at a look."""
        table = self.out / "table.lua"
        pairs = dict(pair.split("=", 1) for pair in self._words(f"{look}.env"))
        pieces = (pairs[f"_ModuleTable{number:03}_"] for number in range(1, int(pairs["_ModuleTable_Sz_"]) + 1))
        table.write_bytes(base64.urlsafe_b64decode("".join(pieces)))
        reader = self.out / "reads.lua"
        reader.write_text(READS)
        files = [table, *self._home.rglob("spiderT*.lua")]
        assert len(files) == 2
        command = (_program("lua5.3", "lua"), str(reader), *map(str, files))
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


BASH = f"""
source {LMOD}/init/bash
look() {{
  /usr/bin/env -0 >"$1.env"
  for __lmod_name in "${{!BASH_ALIASES[@]}}"; do
    printf '%s\\0%s\\0' "$__lmod_name" "${{BASH_ALIASES[$__lmod_name]}}"
  done >"$1.aliases"
}}
"""
SH = f"""
. {LMOD}/init/sh
look() {{ /usr/bin/env -0 >"$1.env"; }}
"""
# All ways to look at modules. The first of them writes the cache that the others read.
LISTED = """
for command in spider avail "spider $*" "whatis $*" "help $*" "--redirect whatis $*" "--redirect help $*" "show $*" \\
  "keyword a" overview list "--terse avail" save restore describe; do module $command || exit 1; done
"""


@pytest.fixture(scope="module")
def lua(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lua]:
    script = tmp_path_factory.mktemp("lua") / "runs.lua"
    script.write_text(LUA)
    command = (_program("lua5.3", "lua"), str(script), *FUNCTIONS)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Lua(process)


@pytest.fixture(scope="module")
def new_shell(tmp_path_factory: pytest.TempPathFactory) -> "NewShell":
    _program("lua5.3", "lua")
    return lambda: Shell(tmp_path_factory.mktemp("shell"))


@pytest.fixture
def shell(new_shell: "NewShell") -> Shell:
    return new_shell()


NewShell = Callable[[], Shell]

pieces = st.one_of(
    st.sampled_from(INJECTED + NAMES),
    st.text(st.sampled_from("\"'\\`$[]=;:,/.~ \t\n\r#-{}()<>|&*?!%^@\0\x01\x1b\x7fazAZ019_é€\u202e\U0001f600")),
    st.text(),
)
texts = st.lists(pieces, max_size=3).map("".join)
SURROGATES = re.compile("[\ud800-\udfff]")
any_texts = st.one_of(texts, st.builds("{}{}".format, texts, st.sampled_from("\ud800\udfff")))
any_calls = st.builds(Call, st.sampled_from(list(FUNCTIONS)), st.lists(any_texts, max_size=5))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(calls=st.lists(any_calls, max_size=8))
def test_lua_receives_any_arguments_as_they_are_or_they_are_refused(lua: Lua, calls: list[Call]) -> None:
    found = problems(calls)
    for place, code, reason in found:
        number = re.fullmatch(r"/luaModuleFile/([0-9]+)/arguments(/[0-9]+)?", place)
        assert number is not None
        assert int(number[1]) < len(calls)
        assert code
        assert reason
    places = {place for place, *_ in found}
    lone = {
        f"/luaModuleFile/{number}/arguments/{index}"
        for number, call in enumerate(calls)
        for index, text in enumerate(call.arguments[: FUNCTIONS[call.id].most])
        if SURROGATES.search(text)
    }
    assert lone <= places
    if any(SURROGATES.search(text) for call in calls for text in call.arguments):
        assert places
        with pytest.raises(UnicodeEncodeError):
            render(calls)
    else:
        assert lua.run(render(calls)) == _said(calls)


@pytest.mark.parametrize(("function", "index"), [(one, index) for one in VALID for index in range(len(VALID[one]))])
def test_lua_receives_injected_text_as_it_is(lua: Lua, function: str, index: int) -> None:
    place = f"/luaModuleFile/1/arguments/{index}"
    for text in INJECTED + NAMES:
        arguments = [*VALID[function][:index], text, *VALID[function][index + 1 :]]
        calls = [Call("help", ["first"]), Call(function, arguments), Call("whatis", ["last"])]
        assert lua.run(render(calls)) == _said(calls)
        named = {where for where, *_ in problems(calls)}
        assert named <= {place, "/luaModuleFile/1/arguments"}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(calls=st.lists(st.builds(Call, st.sampled_from(list(FUNCTIONS)), st.lists(texts, max_size=5)), max_size=8))
@example(calls=[Call(function, [text] * 3) for function, text in zip(list(FUNCTIONS) * 9, INJECTED, strict=False)][:60])
@example(calls=[Call("help", ["a", *INJECTED[:40]] * 6)])
def test_only_the_functions_are_called(calls: list[Call]) -> None:
    compiler = (_program("luac5.3", "luac"), "-l", "-p", "-")
    listed = subprocess.run(compiler, input=render(calls), capture_output=True, timeout=60, check=True).stdout.decode()
    instructions = re.findall(r"^\t[0-9]+\t\[[0-9]+\]\t(\w+)", listed, re.MULTILINE)
    assert set(instructions) <= {"GETTABUP", "LOADK", "NEWTABLE", "SETLIST", "CALL", "RETURN"}
    called = re.findall(r'\tGETTABUP .*; _ENV "(.*)"$', listed, re.MULTILINE)
    assert called == [
        name for call in calls for name in ((call.id, "unpack") if len(call.arguments) > 200 else (call.id,))
    ]
    assert len(called) == instructions.count("GETTABUP")
    assert "main" in listed
    assert "function <" not in listed


def without(unfit: str) -> st.SearchStrategy[str]:
    return texts.map(lambda text: text.translate(dict.fromkeys(map(ord, unfit))))


def right(function: str, *arguments: st.SearchStrategy[str]) -> st.SearchStrategy[Call]:
    """Calls that are accepted."""
    made = st.builds(lambda *texts: Call(function, list(texts)), *arguments)
    return made.filter(lambda call: not problems([call]))


values = without("\0\n")
pushed = values.map(lambda text: text.encode("ascii", "ignore").decode()).filter(bool)
entries = without('\0\n\r\t\x01\x1b\x7f"\\:;').filter(bool)
entries |= st.sampled_from(
    ("/opt/x/bin/", "/opt//x", "/opt/./x/.", "/a//", " /a b ", "./a", "~", "~/bin", "~root/", "a")
)
paths = st.lists(entries, min_size=1, max_size=3).map(":".join)
shown = without("\0\r")
variables = st.from_regex(re.compile(VARIABLE.pattern, re.ASCII), fullmatch=True).filter(
    lambda name: not problems([Call("unsetenv", [name])])
)
BEFORE = "/before:/and after"


def calls_about(name: str) -> st.SearchStrategy[Call]:
    """Calls that are accepted and change one variable, or make one alias."""
    same = st.just(name)
    return st.one_of(
        right("setenv", same, values),
        right("pushenv", same, pushed),
        right("prepend_path", same, paths),
        right("append_path", same, paths),
        right("prepend_path", same, entries, st.sampled_from(":;, ")),
        st.just(Call("unsetenv", [name])),
        right("set_alias", same, values),
    ).filter(lambda call: not problems([call]))


@st.composite
def changes(draw: st.DrawFn) -> tuple[dict[str, str], list[Call]]:
    """Some environment, and calls that change it."""
    before, calls = {"PYTHONPATH": BEFORE}, []
    for name in draw(st.lists(variables, unique=True, min_size=3, max_size=10)):
        calls.append(draw(calls_about(name)))
        if calls[-1].id != "set_alias" and draw(st.booleans()):
            # What somebody had is not ours to check: Lmod puts back no more than ASCII.
            before[name] = BEFORE if "path" in calls[-1].id else draw(pushed if calls[-1].id == "pushenv" else values)
    calls += [
        draw(right("prepend_path", st.just("PATH"), paths)),
        draw(right("append_path", st.just("PYTHONPATH"), paths)),
    ]
    calls += [draw(right(function, shown)) for function in ("help", "whatis")] + [draw(right("family", variables))]
    return before, draw(st.permutations(calls))


def changed(before: Mapping[str, str], calls: Sequence[Call]) -> dict[str, str]:
    """What an environment is once the calls are made."""
    after = dict(before)
    for call in calls:
        name, value, separator, *_ = (*call.arguments, ":", ":")
        if call.id in ("setenv", "pushenv"):
            after[name] = value
        elif call.id in ("prepend_path", "append_path"):
            there = after[name].split(separator) if after.get(name) else []
            added = [usual(entry, before["HOME"]) for entry in value.split(separator)]
            # Of an entry that is there twice stays the one that was added last.
            if call.id == "prepend_path":
                after[name] = separator.join(dict.fromkeys(added + there))
            else:
                after[name] = separator.join(reversed(dict.fromkeys(reversed(there + added))))
        elif call.id == "unsetenv":
            after.pop(name, None)
    return after


def usual(entry: str, home: str) -> str:
    """An entry as Lmod writes it."""
    path = re.sub("^/+", "/", re.sub("^~", lambda _: home, entry.strip(" ")))
    # Two slashes at the end, not one nor three, Lmod leaves.
    return str(PurePosixPath(path)) + ("//" if re.search("[^/]//$", entry) else "")


def aliases(calls: Sequence[Call]) -> dict[str, str]:
    return dict(call.arguments for call in calls if call.id == "set_alias")


@settings(max_examples=20, deadline=None, derandomize=True)
@given(wanted=changes())
def test_what_is_accepted_arrives_and_goes_again(
    new_shell: NewShell, wanted: tuple[dict[str, str], list[Call]]
) -> None:
    before, calls = wanted
    assert problems(calls) == []
    shell = new_shell()
    shell.add("tool/1", *calls)
    script = "look before; module load tool/1 || exit 1; look loaded; module unload tool/1 || exit 1; look unloaded"
    shell.run(script, environment=before)
    assert not shell.ran()
    assert shell.environment("loaded") == changed(shell.environment("before"), calls)
    assert shell.aliases("loaded") == aliases(calls)
    lost = {call.arguments[0] for call in calls if call.id in ("setenv", "unsetenv")}
    left = {name: value for name, value in shell.environment("before").items() if name not in lost}
    assert shell.environment("unloaded") == left
    assert shell.aliases("unloaded") == {}


@settings(max_examples=2, deadline=None, derandomize=True)
@given(modules=st.lists(changes(), min_size=1, max_size=4))
def test_what_is_accepted_is_shown_and_never_run(
    new_shell: NewShell, modules: list[tuple[dict[str, str], list[Call]]]
) -> None:
    shell = new_shell()
    added = [shell.add(f"tool{number}/1", *calls) for number, (_, calls) in enumerate(modules)]
    listed = shell.run('module load "$@" || exit 1; look loaded;' + LISTED, *added)
    assert not shell.ran()
    assert shell.readable("loaded")
    for name, (_, calls) in zip(added, modules, strict=True):
        said = {call.id: call.arguments[0].encode() for call in calls}
        assert re.search(rb"%s +: %s\n" % (name.encode(), re.escape(said["whatis"])), listed)
        assert said["help"] in listed


def test_injected_text_arrives_is_shown_and_never_run(shell: Shell) -> None:
    each = [injected(number, text) for number, text in enumerate(INJECTED)]
    calls = [*chain.from_iterable(each)]
    tens = [chain.from_iterable(each[first : first + 10]) for first in range(0, len(each), 10)]
    added = [shell.add(f"tool{number}/1", *several) for number, several in enumerate(tens)]
    script = f'look before; module load "$@" || exit 1; look loaded; {LISTED} module purge; look purged'
    listed = shell.run(script, *added)
    assert not shell.ran()
    assert shell.readable("loaded")
    assert shell.environment("loaded") == changed(shell.environment("before"), calls)
    assert shell.aliases("loaded") == aliases(calls)
    assert shell.environment("purged") == shell.environment("before")
    assert shell.aliases("purged") == {}
    for call in calls:
        if call.id == "whatis":
            assert b": %s\n" % call.arguments[0].encode() in listed
        elif call.id == "help":
            assert "".join(call.arguments).encode() in listed
    # Much of what is injected is accepted: rules that refused it all would pass, too.
    arrived = [call.id for call in calls]
    assert min(map(arrived.count, ("setenv", "pushenv", "set_alias", "help", "whatis"))) > len(INJECTED) * 0.8
    assert min(map(arrived.count, ("prepend_path", "append_path"))) > len(INJECTED) * 0.4


def injected(number: int, text: str) -> list[Call]:
    """All that is accepted of calls with an injected text."""
    calls = [
        Call("setenv", [f"S{number}", text]),
        Call("pushenv", [f"P{number}", text]),
        Call("prepend_path", [f"B{number}", text]),
        Call("append_path", ["PATH" if number % 2 else f"E{number}", text, ":"]),
        Call("set_alias", [f"a{number}", text]),
        Call("whatis", [text]),
        Call("whatis", [f"Description: {text}"]),
        Call("help", [text, "\n", text, "\n"]),
    ]
    return [call for call in calls if not problems([call])]


def test_a_pushed_value_comes_back(shell: Shell) -> None:
    pushed = [text for text in INJECTED if not problems([Call("pushenv", ["PUSHED", text])])][::8]
    pushed += pushed[:1]
    added = [shell.add(f"tool{number}/1", Call("pushenv", ["PUSHED", text])) for number, text in enumerate(pushed)]
    steps = [f"module load {name}; look in{number};" for number, name in enumerate(added)]
    steps += [f"look out{number}; module unload {name};" for number, name in reversed([*enumerate(added)])]
    shell.run("".join(steps) + "look end", environment={"PUSHED": "from $(canary) before"})
    assert not shell.ran()
    for look in ("in", "out"):
        assert [shell.environment(f"{look}{number}")["PUSHED"] for number in range(len(pushed))] == pushed
    assert shell.environment("end")["PUSHED"] == "from $(canary) before"


@pytest.mark.parametrize("program", [("bash",), ("bash", "--norc", "-i"), ("sh",)])
def test_shells_take_accepted_variables_as_they_are(shell: Shell, program: tuple[str, ...]) -> None:
    """The variables that a shell has by itself are those that it may take in a way of its own."""
    own = subprocess.run(
        ("bash", "--norc", "-ic", "compgen -v"), env={"PATH": shell.path}, capture_output=True, timeout=60, check=True
    )
    more = ("COMP_WORDBREAKS", "OPTARG", "OPTERR", "REPLY", "TIMEFORMAT", "IGNOREEOF", "MAILCHECK", "SRANDOM", "GROUPS")
    called = sorted({*own.stdout.decode().split(), *more, *NAMES, "LC_ALL", "LANG", "TERM"})
    calls = [Call("setenv", [name, "a[$(canary)]+1"]) for name in called]
    accepted = [call for call in calls if not problems([call])]
    assert 5 < len(accepted) < len(calls) - 10
    shell.add("tool/1", *accepted)
    shell.run("look before; module load tool/1; look loaded", program=program)
    assert not shell.ran()
    assert shell.environment("loaded") == changed(shell.environment("before"), accepted)


def test_sh_takes_accepted_values_as_they_are(shell: Shell) -> None:
    calls = [Call("setenv", [f"S{number}", text]) for number, text in enumerate(INJECTED)]
    calls += [Call("set_alias", [f"a{number}", text]) for number, text in enumerate(INJECTED)]
    accepted = [call for call in calls if not problems([call])]
    shell.add("tool/1", *accepted)
    shell.run("look before; module load tool/1; look loaded", program=("sh",))
    assert not shell.ran()
    assert shell.environment("loaded") == changed(shell.environment("before"), accepted)


@pytest.mark.parametrize(
    "call",
    [
        Call("setenv", ["X", "a\ncanary"]),
        Call("set_alias", ["x", "a\ncanary"]),
        Call("setenv", ["RANDOM", "a[$(canary)]"]),
        Call("pushenv", ["OPTIND", "a[$(canary)]"]),
        Call("prepend_path", ["HISTCMD", "a[$(canary)]"]),
        Call("setenv", ["X=;canary;Y", ""]),
        Call("set_alias", ["x;canary;y", ""]),
        Call("append_path", ["PATH", 'a"] = 1, [os.execute("canary") or "b']),
        Call("whatis", ["".join(f"[{'=' * depth}[" for depth in range(1, 9)) + '\n]]..os.execute("canary")..[[']),
    ],
)
def test_what_is_refused_would_run(shell: Shell, call: Call) -> None:
    """Proves the rule, and that the tests above would notice."""
    assert problems([call])
    shell.add("tool/1", call)
    shell.run("module spider >spider.txt 2>&1; module load tool/1; module spider >spider.txt 2>&1; :")
    assert shell.ran()


@pytest.mark.parametrize(
    "call",
    [
        Call("whatis", ["a\rb"]),
        Call("help", ["a\n[b", "]"]),
        Call("whatis", ["[[a\nb]="]),
        *(Call("prepend_path", ["PATH", text]) for text in ("goto", " goto ", "./goto", "/a:goto/", "/.")),
        Call("family", ["goto"]),
    ],
)
def test_what_is_refused_would_make_files_of_lmod_unreadable(shell: Shell, call: Call) -> None:
    assert problems([call])
    shell.add("tool/1", call)
    shell.run("module spider >spider.txt 2>&1; module load tool/1; look loaded")
    assert not shell.readable("loaded")


@pytest.mark.parametrize("function", ["load", "depends_on"])
def test_a_module_that_is_refused_would_make_the_table_unreadable(shell: Shell, function: str) -> None:
    shell.add("goto/1")
    for name in ("goto", "goto/1"):
        call = Call(function, [name])
        assert problems([call])
        shell.add("tool/1", call)
        assert b"module table stored in the environment is corrupt" in shell.run("module load tool; module list; :")


SHORT_ENTRIES = ["".join(letters) for length in range(5) for letters in product("/.~ a", repeat=length)]


def test_entries_are_refused_only_where_they_would_be_lost(shell: Shell) -> None:
    calls = [Call("prepend_path", [f"P{number}", text]) for number, text in enumerate(SHORT_ENTRIES)]
    accepted = [call for call in calls if not problems([call])]
    assert 50 < len(accepted) < len(calls) - 50
    shell.add("tool/1", *calls)
    shell.run("look before; module load tool || exit 1; look loaded; module unload tool || exit 1; look unloaded")
    before, loaded, unloaded = map(shell.environment, ("before", "loaded", "unloaded"))
    expected = changed(before, accepted)
    for call in calls:
        name, text = call.arguments
        if call in accepted:
            assert loaded[name] == expected[name], text
            assert name not in unloaded, text
        elif not text.endswith(" //"):  # which Lmod would keep, but nobody needs
            assert loaded[name] == "::" or name in unloaded, text


def test_entries_in_all_forms_are_together_on_one_path(shell: Shell) -> None:
    texts = [text for text in SHORT_ENTRIES if not problems([Call("append_path", ["PATH", text])])]
    calls = [Call("append_path", ["PATH", ":".join(texts)]), Call("prepend_path", ["LD_LIBRARY_PATH", ":".join(texts)])]
    assert problems(calls) == []
    shell.add("tool/1", *calls)
    script = f"look before; module load tool || exit 1; look loaded; {LISTED} module unload tool; look unloaded"
    listed = shell.run(script, "tool")
    assert shell.environment("loaded") == changed(shell.environment("before"), calls)
    assert shell.environment("unloaded") == shell.environment("before")
    assert shell.readable("loaded")
    assert not shell.ran()
    assert listed.count(b"tool/1") > 5


def test_what_is_refused_would_run_once_it_is_put_back(shell: Shell) -> None:
    calls = [Call("setenv", ["X", "aa\u0280canary"])]
    assert problems(calls)
    canary = os.path.join(shell.path.split(":")[0], "canary")
    os.symlink(canary, os.path.join(os.path.dirname(os.fsencode(canary)), b"\x80canary"))
    shell.add("tool/1", *calls)
    shell.add("other/1", Call("pushenv", ["X", "pushed"]))
    shell.run("module load tool/1; module load other/1; module unload other/1; :")
    assert shell.ran()


@pytest.mark.parametrize("text", ["", "ab\xe9"])
def test_what_is_refused_would_not_come_back(shell: Shell, text: str) -> None:
    assert problems([Call("pushenv", ["X", text])])
    shell.add("tool/1", Call("pushenv", ["X", text]))
    shell.add("other/1", Call("pushenv", ["X", "pushed"]))
    shell.run("module load tool other; module unload other; look loaded")
    kept = (shell.out / "loaded.env").read_bytes().split(b"\0")
    assert b"X=" + text.encode() not in kept


def test_what_is_refused_of_several_calls_would_not_arrive(shell: Shell) -> None:
    calls = [Call("setenv", ["X", "1"]), Call("set_alias", ["X", "2"])]
    lists = [Call("append_path", ["L", "1"]), Call("append_path", ["L", "2", ";"])]
    cut = [Call("set_alias", ["cut", "find . -exec ls {} \\;"])]
    assert all(map(problems, (calls, lists, cut)))
    shell.add("tool/1", *calls, *lists, *cut)
    shell.run("module load tool; look loaded")
    loaded = shell.environment("loaded")
    assert "X" not in loaded
    assert loaded["L"] == "1:2"
    assert shell.aliases("loaded") == {"X": "2", "cut": "find . -exec ls {} \\"}


MODULE_NAMES = ("", "a b", "-a", "a/", "/a", "a/b/c", ".a", "a/.b", "a'b", "a$(id)", "a\n", "é", "a/*", "../a")
VARIABLE_NAMES = (
    "",
    "1A",
    "A B",
    " A",
    "é",
    "\u0410",
    "A\n",
    "A=;id;B",
    "$(id)",
    "A.B",
    "A-B",
    "PATH=:",
    "BASH_FUNC_x%%",
)
NOTHING = ("", " ", "/", "//", "///", "/.", "/./", "//.", "/./.", " / ", "/a:", ":/a", "/a::/b", "/a:/", "/a: :/b")
RESERVED = "is a variable on which the start of a server depends"
EXTENDED = "is a list to which entries are added"
ANOTHER_SHELLS = "is a variable that a shell does not take as it is given"
# Of a function: which argument may not be what, and why.
REFUSED: list[tuple[str, int, str, tuple[str, ...]]] = [
    ("help", 0, "must not hold NUL or lone surrogates", ("\0", "\ud800", "a\udfffb")),
    ("help", 0, "must not hold carriage returns", ("\r", "a\rb", "a\r\r\nb")),
    ("whatis", 0, "must not hold NUL or lone surrogates", ("\0", "\ud800")),
    ("whatis", 0, "must not hold carriage returns", ("\r", "a\r\nb")),
    ("setenv", 0, "must be the name of a variable", VARIABLE_NAMES),
    (
        "setenv",
        0,
        RESERVED,
        (
            "LD_PRELOAD",
            "BASH_ENV",
            "JUPYTERHUB_API_TOKEN",
            "HOME",
            "_",
            "RANDOM",
            "OPTIND",
            "MAILCHECK",
            "__lmod_sh_dbg",
        ),
    ),
    ("setenv", 0, EXTENDED, ("PATH", "LD_LIBRARY_PATH", "MANPATH", "JUPYTER_CONFIG_PATH", "R_LIBS")),
    ("setenv", 0, ANOTHER_SHELLS, ("path", "USERNAME", "USER_ID", "status")),
    ("setenv", 1, "must not hold line feeds", ("a\nb", "\n", "\r\n")),
    ("setenv", 1, "must not hold U+0280 to U+02BF", ("\u0280", "a\u02bfb")),
    ("setenv", 1, "must not hold NUL or lone surrogates", ("a\0", "\udc80")),
    ("pushenv", 0, "must be the name of a variable", VARIABLE_NAMES),
    ("pushenv", 0, RESERVED, ("_ModuleTable001_", "LUA_INIT", "LMOD_CMD", "SECONDS", "HISTCMD")),
    ("pushenv", 0, EXTENDED, ("PYTHONPATH",)),
    ("pushenv", 1, "must be ASCII and not empty", ("", "é", "a\x80")),
    ("pushenv", 1, "must not hold line feeds", ("a\nb",)),
    ("unsetenv", 0, "must be the name of a variable", VARIABLE_NAMES),
    ("unsetenv", 0, RESERVED, ("MODULEPATH", "RANDOM")),
    ("unsetenv", 0, EXTENDED, ("PATH", "LD_LIBRARY_PATH")),
    *(
        row
        for function in ("prepend_path", "append_path")
        for row in (
            (function, 0, "must be the name of a variable", VARIABLE_NAMES),
            (function, 0, RESERVED, ("MODULEPATH", "LD_PRELOAD", "BASH_ENV", "LUA_PATH", "HISTCMD")),
            (function, 0, ANOTHER_SHELLS, ("manpath",)),
            (function, 0, "is not a list of paths but a locale", ("LANG", "LC_ALL", "LC_CTYPE")),
            (
                function,
                1,
                "must not hold control characters",
                ('a"b', "a\\b", "a\tb", "a\nb", "\x7f", "a\x1b[m", "a\r"),
            ),
            (function, 1, "must not hold U+0280 to U+02BF", ("/\u0280",)),
            (function, 1, "must not hold an entry of which Lmod leaves nothing", NOTHING),
            (
                function,
                1,
                "must not have spaces before a last `/`, nor spaces or `~` after",
                ("/a /", "/a /.", "a /./", "./~/a", ".//~", "./ a", "/b:/a /:/c"),
            ),
            (function, 1, "must not hold `:` or `;` but between", ("/a;b",)),
            (function, 1, "must not hold the entry `goto`", ("goto", "/a:goto", "goto/", " goto", "./goto/.:/a")),
            (function, 2, "must be one of `:`, `;`, `,` and a space", ("", "%a", "::", "/", ".", "\n", "|", ":;")),
        )
    ),
    *((function, 0, "must be `name` or", MODULE_NAMES) for function in ("load", "depends_on", "conflict", "prereq")),
    ("load", 1, "must be `name` or `name/version`", MODULE_NAMES),
    *(
        (function, 0, "would make Lmod's table of what is loaded unreadable", ("goto", "goto/1"))
        for function in ("load", "depends_on", "conflict", "prereq")
    ),
    ("family", 0, "must consist of letters, digits and `_`", ("", "1a", "a b", "a-b", 'a"]=x', "é", "a\n")),
    ("family", 0, "must not begin with `__`", ("__compiler",)),
    ("family", 0, "would make Lmod's table of what is loaded unreadable", ("goto",)),
    ("set_alias", 0, "must consist of letters", ("", "1a", "a b", "a;id;b", "a=b", "$(id)", "é", "-a", "a\n", "a.b")),
    ("set_alias", 0, "is a word that shells or Lmod need", ("export", "unset", "alias", "eval", "PATH", "LMOD_CMD")),
    ("set_alias", 1, "must not hold line feeds", ("ls\nid",)),
    ("set_alias", 1, "must not hold NUL or lone surrogates", ("ls\0",)),
    ("set_alias", 1, "must not end in `;`", (";", "ls;", "ls; \t\r", "find {} \\;")),
]


@pytest.mark.parametrize(("function", "index", "reason", "texts"), REFUSED)
def test_each_kind_of_argument_has_its_rule(function: str, index: int, reason: str, texts: Sequence[str]) -> None:
    for text in texts:
        arguments = [*VALID[function][:index], text, *VALID[function][index + 1 :]]
        found = problems([Call("help", ["first"]), Call(function, arguments)])
        place = f"/luaModuleFile/1/arguments/{index}"
        assert [(where, code) for where, code, _ in found] == [(place, "format")], text
        assert found[0][2].startswith(reason), text


@pytest.mark.parametrize(
    ("call", "where", "reason"),
    [
        (Call("whatis", ["[========["]), "", "must not hold `[========[`"),
        (Call("help", ["]====", "====]"]), "", "must not hold `[========[`"),
        (Call("help", ["see\n[1", "]"]), "", "must not hold `[========[`"),
        (Call("whatis", ["]]\n]="]), "", "must not hold `[========[`"),
        (Call("setenv", ["LANG", "zh_TW"]), "/1", "must be `C`, `POSIX`"),
        (Call("pushenv", ["LC_ALL", "x.UTF-8.GBK"]), "/1", "must be `C`, `POSIX`"),
        (Call("setenv", ["LC_CTYPE", ""]), "/1", "must be `C`, `POSIX`"),
        *((Call("prepend_path", ["P", "/a:b", text]), "/1", "must not hold `:` or `;`") for text in ";, "),
        *(
            (Call("append_path", ["P", f"/a{text}/b", text[0]]), "/1", "must not hold an entry of")
            for text in (",,", "  ")
        ),
    ],
)
def test_arguments_are_looked_at_together(call: Call, where: str, reason: str) -> None:
    (found,) = problems([Call("help", ["first"]), call])
    assert found[:2] == (f"/luaModuleFile/1/arguments{where}", "format")
    assert found[2].startswith(reason)


@pytest.mark.parametrize(
    "calls",
    [
        *([Call(function, arguments)] for function, arguments in VALID.items()),
        [Call("help", ['Several\nlines, \\ "quoted", [[1]], and a tab\t.\n', "é \u202e \U0001f600 \x1b[1m"])],
        [Call("whatis", ["in [brackets]"]), Call("whatis", ["[a]\n[b]."])],
        [Call("setenv", ["A", "\r\x01\x1b\x7f'\"\\`$(id)"]), Call("setenv", ["A", ""]), Call("unsetenv", ["A"])],
        [Call("setenv", [name, text]) for name in ("LANG", "LC_ALL") for text in ("C", "C.UTF-8", "de_DE.utf8")],
        [Call("prepend_path", [name, "/opt/a b/../c:.:..:d"]) for name in ("PATH", "LD_LIBRARY_PATH", "MANPATH")],
        [
            Call("prepend_path", ["PATH", text])
            for text in ("/opt/x/bin/", "/a//b:/a/./b/.", " /a : ~/b", "/a:/b:/a/", "./")
        ],
        [Call("append_path", ["P", "/a", separator]) for separator in (";", ";")],
        [
            Call("prepend_path", [name, "/opt/x"])
            for name in ("JUPYTER_CONFIG_PATH", "LD_RUN_PATH", "TCLLIBPATH", "R_LIBS")
        ],
        [
            Call("setenv", [name, "x"])
            for name in ("PYTHON_ROOT", "LD_SDK_KEY", "PERL5OPT", "EDITOR", "HTTPS_PROXY", "GIT_SSH_COMMAND")
        ],
        [
            Call("append_path", ["P", "/a"]),
            Call("prepend_path", ["P", "/b", ":"]),
            Call("append_path", ["Q", "a", ","]),
        ],
        [
            Call("load", ["a", "gcc/13.2", "R/4.4_x+y-z", "goto-x/goto"]),
            Call("family", ["goto_"]),
            Call("family", ["_x"]),
        ],
        [Call("set_alias", ["ll", "ls -l \"$@\"; echo 'done'"]), Call("set_alias", ["a-b", ""])],
    ],
)
def test_what_people_write_is_accepted(calls: list[Call]) -> None:
    assert problems(calls) == []


def test_calls_that_quarrel_are_refused() -> None:
    calls = [
        Call("set_alias", ["X", "ls"]),
        Call("append_path", ["L", "a", ","]),
        Call("prepend_path", ["L", "b"]),
        Call("unsetenv", ["X"]),
    ]
    assert [(place, code) for place, code, _ in problems(calls)] == [
        ("/luaModuleFile/0/arguments/0", "format"),
        ("/luaModuleFile/2/arguments", "format"),
    ]


@pytest.mark.parametrize("function", list(FUNCTIONS))
def test_a_function_has_its_number_of_arguments(function: str) -> None:
    place = "/luaModuleFile/0/arguments"
    fewest, most = FUNCTIONS[function].fewest, FUNCTIONS[function].most
    arguments = VALID[function]
    assert problems([Call(function, arguments[:fewest])]) == []
    few = "one argument" if fewest == 1 else f"{fewest} arguments"
    for number in range(fewest):
        too_few = (place, "minItems", f"{function} has at least {few}")
        assert too_few in problems([Call(function, arguments[:number])])
    if most is None:
        assert problems([Call(function, arguments[:1] * MOST_ARGUMENTS)]) == []
    else:
        many = "one argument" if most == 1 else f"{most} arguments"
        assert len(arguments) == most
        assert problems([Call(function, arguments)]) == []
        # Of what is too much there is nothing else to say.
        assert problems([Call(function, [*arguments, "\0"])]) == [(place, "maxItems", f"{function} has at most {many}")]


@pytest.mark.parametrize(
    "function", ["", "execute", "os.execute", "set_shell_function", "source_sh", "LOAD", "load ", "unpack", "_G"]
)
def test_other_functions_are_refused(function: str) -> None:
    calls = [Call("help", ["first"]), Call(function, ["\n"])]
    listed = f"must be one of {', '.join(FUNCTIONS)}"
    assert problems(calls) == [("/luaModuleFile/1/id", "enum", listed)]
    with pytest.raises(ValueError, match="Not a function of modulefiles"):
        render(calls)


def full() -> list[Call]:
    """As many arguments, and as many bytes, as there may be."""
    calls = [
        Call("conflict", [f"enemy{number}/1" for number in range(500)]),
        *(Call("setenv", [f"V{number}", f"{number} é"]) for number in range(200)),
        Call("help", ["\\"] * 97),
        Call("whatis", ["w" * 10_000]),
    ]
    used = sum(len(text.encode()) for call in calls for text in call.arguments)
    return [*calls, Call("pushenv", ["BIG", "$" * (MOST_BYTES - used - len("BIG"))])]


def test_as_much_as_there_may_be_is_loaded_in_one_piece(shell: Shell) -> None:
    calls = full()
    assert sum(len(call.arguments) for call in calls) == MOST_ARGUMENTS == 1000
    assert sum(len(text.encode()) for call in calls for text in call.arguments) == MOST_BYTES == 65_536
    assert problems(calls) == []
    shell.add("tool/1", *calls)
    script = "look before; module load tool || exit 1; look loaded; module help tool; module whatis tool;"
    said = shell.run(script + "module unload tool; look unloaded")
    assert shell.environment("loaded") == changed(shell.environment("before"), calls)
    assert shell.environment("unloaded") == shell.environment("before")
    assert b"\\" * 97 in said
    assert b"w" * 10_000 in said


def test_more_is_refused_and_nothing_else_is_said() -> None:
    *calls, last = full()
    wrong = Call("setenv", ["1", "\n"])
    variable, value = last.arguments
    more = (
        f"must have at most {MOST_ARGUMENTS} arguments in all",
        f"must have arguments of at most {MOST_BYTES} bytes in all",
    )
    too_many, too_long = ("/luaModuleFile", "maxItems", more[0]), ("/luaModuleFile", "maxLength", more[1])
    assert problems([*calls, last, Call("help", [""])]) == [too_many]
    assert problems([*calls, Call("pushenv", [variable, value + "$"])]) == [too_long]
    # Bytes are counted, of a lone surrogate too.
    assert problems([*calls, Call("pushenv", [variable, value[:-1] + "é"])]) == [too_long]
    assert problems([*calls, Call("pushenv", [variable, value[:-1] + "\ud800"])]) == [too_long]
    assert problems([*calls, last, wrong]) == [too_many, too_long]
    nothing = [Call("help", [])] * MOST_ARGUMENTS
    assert {code for _, code, _ in problems(nothing)} == {"minItems"}
    in_calls = ("/luaModuleFile", "maxItems", f"must have at most {MOST_ARGUMENTS} calls")
    assert problems([*nothing, Call("help", [])]) == [in_calls]


@pytest.mark.parametrize("number", [0, 199, 200, 201, 255, 256, 1000])
def test_lua_receives_any_number_of_arguments(lua: Lua, number: int) -> None:
    calls = [Call(function, [f"{index}" for index in range(number)]) for function in FUNCTIONS]
    assert lua.run(render(calls)) == _said(calls)


def test_no_calls_are_a_module_too(shell: Shell) -> None:
    assert problems([]) == []
    assert render([]) == b""
    shell.add("tool/1")
    shell.run("look before; module load tool || exit 1; look loaded")
    assert shell.environment("loaded") == shell.environment("before")


def test_every_function_does_in_lmod_what_it_is_for(shell: Shell) -> None:
    shell.add("needed/1", Call("setenv", ["NEEDED", "1"]))
    shell.add("enemy/1", Call("setenv", ["ENEMY", "1"]))
    shell.add("base/1", Call("setenv", ["BASE", "1"]))
    shell.add("other/1", Call("setenv", ["OTHER", "1"]))
    shell.add("rival/1", Call("family", ["compiler"]), Call("setenv", ["RIVAL", "1"]))
    calls = [
        Call("prereq", ["needed/1"]),
        Call("conflict", ["enemy"]),
        *(Call(name, VALID[name]) for name in FUNCTIONS if name not in ("prereq", "conflict", "depends_on", "load")),
        Call("depends_on", ["base/1"]),
        Call("load", ["other"]),
    ]
    assert {call.id for call in calls} == set(FUNCTIONS) == set(VALID)
    assert problems(calls) == []
    shell.add("tool/1", *calls)
    here = {"TOOL_PATH": "/before", "TOOL_MODE": "slow", "TOOL_OLD": "old"}
    shell.run(
        """
        look before
        module load tool && exit 1
        look alone
        module load needed enemy; module load tool && exit 1; module unload enemy
        look needed
        module load tool || exit 1
        look loaded
        module load rival || exit 1
        look swapped
        module load tool || exit 1
        module unload tool || exit 1
        look unloaded
        module help tool >help.txt 2>&1; module whatis tool >whatis.txt 2>&1
        """,
        environment=here,
    )
    needed = shell.environment("needed")
    assert shell.environment("alone") == shell.environment("before")
    assert needed == shell.environment("before") | {"NEEDED": "1"}
    added = {"TOOL_PATH": "/opt/tool/bin:/before:/opt/tool/lib", "TOOL_HOME": "/opt/tool", "TOOL_MODE": "fast"}
    expected = needed | added | {"BASE": "1", "OTHER": "1"}
    del expected["TOOL_OLD"]
    assert shell.environment("loaded") == expected
    assert shell.aliases("loaded") == {"tool-run": VALID["set_alias"][1]}
    del needed["TOOL_OLD"]
    assert shell.environment("swapped") == needed | {"RIVAL": "1"}
    assert shell.environment("unloaded") == needed
    assert shell.aliases("unloaded") == {}
    assert VALID["help"][0] in (shell.out / "help.txt").read_text()
    assert VALID["whatis"][0] in (shell.out / "whatis.txt").read_text()


def test_the_systems_manual_pages_stay_beside_those_of_modules(shell: Shell) -> None:
    """A server with modules begins with `MANPATH` as `:`, in which the empty entry stands for the system's pages."""
    for name, function in (("one", "prepend_path"), ("two", "append_path")):
        calls = [Call(function, ["MANPATH", f"/opt/{name}/man"])]
        assert problems(calls) == []
        shell.add(f"{name}/1", *calls)
    states = {"one": "load one", "both": "load two", "two": "unload one", "none": "unload two"}
    script = "".join(f"module {command}; look {look};" for look, command in states.items())
    shell.run(script, environment={"MANPATH": ":"})
    found = {look: shell.environment(look)["MANPATH"].split(":") for look in states}
    assert {look: [one for one in entries if one] for look, entries in found.items()} == {
        "one": ["/opt/one/man"],
        "both": ["/opt/one/man", "/opt/two/man"],
        "two": ["/opt/two/man"],
        "none": [],
    }
    assert all("" in entries for entries in found.values()), found
    # What would be without it.
    shell.run("module load one; look hidden")
    assert shell.environment("hidden")["MANPATH"] == "/opt/one/man"


def test_texts_that_were_written_on_windows_are_shown_by_lmod(shell: Shell) -> None:
    calls = with_line_feeds([Call("help", ["One\r\ntwo", "three\r\n"]), Call("whatis", ["Name:\r\ntool"])])
    assert problems(calls) == []
    shell.add("tool/1", *calls)
    said = shell.run(f"module load tool; look loaded; {LISTED}", "tool")
    assert b"One\ntwo" in said
    assert b"\r" not in said
    assert shell.readable("loaded")
    # No other argument is anybody's to change, and a carriage return by itself is none of a line's end.
    alias = Call("set_alias", ["x", "a\r\nb"])
    assert with_line_feeds([alias, Call("help", ["a\rb"])]) == [alias, Call("help", ["a\rb"])]
