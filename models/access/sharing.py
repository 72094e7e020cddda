"""Grants: giving and taking rights to an object, and telling who has which. The same for every kind of object.

The truth is changed in the caller's transaction and holds from the next statement on; what follows from it
outside is the work of `AccessWorkflow`.
"""

from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from models.access.permissions import CALLER, UNEXPIRED, Level, level_of, values_of
from models.access.principals import Principals
from models.database.sql import records, row, rows, with_total
from models.domain.errors import ActionForbidden, RecordMissing
from models.domain.kinds import TABLES
from models.domain.values import Caller, Subject
from models.ledger import events
from models.ledger.events import Change


class Shareable(Struct, frozen=True, kw_only=True):
    """An object that can be shared, and how far its reader may go."""

    id: UUID
    kind: str
    owner_id: UUID
    owner: str
    name: str
    level: Level | None


class AccessEntry(Struct, frozen=True, kw_only=True):
    """One principal's access to an object: at the highest level, until when, and by whom that was given."""

    type: str
    entity: str
    level: Level
    group: UUID | None = None
    expires_at: datetime | None = None
    granted_by: str | None = None


class Way(Struct, frozen=True, kw_only=True):
    """One way in which a person has access; a group or organisation that the asker may not see has no name."""

    type: str
    entity: str | None
    level: Level
    expires_at: datetime | None


async def read(kind: str, identity: UUID, caller: Caller, needs: Level, *, hold: bool = False) -> Shareable:
    """A live object for somebody who may go as far as `needs`; raises `RecordMissing` or `ActionForbidden`.

    `hold` keeps it live for the caller's transaction: who deletes it waits, and then finds what was granted.
    """
    if hold:
        await row(f"SELECT 1 FROM {TABLES[kind]} WHERE id = :id AND wish = 'present' FOR SHARE", id=identity)
    found = await row(
        f"""WITH {CALLER}
            SELECT o.id, o.kind, o.owner AS owner_id, p.email AS owner, o.name, may.level
              FROM shareable o JOIN person p ON p.id = o.owner CROSS JOIN caller
              CROSS JOIN LATERAL (SELECT {level_of("o")} AS level) may
             WHERE o.id = :id AND o.kind = :kind AND o.live AND (caller.admin OR may.level IS NOT NULL)""",
        **values_of(caller),
        id=identity,
        kind=kind,
    )
    if found is None:
        raise RecordMissing.of(kind, identity)
    shareable = msgspec.convert(found, Shareable)
    require(shareable.level, caller, needs, Subject(kind, identity))
    return shareable


async def usable(identities: list[str], caller: Caller) -> set[tuple[str, str]]:
    """Kind and id of those objects that the caller may use, by what is granted; being an admin grants nothing."""
    if not identities:
        return set()
    found = await rows(
        f"""WITH {CALLER} SELECT o.kind, o.id FROM shareable o CROSS JOIN caller
             WHERE o.id = ANY(:ids::uuid[]) AND o.live AND {level_of("o")} IS NOT NULL""",
        **values_of(caller),
        ids=[UUID(one) for one in identities],
    )
    return {(one["kind"], str(one["id"])) for one in found}


def require(level: Level | None, caller: Caller, needs: Level, about: Subject) -> None:
    """Refuse (`ActionForbidden`) a caller who sees an object but may not do this to it."""
    if caller.admin or (level is not None and level >= needs):
        return
    whom = {Level.OWNER: "its owner", Level.WRITE: "its owner and those who may write it", Level.READ: "its readers"}
    raise ActionForbidden(f"Only {whom[needs]} may do this to the {about.kind}.", hint="Ask its owner.", about=about)


_TYPES = {"person": "uuid", "user_group": "uuid", "org": "text"}
"""The columns of the principals of a grant, with their types."""
_TOLD = {"person": "persons", "user_group": "groups", "org": "orgs"}
"""To whom of an event they are."""


def _told(change: Change, source: str, column: str) -> str:
    """SQL: writes an event of `:object` to all that are in a column of a source of grants, if there are any."""
    return events.written(
        change,
        f"""(SELECT g.object, g.object_kind, array_agg(DISTINCT g.{column}) AS principals FROM {source} g
              GROUP BY g.object, g.object_kind) given""",
        kind="object_kind",
        subject="object",
        # Of what was lost who had it is told.
        needs_right=change is Change.SHARED,
        **{_TOLD[column]: "principals"},
    )


