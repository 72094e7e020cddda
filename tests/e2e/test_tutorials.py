"""The tutorials: a reader does what they say, one after the other, and sees what they show."""

import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from tests.e2e.people import Member
from tests.e2e.reader import Reader
from tests.project import PROJECT
from tests.stacks import Stack

TUTORIALS = PROJECT / "docs" / "tutorials"


@pytest.fixture(scope="module")
async def reader(
    stack: Stack, browser: Browser, alice: Member, bob: Member, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Reader]:
    async def begins_anew() -> None:
        for person in (alice, bob):
            for server in await person.call("GET", "/servers"):
                await person.succeeded(await person.delete(server))

    # Who reads them has no server yet, and has not been in a JupyterLab, which remembers what was open there.
    await begins_anew()
    for kept in (stack.data_root / "notebooks").glob("*/.jupyter"):
        shutil.rmtree(kept)
    async with Reader.at(tmp_path_factory.mktemp("reader"), browser, stack.info.api) as reader:
        yield reader
    await begins_anew()


READ = ("first-server", "command", "share", "secret")


def test_all_of_them_are_read() -> None:
    """But the one that tests/checklist walks."""
    assert {path.stem for path in TUTORIALS.glob("*.md")} == {*READ, "kind"}


@pytest.mark.parametrize("name", READ)
async def test_what_it_says_is_so(name: str, reader: Reader, request: pytest.FixtureRequest) -> None:
    """Each goes on where the one before it has ended."""
    pictures = TUTORIALS if request.config.getoption("--screenshots") else None
    await reader.follow((TUTORIALS / f"{name}.md").read_text(), pictures=pictures)
