"""Persons: who has signed in, by which e-mail they are known, and to which organisations they belong."""

from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct, structs

from models.database.sql import Guard, decoded, exists, row, rows, to_json
from models.database.transactions import Transaction
from models.domain.emails import EmailInvalid, parse_email
from models.domain.errors import ActionForbidden, IdentityUnknown, RecordMissing
from models.domain.ids import new_id
from models.domain.values import Caller, Subject, Wish
from models.ledger import operations, quotas
from models.ledger.operations import ENDS_NOW
from models.records import server_shares, servers, sessions
from models.records.servers import ServerError, Stop, stopped_because

# An invited person has no issuer yet (see `models.access.principals`), and is whoever proves to have the address.
_ADOPT = """
        adopted AS (
          UPDATE person SET issuer = :issuer, subject = :subject, name = :name, seen_at = now()
           WHERE email = :email AND issuer = '' AND :verified AND released_at IS NULL
             AND NOT EXISTS (SELECT 1 FROM known)
          RETURNING id, email),
"""


class Identity(Struct, frozen=True, kw_only=True):
    """What a validated token says of a person. One that was issued before a release of the e-mail ended with it.

    Not every token says the `name`: one that says none leaves it as it was.
    """

    issuer: str
    subject: str
    email: str
    email_verified: bool | None = None
    name: str = ""
    admin: bool = False
    orgs: tuple[str, ...] = ()
    issued_at: datetime | None = None

    def caller(self, person_id: UUID, token_hash: bytes) -> Caller:
        """The person whose identity it is, behind a request with the token."""
        return Caller(id=person_id, email=self.email, admin=self.admin, orgs=self.orgs, token_hash=token_hash)


async def bind(identity: Identity) -> UUID:
    """The person of an identity, made at the first sign-in, with the organisations that it has now.

    Raises `ActionForbidden` for an e-mail that is not verified, not of an accepted form, or another person's;
    `IdentityUnknown` for a token from before a release.
    """
    if identity.email_verified is False:
        raise ActionForbidden(
            "The e-mail address of this account is not verified.", hint="Verify it at the sign-in provider."
        )
    try:
        email = parse_email(identity.email)
    except EmailInvalid:
        raise ActionForbidden(
            "This account has no e-mail address that can be used as a user name here.",
            hint="Give the account another e-mail address at the sign-in provider.",
        ) from None
    known = await _unchanged(structs.replace(identity, email=email))
    if known is not None:
        return known
    try:
        person = await _bind(identity, email)
    except asyncpg.UniqueViolationError:
        # Two first sign-ins of one account can meet here: by now the other one has made the person.
        try:
            person = await _bind(identity, email)
        except asyncpg.UniqueViolationError:
            if identity.email_verified is not True and await _is_invited(email):
                raise ActionForbidden(
                    f"Something was shared with {email}, and the sign-in provider does not say that it is verified.",
                    hint="An administrator can have it say so (`email_verified`), or release the address.",
                    code="EMAIL_INVITED",
                ) from None
            raise ActionForbidden(
                f"The e-mail address {email} belongs to another account here.",
                hint="Ask an administrator to release it: POST /persons/release.",
                code="EMAIL_TAKEN",
            ) from None
    await _keep_orgs(person, identity.orgs)
    return person


async def _is_invited(email: str) -> bool:
    return await exists(
        "SELECT 1 FROM person WHERE email = :email AND issuer = '' AND released_at IS NULL", email=email
    )


# Names of parameters that no other statement has: it is joined to others (`as_before`).
_UNCHANGED = """
    SELECT p.id FROM person p
     WHERE p.issuer = :token_issuer AND p.subject = :token_subject AND p.email = :token_email
       AND p.released_at IS NULL AND (:token_name = '' OR p.name = :token_name)
       AND p.seen_at > now() - interval '1 minute'
       AND ARRAY(SELECT o.org FROM person_org o WHERE o.person = p.id ORDER BY o.org COLLATE "C")
           = :token_orgs::text[]
"""


def _said(identity: Identity) -> dict[str, object]:
    """The parameters of `_UNCHANGED`, for an e-mail of an accepted form."""
    return {
        "token_issuer": identity.issuer,
        "token_subject": identity.subject,
        "token_email": identity.email,
        "token_name": identity.name,
        "token_orgs": sorted(set(identity.orgs)),
    }


async def _unchanged(identity: Identity) -> UUID | None:
    """The person, if there is nothing to write: tokens that are not our own sessions come here at every request."""
    found = await row(_UNCHANGED, **_said(identity))
    return None if found is None else found["id"]


_AS_BEFORE = f"""
    {_UNCHANGED} AND p.id = :token_person AND NOT EXISTS ({sessions.FIND})
"""


