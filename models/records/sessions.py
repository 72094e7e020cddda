"""Sign-ins: those that a browser has begun, and the sessions that came of them.

Tokens are found by their SHA-256 and never stored; the refresh token, which a logout has to revoke, is encrypted.

A session belongs to a login: that of its `sid`, which the provider gives or the first id token stands for, and which
every refresh hands on. A session that ended keeps its row, without an id token, as long as the janitor keeps expired
ones: a JWT that has been signed out would still be good by its signature alone. A refresh token that was exchanged or
ended is known by its hash; its ciphertext is gone, of an ended one as soon as the provider has revoked it.
"""

import hashlib
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from models.database.sql import Guard, row, rows
from models.database.transactions import Transaction
from models.domain.errors import IdentityUnknown
from models.domain.logging import REQUEST
from models.domain.values import Caller, Subject
from models.ledger import operations

TRANSACTION_SECONDS = 600
REFRESHING_SECONDS = 15.0
"""Longer than the provider is waited for."""
# More browsers than anybody has; of others the sessions in JupyterHub end too.
_MOST_LOGINS = 1000


class BegunLogin(Struct, frozen=True, kw_only=True):
    """What a sign-in needs to be brought to its end."""

    nonce: str
    code_verifier: str
    redirect_uri: str


class SignedIn(Struct, frozen=True, kw_only=True):
    """A session as a request finds it."""

    ended: bool
    person: UUID
    email: str
    admin: bool
    orgs: list[str]
    expires_at: datetime

    def caller(self, token_hash: bytes) -> Caller:
        """The person behind the request."""
        return Caller(id=self.person, email=self.email, admin=self.admin, orgs=tuple(self.orgs), token_hash=token_hash)


class RefreshedLogin(Struct, frozen=True, kw_only=True):
    """The login of a refresh token, which is `live`, or was exchanged for another, or all of its login has `ended`."""

    person: UUID
    sid: str
    live: bool
    ended: bool


def digest(secret: str) -> bytes:
    """How a token, state or cookie is found again."""
    return hashlib.sha256(secret.encode()).digest()


async def begin_login(state: str, cookie: str, login: BegunLogin) -> None:
    """Keep a sign-in that was begun."""
    await row(
        """INSERT INTO login_transaction (state_hash, cookie_hash, nonce, code_verifier, redirect_uri, expires_at)
           VALUES (:state, :cookie, :nonce, :code_verifier, :redirect_uri, now() + make_interval(secs => :seconds))""",
        state=digest(state),
        cookie=digest(cookie),
        nonce=login.nonce,
        code_verifier=login.code_verifier,
        redirect_uri=login.redirect_uri,
        seconds=TRANSACTION_SECONDS,
    )


async def take_login(*, state: str | None, cookie: str | None) -> BegunLogin | None:
    """The sign-in that this state, or else this cookie, stands for. It can be taken once.

    With both, both have to fit: a browser brings no other browser's code to its end.
    """
    if state is None and cookie is None:
        return None
    found = await row(
        """DELETE FROM login_transaction
            WHERE (:state::bytea IS NULL OR state_hash = :state) AND (:cookie::bytea IS NULL OR cookie_hash = :cookie)
              AND expires_at > now()
           RETURNING nonce, code_verifier, redirect_uri""",
        state=digest(state) if state is not None else None,
        cookie=digest(cookie) if cookie is not None else None,
    )
    return None if found is None else msgspec.convert(found, BegunLogin)


async def keep(
    token_hash: bytes,
    *,
    person_id: UUID,
    admin: bool,
    orgs: tuple[str, ...],
    expires_at: datetime,
    id_token_hash: bytes,
    sid: str,
    refresh_token_encrypted: bytes | None = None,
    refresh_token_hash: bytes | None = None,
    refreshed_hash: bytes | None = None,
    browser_hash: bytes | None = None,
) -> bool:
    """Write a session, replacing one of the same token; False if the refresh token that it came of is good no more.

    It belongs to the login of that token, if it is known; otherwise to `sid`. What came of one that is good no more is
    an ended session, so that its own refresh token is revoked too.
    """
    async with Transaction():
        # A logout that came while the provider was asked is before this; one that comes now finds this session.
        email = await _hold(person_id)
        login = await login_of(refreshed_hash) if refreshed_hash is not None else None
        live = login is None or login.live
        await row(
            """INSERT INTO session (token_hash, person, admin, orgs, expires_at, refresh_token_encrypted,
                                    refresh_token_hash, id_token_hash, sid, browser_hash)
               VALUES (:token, :person, :admin, :orgs::text[], :expires_at, :refresh_token, :refresh_hash, :id_token,
                       :sid, :browser)
               ON CONFLICT (token_hash) DO UPDATE SET person = excluded.person, admin = excluded.admin,
                  orgs = excluded.orgs, expires_at = excluded.expires_at, id_token_hash = excluded.id_token_hash,
                  sid = excluded.sid, browser_hash = coalesce(excluded.browser_hash, session.browser_hash),
                  refreshing_until = NULL,
                  refresh_token_hash = coalesce(excluded.refresh_token_hash, session.refresh_token_hash),
                  refresh_token_encrypted =
                    coalesce(excluded.refresh_token_encrypted, session.refresh_token_encrypted)""",
            token=token_hash,
            person=person_id,
            admin=admin,
            orgs=list(orgs),
            expires_at=expires_at,
            refresh_token=refresh_token_encrypted,
            refresh_hash=refresh_token_hash,
            id_token=id_token_hash if live else None,
            sid=sid if login is None else login.sid,
            browser=browser_hash,
        )
        if not live:
            await _wish_signed_out(_asking(person_id, email), person_id)
        elif refreshed_hash is not None and refreshed_hash != refresh_token_hash:
            await row(
                "UPDATE session SET refresh_token_encrypted = NULL WHERE refresh_token_hash = :hash",
                hash=refreshed_hash,
            )
    return live


