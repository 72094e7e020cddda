"""`nbhub usage`, `health` and `events`."""

import sys
from typing import Annotated

import msgspec

from nbhub.cli.exits import Exit
from nbhub.cli.grammar import Option
from nbhub.cli.options import COMMON, Common
from nbhub.cli.output import print_json, word
from nbhub.models import Reset


def usage(*, common: Common = COMMON) -> None:
    """Show how much one has, and may have."""
    with common.hub() as hub:
        found = hub.usage()
    if common.json:
        print_json(found)
        return
    for name, use in found.items():
        print(f"{name:20}  {use.used} of {'any number' if use.limit is None else use.limit}")


def health(
    *,
    email: Annotated[str | None, Option("look at this person's directories, too")] = None,
    common: Common = COMMON,
) -> int:
    """Show whether all is there that Notebooks Hub needs. If not, the exit code is 7."""
    with common.hub() as hub:
        found = hub.health(email=email)
        if common.json:
            print_json(found)
        else:
            for name, check in {**found.checks, **found.folders}.items():
                print(f"{name:20}  {check.status:8}  {check.latency_ms:6.0f} ms  {word(check.error or '')}".rstrip())
            print(f"{hub.url} is version {word(hub.version().version)}", file=sys.stderr)
    return Exit.DONE if found.ok else Exit.UNAVAILABLE


def events(*, common: Common = COMMON) -> None:
    """Print what changes of all that one may see, as it happens, a line to a change, until Ctrl-C."""
    with common.hub() as hub:
        for change in hub.events():
            if common.json:
                print(msgspec.json.encode(change).decode(), flush=True)
            elif isinstance(change, Reset):
                print(f"nbhub: following from now on ({word(change.reason)})", file=sys.stderr)
            else:
                step = f"{change.step.name} {change.step.status}" if change.step else ""
                what = " ".join(filter(None, (change.action, change.status, step, change.code)))
                line = f"{word(change.at)}  {change.kind} {change.id}  {change.change}  {word(what)}"
                print(line.rstrip(), flush=True)
