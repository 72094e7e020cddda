"""PostgreSQL of a deployment: a first initialisation that is cut off is begun again, and nothing else is lost."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.deploy.deployment import COMPOSE, DEPLOY, mounts_of, run


class Cluster:
    """Starts a database as its container does, with a stand-in for the image's entry point and what it makes."""

    def __init__(self, volume: Path) -> None:
        self.data = volume / "18" / "docker"
        self._programs = volume.with_name("programs")
        self._programs.mkdir()

    def start(self, *, cut_off: bool = False) -> subprocess.CompletedProcess[str]:
        last = "kill -9 $$" if cut_off else str(DEPLOY / "postgres" / "initialised.sh")
        program = self._programs / "docker-entrypoint.sh"
        program.write_text(
            f"#!/bin/sh\nset -eu\n"
            f'if [ ! -s "$PGDATA/PG_VERSION" ]; then\n'
            f'  mkdir -p "$PGDATA"; echo 18 >"$PGDATA/PG_VERSION"; {last}; date +%N >"$PGDATA/whole"\n'
            f"fi\n"
            f'echo "$@"\n'
        )
        program.chmod(0o755)
        path = f"{self._programs}:{os.environ['PATH']}"
        return run("sh", str(DEPLOY / "postgres" / "start.sh"), "postgres", PGDATA=str(self.data), PATH=path)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    (tmp_path / "volume").mkdir()
    return Cluster(tmp_path / "volume")


def test_postgresql_begins_again_when_its_first_initialisation_was_cut_off(cluster: Cluster) -> None:
    assert cluster.start(cut_off=True).returncode != 0
    (cluster.data / "half").touch()

    again = cluster.start()

    assert (again.returncode, again.stdout) == (0, "postgres\n"), again.stderr
    assert {file.name for file in cluster.data.iterdir()} == {"PG_VERSION", "whole"}


def test_postgresql_keeps_what_was_initialised_once(cluster: Cluster) -> None:
    cluster.start()
    whole = (cluster.data / "whole").read_text()

    assert cluster.start().returncode == 0

    assert (cluster.data / "whole").read_text() == whole


def test_postgresql_keeps_what_was_there_before_its_initialisation_was_watched(cluster: Cluster) -> None:
    cluster.data.mkdir(parents=True)
    (cluster.data / "PG_VERSION").write_text("18\n")

    assert cluster.start(cut_off=True).returncode == 0

    assert [file.name for file in cluster.data.iterdir()] == ["PG_VERSION"]


def test_what_initialises_postgresql_is_told_last_that_it_is_done() -> None:
    scripts = [Path(at).name for _, at in mounts_of(COMPOSE["services"]["postgres"]) if "initdb.d" in at]

    # The image runs them by their names, which some locales sort without the dot.
    assert sorted(name.replace(".", "") for name in scripts) == [name.replace(".", "") for name in scripts]
    assert scripts == ["init.sql", "last.sh"]
