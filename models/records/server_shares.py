"""How servers are shared in JupyterHub: by a link that their owners ask for, and with whom, as last seen there.

What is asked for is an operation about `server-access`; what a worker sees of JupyterHub is written by `note_link` and
`note_guests`. A guest is somebody with whom a server is shared. Of what the server holds, `held` is what the guest had
a right to of their own when that was last looked at: who loses such a right loses the server with it.
"""

from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from models.access.permissions import level_of
from models.database.sql import decoded, exists, given, made_of, page, records, row, rows, to_json, with_total
from models.domain.ids import LAST_ID
from models.domain.values import Caller, Subject
from models.ledger import operations
from models.ledger.operations import ENDS_NOW
from models.records.mounts import SCOPES
from models.records.servers import ServerRecord

LINK, TAKE_BACK = "server.share", "server.unshare"


class Asked(Struct, frozen=True, kw_only=True):
    """What was asked for; `hub_users` are those whose access is taken back, by their names in JupyterHub, or None:
    everybody's is."""

    id: UUID
    kind: str
    hub_users: list[str] | None


class SharedServer(Struct, frozen=True, kw_only=True):
    """A server that is shared, or can be by its link."""

    id: UUID
    name: str
    owner: str
    share_url: str | None
    share_expires_at: datetime | None
    shared_with: dict[str, list[str]] | None
    share_as_of: datetime | None


class LostGuest(Struct, frozen=True, kw_only=True):
    """Somebody who lost the right to what a server holds that is shared with them."""

    id: UUID
    server: UUID
    hub_user: str
    email: str


def access_of(server_id: UUID) -> Subject:
    """What shares of a server are about."""
    return Subject.access_of("server", server_id)


async def ask_link(server: ServerRecord, caller: Caller) -> UUID:
    """Ask for a link, within the caller's transaction; the operation, which may be one that asks for it already."""
    await row("SELECT 1 FROM server WHERE id = :id FOR UPDATE", id=server.id)
    already = await row(
        "SELECT id FROM operation WHERE subject = :server AND kind = :kind AND status IN ('queued', 'running') LIMIT 1",
        server=server.id,
        kind=LINK,
    )
    if already is not None:
        joined: UUID = already["id"]
        return joined
    return await operations.open_operation(LINK, access_of(server.id), owner=server.owner_id, actor=caller)


# The same for an address that nobody has, that somebody has who was never let in, and for both ever after.
_NOT_SHARED = "Nobody who has or had this address is known to have the server. The link is taken back all the same."


async def take_back(server: ServerRecord, email: str | None, caller: Caller) -> UUID:
    """Ask for the link and everybody's access, or one person's, to be taken back, within the caller's transaction.

    The link goes in either case: who knows it could come back by it. It is told to nobody from here on, and who has
    asked for one before gets none. One person is whoever has the address now, or was shown by it as a guest.
    """
    await forget_link(server.id)
    operation = await operations.open_operation(TAKE_BACK, access_of(server.id), owner=server.owner_id, actor=caller)
    await row(
        f"""
        WITH ended AS (
          UPDATE operation o SET status = 'cancelled', superseded_by = :operation, {ENDS_NOW}
           WHERE subject = :server AND kind = :kind AND status IN ('queued', 'running')
          RETURNING {operations.CHANGED})
        {operations.told("ended")}
        """,
        operation=operation,
        server=server.id,
        kind=LINK,
    )
    if email is not None:
        await row(
            """
            WITH meant AS (
              SELECT id FROM person WHERE email = :email
              UNION SELECT person FROM server_guest WHERE server = :server AND known_as = :email)
            INSERT INTO operation_result (id, operation, type, entity, persons, outcome, detail)
            SELECT gen_random_uuid(), :operation, 'user', :email, ARRAY(SELECT id FROM meant),
                   CASE WHEN seen THEN 'revoked' ELSE 'not_shared' END, CASE WHEN NOT seen THEN :detail END
              FROM (SELECT EXISTS (SELECT FROM server_guest JOIN meant ON meant.id = person
                                    WHERE server = :server) AS seen) guest
            """,
            operation=operation,
            server=server.id,
            email=email,
            detail=_NOT_SHARED,
        )
    return operation


async def note_guest_found(operation_id: UUID) -> None:
    """Somebody whose access an operation takes back has it."""
    await row(
        "UPDATE operation_result SET outcome = 'revoked', detail = NULL WHERE operation = :operation",
        operation=operation_id,
    )


