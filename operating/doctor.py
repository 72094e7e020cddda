"""`nbhub admin doctor`: what is wrong with this installation, and what to do about it.

Nothing is changed. It is run where an API or worker process is, and looks with that process's settings.
"""

import os
import sys

import msgspec

from models.database.engine import pool
from models.domain.settings import Settings
from operating.checks import Checks
from operating.findings import Finding, State, taken

DONE, FAILED, WARNED = 0, 1, 9


async def examine(settings: Settings) -> list[Finding]:
    """What all looks find."""
    async with pool(settings, patience=8):
        checks = Checks(settings, os.environ)
        return [*await taken(checks.parts()), *await taken(checks.replays())]


def exit_of(found: list[Finding]) -> int:
    """1 if anything has failed, 9 if anything should not stay so, else 0."""
    states = {one.state for one in found}
    return FAILED if State.FAIL in states else WARNED if State.WARN in states else DONE


def show(found: list[Finding], *, as_json: bool) -> None:
    """Print what was found: a line to each, and what to do beneath it."""
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
        return
    for one in found:
        print(f"{one.state:7}  {one.check:10}  {one.text}")
        if one.do:
            print(f"{'':21}→ {one.do}")
