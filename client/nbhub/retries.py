"""When a request is sent again, and after how long.

A network error, 429 and 503 are; so is 409 after a network error, because the request whose answer was lost may still
be at work. Only what can be repeated is: reading, and writes with an `Idempotency-Key`, of which Notebooks Hub does one
of a key only.
"""

import random
from email.utils import parsedate_to_datetime
from time import time

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 8.0
LONGEST_ASKED_SECONDS = 60.0
"""Who is asked to come back later than this is told so instead of being made to wait."""


def is_worth_another(status: int, *, after_loss: bool) -> bool:
    """Whether a request with an answer of this status is worth another try."""
    return status in (429, 503) or (status == 409 and after_loss)


def seconds_until(attempt: int, retry_after: float | None) -> float | None:
    """How long to wait before a try, the first after the original one being 1; None: not worth waiting for."""
    if retry_after is not None:
        return retry_after if retry_after <= LONGEST_ASKED_SECONDS else None
    longest = min(FIRST_SECONDS * 2.0 ** (attempt - 1), LONGEST_SECONDS)
    # Not all who lost the same server come back at the same moment.
    return longest * random.uniform(0.75, 1.0)  # noqa: S311 - no secret


def read_retry_after(header: str | None) -> float | None:
    """Seconds of a `Retry-After`, which may also be a date; None without one, or of one that says nothing."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except (ValueError, OverflowError):
        return None