async def asked(server_id: UUID, run_id: str) -> list[Asked]:
    """What was asked for about a server's shares and a run works on: a link after all that is taken back."""
    # Whom JupyterHub knows and nobody here is goes by the name there.
    found = await rows(
        """SELECT o.id, o.kind,
                  CASE WHEN r.id IS NOT NULL THEN ARRAY(
                    SELECT p.hub_user FROM person p
                     WHERE p.id = ANY(r.persons) OR (r.persons IS NULL AND p.email = r.entity)
                    UNION
                    SELECT r.entity WHERE NOT EXISTS (SELECT FROM person p WHERE p.hub_user = r.entity)
                  ) END AS hub_users
             FROM operation o LEFT JOIN operation_result r ON r.operation = o.id
            WHERE o.subject = :server AND o.subject_kind = :kind AND o.status = 'running' AND o.run_id = :run_id
            ORDER BY o.kind = 'server.share', o.id""",
        server=server_id,
        kind=access_of(server_id).kind,
        run_id=run_id,
    )
    return records(found, Asked)


async def fail_links(server_id: UUID, run_id: str, error: operations.OperationError) -> None:
    """End what asked for a link and cannot have one."""
    await row(
        f"""
        WITH ended AS (
          UPDATE operation o SET status = 'failed', error = :error::jsonb, {operations.ENDS_NOW}
           WHERE subject = :server AND kind = :kind AND status = 'running' AND run_id = :run_id
          RETURNING {operations.CHANGED})
        {operations.told("ended")}
        """,
        error=to_json(error),
        server=server_id,
        kind=LINK,
        run_id=run_id,
    )


async def times_unshared(server_id: UUID, run_id: str) -> int | None:
    """How often a server's link was taken back so far; None: nobody wants one any more of whom a run works for."""
    found = await row(
        """SELECT s.times_unshared FROM server s
            WHERE s.id = :server AND EXISTS (
              SELECT FROM operation o
               WHERE o.subject = s.id AND o.kind = :kind AND o.status = 'running' AND o.run_id = :run_id)""",
        server=server_id,
        kind=LINK,
        run_id=run_id,
    )
    return None if found is None else found["times_unshared"]


async def note_link(server_id: UUID, url: str, expires_at: datetime | None, *, unshared: int) -> bool:
    """Keep the link by which a server is shared that is to run, unless links of it were taken back more often by now
    than so many times; whether it is kept."""
    return await exists(
        """UPDATE server SET share_url = :url, share_expires_at = :expires_at
            WHERE id = :server AND wish = 'running' AND times_unshared = :unshared RETURNING id""",
        url=url,
        expires_at=expires_at,
        server=server_id,
        unshared=unshared,
    )


async def forget_link(server_id: UUID) -> None:
    """Tell the link to nobody any more, nor one that is being made. With whom the server is shared is to be seen."""
    await row(
        """UPDATE server SET share_url = NULL, share_expires_at = NULL, times_unshared = times_unshared + 1,
                  shared_with = coalesce(shared_with, '{}')
            WHERE id = :server""",
        server=server_id,
    )


class Taken(Struct, frozen=True, kw_only=True):
    """Rights to what is in a scope (one of `mounts.SCOPES`, of an identity) are taken from people, since a moment."""

    scope: str
    id: UUID | None
    since: datetime


# Work in the background has no token: organisations are those of the person's last one.
_CALLER = (
    "(SELECT {who} AS person, ARRAY(SELECT org FROM person_org WHERE person = {who}) AS orgs, false AS admin) caller"
)


def _right(who: str) -> str:
    """SQL: whether a person has a right to what a `mount` holds; NULL where it is not there any more."""
    return f"""
        CASE mount.kind
          WHEN 'group' THEN (
            SELECT EXISTS (SELECT FROM group_member m WHERE m.user_group = u.id AND m.person = {who})
              FROM user_group u WHERE u.id = mount.object AND u.wish = 'present')
          ELSE (SELECT {level_of("o")} IS NOT NULL FROM shareable o CROSS JOIN LATERAL {_CALLER.format(who=who)}
                 WHERE o.id = mount.object AND o.live)
        END"""


_AND_WHAT_ELSE = (
    "DO UPDATE SET known_as = excluded.known_as, held = ARRAY(SELECT unnest(g.held) UNION SELECT unnest(excluded.held))"
)


async def note_guests(
    server_id: UUID, hub_users: list[str], shown: dict[str, list[str]], *, taken: Taken | None = None
) -> None:
    """Keep with whom JupyterHub shares a server, as of now, by their names there and as people are `shown` them.

    A link that has expired is none. Who is seen for the first time since rights are `taken` from people may be one of
    them, and counts as one.
    """
    await row(
        f"""
        WITH seen AS (
          UPDATE server SET shared_with = :shown::jsonb, share_as_of = now(), share_looked_at = now(),
                 share_url = CASE WHEN share_expires_at > now() THEN share_url END
           WHERE id = :server RETURNING id, owner),
        guest AS (
          SELECT p.id, p.email FROM person p JOIN seen ON p.id <> seen.owner WHERE p.hub_user = ANY(:names::text[])),
        gone AS (DELETE FROM server_guest g WHERE g.server = :server AND g.person NOT IN (SELECT id FROM guest))
        INSERT INTO server_guest AS g (id, server, person, known_as, held)
        SELECT gen_random_uuid(), :server, guest.id, guest.email,
               ARRAY(SELECT mount.object FROM server_mount mount WHERE mount.server = :server
                        AND {SCOPES[taken.scope] if taken else _right("guest.id")})
          FROM guest
        ON CONFLICT (server, person) {_AND_WHAT_ELSE} {"WHERE g.seen_at >= :since" if taken else ""}
        """,
        server=server_id,
        shown=to_json(shown if any(shown.values()) else None),
        names=hub_users,
        **({"id": taken.id, "since": taken.since} if taken else {}),
    )


