"""Tests lie where the code lies that they test, so that whoever knows one finds the other."""

import re

import pytest

from tests.project import PROJECT

UNIT = PROJECT / "tests" / "unit"
FOLDERS = sorted({str(path.parent.relative_to(UNIT)) for path in UNIT.rglob("*.py")} - {"."})


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_of_unit_tests_is_named_as_what_it_tests(folder: str) -> None:
    assert (PROJECT / folder).is_dir(), f"tests/unit/{folder}: there is no {folder}/"


CONTROLLER = re.compile(r"^class \w+\(Controller\)", re.MULTILINE)
RESOURCES = sorted(path.stem for path in (PROJECT / "api").glob("*.py") if CONTROLLER.search(path.read_text()))


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_resource_has_tests_of_its_own(resource: str) -> None:
    assert list((PROJECT / "tests").glob(f"*/api/test_{resource}.py")), f"no tests/unit/api/test_{resource}.py"
