"""A person in front of the page, in a real browser, whose console and policy are watched."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, FileChooser, Locator, Page, ViewportSize, expect
from playwright.async_api import Error as PlaywrightError

from stack import tools
from stack.progress import Progress

SECONDS = 120_000
expect.set_options(timeout=SECONDS)
_WATCH = """addEventListener("securitypolicyviolation", event =>
    console.error("POLICY", event.violatedDirective, event.blockedURI, event.sample))"""
# Who has no mouse presses nothing with one, and a test that pretends to have none neither.
_NO_MOUSE = """addEventListener("mousedown", event =>
    event.isTrusted && console.error("MOUSE", event.target.outerHTML), true)"""
# What a browser says of an answer that is no success is no fault of the page.
_EXPECTED = "Failed to load resource"
WIDE, NARROW = ViewportSize(width=1280, height=900), ViewportSize(width=320, height=256)


@dataclass(frozen=True)
class Manner:
    """How somebody uses the page."""

    dark: bool = False
    zoomed: bool = False
    """At 400 %: a window of 1280 by 1024 pixels has 320 by 256 of the page's."""
    keyboard: bool = False
    """Without a mouse."""

    def __str__(self) -> str:
        """As a test's name has it."""
        scheme, size, hand = ("light", "dark")[self.dark], ("100 %", "400 %")[self.zoomed], "keyboard" * self.keyboard
        return ", ".join(filter(None, (scheme, size, hand or "mouse")))

    @property
    def window(self) -> ViewportSize:
        return NARROW if self.zoomed else WIDE


class Visitor:
    """A person with a browser of their own."""

    def __init__(self, page: Page, api: str, manner: Manner) -> None:
        self.page = page
        self.api = api
        self.manner = manner
        self.faults: list[str] = []
        self.asked: list[str] = []
        self.steps = 0
        """How much was pressed and filled in."""
        page.on("console", lambda said: self._heard(said.type, said.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda sent: self.asked.append(sent.url))

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not text.startswith(_EXPECTED) and self.page.url.startswith(self.api):
            self.faults.append(text)

    async def sign_in(self, email: str, address: str = "/") -> None:
        """Open an address of the page and follow the sign-in until the page is there."""
        await self.page.goto(self.api + address)
        await self.page.fill("input[name=email]", email)
        await self.page.fill("input[name=password]", email.partition("@")[0])
        await self.page.click("button")
        await expect(self.page.get_by_role("button", name="Account")).to_be_visible(timeout=SECONDS)

    async def press(self, meant: Locator) -> None:
        """Press a button, a link, a choice of a menu; turn a box or a choice of several on or off."""
        if self.manner.zoomed:
            assert await self.page.evaluate(_SCROLLED) == []
            assert await self.page.locator(".toast:visible").count() <= 1, "there is room for one"
        self.steps += 1
        if not self.manner.keyboard:
            await meant.click()
        elif (is_now := await self._reach(meant)) != "chosen":
            await self.page.keyboard.press("Space" if is_now == "choice" else "Enter")

    async def press_of(self, name: str, choice: str) -> None:
        """Press one of the choices of the menu of something."""
        await self.press(self.page.get_by_role("button", name=f"More for {name}"))
        await self.press(self.page.get_by_role("menuitem", name=choice))

    async def write(self, field: Locator, text: str) -> None:
        """Put a text into a field, in place of what is there."""
        self.steps += 1
        if not self.manner.keyboard:
            await field.fill(text)
        else:
            await self._reach(field)
            await self.page.keyboard.press("Control+a")
            await self.page.keyboard.press("Delete")
            await self.page.keyboard.type(text)

    async def choose(self, field: Locator, label: str) -> None:
        """Choose one of a list that opens, by its words."""
        self.steps += 1
        if not self.manner.keyboard:
            await field.select_option(label=label)
        else:
            await self._reach(field)
            await self.page.keyboard.type(label)

    async def upload(self, button: Locator, *files: Path) -> None:
        async with self.page.expect_file_chooser() as opened:
            await self.press(button)
        chooser: FileChooser = await opened.value
        await chooser.set_files(list(files))

    async def undo(self) -> None:
        """Take back what was done last."""
        button = self.page.get_by_role("button", name="Undo").last
        await expect(button).to_be_visible()
        await (self.page.keyboard.press("Control+z") if self.manner.keyboard else button.click())

    async def _reach(self, meant: Locator, *, within: int = 150) -> str:
        """Come to something by the keyboard alone; whether it is a `choice`, and `chosen`."""
        await expect(meant).to_be_enabled()
        for _ in range(within):
            key: str = await meant.evaluate(_NEXT_KEY)
            if not key[0].isupper():
                return key
            await self.page.keyboard.press(key)
        raise AssertionError(f"{meant} is further than {within} presses of a key from where one is")

    async def runs(self, code: str, jupyterhub: str) -> Locator:
        """Run a line of code in the JupyterLab into which the page turns by itself; where its output will be."""
        page = self.page
        await page.wait_for_url(f"{jupyterhub}/user/**/lab**", timeout=SECONDS, wait_until="commit")
        # JupyterLab is another's page: it is used as everybody does.
        await page.set_viewport_size(WIDE)
        # Whatever an earlier visit left open.
        await page.goto(f"{page.url.partition('?')[0]}?reset", wait_until="commit")
        await page.locator(".jp-LauncherCard[data-category=Notebook]").first.click()
        await expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=SECONDS)
        cell = page.locator(".jp-Notebook .cm-content").first
        await cell.click()
        await cell.press_sequentially(code)
        await expect(cell).to_have_text(code)
        await cell.press("Shift+Enter")
        return page.locator(".jp-OutputArea-output").first

    async def comes_back(self) -> None:
        """Open the page again."""
        await self.page.set_viewport_size(self.manner.window)
        await self.page.goto(f"{self.api}/ui")

    async def picture(self, path: Path) -> None:
        """A picture of the page in light, and one in dark beside it."""
        for scheme in ("light", "dark"):
            await self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            # Until the new colours are painted everywhere.
            await self.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            await self.page.screenshot(path=path.with_name(f"{path.name}-{scheme}.png"))


