"""Whoever has a client made of the API's document gets a whole one."""

import compileall
import subprocess
import sys
from pathlib import Path

from api.document import DOCUMENT


def test_a_generator_makes_a_client_and_misses_nothing(tmp_path: Path) -> None:
    configuration = tmp_path / "configuration.yml"
    configuration.write_text("post_hooks: []\n")
    made = subprocess.run(
        [
            *(Path(sys.executable).with_name("openapi-python-client"), "generate", "--fail-on-warning"),
            *("--path", DOCUMENT, "--config", configuration),
            *("--meta", "none", "--output-path", tmp_path / "client"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert compileall.compile_dir(tmp_path / "client", quiet=1)
