"""Remembers the first answer to a write, so that repeating the request repeats the answer and not the write.

A row is claimed and filled in the transaction of the write itself: it exists exactly when the write does.
Two requests at once meet on the unique index, where the second waits for the first to end.
"""

from uuid import UUID, uuid4

import msgspec
from msgspec import Struct

from models.errors import RequestInvalid
from models.sql import row, to_json


class WriteKey(Struct, frozen=True, kw_only=True):
    """What makes two requests the same one: who sends it, where to, under which key and with which content."""

    person: UUID
    method: str
    path: str
    key: str
    digest: bytes


class StoredAnswer(Struct, frozen=True, kw_only=True):
    """An answer as it went over the wire."""

    status: int
    headers: dict[str, str] = {}
    body: bytes = b""


async def claim(key: WriteKey, *, hours: float) -> StoredAnswer | None:
    """Claim `key` within the caller's transaction; the stored answer if the write took place before.

    Waits for a transaction that holds the same key, as long as the transaction's `lock_timeout` allows.
    Raises `RequestInvalid` if the key was used for another request.
    """
    claimed = await row(
        """
        INSERT INTO idempotency AS i (id, person, method, path, key, request_digest)
        VALUES ({}, {}, {}, {}, {}, {})
        ON CONFLICT (person, method, path, key) DO UPDATE
           SET request_digest = excluded.request_digest, created_at = now(),
               status_code = NULL, headers = NULL, body = NULL, operation = NULL
         WHERE i.created_at < now() - make_interval(secs => {})
        RETURNING i.id
        """,
        uuid4(),
        key.person,
        key.method,
        key.path,
        key.key,
        key.digest,
        hours * 3600,
    )
    if claimed is not None:
        return None
    stored = await find(key, hours=hours)
    if stored is None:
        raise _reused()
    return stored


async def find(key: WriteKey, *, hours: float) -> StoredAnswer | None:
    """The stored answer if the write took place before; raises `RequestInvalid` if the key was for another request."""
    found = await row(
        """SELECT request_digest, status_code, headers, body FROM idempotency
            WHERE person = {} AND method = {} AND path = {} AND key = {}
              AND created_at >= now() - make_interval(secs => {})""",
        key.person,
        key.method,
        key.path,
        key.key,
        hours * 3600,
    )
    if found is None:
        return None
    if found["request_digest"] != key.digest:
        raise _reused()
    headers = msgspec.json.decode(found["headers"] or b"{}", type=dict[str, str])
    return StoredAnswer(status=found["status_code"], headers=headers, body=found["body"] or b"")


def _reused() -> RequestInvalid:
    return RequestInvalid.of("Idempotency-Key", "reused", "the key was used for another request", **{"in": "header"})


async def keep(key: WriteKey, answer: StoredAnswer, operation: UUID | None) -> None:
    """Store the answer that `key` was given, in place of an earlier one."""
    await row(
        """UPDATE idempotency SET status_code = {}, headers = {}::jsonb, body = {}, operation = {}
            WHERE person = {} AND method = {} AND path = {} AND key = {}""",
        answer.status,
        to_json(answer.headers),
        answer.body,
        operation,
        key.person,
        key.method,
        key.path,
        key.key,
    )
