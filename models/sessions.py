"""Sign-ins: those that a browser has begun, and the sessions that came of them.

Tokens are found by their SHA-256 and never stored; the refresh token, which a logout has to revoke, is encrypted.
"""

import hashlib
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from models.sql import row, rows
from models.values import Caller

TRANSACTION_SECONDS = 600


class BegunLogin(Struct, frozen=True, kw_only=True):
    """What a sign-in needs to be brought to its end."""

    nonce: str
    code_verifier: str
    redirect_uri: str


class SignedIn(Struct, frozen=True, kw_only=True):
    """A session as a request finds it."""

    person: UUID
    email: str
    admin: bool
    orgs: list[str]
    expires_at: datetime

    def caller(self, token_hash: bytes) -> Caller:
        """The person behind the request."""
        return Caller(id=self.person, email=self.email, admin=self.admin, orgs=tuple(self.orgs), token_hash=token_hash)


class EndedSession(Struct, frozen=True, kw_only=True):
    """What a logout has still to do with a session that it ended."""

    refresh_token_encrypted: bytes | None


def digest(secret: str) -> bytes:
    """How a token, state or cookie is found again."""
    return hashlib.sha256(secret.encode()).digest()


async def begin_login(state: str, cookie: str, login: BegunLogin) -> None:
    """Keep a sign-in that was begun."""
    await row(
        """INSERT INTO login_transaction (state_hash, cookie_hash, nonce, code_verifier, redirect_uri, expires_at)
           VALUES ({}, {}, {}, {}, {}, now() + make_interval(secs => {}))""",
        digest(state),
        digest(cookie),
        login.nonce,
        login.code_verifier,
        login.redirect_uri,
        TRANSACTION_SECONDS,
    )


async def take_login(*, state: str | None, cookie: str | None) -> BegunLogin | None:
    """The sign-in that this state, or else this cookie, stands for. It can be taken once.

    With both, both have to fit: a browser brings no other browser's code to its end.
    """
    if state is None and cookie is None:
        return None
    found = await row(
        """DELETE FROM login_transaction
            WHERE ({}::bytea IS NULL OR state_hash = {}) AND ({}::bytea IS NULL OR cookie_hash = {})
              AND expires_at > now()
           RETURNING nonce, code_verifier, redirect_uri""",
        *(2 * (digest(state) if state is not None else None,)),
        *(2 * (digest(cookie) if cookie is not None else None,)),
    )
    return None if found is None else msgspec.convert(found, BegunLogin)


async def keep(
    token_hash: bytes,
    *,
    person: UUID,
    admin: bool,
    orgs: tuple[str, ...],
    expires_at: datetime,
    refresh_token_encrypted: bytes | None = None,
    id_token_hash: bytes | None = None,
    sid: str | None = None,
) -> None:
    """Write a session, replacing one of the same token."""
    await row(
        """INSERT INTO session (token_hash, person, admin, orgs, expires_at, refresh_token_encrypted,
                                id_token_hash, sid)
           VALUES ({}, {}, {}, {}::text[], {}, {}, {}, {})
           ON CONFLICT (token_hash) DO UPDATE SET admin = excluded.admin, orgs = excluded.orgs,
              expires_at = excluded.expires_at""",
        token_hash,
        person,
        admin,
        list(orgs),
        expires_at,
        refresh_token_encrypted,
        id_token_hash,
        sid,
    )


_FIND = """
    SELECT s.person, p.email, s.admin, s.orgs, s.expires_at
      FROM session s JOIN person p ON p.id = s.person
     WHERE s.token_hash = {} AND s.expires_at > now() AND p.released_at IS NULL
"""


async def find(token_hash: bytes) -> SignedIn | None:
    """The session of an access token, if it is still one: one statement for each request."""
    found = await row(_FIND, token_hash)
    return None if found is None else msgspec.convert(found, SignedIn)


async def end(*, issuer: str, subject: str, id_token_hash: bytes, sid: str | None) -> list[EndedSession]:
    """End the sessions that an id token stands for: those of its login, or, if it is an older one, of its `sid`."""
    found = await rows(
        """DELETE FROM session s USING person p
            WHERE p.id = s.person AND p.issuer = {} AND p.subject = {}
              AND (s.id_token_hash = {} OR ({}::text IS NOT NULL AND s.sid = {}))
           RETURNING s.refresh_token_encrypted""",
        issuer,
        subject,
        id_token_hash,
        sid,
        sid,
    )
    return msgspec.convert(found, list[EndedSession])


async def end_token(token_hash: bytes) -> None:
    """End one session."""
    await row("DELETE FROM session WHERE token_hash = {}", token_hash)
