"""`nbhub admin settings`: whether a process would start with what is set here, and what that is, without secrets."""

import difflib
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
from cryptography.fernet import Fernet
from msgspec import Struct

from models.domain.environment import SettingsInvalid, read_file, settings_of
from models.domain.profiles import ProfilesInvalid, load_profiles
from models.domain.settings import FILE, Settings, variable_of
from models.ledger.quotas import limits_of

DONE, FAILED, WARNED = 0, 1, 9
HIDDEN = "***"
_OTHERS = ("NBHUB_HUB_", "NBHUB_STACK")
"""How variables begin that other processes read."""
_OF_THE_COMMAND = {"NBHUB_URL", "NBHUB_TOKEN", "NBHUB_PROFILE"}


class Shown(Struct, frozen=True):
    """A setting: its value, unless it is a secret, and where that is from."""

    variable: str
    value: object
    source: str


class Verdict(Struct, frozen=True, kw_only=True):
    """What keeps a process from starting, and what is set and not read."""

    problems: list[str]
    unread: list[str]


def run(what: str, environment: Mapping[str, str], *, as_json: bool) -> int:
    """`check` or `show`; the exit code."""
    verdict = checked(environment)
    if what == "check":
        _print_verdict(verdict, as_json=as_json)
    elif not verdict.problems:
        _print_settings(shown(environment), as_json=as_json)
    else:
        _print_verdict(verdict, as_json=False)
    return FAILED if verdict.problems else WARNED if verdict.unread and what == "check" else DONE


def checked(environment: Mapping[str, str]) -> Verdict:
    """All that is wrong with what is set, at once."""
    problems = []
    try:
        settings = Settings.from_environment(environment)
    except SettingsInvalid as error:
        problems += [line.strip() for line in str(error).splitlines() if not line.endswith("need attention:")]
    else:
        for look in (_quotas, _profiles, _keys):
            problems += look(settings)
    known = {variable_of(one.name) for one in settings_of(Settings)}
    known |= {f"{variable_of(one.name)}_FILE" for one in settings_of(Settings) if one.secret}
    known |= {FILE} | _OF_THE_COMMAND
    unread = [one for one in environment if one.startswith("NBHUB_") and one not in known]
    return Verdict(
        problems=problems,
        unread=[
            f"{one} is read by no API and no worker{_meant(one, known)}" for one in sorted(unread) if not _others(one)
        ],
    )


def _others(variable: str) -> bool:
    return variable.startswith(_OTHERS)


def _meant(variable: str, known: set[str]) -> str:
    near = difflib.get_close_matches(variable, sorted(known), 1, 0.8)
    return f"; is {near[0]} meant?" if near else ""


def _quotas(settings: Settings) -> list[str]:
    try:
        limits_of(settings.quotas)
    except SettingsInvalid as error:
        return [str(error)]
    return []


def _profiles(settings: Settings) -> list[str]:
    try:
        load_profiles(Path(settings.profiles_file) if settings.profiles_file else None)
    except ProfilesInvalid as error:
        return [f"NBHUB_PROFILES_FILE: {error}"]
    return []


def _keys(settings: Settings) -> list[str]:
    """Keys that are none. What is said of one would quote it."""
    keys = {"NBHUB_SESSION_KEY": [settings.session_key] if settings.session_key else []}
    keys["NBHUB_PAYLOAD_KEYS"] = [one.partition(":")[2] for one in settings.payload_keys.split(",") if one.strip()]
    return [f"{variable}: has no Fernet key" for variable, some in keys.items() if not all(map(_is_key, some))]


def _is_key(text: str) -> bool:
    try:
        Fernet(text)
    except ValueError:
        return False
    return True


def shown(environment: Mapping[str, str]) -> list[Shown]:
    """Every setting as a process would have it; a secret that is set is hidden. Raises `SettingsInvalid`."""
    settings = Settings.from_environment(environment)
    path = environment.get(FILE)
    given = read_file(Settings, path).values if path else {}
    found = []
    for one in settings_of(Settings):
        variable, value = variable_of(one.name), getattr(settings, one.name)
        if variable in environment or (one.secret and f"{variable}_FILE" in environment):
            source = "environment"
        else:
            source = str(path) if one.name in given or f"{one.name}_file" in given else "default"
        found.append(Shown(variable, HIDDEN if one.secret and value else value, source))
    return found


def _print_verdict(verdict: Verdict, *, as_json: bool) -> None:
    if as_json:
        _print_json(verdict)
        return
    for one in (*verdict.problems, *verdict.unread):
        print(one)
    if not verdict.problems and not verdict.unread:
        print("The settings are those of a process that would start.")


def _print_settings(settings: list[Shown], *, as_json: bool) -> None:
    if as_json:
        _print_json(settings)
        return
    for one in settings:
        value = ",".join(one.value) if isinstance(one.value, tuple) else one.value
        print(f"{one.variable}={value}  ({one.source})")


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value)).decode() + "\n")