# The key that leads on to what is meant; once one is there, what it is.
_NEXT_KEY = """meant => {
    const now = document.activeElement
    if (now === meant && now.type === "radio") return now.checked ? "chosen" : "choice"
    if (now === meant) return now.type === "checkbox" ? "choice" : "other"
    if (now.closest("[role=menu]") && meant.closest("[role=menu]")) return "ArrowDown"
    return now.type === "radio" && meant.type === "radio" && now.name === meant.name ? "ArrowDown" : "Tab"
}"""


@asynccontextmanager
async def visiting(browser: Browser, api: str, manner: Manner = Manner(), **options: Any) -> AsyncIterator[Visitor]:
    """A visitor whom nobody knows yet; nothing may have been wrong in the end."""
    seen = {"viewport": manner.window, "color_scheme": "dark" if manner.dark else "light"}
    context: BrowserContext = await browser.new_context(**seen | options)
    page = await context.new_page()
    page.set_default_timeout(SECONDS)
    await page.add_init_script(_WATCH)
    if manner.keyboard:
        await page.add_init_script(_NO_MOUSE)
    visitor = Visitor(page, api, manner)
    try:
        yield visitor
    except Exception:
        with suppress(PlaywrightError):
            sys.stderr.write(f"{page.url} showed\n{await page.locator('body').aria_snapshot()}\n")
        raise
    finally:
        await context.close()
    assert visitor.faults == [], visitor.faults


_AXE = "asked => axe.run({runOnly: asked}).then(all => all.violations)"
_RULES_OF_SIZES = ["target-size", "scrollable-region-focusable"]
_ALL_RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]
# What is scrolled sideways; code and tables of it may be.
_SCROLLED = """[...document.querySelectorAll("html, body, body *:not(pre, input, textarea, .only-heard)")]
    .filter(it => it.scrollWidth > it.clientWidth + 1 && (it === document.documentElement ||
                  ["auto", "scroll"].includes(getComputedStyle(it).overflowX)))
    .map(it => `${it.localName}.${it.className} is ${it.scrollWidth} pixels wide`)"""


async def barriers(page: Page) -> list[str]:
    """What keeps some people from using the page as it is shown; needs a context without a policy.

    As axe finds it in light, of colours also in dark, and of sizes also in a window of 1280 pixels at 400 %, where
    nothing may have to be scrolled sideways.
    """
    if not await page.evaluate("'axe' in window"):
        modules = await tools.page_tools(Progress(quiet=True))
        await page.evaluate(await asyncio.to_thread((modules / "axe-core" / "axe.min.js").read_text))
    found: list[dict[str, Any]] = await page.evaluate(_AXE, _ALL_RULES)
    await page.emulate_media(color_scheme="dark")
    found += await page.evaluate(_AXE, ["color-contrast"])
    await page.emulate_media(color_scheme="light")
    await page.set_viewport_size(NARROW)
    found += await page.evaluate(_AXE, _RULES_OF_SIZES)
    scrolled: list[str] = await page.evaluate(_SCROLLED)
    await page.set_viewport_size(WIDE)
    return [f"{one['id']}: {[node['html'] for node in one['nodes']]}" for one in found] + scrolled
