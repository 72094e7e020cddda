"""`python -m tests.bench [--pairs N] [--users N]`: every benchmark; the last line is one JSON object."""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path

from models.domain.process import leave
from stack.supervisor import Stack
from tests.bench import bodies, permissions, secrets, share, start


async def run(pairs: int, users: int) -> None:
    """Measure on stacks of their own."""
    with tempfile.TemporaryDirectory(prefix="nbhub-bench-") as directory:
        async with Stack(Path(directory)) as stack:
            print("start: ours against a raw call to JupyterHub", flush=True)
            ratio = await start.measure(stack, pairs)
            memory = await start.resident_megabytes(stack)
            print("share: one request against one activity for each person", flush=True)
            shared = await share.measure(stack, users)
    print("secrets: GET /version while a slow Vault keeps 100 of them, against the idle one", flush=True)
    with tempfile.TemporaryDirectory(prefix="nbhub-bench-") as directory:
        kept = await secrets.measure(Path(directory))
    print("bodies: a gigabyte there and back; GET /version under hostile bodies, against the idle one", flush=True)
    with tempfile.TemporaryDirectory(prefix="nbhub-bench-") as directory:
        carried = await bodies.measure(Path(directory))
    print("permissions: a check and a list against their numbers", flush=True)
    slopes = await permissions.measure()
    result = {"start_ratio": ratio, "resident_mb": memory, "share": shared, "secrets": kept, "permissions": slopes}
    print(json.dumps(result | {"bodies": carried}))


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=10, help="interleaved pairs of starts")
    parser.add_argument("--users", type=int, default=10_000, help="people of the share")
    arguments = parser.parse_args()
    asyncio.run(run(arguments.pairs, arguments.users))


if __name__ == "__main__":
    main()
    leave(0)
