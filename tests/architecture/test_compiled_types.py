"""Types that msgspec reads into are compiled once: in a request it gets structs, whose compiled form it keeps."""

import ast
import builtins
import importlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.architecture.test_wiring import full_name, imported_names, modules_of, parsed

_TYPE_OF = {
    "msgspec.convert": (1, "type"),
    "msgspec.json.decode": (None, "type"),
    "msgspec.msgpack.decode": (None, "type"),
    "msgspec.json.Decoder": (0, "type"),
    "msgspec.inspect.type_info": (0, "type"),
}
# Read their files and environments once, when a process starts.
_AT_START = {
    "models/domain/environment.py",
    "models/domain/profiles.py",
    "api/http/readers.py",
    "models/database/piccolo_conf.py",
}


def given_types(tree: ast.Module) -> Iterator[tuple[int, ast.expr]]:
    """Line and type of each use of msgspec in a function."""
    names = imported_names(tree)
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for call in ast.walk(function):
            found = _TYPE_OF.get(full_name(call.func, names)) if isinstance(call, ast.Call) else None
            if isinstance(call, ast.Call) and found is not None:
                position, keyword = found
                kinds = [one.value for one in call.keywords if one.arg == keyword]
                if position is not None and len(call.args) > position:
                    kinds.append(call.args[position])
                yield from ((call.lineno, kind) for kind in kinds)


def is_kept(kind: ast.expr, namespace: dict[str, Any]) -> bool:
    """Whether msgspec keeps the compiled form of a type: that of a struct, or of a parameter bound to be one."""
    if isinstance(kind, ast.Subscript | ast.BinOp):
        return False
    if isinstance(kind, ast.Name):
        value = namespace.get(kind.id, getattr(builtins, kind.id, None))
        return value is None or value is Any or (isinstance(value, type) and issubclass(value, msgspec.Struct))
    return True


@pytest.mark.parametrize("path", [one for one in modules_of("api", "models", "integrations") if one not in _AT_START])
def test_nothing_is_compiled_in_a_request(path: str) -> None:
    namespace = vars(importlib.import_module(path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")))
    found = [f"{line}: {ast.unparse(kind)}" for line, kind in given_types(parsed(path)) if not is_kept(kind, namespace)]
    assert found == []


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("def f(x): return msgspec.convert(x, Thing)", True),
        ("def f(x, kind): return msgspec.convert(x, kind)", True),
        ("def f(x): return msgspec.json.decode(x, type=Thing)", True),
        ("def f(x): return msgspec.json.decode(x)", True),
        ("THINGS = msgspec.json.Decoder(list[Thing])", True),
        ("def f(x): return msgspec.convert(x, list[Thing])", False),
        ("def f(x): return msgspec.convert(x, Thing | None)", False),
        ("def f(x): return msgspec.convert(x, Text)", False),
        ("def f(x): return msgspec.json.decode(x, type=dict[str, str])", False),
        ("async def f(x): return msgspec.json.Decoder(list[Thing]).decode(x)", False),
    ],
)
def test_what_is_compiled_in_a_request_is_found(source: str, kept: bool) -> None:
    class Thing(msgspec.Struct):
        x: int

    namespace = {"Thing": Thing, "Text": str | None}
    tree = ast.parse(f"import msgspec\n{source}")
    assert all(is_kept(kind, namespace) for _, kind in given_types(tree)) is kept
