"""`python -m tests.bench [SECTION …]`: all benchmarks, or those named. The last line is one JSON object.

`--write` puts what each section found into docs/performance.md.
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
from tests.bench import (
    bodies,
    command,
    depth,
    grants,
    memory,
    operations,
    reads,
    reconcile,
    secrets,
    share,
    start,
    tables,
    tokens,
    verdicts,
    writes,
)
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
    "reads": Section(
        "one server, against a floor and a peer",
        API,
        lambda stack, given: reads.measure(stack, reads.READS, given.rounds, short=given.short),
    ),
    "lists": Section(
        "lists of servers, against a floor and a peer",
        API,
        lambda stack, given: reads.measure(stack, reads.LISTS, given.rounds, short=given.short),
    ),
    "kinds": Section(
        "one record and a list of 50 of every other kind, against a floor and a peer",
        API,
        lambda stack, given: reads.measure(stack, reads.KINDS, -(-given.rounds // 2), short=given.short),
    ),
    "tokens": Section(
        "a read by a JWT that was not seen before, against one by a session",
        API,
        lambda stack, given: tokens.measure(stack, short=given.short),
    ),
    "depth": Section(
        "a page of each list, at any depth, among a million rows against a thousand",
        DATABASE,
        lambda stack, given: depth.measure(stack, short=given.short),
    ),
    "grants": Section(
        "how a check and a list grow with the number of grants, and of the caller's groups",
        DATABASE,
        lambda stack, given: grants.measure(stack, short=given.short),
    ),
    "writes": Section(
        "the answer to a start, alone and with 50 in flight, and to a share with 10 to 10,000 people",
        (*API, "temporal"),
        lambda stack, given: writes.measure(stack, short=given.short),
    ),
    "start": Section(
        "a start through us, against a raw call to JupyterHub",
        (),
        lambda stack, given: start.measure(stack, given.pairs),
    ),
    "operations": Section(
        "operations with nothing to do outside, from their acknowledgement to their end",
        (),
        lambda stack, given: operations.measure(stack, short=given.short),
    ),
    "share": Section(
        "a share with many people, against one activity for each",
        (),
        lambda stack, given: share.measure(stack, given.users),
    ),
    "reconcile": Section(
        "a pass of the reconciler over 10,000 servers and 2,000 groups that are as they should be",
        DATABASE,
        lambda stack, given: reconcile.measure(stack, short=given.short),
    ),
    "secrets": Section(
        "GET /version while a slow Vault keeps 100 secrets, against the idle one",
        (*SIGN_IN, "vault"),
        lambda stack, given: secrets.measure(stack, short=given.short),
    ),
    "memory": Section(
        "a process of the API: its first answer, and its memory after many reads",
        API,
        lambda stack, given: memory.measure(stack, short=given.short),
    ),
    "bodies": Section(
        "a gigabyte there and back; GET /version under hostile bodies, against the idle one",
        SIGN_IN,
        lambda stack, given: bodies.measure(stack, short=given.short),
    ),
    "command": Section(
        "CPU time of the command line, beside the network",
        SIGN_IN,
        lambda stack, given: command.measure(stack, given.rounds),
    ),
}


async def run(arguments: Arguments) -> None:
    """Measure, each section on a stack of its own."""
    results: dict[str, Any] = {}
    for name in arguments.sections or SECTIONS:
        section, begun = SECTIONS[name], time.monotonic()
        print(f"{name}: {section.about}", flush=True)
        with tempfile.TemporaryDirectory(prefix="nbhub-bench-") as directory:
            async with Stack(Path(directory), only=section.parts, durable=True) as stack:
                results[name] = await section.measure(stack, arguments)
        print(f"{name}: took {time.monotonic() - begun:.0f} s", flush=True)
        if arguments.write:
            tables.write(name, section.about, results[name])
    missed = list(verdicts.missed(results))
    print(f"goals missed: {len(missed)}", *missed, sep="\n  ")
    print(json.dumps(results | {"missed": missed}))


def read_arguments(given: list[str] | None = None) -> Arguments:
    """What is to be measured, by default as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--pairs", type=int, default=20, help="interleaved pairs of starts")
    parser.add_argument("--users", type=int, default=10_000, help="people of the share")
    parser.add_argument("--rounds", type=int, default=10, help="rounds of reads, each of six blocks")
    parser.add_argument(
        "--short", action="store_true", help="as little as shows that it works: the figures mean nothing"
    )
    parser.add_argument("--write", action="store_true", help="put what is found into docs/performance.md")
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
