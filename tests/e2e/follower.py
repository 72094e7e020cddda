"""A client that follows everything, as a process of its own: `python -m tests.e2e.follower URL`, its token in `TOKEN`.

It writes a line of JSON for each event.
"""

import os
import sys

import msgspec

from nbhub import Hub


def follow(url: str, token: str) -> None:
    """For ever."""
    for told in Hub(url, token).events():
        sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    follow(sys.argv[1], os.environ["TOKEN"])
