"""The synchronous client is what is made of the asynchronous one."""

import importlib.util
import tomllib
from types import ModuleType

import pytest

from nbhub.version import __version__
from tests.project import PROJECT

CLIENT = PROJECT / "client"


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_sync", CLIENT / "generate_sync.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_has_the_same_modules() -> None:
    written, made = (
        {path.name for path in (CLIENT / "nbhub" / one).glob("*.py")} for one in ("asynchronous", "synchronous")
    )
    assert written == made


@pytest.mark.parametrize("name", sorted(path.name for path in (CLIENT / "nbhub" / "asynchronous").glob("*.py")))
def test_a_module_is_what_is_made_of_the_other(maker: ModuleType, name: str) -> None:
    written = (CLIENT / "nbhub" / "asynchronous" / name).read_text()
    made = (CLIENT / "nbhub" / "synchronous" / name).read_text()
    assert made == maker.generate(written, name), "make client"
    assert "await" not in made.replace("nbhub.awaiting", "").replace("Awaited", "")


def test_it_says_which_version_it_is() -> None:
    assert tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]["version"] == __version__


def test_it_needs_no_more_than_http_and_structs() -> None:
    project = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]
    assert [one.partition(">")[0] for one in project["dependencies"]] == ["httpx2", "msgspec"]