async def takes_rights(about: Subject) -> datetime | None:
    """Since when something that is worked on may take rights from people; None: they only gain, nobody has lost any."""
    found = await row(
        """SELECT min(created_at) AS since FROM operation
            WHERE subject = :id AND subject_kind = :kind AND status = 'running'
              AND kind NOT LIKE '%.share' AND kind NOT IN ('group.create', 'group.update', 'group.add_member')""",
        id=about.id,
        kind=about.kind,
    )
    assert found is not None
    since: datetime | None = found["since"]
    return since


# What is not shared has neither; as the index says it.
SHARED = "(s.share_url IS NOT NULL OR s.shared_with IS NOT NULL)"


async def holders(scope: str, identity: UUID | None) -> list[UUID]:
    """Servers that hold something of a scope and may be shared with somebody, those whose turn was longest ago."""
    found = await rows(
        f"""SELECT s.id FROM server_mount mount JOIN server s ON s.id = mount.server AND {SHARED}
             WHERE {SCOPES[scope]} GROUP BY s.id ORDER BY s.share_looked_at NULLS FIRST, s.id""",
        id=identity,
    )
    return [one["id"] for one in found]


async def note_look(server_id: UUID) -> None:
    """A server is now looked at: its next turn comes last."""
    await row("UPDATE server SET share_looked_at = now() WHERE id = :server", server=server_id)


async def lost(scope: str, identity: UUID | None, limit: int) -> list[LostGuest]:
    """Guests who lost a right of their own to something of a scope that the server holds, at most `limit`.

    Those whose access was not tried to be ended before come first: none that stays stands before one of them. What is
    gone altogether nobody has lost: no server holds it for long.
    """
    found = await rows(
        f"""SELECT g.id, g.server, p.hub_user, p.email FROM server_guest g JOIN person p ON p.id = g.person
              JOIN server_mount mount ON mount.server = g.server AND mount.object = ANY(g.held)
             WHERE {SCOPES[scope]} AND NOT {_right("g.person")}
             GROUP BY g.id, p.id ORDER BY g.tried_at NULLS FIRST, g.id LIMIT :limit""",
        id=identity,
        limit=limit,
    )
    return records(found, LostGuest)


async def note_try(guest: LostGuest) -> None:
    """It is now tried to end a guest's access: all who wait for that come before the next try."""
    await row("UPDATE server_guest SET tried_at = now() WHERE id = :id", id=guest.id)


async def take_to_look_at(limit: int) -> list[UUID]:
    """Servers that run and may be shared with somebody, those whose turn was longest ago; their next comes last."""
    found = await rows(
        f"""UPDATE server SET share_looked_at = now() WHERE id IN (
              SELECT s.id FROM server s WHERE s.observed <> 'stopped' AND {SHARED}
               ORDER BY s.share_looked_at NULLS FIRST, s.id LIMIT :limit FOR UPDATE SKIP LOCKED)
            RETURNING id""",
        limit=limit,
    )
    return [one["id"] for one in found]


_FILTERS = {"owner": "s.owner = :owner"}


async def list_shared(
    *, owner: UUID | None, before: UUID | None, limit: int, count: bool = False
) -> list[SharedServer]:
    """Servers of one owner, or of all, that are shared or have a link, newest first, at most `limit`.

    They are `Counted` if they are to be.
    """
    narrowed, values = given(_FILTERS, owner=owner)
    found = await rows(
        with_total(
            page(
                f"""SELECT s.id, s.name, p.email AS owner, s.share_url, s.share_expires_at, s.shared_with, s.share_as_of
                      FROM server s JOIN person p ON p.id = s.owner
                     WHERE {SHARED} AND s.id < :before AND {narrowed} ORDER BY s.id DESC"""
            ),
            f"SELECT count(*) FROM server s WHERE {SHARED} AND {narrowed}" if count else None,
        ),
        **values,
        before=before or LAST_ID,
        limit=limit,
    )
    return made_of(found, [msgspec.convert(decoded(one, "shared_with"), SharedServer) for one in found])
