"""Record ids: UUIDv7, so that ids made later sort later."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

FIRST_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)
"""Ids that nothing has; all others sort between them."""


def new_id() -> UUID:
    """A fresh id."""
    return uuid7()


def parse_id(text: str) -> UUID | None:
    """The id that `text` spells in the one accepted form, or None: such an id cannot exist."""
    try:
        parsed = UUID(text)
    except ValueError:
        return None
    return parsed if str(parsed) == text else None


def made_at(identity: UUID) -> datetime:
    """When an id was made: a UUIDv7 begins with the milliseconds since 1970."""
    return datetime.fromtimestamp((identity.int >> 80) / 1000, UTC)


def first_id_of(moment: datetime, later: timedelta = timedelta()) -> UUID:
    """The least of the ids that are made at a moment, or so much later; all of them are of the years 1970 to 9999."""
    milliseconds = (moment - datetime.fromtimestamp(0, UTC) + later) // timedelta(milliseconds=1)
    return UUID(int=max(milliseconds, 0) << 80)
