"""Scripts of the deployment: they parse, and turn files of secrets into what programs read."""

import os
import re
from pathlib import Path

import pytest

from tests.project import PROJECT
from tests.unit.deploy.deployment import COMPOSE, DEPLOY, run

SCRIPTS = (
    "deploy/entrypoint.sh",
    "deploy/make-secrets.sh",
    "deploy/postgres/initialised.sh",
    "deploy/postgres/start.sh",
    "deploy/rotate-keys.sh",
    "deploy/temporal/setup.sh",
    "deploy/vault/setup.sh",
)
# Read by others and not run.
PARTS_OF_SCRIPTS = ("deploy/secret-files.sh",)
# Variables that an image reads as a file itself, so that our entrypoint has to leave them alone.
NATIVE_FILES = {"POSTGRES_PASSWORD_FILE"}


@pytest.mark.parametrize("name", [*SCRIPTS, *PARTS_OF_SCRIPTS])
@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_script_parses(name: str, shell: str) -> None:
    assert run(shell, "-n", str(PROJECT / name)).stderr == ""
    assert os.access(PROJECT / name, os.X_OK) == (name in SCRIPTS)
    assert not re.search(r"\beval\b", (PROJECT / name).read_text())


def allowed_names() -> set[str]:
    """What the entrypoint turns into variables."""
    listed = re.search(r"for name in(.*?); do", (DEPLOY / "entrypoint.sh").read_text(), re.DOTALL)
    assert listed is not None
    return set(re.findall(r"[A-Z][A-Z_]+", listed[1]))


def test_entrypoint_lists_the_names_that_services_give_it() -> None:
    given: set[str] = set()
    for service in COMPOSE["services"].values():
        if "/nbhub/entrypoint.sh" in service.get("entrypoint", ()):
            assert "./deploy/entrypoint.sh:/nbhub/entrypoint.sh:ro" in service["volumes"]
            given |= {name for name in service["environment"] if name.endswith("_FILE")} - NATIVE_FILES

    assert {f"{name}_FILE" for name in allowed_names()} == given
    databases = re.findall(r"\\getenv \w+ (\w+)", (DEPLOY / "postgres" / "init.sql").read_text())
    assert {f"{name}_FILE" for name in databases} <= set(COMPOSE["services"]["postgres"]["environment"])
    assert set(databases) <= allowed_names()


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_entrypoint_exports_listed_files_and_executes(shell: str, tmp_path: Path) -> None:
    value = "a $(id) `id` 'b' \"c\" \\n *"
    (tmp_path / "token").write_text(f"{value}\n")
    # Another script would be in the way if the command were not executed as it is.
    program = 'printf "%s\\n" "$#" "$1" "$SQL_PASSWORD" "${SQL_PASSWORD_FILE-gone}" "${OTHER-absent}" "$OTHER_FILE"'

    done = run(
        *(shell, str(DEPLOY / "entrypoint.sh"), "sh", "-c", program, "sh", "two words"),
        SQL_PASSWORD_FILE=str(tmp_path / "token"),
        OTHER_FILE=str(tmp_path / "token"),
    )

    assert done.stdout.splitlines() == ["1", "two words", value, "gone", "absent", str(tmp_path / "token")]


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_entrypoint_refuses_to_start_without_a_secret(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)

    done = run("sh", str(DEPLOY / "entrypoint.sh"), "echo", "started", KC_DB_PASSWORD_FILE=str(file))

    assert done.returncode != 0
    assert done.stdout == ""
    assert str(file) in done.stderr


def test_temporal_ui_has_the_api_decode_for_who_signed_in() -> None:
    environment = COMPOSE["services"]["temporal-ui"]["environment"]
    assert environment["TEMPORAL_CODEC_ENDPOINT"] == "${PUBLIC_API_URL:?see deploy/.env.example}/codec"
    assert environment["TEMPORAL_CODEC_PASS_ACCESS_TOKEN"] == environment["TEMPORAL_AUTH_ENABLED"] == "true"
