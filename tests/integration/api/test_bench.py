"""Each section of the benchmarks works; what it measures here means nothing."""

import itertools
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bench import profile, reads, tables, verdicts
from tests.bench.__main__ import SECTIONS, SIGN_IN, read_arguments
from tests.bench.judge import FLOOR, PEER, Subject
from tests.stacks import Stack

SHORT = read_arguments(["--short"])
OF_READS = {"reads", "lists", "kinds"}


@pytest.fixture(scope="module")
async def small_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """All that most sections need, for all of them: it takes longer to start than they do."""
    async with Stack(tmp_path_factory.mktemp("bench"), only=(*SIGN_IN, "vault", "temporal")) as stack:
        yield stack


@pytest.mark.parametrize("name", [name for name, section in SECTIONS.items() if section.parts and name not in OF_READS])
async def test_a_section_works(small_stack: Stack, name: str) -> None:
    assert await SECTIONS[name].measure(small_stack, SHORT)


@pytest.mark.parametrize("name", [name for name, section in SECTIONS.items() if not section.parts])
async def test_a_section_on_the_whole_stack_works(stack: Stack, name: str) -> None:
    assert await SECTIONS[name].measure(stack, SHORT)


async def test_reads_are_judged_by_the_same_answers(small_stack: Stack) -> None:
    questions = (*reads.READS, *reads.LISTS, *reads.KINDS)
    results = await reads.measure(small_stack, questions, 1, short=True)
    for question in questions:
        found = results[question.name]
        sizes = found["bytes"]
        # Of servers we answer with their snapshots; of null the peer says that it is, and we say nothing.
        ours = sizes["value"] / sizes[PEER]
        assert ours > 1.5 if question.kind == "server" else 0.6 < ours <= 1.1, question
        assert 0.6 < sizes[FLOOR] / sizes[PEER] <= 1.1, question
        assert found["dropped blocks"]["of"] == 6


def test_what_misses_its_goal_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    results = {
        "slow": {"answer": verdicts.told("answer", 30, 20, " ms", {"p50": 5}), "size": verdicts.told("size", 3)},
        "fast": {"answer": verdicts.told("answer", 20, 20, " ms")},
    }
    assert capsys.readouterr().out.splitlines() == [
        "  answer: 30 ms, p50 5 (goal ≤ 20 ms: missed)",
        "  size: 3",
        "  answer: 20 ms (goal ≤ 20 ms: met)",
    ]
    assert list(verdicts.missed(results)) == ["slow: answer 30 > 20"]


def test_results_take_the_place_of_those_before(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("Before.\n<!-- slow -->\nold\n<!-- end of slow -->\nAfter.\n<!-- fast -->\n<!-- end of fast -->\n")
    one, other = verdicts.verdict(0.3, 0.2, beside={"low": 0.25, "high": 0.35}), verdicts.verdict(12_345, 20_000, " ms")
    tables.write("slow", "what is slow", {"one": one, "other": other, "note": "not shown"}, page)
    tables.write("fast", "what is fast", {"a thing": {"CPU": one}, "another": {"CPU": one, "memory": other}}, page)
    before, written, between, second, *_ = re.split(r"<!-- .* -->\n", page.read_text())
    assert (before, between) == ("Before.\n", "After.\n")
    assert written.startswith("What is slow. ")
    assert written.endswith(
        "| one | 0.3, 0.25 to 0.35 (goal ≤ 0.2: **missed**) |\n| other | 12,345 ms (goal ≤ 20,000 ms: met) |\n"
    )
    assert second.endswith(
        "|  | CPU | memory |\n| --- | --- | --- |\n"
        "| a thing | 0.3, 0.25 to 0.35 (goal ≤ 0.2: **missed**) |  |\n"
        "| another | 0.3, 0.25 to 0.35 (goal ≤ 0.2: **missed**) | 12,345 ms (goal ≤ 20,000 ms: met) |\n"
    )
    with pytest.raises(KeyError):
        tables.write("unknown", "what has no place", {"one": one}, page)


def test_each_section_has_its_place_in_the_page() -> None:
    text = tables.PAGE.read_text()
    assert [name for name in SECTIONS if f"<!-- {name} -->" not in text or f"<!-- end of {name} -->" not in text] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into another process")
def test_a_flame_graph_is_drawn(small_stack: Stack, tmp_path: Path) -> None:
    api, picture = small_stack.info.pids["api"], tmp_path / "version.svg"
    requests = itertools.repeat(("GET", "/version", "of nobody"))
    profile.profile(Subject("ours", small_stack.layout.ports["api"], api), api, requests, picture, seconds=1)
    assert "api/__main__.py" in picture.read_text()
