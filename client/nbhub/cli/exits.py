"""What the exit code of a command says, and how an error is told."""

import sys
from enum import IntEnum


class Exit(IntEnum):
    """How a command ended."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    SIGN_IN = 4
    FORBIDDEN = 5
    CONFLICT = 6
    UNAVAILABLE = 7
    TIMED_OUT = 8
    PARTLY = 9
    DETACHED = 130


MEANINGS = {
    Exit.DONE: "done",
    Exit.FAILED: "the operation, or the command, has failed",
    Exit.USAGE: "wrong usage, or a name of several things",
    Exit.NOT_FOUND: "there is no such thing",
    Exit.SIGN_IN: "sign in: nbhub login",
    Exit.FORBIDDEN: "not allowed",
    Exit.CONFLICT: "the state of the thing, or somebody else's change, stands against it",
    Exit.UNAVAILABLE: "not available at the moment: try again",
    Exit.TIMED_OUT: "not ended in time; the work goes on",
    Exit.PARTLY: "done for some, not for others",
    Exit.DETACHED: "detached by Ctrl-C; the work goes on",
}


class UsageProblem(Exception):
    """What was typed cannot be done."""


class SignedOut(Exception):
    """Nobody is signed in on this machine."""

    def __init__(self) -> None:
        super().__init__("nobody is signed in here\n  Sign in: nbhub login https://…")


def exit_of(error: Exception) -> Exit:
    """The exit code of an error."""
    from nbhub import errors
    from nbhub.profiles import ProfileProblem

    codes: list[tuple[type[Exception], Exit]] = [
        (UsageProblem, Exit.USAGE),
        (SignedOut, Exit.SIGN_IN),
        (ProfileProblem, Exit.USAGE),
        (errors.Ambiguous, Exit.USAGE),
        (errors.Invalid, Exit.USAGE),
        (errors.NotFound, Exit.NOT_FOUND),
        (errors.Unauthorized, Exit.SIGN_IN),
        (errors.Forbidden, Exit.FORBIDDEN),
        (errors.Conflict, Exit.CONFLICT),
        (errors.Stale, Exit.CONFLICT),
        (errors.RateLimited, Exit.UNAVAILABLE),
        (errors.Unavailable, Exit.UNAVAILABLE),
        (errors.ConnectionFailed, Exit.UNAVAILABLE),
        (errors.OperationTimedOut, Exit.TIMED_OUT),
    ]
    return next((code for kind, code in codes if isinstance(error, kind)), Exit.FAILED)


def tell(error: Exception) -> None:
    """Say on stderr what is wrong, and what to do next."""
    if isinstance(error, (UsageProblem, SignedOut)):
        print(f"nbhub: {error}", file=sys.stderr)
        return
    from nbhub import errors

    if isinstance(error, errors.Unauthorized):
        # Its own hint is for who sends the request.
        print(f"nbhub: {error.message}\n  Sign in: nbhub login", file=sys.stderr)
        return
    print(f"nbhub: {error}", file=sys.stderr)
    if isinstance(error, errors.OperationFailed):
        print(f"  Details: nbhub ops show {error.operation.id}", file=sys.stderr)
    if isinstance(error, errors.OperationTimedOut):
        print(f"  Follow it: nbhub ops watch {error.operation.id}", file=sys.stderr)
