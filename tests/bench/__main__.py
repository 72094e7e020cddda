"""`python -m tests.bench [SECTION …] [--pairs N] [--users N] [--rounds N] [--short]`: all benchmarks, or those named.

The last line is one JSON object.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.domain.process import leave
from tests.bench import bodies, command, permissions, reads, secrets, share, start, verdicts
from tests.stacks import Stack

Arguments = argparse.Namespace
DATABASE = ("postgres",)
API = (*DATABASE, "api")
SIGN_IN = (*API, "oidc")


@dataclass(frozen=True)
class Section:
    """What is measured, on a stack of these parts (none are named: on all)."""

    about: str
    parts: tuple[str, ...]
    measure: Callable[[Stack, Arguments], Awaitable[Any]]


SECTIONS = {
    "start": Section(
        "ours against a raw call to JupyterHub", (), lambda stack, given: start.measure(stack, given.pairs)
    ),
    "share": Section(
        "one request against one activity for each person", (), lambda stack, given: share.measure(stack, given.users)
    ),
    "reads": Section(
        "one server: CPU time against a floor and a peer",
        API,
        lambda stack, given: reads.measure(stack, reads.READS, given.rounds, short=given.short),
    ),
    "lists": Section(
        "lists of servers: CPU time against a floor and a peer",
        API,
        lambda stack, given: reads.measure(stack, reads.LISTS, given.rounds, short=given.short),
    ),
    "kinds": Section(
        "one record and a list of 50 of every other kind: CPU time against a floor and a peer",
        API,
        lambda stack, given: reads.measure(stack, reads.KINDS, -(-given.rounds // 2), short=given.short),
    ),
    "secrets": Section(
        "GET /version while a slow Vault keeps 100 of them, against the idle one",
        (*SIGN_IN, "vault"),
        lambda stack, given: secrets.measure(stack, short=given.short),
    ),
    "bodies": Section(
        "a gigabyte there and back; GET /version under hostile bodies, against the idle one",
        SIGN_IN,
        lambda stack, given: bodies.measure(stack, short=given.short),
    ),
    "command": Section(
        "the command line, beside the network, against a bare interpreter",
        SIGN_IN,
        lambda stack, given: command.measure(stack, given.rounds),
    ),
    "permissions": Section(
        "a check and a list against their numbers",
        DATABASE,
        lambda stack, given: permissions.measure(stack, short=given.short),
    ),
}


async def run(arguments: Arguments) -> None:
    """Measure, each section on a stack of its own."""
    results: dict[str, Any] = {}
    for name in arguments.sections or SECTIONS:
        section, begun = SECTIONS[name], time.monotonic()
        print(f"{name}: {section.about}", flush=True)
        with tempfile.TemporaryDirectory(prefix="nbhub-bench-") as directory:
            async with Stack(Path(directory), only=section.parts) as stack:
                results[name] = await section.measure(stack, arguments)
        print(f"{name}: took {time.monotonic() - begun:.0f} s", flush=True)
    missed = list(verdicts.missed(results))
    print(f"goals missed: {len(missed)}", *missed, sep="\n  ")
    print(json.dumps(results | {"missed": missed}))


def read_arguments(given: list[str] | None = None) -> Arguments:
    """What is to be measured, by default as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--pairs", type=int, default=10, help="interleaved pairs of starts")
    parser.add_argument("--users", type=int, default=10_000, help="people of the share")
    parser.add_argument("--rounds", type=int, default=10, help="rounds of reads, each of six blocks")
    parser.add_argument(
        "--short", action="store_true", help="as little as shows that it works: the figures mean nothing"
    )
    arguments = parser.parse_args(given)
    if arguments.short:
        arguments.pairs, arguments.users, arguments.rounds = 1, 20, 1
    return arguments


def main() -> None:
    """Read the arguments and run."""
    asyncio.run(run(read_arguments()))


if __name__ == "__main__":
    main()
    leave(0)
