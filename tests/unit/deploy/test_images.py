"""Images: what is copied into them is there, and is what their programs need."""

import fnmatch
import re

import pytest

from hub.settings import HubSettings
from tests.project import PROJECT
from tests.unit.deploy.deployment import DEPLOY, copied

DOCKERFILES = ("deploy/Dockerfile", "deploy/jupyterhub.Dockerfile")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_dockerfile_copies_what_is_there_and_runs_as_nobody_special(name: str) -> None:
    text = (PROJECT / name).read_text()
    patterns = [
        line.strip() for line in (PROJECT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"
    ]
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", text, re.MULTILINE)

    assert patterns[0] == "*"
    for source in copied(text):
        assert (PROJECT / source).exists(), source
        assert any(
            source == shown or source.startswith(f"{shown}/") or fnmatch.fnmatch(source, shown)
            for shown in (pattern[1:] for pattern in patterns if pattern[0] == "!")
        ), f"{source} is kept from the image"
    assert len(stages) == len(re.findall(r"^FROM ", text, re.MULTILINE))
    assert all(re.search(r":\d+\.\d+\.\d+(-[\w-]+)?$", image) for image, _ in stages)
    assert set(re.findall(r"--from=(\S+)", text)) <= {stage for _, stage in stages}
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["1000:1000"]


def test_every_package_that_runs_is_in_the_image() -> None:
    server, hub = (copied((PROJECT / name).read_text()) for name in DOCKERFILES)

    assert {"worker.py", "activities", "api", "integrations", "models", "operating", "workflows"} <= set(server)
    assert {"hub", "models/__init__.py", "models/domain"} <= set(hub)


def test_image_has_what_servers_in_sandboxes_need() -> None:
    text = (DEPLOY / "jupyterhub.Dockerfile").read_text()
    installed = re.search(r"apt-get install (.*?) \\\n", text)
    assert installed is not None

    assert {"bubblewrap", "lmod"} <= set(installed[1].split())
    # Debian's package has Lmod's start-up file here, and sandboxes show all of it.
    lmod = HubSettings.from_environment({"NBHUB_HUB_DATA_DIR": "/data"}).lmod_init
    assert lmod.startswith("/usr/share/lmod/")
