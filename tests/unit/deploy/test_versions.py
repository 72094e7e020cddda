"""`deploy/versions.toml` has every version; what pins one elsewhere says the same."""

import json
import re
import tomllib

import yaml

from stack import programs
from tests.project import PROJECT

VERSIONS: dict[str, dict[str, str]] = tomllib.loads((PROJECT / "deploy" / "versions.toml").read_text())
DOCKERFILES = sorted((PROJECT / "deploy").glob("*Dockerfile"))
OURS = "notebooks-hub/"


def test_images_of_the_deployment() -> None:
    compose = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
    named = {service["image"] for service in compose["services"].values()}
    for file in DOCKERFILES:
        named |= set(re.findall(r"^FROM (\S+:\S+)", file.read_text(), re.MULTILINE))
    assert {name for name in named if not name.startswith(OURS)} == {
        f"{name}:{version}" for name, version in VERSIONS["images"].items()
    }


async def test_programs_of_the_stack() -> None:
    found = {name: await programs.find(name) for name in programs.SETTINGS.values()}
    assert {name: program.version for name, program in found.items()} == VERSIONS["programs"]
    assert {program.origin.partition(" ")[2].partition(" ")[0] for program in found.values()} == {"locked"}


def test_packages_of_the_lock_file() -> None:
    locked = {one["name"]: one["version"] for one in tomllib.loads((PROJECT / "uv.lock").read_text())["package"]}
    assert {name: locked.get(name) for name in VERSIONS["packages"]} == VERSIONS["packages"]


def test_packages_of_npm() -> None:
    locked = json.loads((PROJECT / "stack" / "oidc" / "package-lock.json").read_text())
    assert locked["packages"][""]["dependencies"] == VERSIONS["npm"]


def test_what_is_tried_beside_these() -> None:
    jupyterhub = re.search(r"^jupyterhub==(\S+)", (PROJECT / "stack" / "jupyterhub5.txt").read_text(), re.MULTILINE)
    vault = re.search(
        r"github\.com/hashicorp/vault v(\S+)$",
        (PROJECT / "tests" / "hashicorp_vault" / "go.mod").read_text(),
        re.MULTILINE,
    )
    assert jupyterhub is not None
    assert vault is not None
    assert {"jupyterhub": jupyterhub[1], "vault": vault[1]} == VERSIONS["also"]


def test_deployment_and_stack_run_the_same() -> None:
    """A version of the stack stands for that of the image: the same server of Temporal, the same major elsewhere."""
    images, said = VERSIONS["images"], VERSIONS["programs"]
    assert f"Server {images['temporalio/server']}" in said["temporal"]
    assert images["temporalio/server"] == images["temporalio/admin-tools"]
    assert said["postgres"].rpartition(" ")[2].split(".")[0] == images["postgres"].split(".")[0]
    assert said["node"].removeprefix("v").split(".")[0] == images["node"].split(".")[0]
    assert said["uv"].split()[1] == images["ghcr.io/astral-sh/uv"]
    assert images["hashicorp/vault"] == VERSIONS["also"]["vault"]
    python = (PROJECT / ".python-version").read_text().strip()
    assert images["python"].startswith(f"{python}.")
