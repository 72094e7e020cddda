"""What commands do that begin an operation: follow it, and ask before something is deleted."""

import sys
from typing import Any

from nbhub.cli.exits import Exit, UsageProblem
from nbhub.cli.following import follow
from nbhub.cli.options import Common, Waiting
from nbhub.cli.output import print_json, print_table
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


def require_yes(name: str, *, yes: bool) -> None:
    """Have a person say the name of what they delete; raises `UsageProblem` if they do not."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageProblem(f"{name} is deleted only with --yes, where nobody can be asked")
    print(f"This deletes {name}. Type its name to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != name:
        raise UsageProblem("that is another name: nothing was deleted")
