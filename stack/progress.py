"""Tells what the stack is doing, a line at a time, with the seconds since it began."""

import sys
import time
from contextlib import suppress


class Progress:
    """Lines on standard error, so that what a command prints for programs stays clean."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._begun = time.monotonic()
        self._quiet = quiet

    def say(self, text: str) -> None:
        """Print one line."""
        if not self._quiet:
            # When nobody reads any more, what is being done goes on.
            with suppress(BrokenPipeError):
                print(f"[{time.monotonic() - self._begun:6.1f} s] {text}", file=sys.stderr, flush=True)
