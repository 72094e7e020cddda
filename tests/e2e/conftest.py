"""People who are signed in on the whole stack."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from playwright.async_api import Browser, async_playwright

from tests.e2e.people import Member
from tests.stacks import Stack


@pytest.fixture(scope="session")
async def alice(stack: Stack) -> AsyncIterator[Member]:
    async with Member.signed_in(stack.info.api, "alice@example.org", await stack.token("alice@example.org")) as member:
        yield member


@pytest.fixture(scope="session")
async def bob(stack: Stack) -> AsyncIterator[Member]:
    async with Member.signed_in(stack.info.api, "bob@example.org", await stack.token("bob@example.org")) as member:
        yield member


@pytest.fixture(scope="session")
async def admin(stack: Stack) -> AsyncIterator[Member]:
    async with Member.signed_in(stack.info.api, "admin@example.org", await stack.token("admin@example.org")) as member:
        yield member


@pytest.fixture(scope="session")
def hub_token(stack: Stack) -> Callable[[str], Awaitable[str]]:
    """A JupyterHub token of a person, with the rights of a browser session."""
    return stack.hub_token


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    program = shutil.which("chromium")
    assert program, "chromium is missing: apt-get install chromium"
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=quiet)
        yield browser
        await browser.close()
