"""Removes what has expired, a bounded number of rows at a time."""

from models.database.sql import rows
from models.ledger import events

# Bounded, so that no statement holds locks for long; the next pass goes on.
_BATCH = 5000
_MOST_BATCHES = 20
"""Of events, which are more than anything else that expires."""

STATEMENTS = (
    # By then a provider has forgotten a refresh token that nobody used; until then an ended one is known by its hash.
    """DELETE FROM session WHERE token_hash IN (
         SELECT token_hash FROM session WHERE expires_at < now() - interval '60 days' LIMIT :limit) RETURNING 1""",
    """DELETE FROM login_transaction WHERE state_hash IN (
         SELECT state_hash FROM login_transaction WHERE expires_at < now() LIMIT :limit) RETURNING 1""",
    """DELETE FROM device_sign_in WHERE code_hash IN (
         SELECT code_hash FROM device_sign_in WHERE expires_at < now() LIMIT :limit) RETURNING 1""",
    """DELETE FROM request_rate WHERE key IN (
         SELECT key FROM request_rate WHERE whole_at < now() LIMIT :limit) RETURNING 1""",
    # Who stopped a person's servers by groups long ago may have had reasons: the count begins again.
    """DELETE FROM group_stop WHERE id IN (
         SELECT id FROM group_stop WHERE lost_at < now() - interval '30 days' LIMIT :limit) RETURNING 1""",
    """DELETE FROM heartbeat WHERE id IN (
         SELECT id FROM heartbeat WHERE seen_at < now() - interval '1 day' LIMIT :limit) RETURNING 1""",
)


async def _prune_events() -> int:
    removed = 0
    for _ in range(_MOST_BATCHES):
        gone = len(await rows(events.PRUNE, limit=_BATCH))
        removed += gone
        if gone < _BATCH - 1:
            break
    return removed


async def remove_expired(idempotency_hours: float) -> int:
    """Remove expired sessions, sign-ins, rates, counts of stops, heartbeats, events and idempotency rows; how many."""
    removed = sum([len(await rows(statement, limit=_BATCH)) for statement in STATEMENTS])
    removed += await _prune_events()
    removed += len(
        await rows(
            """DELETE FROM idempotency WHERE id IN (
                 SELECT id FROM idempotency WHERE created_at < now() - make_interval(secs => :age) LIMIT :limit)
               RETURNING 1""",
            age=idempotency_hours * 3600,
            limit=_BATCH,
        )
    )
    return removed
