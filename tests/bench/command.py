"""What a command takes beside the network: CPU time of the process, in pairs with a bare interpreter."""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench.verdicts import told
from tests.stacks import Stack

PROGRAM = Path(sys.executable).with_name("nbhub")
BARE = (sys.executable, "-c", "pass")
COMMANDS: dict[str, tuple[tuple[str | Path, ...], float]] = {
    "nbhub --version": ((PROGRAM, "--version"), 120),
    "nbhub servers list": ((PROGRAM, "servers", "list"), 250),
}
"""With the most that they may take, in ms."""


async def measure(stack: Stack, rounds: int) -> dict[str, Any]:
    """Milliseconds of each command, and of a bare interpreter beside it."""
    token = await stack.token("alice@example.org")
    with tempfile.TemporaryDirectory(prefix="nbhub-bench-") as compiled:
        environment = {**os.environ, "NBHUB_URL": stack.info.api, "NBHUB_TOKEN": token, "PYTHONPYCACHEPREFIX": compiled}
        # As it is where it was installed: compiled, by its first run.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        return {name: await asyncio.to_thread(_pairs, name, rounds, environment) for name in COMMANDS}


def _pairs(name: str, rounds: int, environment: Mapping[str, str]) -> dict[str, Any]:
    words, goal = COMMANDS[name]
    for once in (BARE, words):
        _milliseconds(once, environment)
    bare, ours = [], []
    for _ in range(max(3, rounds)):
        bare.append(_milliseconds(BARE, environment))
        ours.append(_milliseconds(words, environment))
    return told(name, statistics.median(ours), goal, " ms", {"bare_interpreter": statistics.median(bare)})


def _milliseconds(words: tuple[str | Path, ...], environment: Mapping[str, str]) -> float:
    """CPU time of a program, all told: what it waits for, such as the network, is not in it."""
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    return 1000 * (usage.ru_utime + usage.ru_stime)
