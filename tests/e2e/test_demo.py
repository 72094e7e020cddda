"""The demo as a newcomer starts it, in a clone: its story, its page, its links, and what its processes weigh then."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, expect

from stack.state import Info, processes_of, read_state
from tests.e2e.visitors import SECONDS, visiting
from tests.project import PROJECT

STEPS = 8
"""To a notebook that waits for code: two commands, an address, two fields, two buttons, and a kind of notebook."""


@dataclass
class Demo:
    """A demo whose story was told, and that stays up."""

    directory: Path
    process: asyncio.subprocess.Process
    told: str
    links: list[str]
    took: float
    """Seconds from `git clone` to the links."""

    @property
    def info(self) -> Info:
        state = read_state(self.directory)
        assert state is not None
        assert state.info is not None
        return state.info


@pytest.fixture(scope="module")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    """`git clone` of what is committed, and in it what `make demo` does."""
    directory, clone = tmp_path_factory.mktemp("demo"), tmp_path_factory.mktemp("clone")
    began = time.monotonic()
    await _done("git", "clone", "--quiet", f"file://{PROJECT}", clone)
    # Who has uv is not given another.
    path = f"{PROJECT}/.tools/bin:{os.environ['PATH']}"
    await _done("make", "--silent", "-C", clone, "setup", env={**os.environ, "PATH": path})
    program = clone / ".venv" / "bin" / "nbhub"
    process = await asyncio.create_subprocess_exec(program, "demo", "--dir", directory, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    told, links = "", list[str]()
    try:
        async with asyncio.timeout(400):
            while "Ctrl-C ends it" not in (line := (await process.stdout.readline()).decode()):
                assert not process.stdout.at_eof()
                told += line
            while "People" not in (line := (await process.stdout.readline()).decode()):
                links += [word for word in line.split() if word.startswith("http")]
        yield Demo(directory, process, told.partition("The story")[2], links, time.monotonic() - began)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            await process.wait()


async def _done(*command: str | Path, env: dict[str, str] | None = None) -> None:
    process = await asyncio.create_subprocess_exec(*command, env=env)
    assert await process.wait() == 0, command


def test_the_story_is_told_to_its_end(demo: Demo) -> None:
    told = demo.told
    assert "6 * 7 = 42" in told
    assert "reads 'forty-two cells'; cannot write: Read-only file system" in told
    assert "reads 'forty-two cells'; writes too" in told
    assert "is loaded, MICROSCOPE=confocal" in told
    assert told.count("secret: fingerprint") == 2, "of the owner and of the recipient"
    assert told.count("secret: not there") == 2, "of who was not given it, and after the revoke"
    assert told.count(demo.info.temporal_ui) == 21, "each operation with the link to its workflow"


async def test_the_page_alone_leads_a_newcomer_to_code_that_runs(
    demo: Demo, browser: Browser, record_property: Callable[[str, object], None]
) -> None:
    began = time.monotonic()
    (address,) = [link for link in demo.links if link.endswith("/ui")]
    async with visiting(browser, demo.info.api) as visitor:
        page = visitor.page
        await page.goto(address)
        await visitor.write(page.locator("input[name=email]"), "alice@example.org")
        await visitor.write(page.locator("input[name=password]"), "alice")
        await visitor.press(page.get_by_role("button"))
        await visitor.press(page.get_by_role("button", name="Start JupyterLab"))
        printed = await visitor.runs("print(6 * 7)", demo.info.jupyterhub)
        await expect(printed).to_have_text("42", timeout=SECONDS)
        spent = time.monotonic() - began
        # `git clone` and `make demo`; the address; and the notebook of JupyterLab's launcher.
        steps = 2 + 1 + visitor.steps + 1
        record_property(
            "from git clone to code in one's own JupyterLab",
            f"{steps} steps, {demo.took:.0f} s until all is up and the story is told, {spent:.0f} s in the page",
        )
        assert steps <= STEPS
        await visitor.comes_back()
        await visitor.press(page.get_by_role("button", name="Stop JupyterLab"))
        await expect(page.get_by_text("Stopped", exact=True)).to_be_visible(timeout=SECONDS)


@pytest.mark.parametrize(("part", "megabytes"), [("api", 200), ("worker", 250)])
def test_a_process_stays_small(demo: Demo, part: str, megabytes: int) -> None:
    status = Path(f"/proc/{demo.info.pids[part]}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    assert int(resident.split()[1]) / 1024 <= megabytes, resident


async def test_it_ends_with_links_that_live_and_stays_up_until_ctrl_c(demo: Demo) -> None:
    assert len({*demo.links}) == len(demo.links) == 7
    async with httpx.AsyncClient(follow_redirects=True, timeout=30) as client:
        for link in demo.links:
            assert (await client.get(link)).status_code < 500, link
    demo.process.send_signal(signal.SIGINT)
    assert await demo.process.wait() == 0
    assert processes_of(demo.directory) == []
