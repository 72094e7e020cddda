"""What a write is about to make outside of PostgreSQL: claimed before, made, and settled together with its record.

A claim is committed before anything is made, so whatever a write leaves that is cut off is found by it, and nothing has
to be guessed. A repeated request with the same `Idempotency-Key` goes on with the claim of the first one, and so makes
the same thing. A claim that nobody settled for long is abandoned first and then cleared: no write goes on with it.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct

from models.database.sql import Row, exists, row, rows, to_json
from models.domain.errors import StateConflict
from models.domain.values import Caller


class Claim(Struct, frozen=True, kw_only=True):
    """What is claimed: `subject` is the id of the record that it belongs to, `made` names what was made so far."""

    id: UUID
    kind: str
    subject: UUID
    person: UUID
    request_id: str | None
    client_request_id: str | None
    detail: dict[str, Any]
    made: list[str]
    claimed_at: datetime


_COLUMNS = "id, kind, subject, person, request_id, client_request_id, detail, made, claimed_at"


def _claim(found: Row) -> Claim:
    return msgspec.convert({**found, "detail": msgspec.json.decode(found["detail"] or "{}")}, Claim)


async def take(claim_id: UUID, kind: str, subject: UUID, caller: Caller, detail: dict[str, Any] | None = None) -> Claim:
    """Claim something anew, within the caller's transaction."""
    (taken,) = await rows(
        f"""INSERT INTO write_claim (id, kind, subject, person, request_id, client_request_id, detail, made)
            VALUES (:id, :kind, :subject, :person, :request_id, :client_request_id, :detail::jsonb, '{{}}')
            RETURNING {_COLUMNS}""",
        id=claim_id,
        kind=kind,
        subject=subject,
        person=caller.id,
        request_id=caller.request_id,
        client_request_id=caller.client_request_id,
        detail=to_json(detail),
    )
    return _claim(taken)


async def resume(claim_id: UUID) -> Claim | None:
    """Go on with a claim; None: it is settled or abandoned."""
    found = await row(
        f"UPDATE write_claim SET claimed_at = now() WHERE id = :id AND NOT abandoned RETURNING {_COLUMNS}", id=claim_id
    )
    return None if found is None else _claim(found)


async def read(claim_id: UUID, kind: str, person: UUID) -> Claim | None:
    """A person's claim of a kind; None: it is another's, settled or abandoned."""
    found = await row(
        f"SELECT {_COLUMNS} FROM write_claim WHERE id = :id AND kind = :kind AND person = :person AND NOT abandoned",
        id=claim_id,
        kind=kind,
        person=person,
    )
    return None if found is None else _claim(found)


async def note_made(claim_id: UUID, name: str, target: str | None = None) -> None:
    """Write down what is about to get its place. Where that may be another's, `target` stands for the place.

    Raises `StateConflict` while another claim puts something there.
    """
    try:
        await row(
            """UPDATE write_claim SET made = array_append(made, :name::text), target = coalesce(:target::text, target)
                WHERE id = :id""",
            name=name,
            target=target,
            id=claim_id,
        )
    except asyncpg.UniqueViolationError:
        raise StateConflict(
            "Another request is changing the same thing.", hint="Repeat the request in a moment."
        ) from None


async def leave_place(claim_id: UUID) -> None:
    """Nothing was put in the place that was noted; others may."""
    await row("UPDATE write_claim SET target = NULL WHERE id = :id", id=claim_id)


async def was_made(claim_id: UUID, name: str) -> bool:
    """Whether something was made for this claim, by this request or one that it repeats."""
    return await exists("SELECT 1 FROM write_claim WHERE id = :id AND :name = ANY(made)", id=claim_id, name=name)


async def settle(claim_id: UUID) -> None:
    """What was claimed is recorded, within the caller's transaction; raises `lost` when it was abandoned."""
    if await row("DELETE FROM write_claim WHERE id = :id AND NOT abandoned RETURNING id", id=claim_id) is None:
        raise lost()


def lost() -> StateConflict:
    """A claim is nobody's any more."""
    return StateConflict("The request took too long and was given up.", hint="Send it again.", code="CLAIM_LOST")


async def expire(claim_id: UUID) -> None:
    """Have what was claimed cleared at the next look, within the caller's transaction: nobody goes on with it."""
    await row("UPDATE write_claim SET abandoned = true, claimed_at = to_timestamp(0) WHERE id = :id", id=claim_id)


async def drop_own(claim: Claim) -> bool:
    """Nothing was made by the write that took this claim; False: another goes on with it since, or it is gone."""
    return await exists(
        "DELETE FROM write_claim WHERE id = :id AND claimed_at = :claimed_at RETURNING id",
        id=claim.id,
        claimed_at=claim.claimed_at,
    )


async def drop(claim_id: UUID) -> None:
    """Nothing was made, or nothing is left of it."""
    await row("DELETE FROM write_claim WHERE id = :id", id=claim_id)


async def abandon(kind: str, before: datetime, limit: int) -> list[Claim]:
    """Abandon claims of a kind that were taken before a moment and never settled, the oldest first.

    One that is not cleared now is found again when it is as old again: all others come before it.
    """
    found = await rows(
        f"""UPDATE write_claim SET abandoned = true, claimed_at = now() WHERE id IN (
              SELECT id FROM write_claim WHERE kind = :kind AND claimed_at < :before
               ORDER BY claimed_at LIMIT :limit FOR UPDATE SKIP LOCKED)
            RETURNING {_COLUMNS}""",
        kind=kind,
        before=before,
        limit=limit,
    )
    return [_claim(one) for one in found]