def as_before(token_hash: bytes, identity: Identity, person_id: UUID) -> Guard | None:
    """What holds as long as `bind` would find this person and write nothing, and the token is of no session.

    None for who has to be told what is wrong with the account.
    """
    if identity.email_verified is False:
        return None
    return Guard(_AS_BEFORE, {**_said(identity), "token_person": person_id, "session_token": token_hash})


async def _bind(identity: Identity, email: str) -> UUID:
    found = await row(
        f"""
        WITH known AS (
          UPDATE person SET seen_at = now(), released_at = NULL, name = coalesce(nullif(:name, ''), name),
                 email = CASE WHEN released_at IS NULL THEN email ELSE :email END,
                 initialized_at = CASE WHEN released_at IS NULL THEN initialized_at END
           WHERE issuer = :issuer AND subject = :subject AND coalesce(released_at < :issued_at::timestamptz, true)
          RETURNING id, email),
        {_ADOPT}
        made AS (
          INSERT INTO person (id, issuer, subject, email, name)
          SELECT :id, :issuer, :subject, :email, :name
           WHERE NOT EXISTS (SELECT 1 FROM known UNION ALL SELECT 1 FROM adopted)
          ON CONFLICT (issuer, subject) DO UPDATE SET seen_at = now() WHERE person.released_at IS NULL
          RETURNING id, email)
        SELECT id, email FROM known UNION ALL SELECT id, email FROM adopted UNION ALL SELECT id, email FROM made
        """,
        id=new_id(),
        issuer=identity.issuer,
        subject=identity.subject,
        email=email,
        name=identity.name,
        verified=identity.email_verified is True,
        issued_at=identity.issued_at,
    )
    if found is None:
        raise IdentityUnknown("This token is from before a release of the account's e-mail.", hint="Sign in again.")
    if found["email"] != email:
        raise ActionForbidden(
            "The e-mail address of this account has changed since its first sign-in here.",
            hint="Ask an administrator to release the old address: POST /persons/release.",
            code="EMAIL_CHANGED",
        )
    person: UUID = found["id"]
    return person


async def _keep_orgs(person_id: UUID, orgs: tuple[str, ...]) -> None:
    """Work in the background knows a person's organisations from here. Nothing is written when nothing differs."""
    await row(
        """
        WITH gone AS (DELETE FROM person_org WHERE person = :person AND NOT org = ANY(:orgs::text[]))
        INSERT INTO person_org (id, person, org)
        SELECT gen_random_uuid(), :person, given.org FROM unnest(:orgs::text[]) AS given(org)
         WHERE NOT EXISTS (SELECT 1 FROM person_org p WHERE p.person = :person AND p.org = given.org)
        ON CONFLICT DO NOTHING
        """,
        person=person_id,
        orgs=list(dict.fromkeys(orgs)),
    )


async def as_caller(person_id: UUID) -> Caller:
    """A person as work in the background knows it: with the organisations of the last token, and no admin."""
    found = await row(
        """SELECT p.email, ARRAY(SELECT o.org FROM person_org o WHERE o.person = p.id) AS orgs
             FROM person p WHERE p.id = :person""",
        person=person_id,
    )
    if found is None:
        raise RecordMissing.of("person", person_id)
    return Caller(id=person_id, email=found["email"], orgs=tuple(found["orgs"]))


MOST_MEMBERSHIPS = 200
"""Of how many groups a person is told who asks about oneself."""


class Membership(Struct, frozen=True, kw_only=True):
    """A group that a person is in."""

    id: UUID
    name: str
    manager: bool


class About(Struct, frozen=True, kw_only=True):
    """What is known of a person; of the memberships one more than `MOST_MEMBERSHIPS` at most, the longest first."""

    name: str
    memberships: list[Membership]
    used: dict[str, int]


async def about(person_id: UUID) -> About:
    """What is known of a person, in one statement; raises `RecordMissing`."""
    found = await row(
        f"""
        SELECT p.name, to_json(used) AS used,
               (SELECT coalesce(json_agg(m), '[]') FROM (
                  SELECT u.id, u.name, m.manager
                    FROM group_member m JOIN user_group u ON u.id = m.user_group AND u.wish = 'present'
                   WHERE m.person = p.id ORDER BY m.created_at, u.id LIMIT {MOST_MEMBERSHIPS + 1}) m) AS memberships
          FROM person p CROSS JOIN ({quotas.USED}) used WHERE p.id = :person
        """,
        person=person_id,
    )
    if found is None:
        raise RecordMissing.of("person", person_id)
    return msgspec.convert(decoded(found, "used", "memberships"), About)


async def find_by_email(email: str) -> UUID | None:
    """The person who has signed in with this e-mail and has it now."""
    found = await row(
        "SELECT id FROM person WHERE email = :email AND released_at IS NULL AND issuer <> ''", email=email
    )
    return None if found is None else found["id"]


async def email_of(person_id: UUID) -> str:
    """A person's e-mail; raises `RecordMissing`."""
    return (await _names_of(person_id))["email"]


