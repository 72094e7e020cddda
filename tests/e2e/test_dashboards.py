"""Servers as a visitor meets them: in a browser, signed in through the provider's own forms."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.e2e.people import Json, Member, sign_in
from tests.project import PROJECT
from tests.stacks import Stack

DOCS = PROJECT / "docs"
_SECONDS = 60_000
expect.set_options(timeout=_SECONDS)

STREAMLIT = """\
import streamlit

streamlit.set_page_config(page_title="Cell counts", layout="wide")
streamlit.title("Cell counts")
streamlit.write("How a culture grows from one cell, and how much of a plate of 4096 cells it covers.")

divisions = streamlit.session_state.setdefault("divisions", 4)
if streamlit.button("Let them divide"):
    divisions = streamlit.session_state["divisions"] = divisions + 1
left, middle, right = streamlit.columns(3)
left.metric("Divisions", divisions)
middle.metric("Cells", 2**divisions)
right.metric("Share of the plate", f"{100 * 2**divisions / 4096:.1f} %")
cells = [2**division for division in range(divisions + 1)]
streamlit.line_chart(cells, x_label="divisions", y_label="cells", height=280)
uploaded = streamlit.file_uploader("Your own counts")
if uploaded is not None:
    counts = [int(count) for count in uploaded.read().split()]
    streamlit.success(f"{uploaded.name}: {len(counts)} counts, {sum(counts)} cells")
"""

VOILA = """\
import math
import ipywidgets as widgets
from IPython.display import SVG, display

rate = widgets.IntSlider(value=2, min=1, max=10, description="Rate")
said = widgets.HTML()
picture = widgets.Output()

def draw(change=None):
    heights = [190 / (1 + 60 * math.exp(-rate.value * day / 8)) for day in range(41)]
    line = " ".join(f"{20 + 15 * day},{210 - height:.1f}" for day, height in enumerate(heights))
    said.value = f"After ten days, at rate {rate.value}: <b>{heights[10] / 190:.0%}</b> of the plate is covered."
    picture.clear_output(wait=True)
    with picture:
        display(SVG(f\'\'\'<svg xmlns="http://www.w3.org/2000/svg" width="660" height="240" font-family="Arial">
          <path d="M20 10V210H630" stroke="#888" fill="none"/>
          <polyline points="{line}" stroke="#1f77b4" stroke-width="3" fill="none"/>
          <text x="28" y="20" font-size="12">covered</text>
          <text x="590" y="228" font-size="12">day 40</text></svg>\'\'\'))

rate.observe(draw, "value")
draw()
display(widgets.VBox([rate, said, picture]))
"""


def notebook(title: str, code: str) -> str:
    cells: list[Json] = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": [title]},
        {"cell_type": "code", "id": "b", "metadata": {}, "source": [code], "outputs": [], "execution_count": None},
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return json.dumps({"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture(scope="module")
async def page(alice: Member, stack: Stack, browser: Browser) -> AsyncIterator[Page]:
    """A page of somebody who is not signed in yet."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900}, device_scale_factor=2)
    page = await context.new_page()
    page.set_default_timeout(_SECONDS)
    yield page
    await context.close()


async def visit(member: Member, page: Page, server: Json) -> None:
    """Open a server's address; the first time this leads through JupyterHub and the provider's forms."""
    await page.goto(server["url"])
    if not page.url.startswith(server["url"].rstrip("/")):
        await sign_in(page, member.email)
        await page.wait_for_url(f"{server['url'].rstrip('/')}/**")


async def dashboard(member: Member, application: str, name: str, content: str) -> Json:
    """A running dashboard of a file that is missed at first."""
    server = await member.make_server(name=f"A {application}", applicationType=application, filePath=name)
    missed = await member.ended(await member.wish(server, "start"))
    assert "does not exist" in missed["error"]["message"]
    file = {"root": "notebooks", "name": name, "type": "file", "content": content}
    await member.call("POST", "/volume/file", json=file, expect=(200, 201))
    await member.succeeded(await member.wish(server, "start"))
    return await member.see(server)


async def test_a_streamlit_app_reacts_to_a_click_and_takes_a_file(
    alice: Member, page: Page, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server = await dashboard(alice, "streamlit", "cells.py", STREAMLIT)
    await visit(alice, page, server)
    await expect(page.get_by_role("heading", name="Cell counts")).to_be_visible()
    await expect(page.get_by_test_id("stMetricValue").nth(1)).to_have_text("16")
    # The last thing of the page: a click before it would interrupt the app.
    await expect(page.get_by_test_id("stFileUploader")).to_be_visible()
    for cells in ("32", "64", "128"):
        await page.get_by_role("button", name="Let them divide").click()
        await expect(page.get_by_test_id("stMetricValue").nth(1)).to_have_text(cells)
    counts = tmp_path / "counts.txt"
    counts.write_text("12 30 58")
    await page.locator("input[type=file]").set_input_files(counts)
    await expect(page.get_by_text("counts.txt: 3 counts, 100 cells")).to_be_visible()
    # People who came to look have nothing to deploy.
    await expect(page.get_by_text("Deploy")).to_have_count(0)
    if request.config.getoption("--screenshots"):
        await page.screenshot(path=DOCS / "streamlit.png", animations="disabled")
    await alice.succeeded(await alice.delete(server))


async def test_a_voila_notebook_runs_its_widgets(alice: Member, page: Page, request: pytest.FixtureRequest) -> None:
    server = await dashboard(alice, "voila", "plate.ipynb", notebook("# How a culture covers a plate", VOILA))
    await visit(alice, page, server)
    await expect(page.get_by_text("After ten days, at rate 2")).to_be_visible()
    slider = page.get_by_role("slider")
    await slider.focus()
    for _ in range(3):
        await slider.press("ArrowRight")
    await expect(page.get_by_text("After ten days, at rate 5")).to_be_visible()
    await expect(page.get_by_role("img")).to_be_visible()
    if request.config.getoption("--screenshots"):
        await page.screenshot(
            path=DOCS / "voila.png", animations="disabled", clip={"x": 0, "y": 0, "width": 720, "height": 420}
        )
    await alice.succeeded(await alice.delete(server))


async def test_a_notebook_runs_in_jupyterlab(alice: Member, page: Page) -> None:
    server = await alice.started(name="A lab for a browser")
    await visit(alice, page, server)
    await page.locator(".jp-LauncherCard[data-category=Notebook]").first.click()
    # What is typed before is lost.
    await expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
    cell = page.locator(".jp-Notebook .jp-InputArea-editor").first
    await cell.click()
    await page.keyboard.type("6 * 7")
    await expect(cell).to_have_text("6 * 7")
    await page.keyboard.press("Shift+Enter")
    await expect(page.locator(".jp-OutputArea-output").first).to_have_text("42")
    await alice.succeeded(await alice.delete(server))
