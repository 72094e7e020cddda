"""How fast somebody asks, counted for all processes of the API together.

Of somebody who may ask N times a minute there is one row: when the quota will be whole again. Each request moves that a
Nth of a minute on, unless it would be more than a minute ahead: then the request is one too many, and nothing is
written. So N may come at once, and after them one whenever its share of the minute has passed.
"""

from msgspec import Struct

from models.database.sql import row

WINDOW_SECONDS = 60.0


class Spent(Struct, frozen=True, kw_only=True):
    """What became of one request."""

    admitted: bool
    whole_in: float
    """Seconds until as many as allowed may come at once again."""


_SPEND = """
    WITH spent AS (
      INSERT INTO request_rate AS r (key, whole_at) VALUES (:key, now() + make_interval(secs => :each))
      ON CONFLICT (key) DO UPDATE SET whole_at = greatest(r.whole_at, now()) + make_interval(secs => :each)
       WHERE greatest(r.whole_at, now()) + make_interval(secs => :each) <= now() + make_interval(secs => :window)
      RETURNING whole_at)
    SELECT true AS admitted, extract(epoch FROM whole_at - now())::float8 AS whole_in FROM spent
    UNION ALL
    SELECT false, extract(epoch FROM whole_at - now())::float8 FROM request_rate
     WHERE key = :key AND NOT EXISTS (SELECT FROM spent)
"""


async def spend(key: str, per_minute: int) -> Spent:
    """Count a request of whom the key stands for, in one statement."""
    found = await row(_SPEND, key=key, each=WINDOW_SECONDS / per_minute, window=WINDOW_SECONDS)
    # No row: another process has made the first one since this statement began to read.
    return Spent(**found) if found else Spent(admitted=False, whole_in=WINDOW_SECONDS)
