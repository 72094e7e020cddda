"""What the tests of the deployment read it with: the compose file, its settings and secrets, and its scripts run."""

import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import yaml

from hub.settings import HubSettings, variable_of
from models.domain.environment import settings_of
from models.domain.server_spec import sign_spec
from models.domain.settings import Settings, table
from tests.project import PROJECT
from tests.specs import make_spec

Json = dict[str, Any]
DEPLOY = PROJECT / "deploy"
COMPOSE: Json = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
SECRETS = "./deploy/secrets/"


def mounts_of(service: Json) -> list[tuple[str, str]]:
    """What of the host or of which volume a service sees, and where."""
    short = [one for one in service.get("volumes", ()) if isinstance(one, str)]
    long = [one for one in service.get("volumes", ()) if not isinstance(one, str)]
    return [(one.split(":")[0], one.split(":")[1]) for one in short] + [(one["source"], one["target"]) for one in long]


def secrets_of(service: Json) -> dict[str, str]:
    """The secrets that a service holds, and where: single files, and directories of keys."""
    files = [one if isinstance(one, str) else one["source"] for one in service.get("secrets", ())]
    directories = {source.removeprefix(SECRETS): at for source, at in mounts_of(service) if source.startswith(SECRETS)}
    return {one: f"/run/secrets/{one}" for one in files} | directories


def copied(dockerfile: str) -> list[str]:
    """What a Dockerfile takes from the working tree."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def example() -> list[tuple[str, str]]:
    """Names and values of deploy/.env.example, those that are commented out too."""
    text = (DEPLOY / ".env.example").read_text()
    return re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", text, re.MULTILINE)


def server_variables() -> set[str]:
    """What API and workers read."""
    return {name for row in table() for name in re.findall(r"NBHUB_\w+", row[0])}


def hub_variables() -> set[str]:
    """What JupyterHub's side reads."""
    found = set()
    for setting in settings_of(HubSettings):
        name = variable_of(setting.name)
        found |= {name, f"{name}_FILE"} if setting.secret else {name}
    return found


def environment_of(service: str, secrets: Path) -> dict[str, str]:
    """The environment that a service starts with, its secrets at another place."""
    values = dict(example())
    found = {}
    for name, value in COMPOSE["services"][service]["environment"].items():
        if value is not None:
            text = re.sub(r"\$\{(\w+)(?::[?-][^}]*)?\}", lambda match: values[match[1]], value)
            found[name] = text.replace("/run/secrets", str(secrets))
    return found


def worker_settings(secrets: Path, programs: Path) -> Settings:
    """The settings with which the worker's command ends in the worker; a stand-in in `programs` tells them."""
    stand_in = programs / "python"
    stand_in.write_text("#!/bin/sh\nenv -0\n")
    stand_in.chmod(0o755)
    *shell, script = COMPOSE["services"]["worker"]["command"]
    environment = environment_of("worker", secrets) | {"PATH": f"{programs}:{os.environ['PATH']}"}
    done = run(*shell, script.replace("$$", "$"), **environment)
    assert done.returncode == 0, done.stderr
    return Settings.from_environment(dict(line.split("=", 1) for line in done.stdout.split("\0") if line))


def signed(worker: Settings) -> str:
    """A spec as the worker signs it."""
    spec = make_spec(server_id="s1")
    return sign_spec(spec, Path(worker.spec_signing_key_file).read_bytes(), worker.spec_key_id)


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # Nothing but PATH: what a container starts with is no more.
    values = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(command, env=values, capture_output=True, text=True, timeout=60)


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {str(file.relative_to(directory)): file.read_bytes() for file in directory.rglob("*") if file.is_file()}


def modes(directory: Path) -> tuple[set[int], set[int]]:
    """Who may do what with the files, and with the directories."""
    found = [directory, *directory.rglob("*")]
    files, directories = (
        {stat.S_IMODE(one.stat().st_mode) for one in found if one.is_dir() == is_one} for is_one in (False, True)
    )
    return files, directories
