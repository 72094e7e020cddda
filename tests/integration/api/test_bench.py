"""The judge of reads works; what it measures here means nothing."""

from pathlib import Path

from tests.bench import reads


async def test_reads_are_judged_against_the_floor_and_the_peer_that_answer_the_same(tmp_path: Path) -> None:
    questions = (reads.Question("one", 0, 2), reads.Question("list of 50", 50, 2))
    results = await reads.measure(tmp_path, questions, 1, own=60, others=5)
    for question in questions:
        found = results[question.name]
        # The floor and the peer send the same fields.
        assert found["bytes"][reads.OURS] > 1.5 * found["bytes"][reads.PEER]
        assert abs(found["bytes"][reads.PEER] - found["bytes"][reads.FLOOR]) <= 2
        assert found["blocks"] == 6
        assert found["dropped"] <= 6
