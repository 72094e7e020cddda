"""Dashboards as a visitor meets them: in a browser, signed in through the provider's own forms."""

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from stack.supervisor import Stack
from tests.e2e.people import Json, Member

DOCS = Path(__file__).parents[2] / "docs"
_SECONDS = 60_000

STREAMLIT = """\
import math

import streamlit

streamlit.set_page_config(page_title="Cell counts", layout="wide")
streamlit.title("Cell counts")
streamlit.write("How a culture grows from one cell, and how much of it a plate holds.")

divisions = streamlit.session_state.setdefault("divisions", 4)
if streamlit.button("Let them divide"):
    divisions = streamlit.session_state["divisions"] = divisions + 1
left, middle, right = streamlit.columns(3)
left.metric("Divisions", divisions)
middle.metric("Cells", 2**divisions)
right.metric("Share of the plate", f"{100 * min(1, 2**divisions / 4096):.1f} %")
streamlit.line_chart(
    {"cells": [2**division for division in range(divisions + 1)],
     "what the plate feeds": [4096 / (1 + 4095 * math.exp(-division)) for division in range(divisions + 1)]},
    x_label="divisions", y_label="cells",
)
uploaded = streamlit.file_uploader("Your own counts")
if uploaded is not None:
    counts = uploaded.read().split()
    streamlit.success(f"{uploaded.name}: {len(counts)} counts, {sum(map(int, counts))} cells")
"""

VOILA = '''\
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
        display(SVG(f\'\'\'<svg xmlns="http://www.w3.org/2000/svg" width="660" height="240" font-family="sans-serif" font-size="12">
          <path d="M20 10V210H630" stroke="#888" fill="none"/>
          <polyline points="{line}" stroke="#1f77b4" stroke-width="3" fill="none"/>
          <text x="28" y="20">covered</text><text x="600" y="228">day 40</text></svg>\'\'\'))

rate.observe(draw, "value")
draw()
display(widgets.VBox([rate, said, picture]))
'''


def notebook(title: str, code: str) -> str:
    cells: list[Json] = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": [title]},
        {"cell_type": "code", "id": "b", "metadata": {}, "source": [code], "outputs": [], "execution_count": None},
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return json.dumps({"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    program = shutil.which("chromium")
    assert program, "chromium is missing: apt-get install chromium"
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=quiet)
        yield browser
        await browser.close()
