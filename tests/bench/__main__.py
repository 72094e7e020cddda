"""`python -m tests.bench [--pairs N]`: every benchmark; the last line is one JSON object."""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path

from stack.supervisor import Stack
from tests.bench import start


async def run(pairs: int) -> None:
    """Measure on a stack of its own."""
    with tempfile.TemporaryDirectory(prefix="nbhub-bench-") as directory:
        async with Stack(Path(directory)) as stack:
            print("start: ours against a raw call to JupyterHub", flush=True)
            ratio = await start.measure(stack, pairs)
            memory = await start.resident_megabytes(stack)
    print(json.dumps({"start_ratio": ratio, "resident_mb": memory}))


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=10, help="interleaved pairs of starts")
    asyncio.run(run(parser.parse_args().pairs))


if __name__ == "__main__":
    main()
