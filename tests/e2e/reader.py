"""A reader of a tutorial, who has a terminal and a browser and does what it says, by its words.

In the text, what is done is written as `press **Name**`, where several have the name `press **Name** of *thing*`, `tick
**Name**`, ``type `text` into **Field**`` and `open <address>`; what is seen then is in "quotes". Nothing else is bold.
Blocks of `sh` are typed in the terminal, those of `python` in the notebook that is shown; a block of `text` is what
they print, line by line, among other lines. A picture is of what the browser shows at this place.
"""

import asyncio
import os
import re
import shlex
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Self

from playwright.async_api import Browser, Locator, Page, ViewportSize, expect

from tests.e2e.visitors import SECONDS, Visitor, visiting
from tests.project import PROJECT

ADDRESS = "http://127.0.0.1:8002"
"""Where tutorials have the page; a stack of tests is elsewhere."""
SMALL = ViewportSize(width=1080, height=640)
_WINDOWS = {"private window": "private", "own window": "own"}
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_DONE = re.compile(
    r"[Oo]pen <(?P<address>[^>]+)>"
    r"|[Pp]ress \*\*(?P<pressed>[^*]+)\*\*(?: of \*(?P<of>[^*]+)\*)?"
    r"|[Tt]ick \*\*(?P<ticked>[^*]+)\*\*"
    r"|[Tt]ype `(?P<typed>[^`]+)` into \*\*(?P<field>[^*]+)\*\*"
    r"|your (?P<window>private window|own window)"
    r"|\"(?P<seen>[^\"]+)\""
    r"|!\[[^\]]+\]\((?P<picture>[^)]+)\)"
)
# What is another each time: ids, the ends of names, ports, and how long it took.
_VARIES = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=-)[0-9a-f]{8,12}\b|(?<=127\.0\.0\.1:)\d+|\d+\.\d s"
    r"|\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\dZ"
)
_ROLES = ("button", "link", "menuitem", "radio", "checkbox", "tab")


def parts_of(tutorial: str) -> Iterator[tuple[str, str]]:
    """The blocks of a tutorial, by their language, and the `prose` between them."""
    pieces = _BLOCK.split(tutorial)
    yield "prose", pieces[0]
    for language, block, prose in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        yield language, block
        yield "prose", prose


def told(text: str) -> list[str]:
    """The lines of an output, without what is another each time."""
    return [" ".join(_VARIES.sub("…", line).split()) for line in text.splitlines() if line.strip()]


