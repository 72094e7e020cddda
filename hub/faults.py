"""Named places where a test makes the hub fail, to prove that nothing is lost there.

A fault is armed by a file of its name in the directory that `NBHUB_CRASH_POINTS` names; reaching it removes
the file. Without the setting this costs one comparison.
"""

import os
from pathlib import Path


def armed(directory: str, name: str) -> bool:
    """Say whether this fault is armed, and disarm it."""
    if not directory:
        return False
    try:
        Path(directory, name).unlink()
    except FileNotFoundError:
        return False
    return True


def die_if_armed(directory: str, name: str) -> None:
    """End this process as `kill -9` would if this fault is armed."""
    if armed(directory, name):
        os._exit(137)
