"""A process that used Temporal's SDK: how it ends."""

import subprocess
import sys

PROGRAM = """
import atexit, logging, sys
from models.domain.process import leave
atexit.register(print, "the interpreter was taken down", flush=True)
logging.basicConfig(stream=sys.stdout, format="%(message)s")
print("done", end=" ")
logging.getLogger().warning("and logged")
print("and said", file=sys.stderr, end="")
leave(3)
"""


def test_a_process_that_leaves_says_everything_and_takes_nothing_down() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (3, "done and logged\n", "and said")
