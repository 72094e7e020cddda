"""What a stack tells people goes to standard error: what a command prints for programs stays clean."""

import pytest

from stack.progress import Progress


class Clock:
    """The time that a progress goes by."""

    now = 1000.0

    def monotonic(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("stack.progress.time", clock)
    return clock


def test_a_line_has_the_seconds_since_the_beginning(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    clock.now += 0.04
    progress.say("vault: started")
    clock.now += 71.2
    progress.say("ready")
    assert capsys.readouterr() == ("", "[   0.0 s] vault: started\n[  71.2 s] ready\n")


def test_who_wants_quiet_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(quiet=True).say("vault: started")
    assert capsys.readouterr() == ("", "")