class BrowsersToken(Struct, frozen=True, kw_only=True):
    """The refresh token that a browser stays signed in by, encrypted, and whose turn it is to use it."""

    token_hash: bytes
    refresh_token_encrypted: bytes
    taken: bool


async def take_refresh_token(browser_hash: bytes) -> BrowsersToken | None:
    """The newest live refresh token of a browser, taken for some seconds if nobody has it; None for no such browser.

    It is good once: whoever uses it a second time ends the login. Two tabs of a browser ask at the same moment.
    """
    found = await row(
        """WITH newest AS (
             SELECT token_hash, refresh_token_encrypted FROM session
              WHERE browser_hash = :browser AND id_token_hash IS NOT NULL AND refresh_token_encrypted IS NOT NULL
              ORDER BY created_at DESC LIMIT 1),
           taken AS (
             UPDATE session s SET refreshing_until = now() + make_interval(secs => :seconds) FROM newest n
              WHERE s.token_hash = n.token_hash AND coalesce(s.refreshing_until, now()) <= now()
                AND s.id_token_hash IS NOT NULL AND s.refresh_token_encrypted IS NOT NULL
             RETURNING 1)
           SELECT token_hash, refresh_token_encrypted, EXISTS (SELECT FROM taken) AS taken FROM newest""",
        browser=browser_hash,
        seconds=REFRESHING_SECONDS,
    )
    return None if found is None else msgspec.convert(found, BrowsersToken)


async def give_back_refresh_token(token_hash: bytes) -> None:
    """Let the next one use a refresh token, which was not used after all."""
    await row("UPDATE session SET refreshing_until = NULL WHERE token_hash = :token", token=token_hash)


FIND = """
    SELECT s.id_token_hash IS NULL OR p.released_at IS NOT NULL AS ended,
           s.person, p.email, s.admin, s.orgs, s.expires_at
      FROM session s JOIN person p ON p.id = s.person
     WHERE s.token_hash = :session_token AND (s.expires_at > now() OR s.id_token_hash IS NULL)
"""


async def find(token_hash: bytes) -> SignedIn | None:
    """The session of an access token, by one statement for each request; None for a token that is not ours.

    Raises `IdentityUnknown` for one that was ours and has been signed out.
    """
    found = await row(FIND, session_token=token_hash)
    if found is None:
        return None
    session = msgspec.convert(found, SignedIn)
    if session.ended:
        raise IdentityUnknown("This session has ended.", hint="Sign in again.")
    return session


_AS_BEFORE = f"""
    SELECT FROM ({FIND}) now
     WHERE NOT ended AND person = :session_person AND email = :session_email AND admin = :session_admin
       AND orgs = :session_orgs::text[] AND expires_at = :session_expires_at
"""


def as_before(token_hash: bytes, session: SignedIn) -> Guard:
    """What holds as long as the session of a token is still the same: not ended, and of the same person and rights."""
    return Guard(
        _AS_BEFORE,
        {
            "session_token": token_hash,
            "session_person": session.person,
            "session_email": session.email,
            "session_admin": session.admin,
            "session_orgs": session.orgs,
            "session_expires_at": session.expires_at,
        },
    )


def not_ended(caller: Caller) -> Guard:
    """What holds until whoever was admitted is signed out, released, or an admin no more. Tokens may expire meanwhile.

    For what goes on after a request was admitted. What another service says of its tokens by then is not asked.
    """
    return Guard(
        """SELECT FROM person p
            WHERE p.id = :session_person AND p.email = :session_email AND p.released_at IS NULL
              AND NOT EXISTS (
                SELECT FROM session s
                 WHERE s.token_hash = :session_token
                   AND (s.id_token_hash IS NULL OR (s.expires_at > now() AND s.admin <> :session_admin)))""",
        {
            "session_token": caller.token_hash,
            "session_person": caller.id,
            "session_email": caller.email,
            "session_admin": caller.admin,
        },
    )


