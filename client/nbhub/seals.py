"""Whether the audit is what was sealed: each row's digest and the hash of each seal, made again of what the API tells.

Rows come in the order of their ids and seals in that of their numbers, each once. A row has its seal nearly in that
order, so little has to be kept of them: what has come and what is not sealed yet.
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime

from nbhub.models import AuditEntry, AuditProblem, Seal, Verification

BEGINNING = "0" * 64
"""What the first seal has for the one before, and the digest of a row that was gone before it was sealed."""
MOST_PROBLEMS = 1000


def canonical(*values: object) -> bytes:
    """The one text of values: JSON without spaces, keys in order, letters as they are, moments to the microsecond."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_moment).encode()


def _moment(value: object) -> str:
    assert isinstance(value, datetime)
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def digest_of(entry: AuditEntry) -> str:
    """The SHA-256 of a row, in hexadecimal."""
    text = canonical(
        *(entry.id, entry.at, entry.actor_id, entry.actor, entry.action, entry.subject_kind, entry.subject),
        *(entry.operation, entry.request_id, entry.client_request_id, entry.detail),
    )
    return hashlib.sha256(text).hexdigest()


def hash_of(seal: Seal) -> str:
    """The SHA-256 of a seal, in hexadecimal."""
    entries = [[one.id, one.digest] for one in seal.rows]
    return hashlib.sha256(canonical(seal.number, seal.at, seal.previous, entries)).hexdigest()


class Chain:
    """What was found of a chain so far.

    `heads` are those of seals that were kept elsewhere; rows of seals up to `purged` may be gone.
    """

    def __init__(self, heads: Iterable[str] = (), *, purged: int = 0) -> None:
        """Raise `ValueError` for what is no head."""
        self._heads: dict[int, set[str]] = {}
        for head in heads:
            number, _, hash = head.partition(":")
            self._heads.setdefault(int(number), set()).add(hash)
        self._purged = purged
        self._last: Seal | None = None
        self._loose: dict[str, tuple[str, bool]] = {}
        """Rows that are in no seal so far: the digest, and whether each is said to have a seal."""
        self._seals = self._rows = self._found = 0
        self._problems: list[AuditProblem] = []

    def take_row(self, entry: AuditEntry) -> None:
        """The next row."""
        self._loose[entry.id] = digest_of(entry), entry.sealed

    def take_seal(self, seal: Seal) -> None:
        """The next seal, once all of its rows that are there have been taken."""
        self._follow(seal)
        for one in seal.rows:
            digest, _ = self._loose.pop(one.id, (None, True))
            if digest == one.digest:
                self._rows += 1
            elif digest is not None:
                self._tell("changed", f"row {one.id} is not what seal {seal.number} has of it", row=one.id, seal=seal)
            elif one.digest == BEGINNING:
                self._tell("removed", f"row {one.id} was removed before it was sealed", row=one.id, seal=seal)
            elif seal.number > self._purged:
                self._tell("removed", f"row {one.id}, which seal {seal.number} has, is gone", row=one.id, seal=seal)

    def take_later_seal(self, seal: Seal) -> None:
        """A seal that was made while the others were looked at: its rows are left for the next time."""
        for one in seal.rows:
            if one.id in self._loose:
                self._loose[one.id] = one.digest, False

    def end(self) -> Verification:
        """What all of it is. What was taken and has no seal at all was added past them."""
        added = [id for id, (_, sealed) in self._loose.items() if sealed]
        for id in added:
            self._tell("added", f"row {id} is in no seal, and waits for none", row=id)
        number = self._last.number if self._last else 0
        for later in sorted(one for one in self._heads if one > number):
            self._tell("head", f"the chain ends at seal {number}: seal {later}, whose head was kept, is cut off")
        return Verification(
            head=self._last.head if self._last else None,
            seals=self._seals,
            rows=self._rows,
            waiting=len(self._loose) - len(added),
            problems=self._problems,
            found=self._found,
        )

    def _follow(self, seal: Seal) -> None:
        before, due = (BEGINNING, 1) if self._last is None else (self._last.hash, self._last.number + 1)
        if seal.number != due:
            one = seal.number == due + 1
            missing = f"seal {due} is missing" if one else f"seals {due} to {seal.number - 1} are missing"
            self._tell("missing", missing, seal=seal)
        elif seal.previous != before:
            self._tell("broken", f"seal {seal.number} does not follow on the one before", seal=seal)
        if hash_of(seal) != seal.hash:
            self._tell("broken", f"seal {seal.number} is not what its hash says", seal=seal)
        if self._heads.get(seal.number, {seal.hash}) != {seal.hash}:
            self._tell("head", f"seal {seal.number} is not the one whose head was kept", seal=seal)
        self._last = seal
        self._seals += 1

    def _tell(self, kind: str, message: str, *, row: str | None = None, seal: Seal | None = None) -> None:
        self._found += 1
        if len(self._problems) < MOST_PROBLEMS:
            number = None if seal is None else seal.number
            self._problems.append(AuditProblem(kind=kind, message=message, row=row, seal=number))
