"""`python -m tests.bench [SECTION …] [--pairs N] [--users N] [--rounds N]`: all benchmarks, or those that are named.

The last line is one JSON object.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from models.domain.process import leave
from tests.bench import bodies, permissions, reads, secrets, share, start
from tests.stacks import Stack

Section = Callable[[Path, argparse.Namespace], Awaitable[Any]]


async def _start(directory: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """ours against a raw call to JupyterHub"""
    async with Stack(directory) as stack:
        ratio = await start.measure(stack, arguments.pairs)
        return {"start_ratio": ratio, "resident_mb": await start.resident_megabytes(stack)}


async def _share(directory: Path, arguments: argparse.Namespace) -> Any:
    """one request against one activity for each person"""
    async with Stack(directory) as stack:
        return await share.measure(stack, arguments.users)


async def _reads(directory: Path, arguments: argparse.Namespace) -> Any:
    """one record: CPU time against a floor and a peer"""
    return await reads.measure(directory, reads.READS, arguments.rounds)


async def _lists(directory: Path, arguments: argparse.Namespace) -> Any:
    """lists: CPU time against a floor and a peer"""
    return await reads.measure(directory, reads.LISTS, arguments.rounds)


async def _secrets(directory: Path, _: argparse.Namespace) -> Any:
    """GET /version while a slow Vault keeps 100 of them, against the idle one"""
    return await secrets.measure(directory)


async def _bodies(directory: Path, _: argparse.Namespace) -> Any:
    """a gigabyte there and back; GET /version under hostile bodies, against the idle one"""
    return await bodies.measure(directory)


async def _permissions(_: Path, __: argparse.Namespace) -> Any:
    """a check and a list against their numbers"""
    return await permissions.measure()


SECTIONS: dict[str, Section] = {
    "start": _start,
    "share": _share,
    "reads": _reads,
    "lists": _lists,
    "secrets": _secrets,
    "bodies": _bodies,
    "permissions": _permissions,
}


async def run(arguments: argparse.Namespace) -> None:
    """Measure, each section on a stack of its own."""
    results = {}
    for name in arguments.sections or SECTIONS:
        section = SECTIONS[name]
        print(f"{name}: {section.__doc__}", flush=True)
        with tempfile.TemporaryDirectory(prefix="nbhub-bench-") as directory:
            results[name] = await section(Path(directory), arguments)
    print(json.dumps(results))


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--pairs", type=int, default=10, help="interleaved pairs of starts")
    parser.add_argument("--users", type=int, default=10_000, help="people of the share")
    parser.add_argument("--rounds", type=int, default=10, help="rounds of reads, each of six blocks")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
    leave(0)
