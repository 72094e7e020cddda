"""Each section of the benchmarks works; what it measures here means nothing."""

from collections.abc import AsyncIterator

import pytest

from tests.bench import reads, verdicts
from tests.bench.__main__ import SECTIONS, SIGN_IN, read_arguments
from tests.bench.judge import FLOOR, OURS, PEER
from tests.stacks import Stack

SHORT = read_arguments(["--short"])
OF_READS = {"reads", "lists", "kinds"}


@pytest.fixture(scope="module")
async def small_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """All that most sections need, for all of them: it takes longer to start than they do."""
    async with Stack(tmp_path_factory.mktemp("bench"), only=(*SIGN_IN, "vault")) as stack:
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
        ours = sizes[OURS] / sizes[PEER]
        assert ours > 1.5 if question.kind == "server" else 0.6 < ours <= 1.1, question
        assert 0.6 < sizes[FLOOR] / sizes[PEER] <= 1.1, question
        assert (found["blocks"], found["dropped"] <= 6) == (6, True)


def test_what_misses_its_goal_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    results = {
        "slow": {"answer": verdicts.told("answer", 30, 20, " ms", p50=5), "size": verdicts.told("size", 3)},
        "fast": {"answer": verdicts.told("answer", 20, 20, " ms")},
    }
    assert capsys.readouterr().out.splitlines() == [
        "  answer: 30 ms, p50 5 (goal ≤ 20 ms: missed)",
        "  size: 3",
        "  answer: 20 ms (goal ≤ 20 ms: met)",
    ]
    assert list(verdicts.missed(results)) == ["slow: answer 30 > 20"]
