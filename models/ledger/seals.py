"""The seals of the audit: a chain of hashes from which any change, removal or addition of what is sealed follows.

PostgreSQL writes down of each row of the audit, in the transaction that adds it, that it waits for a seal. So a seal
takes what is committed, in whatever order that comes about: what is committed later waits, and is in a later seal. A
seal has the digest of each of its rows, and the hash over these and the seal before. Whoever keeps the hash of a seal
elsewhere can tell that none up to it was changed, and that none is missing.

A digest is the SHA-256 of a text of the row that anybody can make again.
"""

import hashlib
import json
from datetime import UTC, datetime
from uuid import UUID

from msgspec import Struct

from models.database.sql import Row, decoded, records, row, rows
from models.database.transactions import Transaction

MOST_ROWS = 1000
"""Of one seal. More wait for the next one."""
MOST_READ = 20_000
"""Rows of all seals that are read at once, or those of one seal."""
EVERY_SECONDS = 60.0
BEGINNING = bytes(32)
"""What the first seal has for the one before."""
MISSING = bytes(32)
"""The digest of a row that waited and was not there any more."""
_ONE_AT_A_TIME = 0x5EA1
_DIGEST_BYTES = 32


class Seal(Struct, frozen=True, kw_only=True):
    """What rows of the audit were, in the order of their ids, and the hash of the seal before."""

    number: int
    at: datetime
    previous: bytes
    ids: list[UUID]
    digests: bytes
    hash: bytes

    @property
    def head(self) -> str:
        """What to keep elsewhere: with it the chain up to here can be verified."""
        return f"{self.number}:{self.hash.hex()}"

    def digest_of(self, index: int) -> bytes:
        """Of the row whose id is there in `ids`."""
        return self.digests[index * _DIGEST_BYTES : (index + 1) * _DIGEST_BYTES]


class Waiting(Struct, frozen=True, kw_only=True):
    """What waits for a seal."""

    number: int
    oldest_seconds: float


def canonical(*values: object) -> bytes:
    """The one text of values: JSON without spaces, keys in order, letters as they are, moments to the microsecond."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_text).encode()


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return str(value)


def _digest(found: Row) -> bytes:
    """The digest of a row of the audit."""
    if found["at"] is None:
        return MISSING
    return hashlib.sha256(canonical(*found.values())).digest()


async def seal() -> Seal | None:
    """Seal what waits, up to `MOST_ROWS`; None if nothing does, or another process is at it."""
    async with Transaction():
        held = await row("SELECT pg_try_advisory_xact_lock(:key) AS held", key=_ONE_AT_A_TIME)
        if not (held and held["held"]):
            return None
        found = await rows(
            """WITH taken AS (
                 DELETE FROM audit_unsealed WHERE id IN (SELECT id FROM audit_unsealed ORDER BY id LIMIT :most)
                 RETURNING id)
               SELECT taken.id, at, actor, actor_name, action, subject_kind, subject, operation, request_id,
                      client_request_id, detail
                 FROM taken LEFT JOIN audit USING (id) ORDER BY taken.id""",
            most=MOST_ROWS,
        )
        if not found:
            return None
        last = await row("SELECT number, hash FROM audit_seal ORDER BY number DESC LIMIT 1")
        digests = [_digest(decoded(one, "detail")) for one in found]
        number, previous = (1, BEGINNING) if last is None else (last["number"] + 1, last["hash"])
        at = datetime.now(UTC)
        entries = [[one["id"], digest.hex()] for one, digest in zip(found, digests, strict=True)]
        made = Seal(
            number=number,
            at=at,
            previous=previous,
            ids=[one["id"] for one in found],
            digests=b"".join(digests),
            hash=hashlib.sha256(canonical(number, at, previous.hex(), entries)).digest(),
        )
        await row(
            """INSERT INTO audit_seal (number, at, previous, ids, digests, hash)
               VALUES (:number, :at, :previous, :ids, :digests, :hash)""",
            number=made.number,
            at=made.at,
            previous=made.previous,
            ids=made.ids,
            digests=made.digests,
            hash=made.hash,
        )
    return made


async def waiting() -> Waiting:
    """How much waits for a seal, and since when the first of it does."""
    found = await rows(
        """SELECT count(*) AS number, coalesce(extract(epoch FROM now() - min(a.at)), 0)::float8 AS oldest_seconds
             FROM audit_unsealed LEFT JOIN audit a USING (id)"""
    )
    return records(found, Waiting)[0]


async def list_seals(
    *, after: int = 0, beyond: int | None = None, newest: bool = False, limit: int
) -> tuple[list[Seal], bool]:
    """Seals whose number is greater than `after`, and whether there are more: at most `limit`, and of these the first
    with at most `MOST_READ` rows together, or one with more.

    They come in the order of their numbers or, the `newest` first, the other way round; those `beyond` a number in it.
    """
    sign, direction = ("<", "DESC") if newest else (">", "ASC")
    found = await rows(
        f"""SELECT number, at, previous, ids, digests, hash, followed
              FROM (SELECT *, sum(cardinality(ids)) OVER (ORDER BY number {direction}) - cardinality(ids) AS before,
                           lead(number) OVER (ORDER BY number {direction}) IS NOT NULL AS followed
                      FROM (SELECT * FROM audit_seal
                             WHERE number > :after {f"AND number {sign} :beyond" if beyond is not None else ""}
                             ORDER BY number {direction} LIMIT :limit::bigint + 1) next) summed
             WHERE before = 0 OR before + cardinality(ids) <= :most ORDER BY number {direction} LIMIT :limit""",
        **({} if beyond is None else {"beyond": beyond}),
        after=after,
        limit=limit,
        most=MOST_READ,
    )
    more = bool(found) and found[-1]["followed"]
    return records(found, Seal), more
