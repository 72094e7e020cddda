"""Remembers the first answer to a write, so that repeating the request repeats the answer and not the write.

A row is claimed and filled in the transaction of the write itself: it exists exactly when the write does.
Two requests at once meet on the unique index, where the second waits for the first to end. A write that makes
something outside first holds its row before that (see `models.ledger.claims`), without an answer: a repeated request
goes on with it.
"""

from uuid import UUID, uuid4

import msgspec
from msgspec import Struct

from models.database.sql import row, to_json
from models.domain.errors import RequestInvalid

_HEADERS = msgspec.json.Decoder(dict[str, str])


class WriteKey(Struct, frozen=True, kw_only=True):
    """What makes two requests the same one: who sends it, where to, under which key and with which content."""

    person: UUID
    method: str
    path: str
    key: str
    digest: bytes


# For the end of a statement on the row of one key.
_KEY = "person = :person AND method = :method AND path = :path AND key = :key"


def _values(key: WriteKey) -> dict[str, object]:
    return {"person": key.person, "method": key.method, "path": key.path, "key": key.key}


class StoredAnswer(Struct, frozen=True, kw_only=True):
    """An answer as it went over the wire."""

    status: int
    headers: dict[str, str] = {}
    body: bytes = b""


async def claim(key: WriteKey, *, hours: float) -> StoredAnswer | None:
    """Claim `key` within the caller's transaction; the stored answer if the write took place before.

    A row that is held without an answer is locked: whoever is first gives it one. Waits for a transaction that has the
    same key, as long as the transaction's `lock_timeout` allows.
    Raises `RequestInvalid` if the key was used for another request.
    """
    claimed = await row(
        """
        INSERT INTO idempotency AS i (id, person, method, path, key, request_digest)
        VALUES (:id, :person, :method, :path, :key, :digest)
        ON CONFLICT (person, method, path, key) DO UPDATE
           SET request_digest = excluded.request_digest, created_at = now(),
               status_code = NULL, headers = NULL, body = NULL, operation = NULL, claim = NULL
         WHERE i.created_at < now() - make_interval(secs => :age)
        RETURNING i.id
        """,
        id=uuid4(),
        digest=key.digest,
        age=hours * 3600,
        **_values(key),
    )
    return None if claimed is not None else await find(key, hours=hours)


async def hold(key: WriteKey, claim_id: UUID, *, hours: float) -> UUID | StoredAnswer:
    """Hold `key` for a claim within the caller's transaction; the claim that holds it already, or the stored answer.

    Raises `RequestInvalid` if the key was used for another request.
    """
    stored = await claim(key, hours=hours)
    if stored is not None:
        return stored
    found = await row(
        f"UPDATE idempotency SET claim = coalesce(claim, :claim::uuid) WHERE {_KEY} RETURNING claim",
        claim=claim_id,
        **_values(key),
    )
    held: UUID = claim_id if found is None else found["claim"]
    return held


async def move(key: WriteKey, claim_id: UUID) -> None:
    """Hold `key` for another claim, because that which held it was given up."""
    await row(f"UPDATE idempotency SET claim = :claim WHERE {_KEY}", claim=claim_id, **_values(key))


async def answer(claim_id: UUID, answer: StoredAnswer) -> None:
    """Store an answer for the key that a claim holds, if there is one: nobody else will."""
    await row(
        """UPDATE idempotency SET status_code = :status, headers = :headers::jsonb, body = :body, claim = NULL
            WHERE claim = :claim AND status_code IS NULL""",
        status=answer.status,
        headers=to_json(answer.headers),
        body=answer.body,
        claim=claim_id,
    )


async def release(key: WriteKey) -> None:
    """Forget a key that was held and got no answer: the request failed and may be repeated, or sent otherwise."""
    await row(f"DELETE FROM idempotency WHERE {_KEY} AND status_code IS NULL", **_values(key))


async def find(key: WriteKey, *, hours: float) -> StoredAnswer | None:
    """The stored answer if the write took place before; raises `RequestInvalid` if the key was for another request."""
    found = await row(
        f"""SELECT request_digest, status_code, headers, body FROM idempotency
             WHERE created_at >= now() - make_interval(secs => :age) AND {_KEY}""",
        age=hours * 3600,
        **_values(key),
    )
    if found is None:
        return None
    if found["request_digest"] != key.digest:
        message = "the key was used for another request"
        raise RequestInvalid.of("Idempotency-Key", "reused", message, **{"in": "header"})
    if found["status_code"] is None:
        return None
    headers = _HEADERS.decode(found["headers"] or b"{}")
    return StoredAnswer(status=found["status_code"], headers=headers, body=found["body"] or b"")


async def keep(key: WriteKey, answer: StoredAnswer, operation: UUID | None) -> None:
    """Store the answer that `key` was given, in place of an earlier one."""
    await row(
        f"""UPDATE idempotency
               SET status_code = :status, headers = :headers::jsonb, body = :body, operation = :operation, claim = NULL
             WHERE {_KEY}""",
        status=answer.status,
        headers=to_json(answer.headers),
        body=answer.body,
        operation=operation,
        **_values(key),
    )
