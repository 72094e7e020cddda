"""What commands do that begin an operation: follow it, and ask before something is deleted."""

import sys
from typing import Any

from nbhub.cli.exits import Exit, UsageProblem
from nbhub.cli.following import follow
from nbhub.cli.options import Common, Waiting
from nbhub.cli.output import print_json, print_table, word
from nbhub.models import Preview
from nbhub.synchronous.operations import Deletion, PlainOperation, Sharing

# What became of a principal of whom nothing else can be done; all other words mean that it was.
_FAILED = frozenset({"failed", "refused"})


def begun(operation: PlainOperation | Deletion | Sharing | Any, common: Common) -> int:
    """Print an operation that nobody waits for."""
    if common.json:
        print_json(operation.state)
    else:
        print(operation.id)
    return Exit.DONE


def shared(operation: Sharing, common: Common, waiting: Waiting) -> int:
    """Follow a share or a revoke, and print what it came to for each."""
    if waiting.no_wait:
        return begun(operation, common)
    results = follow(operation, waiting.timeout)
    if common.json:
        print_json(results)
    else:
        print_table(results, ["entity", "type", "outcome", "detail"])
    failed = [one for one in results if one.outcome in _FAILED]
    return Exit.PARTLY if failed else Exit.DONE


def deleted(operation: Deletion, common: Common, waiting: Waiting) -> int:
    """Follow a deletion."""
    if waiting.no_wait:
        return begun(operation, common)
    follow(operation, waiting.timeout)
    return Exit.DONE


def previewed(preview: Preview, common: Common) -> int:
    """Print what would happen. The exit code is that of the command itself, as far as it is known."""
    if common.json:
        print_json(preview)
    else:
        how = "be done at once" if preview.status == "succeeded" else "begin, and be followed to its end"
        print(f"{word(preview.kind)} would {how}")
        for heading, rows, columns in (
            ("for", preview.results, ["entity", "type", "outcome", "detail"]),
            ("the server would have", preview.inside, ["kind", "name", "version", "write", "owner"]),
            ("the server would not have", preview.left_out, ["kind", "id", "reason"]),
        ):
            if rows:
                print(f"\n{heading}:")
                print_table(rows, columns)
        if preview.servers:
            print(f"\n{_stopped(preview)}")
    return Exit.PARTLY if any(one.outcome in _FAILED for one in preview.results) else Exit.DONE


def _stopped(preview: Preview) -> str:
    """How many servers would be stopped, when, and which of them one sees."""
    which = "1 server" if preview.servers == 1 else f"{preview.servers} servers"
    when = f", the first at {word(preview.stops_at)}" if preview.stops_at else ""
    own = f"\nof which you see: {word(preview.own_servers)}" if preview.own_servers else ""
    return f"{which} would be stopped{when}{own}"


def require_yes(name: str, *, yes: bool, verb: str = "delete") -> None:
    """Have a person say the name of what they delete; raises `UsageProblem` if they do not."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageProblem(f"to {verb} {name} takes --yes, where nobody can be asked")
    print(f"This is to {verb} {name}. Type that name to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != name:
        raise UsageProblem("that is something else: nothing was done")
