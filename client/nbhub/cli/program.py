"""The program `nbhub`: starts no more than it needs, and says by its exit code how it went.

Other distributions add commands by entry points of the group `nbhub.commands`: the name is the command, and what it
stands for is called without arguments.
"""

import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from nbhub.version import __version__

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "nbhub.commands"


def run() -> NoReturn:
    """The program."""
    sys.exit(main(sys.argv[1:]))


def main(words: list[str]) -> int:
    """Run a command; its exit code."""
    try:
        try:
            return _run(words)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has seen enough, as `head` has.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _run(words: list[str]) -> int:
    if words in (["--version"], ["-V"]):
        print(f"nbhub {__version__}")
        return 0
    from nbhub.cli.application import MORE, NOUNS, SIGN_IN, run
    from nbhub.cli.exits import Exit, SignedOut, UsageProblem, exit_of, tell

    added: dict[str, EntryPoint] = {}
    if not words or not (words[0] in NOUNS or words[0] in SIGN_IN or words[0] in MORE):
        # To look for them takes longer than all else.
        added = _added()
        if words and words[0] in added:
            added[words[0]].load()()
            return 0
    try:
        code = run(words, tuple(sorted(added)))
    except (UsageProblem, SignedOut) as error:
        tell(error)
        return exit_of(error)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        return Exit.DETACHED
    except Exception as error:
        from nbhub.cli.following import Detached
        from nbhub.errors import NotebooksHubError

        if isinstance(error, Detached):
            print(f"\nnbhub: {error}", file=sys.stderr)
            return Exit.DETACHED
        if isinstance(error, NotebooksHubError):
            tell(error)
            return exit_of(error)
        if isinstance(error, OSError):
            print(f"nbhub: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
            return Exit.FAILED
        raise
    return Exit.DONE if code is None else code


def _added() -> "dict[str, EntryPoint]":
    from importlib.metadata import entry_points

    return {one.name: one for one in entry_points(group=GROUP)}
