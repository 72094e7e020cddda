"""Vault's policies as the files of the deployment have them, compared with what Vault lets a role do."""

import re
from pathlib import Path

PROCESSES = ("api", "worker")
_PATH = re.compile(r'^path "([^"]+)" \{(.*?)^\}', re.MULTILINE | re.DOTALL)
_CAPABILITIES = re.compile(r"\bcapabilities\s*=\s*\[([^\]]*)\]")
_ENGINE = "secret"
_ANY = "01a20000-0000-7000-8000-000000000000"
"""In place of `+`, which is any one name: an id that no record has."""


def role_of(process: str) -> str:
    """The policy, and the role, of a process."""
    return f"nbhub-{process}"


def capabilities_of(file: Path, engine: str) -> dict[str, set[str]]:
    """What a policy's file allows, by path, where the engine has another name than there."""
    return {
        _path(path, engine): set(re.findall(r'"([a-z]+)"', " ".join(_CAPABILITIES.findall(body))))
        for path, body in _PATH.findall(file.read_text())
    }


def _path(path: str, engine: str) -> str:
    first, _, rest = path.partition("/")
    return f"{engine if first == _ENGINE else first}/{rest}".replace("+", _ANY)


def wanted_of(process: str, directory: Path, engine: str) -> dict[str, set[str]]:
    """What a process may do at each path that the files of all name: what its own does not say it may not."""
    files = {one: capabilities_of(directory / f"{one}.hcl", engine) for one in PROCESSES}
    return {path: files[process].get(path, {"deny"}) for path in {path for one in files.values() for path in one}}


def differences(wanted: dict[str, set[str]], found: dict[str, list[str]]) -> list[str]:
    """What Vault allows and the files do not, and the other way round, a sentence to each path."""
    told = []
    for path, capabilities in sorted(wanted.items()):
        has = set(found.get(path, ()))
        if has != capabilities:
            told.append(f"{path.replace(_ANY, '+')}: {_listed(has)}, not {_listed(capabilities)}")
    return told


def _listed(capabilities: set[str]) -> str:
    return ", ".join(sorted(capabilities)) or "nothing"
