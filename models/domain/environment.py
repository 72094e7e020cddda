"""Settings: a struct whose fields are variables of the environment, read and checked once, when a process starts."""

import os
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import msgspec
from msgspec import Meta, Struct, structs

S = TypeVar("S", bound=Struct)
Words = tuple[str, ...]
"""Given with commas in between."""


class SettingsInvalid(Exception):
    """The environment does not make valid settings; the message names every variable at fault."""


class Setting(Struct, frozen=True, kw_only=True):
    """A field, by its annotation."""

    name: str
    type: Any
    required: bool
    default: Any
    meaning: str = ""
    secret: bool = False
    json: bool = False
    form: Callable[[str], str] | None = None


def parse_origin(text: str) -> str:
    """An origin as browsers send it; raises ValueError for anything else, such as a URL with a path or `*`."""
    if not re.fullmatch(r"https?://[a-z0-9.\[\]:_-]+", text):
        raise ValueError(f"{text!r} is no origin, such as https://ui.example.org")
    return text


def parse_network(text: str) -> str:
    """An address or a network of addresses; raises ValueError for anything else, such as a name or `*`."""
    return str(ip_network(text)) if "/" in text else str(ip_address(text))


def parse_address(text: str) -> str:
    """Where to listen; raises ValueError for anything that is no IP address with a port, unless it is empty."""
    if not text:
        return text
    host, _, port = text.rpartition(":")
    try:
        ip_address(host.removeprefix("[").removesuffix("]"))
        if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65_536:
            raise ValueError
    except ValueError:
        raise ValueError(f"{text!r} is no IP address with a port, such as 127.0.0.1:9464") from None
    return text


def parse_quota(text: str) -> str:
    """A name with a number; raises ValueError for anything else."""
    if not re.fullmatch(r"[a-z_]+=[0-9]{0,9}", text):
        raise ValueError(f"{text!r} is no quota, such as servers=100")
    return text


def about(meaning: str = "", **extra: object) -> Meta:
    """What a field's annotation says of it.

    A `secret=True` is shown by nobody, and may also be given as a file, in `<VARIABLE>_FILE`. A `json=True` is given as
    JSON. `form` makes of a text, or of each of several words, the form in which it is kept, or raises ValueError.
    """
    return Meta(description=meaning, extra=extra)


def settings_of(kind: type[Struct]) -> list[Setting]:
    """All settings of a struct, in order."""
    hints = get_type_hints(kind, include_extras=True)
    found = []
    for field in structs.fields(kind):
        hint = hints[field.name]
        said: dict[str, Any] = {}
        for meta in getattr(hint, "__metadata__", ()):
            said |= {"meaning": meta.description} if meta.description else {}
            said |= meta.extra or {}
        found.append(Setting(name=field.name, type=hint, required=field.required, default=field.default, **said))
    return found


class Given(Struct, frozen=True):
    """What a file gives, by the names of settings, and what is wrong with the file itself."""

    values: Mapping[str, object] = {}
    problems: tuple[str, ...] = ()


def read_file(kind: type[Struct], path: str) -> Given:
    """What a TOML file gives: a setting to a name, a secret perhaps as the path of its file in `<name>_file`."""
    try:
        values = msgspec.toml.decode(Path(path).read_bytes(), type=dict[str, object])
    except OSError as error:
        return Given(problems=(f"{path}: {error.strerror or error}",))
    except (msgspec.MsgspecError, ValueError):
        # What it says may quote a line, and so a secret.
        return Given(problems=(f"{path}: is no TOML file",))
    settings = settings_of(kind)
    names = {one.name for one in settings} | {f"{one.name}_file" for one in settings if one.secret}
    return Given(values, tuple(f"{path}: there is no setting {name!r}" for name in values if name not in names))


def read(
    kind: type[S],
    variable_of: Callable[[str], str],
    environment: Mapping[str, str] | None = None,
    given: Given = Given(),  # noqa: B008 - nothing is given
) -> S:
    """Settings from the environment, or else from what a file has given.

    Raises `SettingsInvalid` naming every variable that is wrong or missing.
    """
    source = os.environ if environment is None else environment
    values: dict[str, object] = {}
    problems = [*given.problems]
    for setting in settings_of(kind):
        variable = variable_of(setting.name)
        raw: object = source.get(variable)
        file: object = source.get(f"{variable}_FILE")
        if raw is None and not (setting.secret and file):
            raw, file = given.values.get(setting.name), given.values.get(f"{setting.name}_file")
        try:
            if raw is None and setting.secret and file:
                raw = Path(str(file)).read_text(encoding="utf-8").strip()
            if raw is not None:
                values[setting.name] = _value(setting, raw)
            elif setting.required:
                problems.append(f"{variable}: is required" + (f"; {setting.meaning}" if setting.meaning else ""))
        except OSError as error:
            problems.append(f"{variable}_FILE: {error.strerror or error}")
        except (msgspec.MsgspecError, ValueError) as error:
            problems.append(f"{variable}: {error}")
    if problems:
        raise SettingsInvalid("These settings need attention:\n  " + "\n  ".join(problems))
    return kind(**values)


def _value(setting: Setting, raw: object) -> object:
    given = raw
    if isinstance(raw, str):
        if setting.json:
            given = msgspec.json.decode(raw)
        elif Words in (setting.type, getattr(setting.type, "__origin__", None)):
            given = tuple(word.strip() for word in raw.split(",") if word.strip())
    value = msgspec.convert(given, setting.type, strict=not isinstance(raw, str), dec_hook=_to_path)
    if setting.form is None:
        return value
    return tuple(map(setting.form, value)) if isinstance(value, tuple) else setting.form(value)


def _to_path(kind: type, value: object) -> Path:
    """The only type of settings that msgspec does not read by itself."""
    if kind is not Path or not isinstance(value, str):
        raise ValueError("must be a path")
    return Path(value)


def shown(settings: Struct) -> str:
    """The `repr` of settings, without secrets."""
    values = ((setting, getattr(settings, setting.name)) for setting in settings_of(type(settings)))
    fields = (f"{one.name}={'***' if one.secret and value else repr(value)}" for one, value in values)
    return f"{type(settings).__name__}({', '.join(fields)})"
