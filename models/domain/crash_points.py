"""Named places where a test may end the process, to prove that nothing is lost there.

A point is armed by a file of its name in the directory that `NBHUB_CRASH_POINTS` names, for everybody or, as
`name@workflow`, for one workflow; reaching it removes the file and ends the process as `kill -9` would. Without the
setting this costs one comparison.
"""

import os
from pathlib import Path

_DIRECTORY = os.environ.get("NBHUB_CRASH_POINTS", "")


def armed(name: str, workflow: str = "") -> bool:
    """Whether the point `name` is armed, for everybody or for this workflow. It is not any more."""
    for one in (name, f"{name}@{workflow}") if _DIRECTORY else ():
        try:
            # The removal is the claim: of many processes that get here, one is hit.
            Path(_DIRECTORY, one).unlink()
        except FileNotFoundError:
            continue
        return True
    return False


def reach(name: str, workflow: str = "") -> None:
    """End this process at once if the point `name` is armed."""
    if armed(name, workflow):
        os._exit(137)