async def hub_user_of(person_id: UUID) -> str:
    """A person's name in JupyterHub; raises `RecordMissing`."""
    return (await _names_of(person_id))["hub_user"]


async def _names_of(person_id: UUID) -> dict[str, str]:
    found = await row("SELECT email, hub_user FROM person WHERE id = :person", person=person_id)
    if found is None:
        raise RecordMissing.of("person", person_id)
    return found


async def known_as(hub_users: list[str]) -> list[str]:
    """The e-mails of JupyterHub's users; one whom nobody here is stays as it is."""
    found = await rows(
        """SELECT coalesce(p.email, given.name) AS email
             FROM unnest(:names::text[]) AS given(name) LEFT JOIN person p ON p.hub_user = given.name ORDER BY email""",
        names=hub_users,
    )
    return [one["email"] for one in found]


async def settle(person_id: UUID, run_id: str, *, released: bool) -> bool:
    """A person's home and JupyterHub user were made, or for one who has `released` the e-mail, the user was removed.

    Ends the operations on which a run works: a preparation is cancelled by a release, and a release by the person's
    coming back. False, and nothing, where it is the other way round by now.
    """
    return await exists(
        f"""
        WITH seen AS (
          UPDATE person SET initialized_at = CASE WHEN NOT :released::boolean THEN coalesce(initialized_at, now()) END
           WHERE id = :person AND (released_at IS NOT NULL) = :released RETURNING id),
        unshared AS (
          UPDATE server s SET share_url = NULL, share_expires_at = NULL, shared_with = NULL, version = version + 1
            FROM seen WHERE s.owner = seen.id AND :released AND {server_shares.SHARED}
          RETURNING {servers.CHANGED}),
        without_guests AS (
          DELETE FROM server_guest g USING seen, server s
           WHERE g.server = s.id AND s.owner = seen.id AND :released),
        ended AS (
          UPDATE operation o SET {ENDS_NOW},
                 status = CASE WHEN (o.kind = 'person.release') = :released THEN 'succeeded' ELSE 'cancelled' END
            FROM seen WHERE o.subject = seen.id AND o.subject_kind = 'person' AND o.status = 'running'
             AND o.run_id = :run_id
          RETURNING {operations.CHANGED}),
        told AS ({servers.told("unshared")}),
        told_ended AS ({operations.told("ended")})
        SELECT id FROM seen
        """,
        person=person_id,
        run_id=run_id,
        released=released,
    )


async def release(email: str, caller: Caller) -> tuple[UUID, UUID]:
    """Give an e-mail up, so that another account may sign in with it and inherits nothing; within the caller's
    transaction.

    The person whose it was and the operation, which ends when that person's servers and JupyterHub user are gone.
    Raises `RecordMissing`.
    """
    # An invitation holds an address too, and may stand in the way of whoever comes back with it.
    found = await row(
        "UPDATE person SET released_at = now() WHERE email = :email AND released_at IS NULL RETURNING id", email=email
    )
    if found is None:
        raise RecordMissing("Nobody has this e-mail address here.")
    person: UUID = found["id"]
    await sessions.end_all(person, caller)
    operation = await operations.open_operation("person.release", Subject("person", person), owner=person, actor=caller)
    return person, operation


async def is_released(person_id: UUID) -> bool:
    """Whether a person has released the e-mail and not come back with another."""
    return await exists("SELECT 1 FROM person WHERE id = :person AND released_at IS NOT NULL", person=person_id)


async def stop_servers(person_id: UUID, limit: int) -> list[Subject]:
    """Wish the servers of a person who has released the e-mail stopped; those of which something may still live, at
    most `limit`, and first those that were not told yet."""
    error = ServerError(
        code="OWNER_RELEASED",
        message="The owner's e-mail address was released, so the server was stopped.",
        hint="The owner can start it after a sign-in with another address.",
        at=datetime.now().astimezone(),
    )
    async with Transaction():
        found = await rows(
            """SELECT s.id, s.wish FROM server s JOIN person p ON p.id = s.owner
                WHERE s.owner = :person AND p.released_at IS NOT NULL
                  AND (s.observed <> 'stopped' OR s.generation <> s.observed_generation)
                ORDER BY s.wish <> 'running', s.id LIMIT :limit FOR UPDATE OF s""",
            person=person_id,
            limit=limit,
        )
        running = [one["id"] for one in found if one["wish"] == Wish.RUNNING]
        because = stopped_because(Stop.RELEASE, error.message)
        for server in running:
            await servers.intend(server, Wish.STOPPED, None, because=because)
        await row(
            "UPDATE server SET last_error = :error::jsonb WHERE id = ANY(:servers::uuid[])",
            error=to_json(error),
            servers=running,
        )
    return [Subject("server", one["id"]) for one in found]