async def grant(
    shareable: Shareable, principals: Principals, level: Level, expires_at: datetime | None, caller: Caller
) -> None:
    """Grant a level to principals; its owner needs none. What was granted before stays, but for its expiry."""
    for column, values in _columns(shareable, principals):
        await rows(
            f"""
            WITH granted AS (
              INSERT INTO access_grant (id, object, object_kind, {column}, level, expires_at, granted_by)
              SELECT gen_random_uuid(), :object, :kind, given.principal, :level, :expires_at, :granted_by
                FROM unnest(:principals::{_TYPES[column]}[]) AS given(principal)
              ON CONFLICT (object, {column}, level) WHERE {column} IS NOT NULL
              DO UPDATE SET expires_at = excluded.expires_at, granted_by = excluded.granted_by
              RETURNING object, object_kind, {column})
            {_told(Change.SHARED, "granted", column)}
            """,
            object=shareable.id,
            kind=shareable.kind,
            level=int(level),
            expires_at=expires_at,
            granted_by=caller.id,
            principals=values,
        )


async def revoke(shareable: Shareable, principals: Principals, level: Level) -> None:
    """Take a level and what stands above it: revoking read takes write too. What is not there is no problem."""
    if principals.persons:
        # Also of those who have released the address since: it is what the owner knows them by.
        await rows(
            f"""
            WITH revoked AS (
              DELETE FROM access_grant WHERE object = :object AND level >= :level
                 AND person IN (SELECT id FROM person WHERE email = ANY(:emails::text[]))
              RETURNING object, object_kind, person)
            {_told(Change.TAKEN_BACK, "revoked", "person")}
            """,
            object=shareable.id,
            level=int(level),
            emails=[one.email for one in principals.persons],
        )
    for column, values in _columns(shareable, principals):
        await rows(
            f"""
            WITH revoked AS (
              DELETE FROM access_grant
               WHERE object = :object AND {column} = ANY(:principals::{_TYPES[column]}[]) AND level >= :level
              RETURNING object, object_kind, {column})
            {_told(Change.TAKEN_BACK, "revoked", column)}
            """,
            object=shareable.id,
            principals=values,
            level=int(level),
        )


def _columns(shareable: Shareable, principals: Principals) -> list[tuple[str, list[object]]]:
    """The column and the values of each kind of principal that is named."""
    named: list[tuple[str, list[object]]] = [
        ("person", [one.id for one in principals.persons if one.id != shareable.owner_id]),
        ("user_group", [one.id for one in principals.groups]),
        ("org", list(principals.orgs)),
    ]
    return [one for one in named if one[1]]


async def keep_results(operation_id: UUID, shareable: Shareable, principals: Principals, outcome: str) -> None:
    """Write what a share or revoke came to for each principal."""
    outcomes = [
        (
            "user",
            one.email,
            # Whether the person has ever signed in is not the sharer's to know.
            "owner" if one.id == shareable.owner_id else outcome,
        )
        for one in principals.persons
    ]
    outcomes += [("group", one.name, outcome) for one in principals.groups]
    outcomes += [("org", org, outcome) for org in principals.orgs]
    types, entities, ends = zip(*outcomes, strict=True)
    await rows(
        """INSERT INTO operation_result (id, operation, type, entity, outcome)
           SELECT gen_random_uuid(), :operation, given.type, given.entity, given.outcome
             FROM unnest(:types::text[], :entities::text[], :outcomes::text[]) AS given(type, entity, outcome)
           ON CONFLICT DO NOTHING""",
        operation=operation_id,
        types=list(types),
        entities=list(entities),
        outcomes=list(ends),
    )


_ENTRIES = f"""
    entry AS (
      SELECT 1 AS place, 'user' AS type, p.email AS entity, {Level.OWNER:d} AS level, NULL::uuid AS "group",
             NULL::timestamptz AS expires_at, NULL::uuid AS giver
        FROM person p WHERE p.id = :owner
      UNION ALL
      (SELECT DISTINCT ON (p.email) 1, 'user', p.email, g.level, NULL::uuid, g.expires_at, g.granted_by
         FROM access_grant g JOIN person p ON p.id = g.person
        WHERE g.object = :id AND g.person IS NOT NULL AND p.released_at IS NULL AND {UNEXPIRED}
        ORDER BY p.email, g.level DESC)
      UNION ALL
      (SELECT DISTINCT ON (u.id) 2, 'group', u.name, g.level, u.id, g.expires_at, g.granted_by
         FROM access_grant g JOIN user_group u ON u.id = g.user_group AND u.wish = 'present'
        WHERE g.object = :id AND g.user_group IS NOT NULL AND {UNEXPIRED} ORDER BY u.id, g.level DESC)
      UNION ALL
      (SELECT DISTINCT ON (g.org) 3, 'org', g.org, g.level, NULL::uuid, g.expires_at, g.granted_by
         FROM access_grant g
        WHERE g.object = :id AND g.org IS NOT NULL AND {UNEXPIRED} ORDER BY g.org, g.level DESC))
"""