class Terminal:
    """A shell in a directory of its own, from which the project's programs are at hand."""

    def __init__(self, process: asyncio.subprocess.Process, opened: asyncio.StreamReader) -> None:
        self._process, self._opened = process, opened
        self._runs: asyncio.Task[str] | None = None

    @classmethod
    @asynccontextmanager
    async def at(cls, directory: Path, api: str) -> AsyncIterator[Self]:
        """One whose browser writes down which addresses it is to show."""
        os.mkfifo(directory / "opened")
        (directory / ".venv").symlink_to(PROJECT / ".venv")
        browser = directory / "browser"
        browser.write_text(f'#!/bin/sh\necho "$1" > {shlex.quote(str(directory / "opened"))}\n')
        browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
        environment = {
            **{name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ},
            **{"HOME": str(directory), "NBHUB_CONFIG_DIR": str(directory / "nbhub"), "NBHUB_URL": api},
            **{"DISPLAY": ":0", "BROWSER": f"{browser} %s"},
        }
        opened = asyncio.StreamReader()
        # Held open for writing, too: it does not end with the first who writes.
        ends = os.fdopen(os.open(directory / "opened", os.O_RDWR | os.O_NONBLOCK), "rb", buffering=0)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(opened), ends
        )
        process = await asyncio.create_subprocess_exec(
            *("bash", "--norc", "-e", "-o", "pipefail"),
            cwd=directory,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            yield cls(process, opened)
        finally:
            transport.close()
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def type(self, block: str) -> str | None:
        """Type a block; the address that it has shown in the browser by the time it waits for it, or has ended."""
        self._runs = asyncio.create_task(self._run(block))
        shown = asyncio.create_task(self._opened.readline())
        await asyncio.wait((self._runs, shown), return_when=asyncio.FIRST_COMPLETED, timeout=SECONDS / 1000)
        if shown.done():
            return shown.result().decode().strip()
        shown.cancel()
        await self.printed()
        return None

    async def printed(self) -> str:
        """What the block has printed that was typed last, once it has ended."""
        return await asyncio.wait_for(asyncio.shield(self._runs), SECONDS / 1000) if self._runs else ""

    async def _run(self, block: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{{ {block}}} < /dev/null\necho '--- ended'\n".encode())
        said = ""
        while not said.endswith("--- ended\n"):
            line = (await self._process.stdout.readline()).decode()
            assert line, f"this has failed:\n{block}\n{said}"
            said += line
        return said


class Reader:
    """Who reads tutorials, one after the other; each begins with what the last one has left."""

    def __init__(self, terminal: Terminal, browser: Browser, api: str, windows: AsyncExitStack) -> None:
        self._terminal, self._browser, self._api, self._opened = terminal, browser, api, windows
        self._windows: dict[str, Visitor] = {}
        self._window = "own"
        self._page: Page | None = None
        self._output: Locator | None = None

    @classmethod
    @asynccontextmanager
    async def at(cls, directory: Path, browser: Browser, api: str) -> AsyncIterator[Self]:
        """One who has read nothing yet."""
        async with Terminal.at(directory, api) as terminal, AsyncExitStack() as windows:
            yield cls(terminal, browser, api, windows)

    async def follow(self, tutorial: str, *, pictures: Path | None) -> None:
        """Do what a tutorial says; its pictures are made anew in the directory `pictures`, if there is one."""
        for language, part in parts_of(tutorial):
            match language:
                case "prose":
                    await self._read(" ".join(part.split()), pictures)
                case "sh":
                    self._output = None
                    if address := await self._terminal.type(part.replace(ADDRESS, self._api)):
                        await self._show(address, tab=True)
                case "python":
                    await self._execute(part)
                case "text":
                    await self._compare(part)
                case _:
                    raise AssertionError(f"nobody knows what to do with {language}")
        await self._terminal.printed()

    async def _read(self, prose: str, pictures: Path | None) -> None:
        assert "**" not in _DONE.sub("", prose), f"not done: {_DONE.sub('', prose)}"
        for found in _DONE.finditer(prose):
            if address := found["address"]:
                await self._show(address.replace(ADDRESS, self._api))
            elif window := found["window"]:
                self._window, self._page = _WINDOWS[window], None
            elif name := found["pressed"]:
                await self._named(name, found["of"]).click()
            elif name := found["ticked"]:
                await self._now.get_by_role("checkbox", name=name).check()
            elif text := found["typed"]:
                field = self._now.get_by_label(found["field"], exact=True)
                await field.or_(self._now.get_by_placeholder(found["field"], exact=True)).fill(text)
            elif seen := found["seen"]:
                # As it is written: "Stopped" is how a server is, "was stopped" what became of it.
                written = self._now.get_by_text(re.compile(re.escape(seen)))
                await expect(written.filter(visible=True).first).to_be_visible(timeout=SECONDS)
            elif pictures is not None:
                await self._picture(pictures / found["picture"])

    @property
    def _now(self) -> Page:
        if self._page is None:
            # Back in a window, what was shown there last is shown.
            self._page = self._windows[self._window].page.context.pages[-1]
        return self._page

    async def _show(self, address: str, *, tab: bool = False) -> None:
        """Show an address, in a tab of its own if it is not the reader who typed it."""
        if self._window not in self._windows:
            visit = visiting(self._browser, self._api, viewport=SMALL, reduced_motion="reduce")
            self._windows[self._window] = await self._opened.enter_async_context(visit)
        elif tab:
            self._page = await self._windows[self._window].page.context.new_page()
            self._page.set_default_timeout(SECONDS)
        await self._now.goto(address, wait_until="commit")

    def _named(self, name: str, of: str | None) -> Locator:
        """What is pressed: by its name, or by what is written on it and the thing that its name is of."""
        page = self._now
        if of is None:
            found = page.get_by_role(_ROLES[0], name=name, exact=True)  # type: ignore[arg-type]
            for role in _ROLES[1:]:
                found = found.or_(page.get_by_role(role, name=name, exact=True))  # type: ignore[arg-type]
            return found.filter(visible=True)
        written = re.compile(rf"^\s*{re.escape(name)}\s*$")
        found = page.locator(f".jp-LauncherCard[data-category='{of}']")
        for role in _ROLES:
            found = found.or_(page.get_by_role(role, name=of))  # type: ignore[arg-type]
        return found.filter(has_text=written, visible=True)

    async def _execute(self, code: str) -> None:
        notebook = self._now.locator(".jp-Notebook").filter(visible=True)
        await expect(self._now.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=SECONDS)
        outputs = notebook.locator(".jp-OutputArea-output")
        cell = notebook.locator(".jp-Cell .cm-content").last
        before = await outputs.count()
        await cell.fill(code.rstrip())
        await expect(cell).to_have_text(code.rstrip().replace("\n", ""))
        await cell.press("Shift+Enter")
        self._output = outputs.nth(before)

    async def _compare(self, expected: str) -> None:
        """What was printed has these lines, in this order."""
        if self._output is not None:
            await expect(self._output).to_contain_text(expected.strip(), timeout=SECONDS)
            return
        printed = await self._terminal.printed()
        lines = iter(told(printed))
        for line in told(expected):
            assert line in lines, f"{line!r} is not what is printed:\n{printed}"

    async def _picture(self, path: Path) -> None:
        page = self._now
        await expect(page.locator(".panel[aria-busy='true']")).to_have_count(0, timeout=SECONDS)
        await page.mouse.move(0, 0)
        await page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        await page.screenshot(path=path)
