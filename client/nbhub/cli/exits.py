"""What the exit code of a command says, and how an error is told."""

import os
import re
import sys
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbhub import errors


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

    match error:
        case errors.Unauthorized():
            # The hint of who is not known is for who sends the request.
            said = error.message
        case errors.Invalid(details=[_, *_]):
            said = _what_is_wrong(error)
        case _:
            said = str(error)
    print(f"nbhub: {said}", *(f"  {line}" for line in _next(error)), sep="\n", file=sys.stderr)


def _what_is_wrong(error: "errors.Invalid") -> str:
    """What of a request is wrong: people typed words, and know nothing of the body that was made of them."""
    problems = [f"{of}: {one.message}" if (of := _words_of(one.path)) else one.message for one in error.details]
    lines = problems if len(problems) == 1 else ["this is not valid:", *(f"  {one}" for one in problems)]
    return "\n".join([*lines, *([f"  {error.hint}"] if error.hint else [])])


def _words_of(path: str) -> str:
    """A field as words, `/userArray/0` as `user`."""
    names = [part.removesuffix("Array") for part in path.strip("/").split("/") if not part.isdecimal()]
    return re.sub(r"(?<=[a-z])([A-Z])|_", lambda match: f" {(match[1] or '').lower()}", " ".join(names))


def _next(error: Exception) -> list[str]:
    """What to do about an error, beside what it says itself."""
    from nbhub import errors
    from nbhub.credentials import TOKEN_VARIABLE

    match error:
        case errors.Unauthorized() if os.environ.get(TOKEN_VARIABLE):
            return [f"{TOKEN_VARIABLE} has the token: set another, or unset it and sign in: nbhub login"]
        case errors.Unauthorized():
            return ["Sign in: nbhub login"]
        case errors.Stale():
            return ["Look at what it is now, and do it again if it is still right"]
        case errors.RateLimited(retry_after=float() as seconds):
            return [f"Try again in {seconds:.0f} s"]
        case errors.Unavailable() if error.hint is None:
            return ["Try again in a moment; nbhub health says what is away"]
        case errors.ConnectionFailed(perhaps_done=True):
            return ["It may be done all the same: look, before you ask for it again"]
        case errors.ConnectionFailed():
            return ["Is it the right address? nbhub profiles, nbhub login ADDRESS. If so, try again in a moment"]
        case errors.OperationFailed(operation=operation) if operation.kind == "server.start":
            return [f"Its log: nbhub servers log {operation.subject}", f"Details: nbhub ops show {operation.id}"]
        case errors.OperationFailed(operation=operation):
            return [f"Details: nbhub ops show {operation.id}"]
        case errors.OperationTimedOut(operation=operation):
            return [f"Follow it: nbhub ops watch {operation.id}"]
        case errors.ApiError(status=500, request_id=str() as request):
            return [f"An administrator finds it in the logs as {request}"]
    return []