async def list_access(
    identity: UUID,
    type: str | None,
    *,
    owner: UUID | None,
    after: tuple[str, str] | None,
    limit: int,
    count: bool = False,
) -> list[AccessEntry]:
    """Who has access to an object, by type (user, group, org) and name, at most `limit` after the pair `after`.

    Each principal once, at its highest level; the `owner` too, if it is named. A group's entry names the group, not
    its members. They are `Counted` if they are to be.
    """
    found = await rows(
        with_total(
            f"""
            WITH {_ENTRIES},
            listed AS (
              SELECT * FROM entry WHERE type = ANY(:types::text[]) AND (place, entity COLLATE "C") > (:place, :entity)
               ORDER BY place, entity COLLATE "C" LIMIT :limit)
            SELECT l.type, l.entity, l.level, l."group", l.expires_at, p.email AS granted_by
              FROM listed l LEFT JOIN person p ON p.id = l.giver ORDER BY l.place, l.entity COLLATE "C"
            """,
            f"WITH {_ENTRIES} SELECT count(*) FROM entry WHERE type = ANY(:types::text[])" if count else None,
        ),
        owner=owner,
        id=identity,
        types=[type] if type else list(PLACES),
        place=0 if after is None else PLACES[after[0]],
        entity="" if after is None else after[1],
        limit=limit,
    )
    return records(found, AccessEntry)


PLACES = {"user": 1, "group": 2, "org": 3}
"""In which order the types of principals are listed."""


async def explain(shareable: Shareable, email: str, caller: Caller) -> list[Way]:
    """Every way in which a person has access: as the owner, directly, by a group, by an organisation.

    Who is in a group is known to its members, and who is in an organisation to nobody but that person and admins.
    """
    found = await rows(
        f"""
        WITH {CALLER},
        subject AS (
          SELECT p.id, p.email, caller.admin OR p.id = caller.person AS all_told, caller.person AS asker
            FROM person p CROSS JOIN caller WHERE p.email = :email AND p.released_at IS NULL),
        way AS (
          SELECT 1 AS place, 'user' AS type, s.email AS entity, {Level.OWNER:d} AS level,
                 NULL::timestamptz AS expires_at
            FROM subject s WHERE s.id = :owner
          UNION ALL
          SELECT 1, 'user', s.email, g.level, g.expires_at
            FROM subject s JOIN access_grant g ON g.person = s.id AND g.object = :object WHERE {UNEXPIRED}
          UNION ALL
          SELECT 2, 'group', CASE WHEN s.all_told OR EXISTS (
                   SELECT FROM group_member o WHERE o.user_group = u.id AND o.person = s.asker) THEN u.name END,
                 g.level, g.expires_at
            FROM subject s JOIN group_member m ON m.person = s.id
            JOIN user_group u ON u.id = m.user_group AND u.wish = 'present'
            JOIN access_grant g ON g.user_group = u.id AND g.object = :object WHERE {UNEXPIRED}
          UNION ALL
          SELECT 3, 'org', CASE WHEN s.all_told THEN g.org END, g.level, g.expires_at
            FROM subject s JOIN person_org o ON o.person = s.id
            JOIN access_grant g ON g.org = o.org AND g.object = :object WHERE {UNEXPIRED})
        SELECT type, entity, level, expires_at FROM way ORDER BY place, entity COLLATE "C", level DESC LIMIT 1000
        """,
        **values_of(caller),
        email=email,
        owner=shareable.owner_id,
        object=shareable.id,
    )
    return records(found, Way)


_EXPIRED = ", ".join(
    f"told_{column} AS ({_told(Change.TAKEN_BACK, f'(SELECT * FROM gone WHERE {column} IS NOT NULL)', column)})"
    for column in _TYPES
)


async def remove_expired(limit: int) -> list[tuple[str, UUID]]:
    """Remove grants past their time; kind and id of the objects that they were to."""
    found = await rows(
        f"""
        WITH gone AS (
          DELETE FROM access_grant WHERE id IN (
            SELECT id FROM access_grant WHERE expires_at <= now() ORDER BY expires_at LIMIT :limit)
          RETURNING object, object_kind, person, user_group, org),
        {_EXPIRED}
        SELECT DISTINCT object_kind, object FROM gone
        """,
        limit=limit,
    )
    return [(one["object_kind"], one["object"]) for one in found]
