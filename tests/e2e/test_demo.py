"""The demo's story on the whole stack, and what the processes weigh after it."""

from pathlib import Path

import pytest

from stack import demo
from tests.stacks import Stack


async def test_the_story_is_told_to_its_end(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    await demo.tell(stack)
    told = capsys.readouterr().out
    assert "6 * 7 = 42" in told
    assert "reads 'forty-two cells'; cannot write: Read-only file system" in told
    assert "reads 'forty-two cells'; writes too" in told
    assert "is loaded, MICROSCOPE=confocal" in told
    assert told.count("secret: fingerprint") == 2, "of the owner and of the recipient"
    assert told.rstrip().count("secret: not there") == 2, "of who was not given it, and after the revoke"
    assert told.count(stack.info.temporal_ui) == 21, "each operation with the link to its workflow"


@pytest.mark.parametrize(("part", "megabytes"), [("api", 200), ("worker", 250)])
def test_a_process_stays_small(stack: Stack, part: str, megabytes: int) -> None:
    status = Path(f"/proc/{stack.info.pids[part]}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    assert int(resident.split()[1]) / 1024 <= megabytes, resident


def test_no_token_is_logged(stack: Stack) -> None:
    """The stack's own secrets are nowhere in what any part has logged."""
    secrets = stack.secrets
    for log in Path(stack.info.log_dir).glob("*.log"):
        text = log.read_text(errors="replace")
        for name in secrets.__struct_fields__:
            value = getattr(secrets, name).rpartition(":")[2]
            assert value not in text, f"{name} is in {log.name}"
