"""The program `nbhub`: starts no more than it needs, and says by its exit code how it went.

Other distributions add commands by entry points of the group `nbhub.commands`: the name is the command, and what it
stands for is called without arguments. One that is called `admin.NAME` is a command of `nbhub admin`.
"""

import os
import sys

from nbhub.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.metadata import EntryPoint
    from typing import NoReturn

GROUP = "nbhub.commands"
_NAMES = "__names"
"""What completion scripts ask for: no command that people type."""


def run() -> "NoReturn":
    """The program."""
    code = main(sys.argv[1:])
    sys.stderr.flush()
    # All is said and closed: to take the interpreter apart piece by piece would take as long as all of a small command.
    os._exit(code)


def main(words: list[str]) -> int:
    """Run a command; its exit code. One that is added by others ends the program itself."""
    try:
        try:
            return _run(words)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has seen enough, as `head` has.
        import signal

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _run(words: list[str]) -> int:
    if words in (["--version"], ["-V"]):
        print(f"nbhub {__version__}")
        return 0
    if words[:1] == [_NAMES] and len(words) == 2:
        from nbhub.cli.completion import print_names

        print_names(words[1])
        return 0
    from nbhub.cli.application import MORE, NOUNS, SIGN_IN, run
    from nbhub.cli.exits import Exit, SignedOut, UsageProblem, exit_of, tell

    added: dict[str, EntryPoint] = {}
    if not words or not (words[0] in NOUNS or words[0] in SIGN_IN or words[0] in MORE):
        # To look for them takes longer than all else.
        added = _added()
        if words and words[0] in added:
            # What is not ours ends as it likes to.
            sys.exit(added[words[0]].load()())
    elif words[:1] == ["admin"] and len(words) > 1:
        command = _added().get(f"admin.{words[1]}")
        if command is not None:
            sys.exit(command.load()())
    try:
        code = run(words, tuple(sorted(name for name in added if "." not in name)))
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