async def login_of(refresh_token_hash: bytes) -> RefreshedLogin | None:
    """The login in which a refresh token was given out; None for a token that is not known here."""
    found = await row(
        """SELECT person, sid, bool_or(refresh_token_encrypted IS NOT NULL AND id_token_hash IS NOT NULL) AS live,
                  bool_and(id_token_hash IS NULL) AS ended
             FROM session WHERE refresh_token_hash = :hash GROUP BY person, sid ORDER BY live DESC LIMIT 1""",
        hash=refresh_token_hash,
    )
    return None if found is None else msgspec.convert(found, RefreshedLogin)


async def end_by_id_token(id_token_hash: bytes) -> UUID | None:
    """End every session of the login in which an id token was given out; whose it was, if one with it is alive."""
    found = await row("SELECT person, sid FROM session WHERE id_token_hash = :id_token LIMIT 1", id_token=id_token_hash)
    if found is None:
        return None
    person: UUID = found["person"]
    await end_login(person, found["sid"])
    return person


async def end(*, issuer: str, subject: str, sid: str) -> UUID | None:
    """End every session of a login; the person, if there were any."""
    found = await row(
        "SELECT id FROM person WHERE issuer = :issuer AND subject = :subject", issuer=issuer, subject=subject
    )
    if found is None or not await end_login(found["id"], sid):
        return None
    person: UUID = found["id"]
    return person


async def end_login(person_id: UUID, sid: str) -> bool:
    """End every session of a person's login; whether there were any.

    An operation is opened for what others have of it.
    """
    async with Transaction():
        email = await _hold(person_id)
        ended = await rows(
            """UPDATE session SET id_token_hash = NULL
                WHERE person = :person AND sid = :sid AND id_token_hash IS NOT NULL RETURNING 1""",
            person=person_id,
            sid=sid,
        )
        if ended:
            await _wish_signed_out(_asking(person_id, email), person_id)
    return bool(ended)


async def _hold(person_id: UUID) -> str:
    """Let no session of a person be made or ended by others before the end of this transaction; the e-mail."""
    found = await row("SELECT email FROM person WHERE id = :person FOR NO KEY UPDATE", person=person_id)
    return "" if found is None else str(found["email"])


async def end_all(person_id: UUID, actor: Caller) -> None:
    """End every session of a person, within the caller's transaction; an operation is opened as by `end_login`."""
    ended = await rows(
        "UPDATE session SET id_token_hash = NULL WHERE person = :person AND id_token_hash IS NOT NULL RETURNING 1",
        person=person_id,
    )
    if ended:
        await _wish_signed_out(actor, person_id)


def _asking(person_id: UUID, email: str) -> Caller:
    """Whoever signs out, or has a refresh token: no access token named them as the caller of this request."""
    asked = REQUEST.get() or {}
    return Caller(
        id=person_id,
        email=email,
        request_id=asked.get("request_id"),
        client_request_id=asked.get("client_request_id"),
    )


async def _wish_signed_out(actor: Caller, person_id: UUID) -> None:
    subject = Subject(Subject.SIGN_OUT, person_id)
    await operations.open_operation("person.sign_out", subject, owner=person_id, actor=actor)


async def live_logins(person_id: UUID) -> list[str]:
    """The logins of a person that have not ended, the newest at most; their tokens may have expired."""
    found = await rows(
        """SELECT sid FROM session WHERE person = :person AND id_token_hash IS NOT NULL AND sid IS NOT NULL
            GROUP BY sid ORDER BY max(created_at) DESC LIMIT :limit""",
        person=person_id,
        limit=_MOST_LOGINS,
    )
    return [one["sid"] for one in found]


# Sessions of before these had hashes stand for their tokens themselves.
_KNOWN_BY = "coalesce(refresh_token_hash, token_hash)"


async def unrevoked(person_id: UUID, limit: int) -> list[tuple[bytes, bytes]]:
    """The refresh tokens of a person's ended sessions that are still to be revoked, at most `limit`: by what they are
    known, and encrypted. What was tried comes last."""
    found = await rows(
        f"""SELECT {_KNOWN_BY} AS known, (array_agg(refresh_token_encrypted))[1] AS encrypted FROM session
             WHERE person = :person AND id_token_hash IS NULL AND refresh_token_encrypted IS NOT NULL
             GROUP BY known ORDER BY max(revoke_tried_at) NULLS FIRST, known LIMIT :limit""",
        person=person_id,
        limit=limit,
    )
    return [(one["known"], one["encrypted"]) for one in found]


async def note_try(person_id: UUID, refresh_token: bytes) -> None:
    """It is now tried to have a refresh token revoked: all that wait for that come before the next try."""
    await row(
        f"""UPDATE session SET revoke_tried_at = now()
             WHERE person = :person AND {_KNOWN_BY} = :token AND id_token_hash IS NULL""",
        person=person_id,
        token=refresh_token,
    )


async def note_revoked(person_id: UUID, refresh_token: bytes) -> None:
    """Forget a refresh token that is revoked, but for what it is known by."""
    await row(
        f"""UPDATE session SET refresh_token_encrypted = NULL
             WHERE person = :person AND {_KNOWN_BY} = :token AND id_token_hash IS NULL""",
        person=person_id,
        token=refresh_token,
    )
