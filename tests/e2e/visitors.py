"""A person in front of the page, in a real browser, whose console and policy are watched."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, expect

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
    context: BrowserContext = await browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
    page = await context.new_page()
    page.set_default_timeout(SECONDS)
    await page.add_init_script(_WATCH)
    visitor = Visitor(page, api)
    try:
        yield visitor
    finally:
        await context.close()
    assert visitor.faults == []


async def barriers(page: Page) -> list[str]:
    """What keeps some people from using the page as it is shown, as axe finds it; needs a context without a policy."""
    modules = await tools.page_tools(Progress(quiet=True))
    source = await asyncio.to_thread((modules / "axe-core" / "axe.min.js").read_text)
    await page.evaluate(source)
    found: list[dict[str, Any]] = await page.evaluate(
        "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']}).then(all => all.violations)"
    )
    return [f"{one['id']}: {[node['html'] for node in one['nodes']]}" for one in found]
