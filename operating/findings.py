"""What a look at a part finds, and how looks are taken side by side, each within its time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum

from msgspec import Struct

from models.domain.errors import DomainError

SECONDS = 10.0
"""That a look may take unless it says otherwise."""


_AWAY = "See whether it runs, and whether it is reached from here."


class State(StrEnum):
    """How something is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"
    """There is nothing to look at: it is not set up here."""


class Said(Struct, frozen=True):
    """A sentence on how something is, and what to do about it."""

    state: State
    text: str
    do: str = ""


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a look has found."""

    check: str
    state: State
    text: str
    do: str = ""
    seconds: float


Look = Callable[[], Awaitable[list[Said]]]


class Check(Struct, frozen=True):
    """A look, and how long it may take."""

    look: Look
    seconds: float = SECONDS


def ok(text: str) -> Said:
    """All is well."""
    return Said(State.OK, text)


def warn(text: str, do: str) -> Said:
    """It works, and should not stay so."""
    return Said(State.WARN, text, do)


def fail(text: str, do: str) -> Said:
    """It does not work."""
    return Said(State.FAIL, text, do)


def skipped(text: str) -> Said:
    """There is nothing to look at."""
    return Said(State.SKIPPED, text)


async def taken(checks: Mapping[str, Check]) -> list[Finding]:
    """What all looks find, side by side: one that fails or takes too long has failed, and stops none of the others."""
    found = await asyncio.gather(*(_taken(name, check) for name, check in checks.items()))
    return [one for some in found for one in some]


async def _taken(name: str, check: Check) -> list[Finding]:
    started = time.monotonic()
    try:
        async with asyncio.timeout(check.seconds):
            said = await check.look()
    except TimeoutError:
        said = [fail(f"No answer within {check.seconds:g} s.", _AWAY)]
    except DomainError as error:
        said = [fail(error.message, error.hint or _AWAY)]
    except Exception as error:
        # The text of a foreign exception may hold addresses and credentials.
        said = [fail(f"No answer ({type(error).__name__}).", _AWAY)]
    seconds = round(time.monotonic() - started, 3)
    return [Finding(check=name, state=one.state, text=one.text, do=one.do, seconds=seconds) for one in said]
