"""What is too long for every run takes turns, a third in each: by the day of the commit, in three days all of it."""

import subprocess
from collections.abc import Sequence
from typing import TypeVar

import pytest

from tests.project import PROJECT

T = TypeVar("T")

TURNS = 3
_DAY = 24 * 60 * 60


def of_this_turn(all_of_it: Sequence[T], config: pytest.Config) -> Sequence[T]:
    """Every third, beginning with the turn's first; all with `--every-kill`.

    Not by today: the processes of one run have to agree, and a run that failed is repeated as it was.
    """
    return all_of_it if config.getoption("--every-kill") else all_of_it[_day_of_commit() % TURNS :: TURNS]


def _day_of_commit() -> int:
    """Days since 1970; the first where there is no commit."""
    asked = subprocess.run(
        ["git", "show", "--no-patch", "--format=%ct", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    return int(asked.stdout or 0) // _DAY
