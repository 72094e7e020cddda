"""Tests lie where the code lies that they test, so that whoever knows one finds the other."""

import pytest

from tests.project import PROJECT

UNIT = PROJECT / "tests" / "unit"
FOLDERS = sorted({str(path.parent.relative_to(UNIT)) for path in UNIT.rglob("*.py")} - {"."})


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_of_unit_tests_is_named_as_what_it_tests(folder: str) -> None:
    assert (PROJECT / folder).is_dir(), f"tests/unit/{folder}: there is no {folder}/"
