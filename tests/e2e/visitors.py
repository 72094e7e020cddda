"""A person in front of the page, in a real browser, whose console and policy are watched."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, expect

from stack import tools
from stack.progress import Progress

SECONDS = 120_000
_WATCH = """addEventListener("securitypolicyviolation", event =>
    console.error("POLICY", event.violatedDirective, event.blockedURI, event.sample))"""
# What a browser says of an answer that is no success is no fault of the page.
_EXPECTED = "Failed to load resource"


class Visitor:
    """A person with a browser of their own."""

    def __init__(self, page: Page, api: str) -> None:
        self.page = page
        self.api = api
        self.faults: list[str] = []
        self.asked: list[str] = []
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

    async def picture(self, path: Path) -> None:
        """A picture of the page in light, and one in dark beside it."""
        for scheme in ("light", "dark"):
            await self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            # Until the new colours are painted everywhere.
            await self.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            await self.page.screenshot(path=path.with_name(f"{path.name}-{scheme}.png"))


@asynccontextmanager
async def visiting(browser: Browser, api: str, **options: Any) -> AsyncIterator[Visitor]:
    """A visitor whom nobody knows yet; nothing may have been wrong in the end."""
    context: BrowserContext = await browser.new_context(**{"viewport": WIDE} | options)
    page = await context.new_page()
    page.set_default_timeout(SECONDS)
    await page.add_init_script(_WATCH)
    visitor = Visitor(page, api)
    try:
        yield visitor
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
WIDE, NARROW = ViewportSize(width=1280, height=900), ViewportSize(width=320, height=256)


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
