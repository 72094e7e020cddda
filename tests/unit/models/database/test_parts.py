"""What a text is found by in an index: every part of it of one, two and three characters."""

import pytest

from models.database.sql import row

pytestmark = pytest.mark.usefixtures("database")


def parts_of(text: str) -> set[str]:
    return {text[start : start + size] for start in range(len(text)) for size in (1, 2, 3)}


@pytest.mark.parametrize("text", ["", "a", "ab", "aaaa", "Microscope 7", "жук\nüber 😀 'x\"\\{,}", "long " * 500])
async def test_parts_are_all_of_one_two_and_three_characters(text: str) -> None:
    found = await row("SELECT parts(:text) AS parts", text=text)
    assert found is not None
    assert set(found["parts"]) == parts_of(text)


async def test_nothing_has_no_parts() -> None:
    assert await row("SELECT parts(NULL) AS parts") == {"parts": None}
