"""What servers hold of datasets, modules, secrets and groups, and whether their owners may still have it.

A server's mounts are written down before its process is started and removed when the process is proven gone, so
whoever looks finds at least what a process may hold. `lost_at` marks what its owner may no longer have.
"""

from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from models.access.permissions import Level, level_of
from models.database.sql import decoded, page, records, row, rows, to_json
from models.database.transactions import Transaction
from models.domain.errors import DependencyUnavailable
from models.domain.kinds import DIRECTORIES
from models.domain.values import Caller, Wish
from models.ledger import operations
from models.ledger.operations import LeftOut
from models.records import servers
from models.records.secrets import Placed
from models.records.servers import ServerError, Stop, stopped_because

NOT_USABLE = "The server's owner may not use it, or it is not there."
TOO_MANY_GROUPS = "Its owner is in more groups than a server shows: leave some that are not needed."
TAKEN_TOO_OFTEN = (
    "Groups into which the same person had put its owner have stopped the owner's servers too often. "
    'PATCH /groups/{id}/members/{memberEmail} with {"shown": true} has servers show it again.'
)
MOST_GROUPS = 200
"""Directories of groups in one server. Anybody can put anybody into groups, so they must not keep a server from
starting; with the most that a template names they fit into an order."""
_MOST_LEFT_OUT = 300
_MOST_STOPS = 3
"""So often groups of one giver stop a person's servers; then the person has to ask for each of them."""


class Claim(Struct, frozen=True, kw_only=True):
    """An object that a server may hold. `version` and `owner_id` name a module's file, `secret` a secret's place; a
    group may be left out, and `asks` is one that its member has to ask for."""

    object: UUID
    kind: str
    name: str
    owner: str
    own: bool
    writes: bool
    owner_id: UUID | None = None
    version: str = ""
    moving: bool = False
    held: bool = True
    asks: bool = False
    secret: Placed | None = None


class Claims(Struct, frozen=True, kw_only=True):
    """What a server will hold, and what of its template it will not."""

    kept: list[Claim]
    left_out: list[LeftOut]


class ModuleMoving(DependencyUnavailable):
    """A module's file is being changed, so it may be missing at this moment."""

    code = "MODULE_MOVING"


class LostMount(Struct, frozen=True, kw_only=True):
    """A server that holds what its owner may no longer have."""

    server: UUID
    kind: str
    name: str
    lost_at: datetime


# Work in the background has no token: organisations are those of the person's last one.
_OWNER = """
    LATERAL (SELECT s.owner AS person, ARRAY(SELECT org FROM person_org WHERE person = s.owner) AS orgs,
                    false AS admin) caller
"""


# Servers write in directories; there is nothing to write in what has none.
_HAVE_DIRECTORIES = ", ".join(f"'{kind}'" for kind in DIRECTORIES)

_USABLE = f"""
    -- What the owner asked for comes first, then the longest memberships: a new one takes no other's place.
    shown AS (
      SELECT ranked.*, place <= {MOST_GROUPS} AND NOT asks AS held FROM (
        SELECT u.id AS object, u.name, m.added_by AS given_by, may.asks,
               row_number() OVER (ORDER BY may.asks, file.named DESC, m.shown DESC NULLS LAST, m.created_at, u.id)
                 AS place
          FROM server s JOIN group_member m ON m.person = s.owner AND m.shown IS NOT FALSE
          JOIN user_group u ON u.id = m.user_group AND u.wish = 'present' AND u.observed = 'present'
         CROSS JOIN LATERAL (
           SELECT starts_with(s.template_data ->> 'filePath', '/opt/groups/' || u.name || '/') IS TRUE AS named) file
         CROSS JOIN LATERAL (
           SELECT m.shown IS NULL AND NOT file.named AND EXISTS (
             SELECT FROM group_stop t
              WHERE t.person = s.owner AND t.giver = m.added_by AND t.stops >= {_MOST_STOPS}) AS asks) may
         WHERE s.id = :server) ranked
       ORDER BY place LIMIT {MOST_GROUPS + _MOST_LEFT_OUT}),
    usable AS (
      SELECT o.id AS object, o.kind, o.name, p.email AS owner, o.owner = s.owner AS own,
             -- Who is taken out of a group that a server does not show does not lose what the server may write.
             o.kind IN ({_HAVE_DIRECTORIES}) AND coalesce(
               {level_of("o", groups="m.user_group IN (SELECT object FROM shown WHERE held)")}, 0) >= {Level.WRITE:d}
               AS writes, 0 AS place, true AS held, false AS asks, NULL::uuid AS given_by
        FROM server s CROSS JOIN {_OWNER}
        JOIN shareable o ON o.id = ANY(:ids::uuid[]) AND o.live AND o.ready
        JOIN person p ON p.id = o.owner
        CROSS JOIN LATERAL (SELECT {level_of("o")} AS level) may
       WHERE s.id = :server AND may.level IS NOT NULL
      UNION ALL
      SELECT object, 'group', name, '', true, true, place, held, asks, given_by FROM shown)
"""


async def claim(server_id: UUID, generation: int, wanted: list[tuple[str, str]]) -> Claims | None:
    """Write down what a process of `generation` will hold: of the wanted objects (kind and id) those that the server's
    owner may use, and the directories of the owner's groups, `MOST_GROUPS` at most. Also answers what had to be left
    out; None when `generation` is no longer what is wished to run.

    Repeating it for a generation adds and never removes: an earlier try may have been spawned. Raises `ModuleMoving`.
    """
    async with Transaction():
        if not await _write_down(server_id, generation, wanted):
            return None
    # Read again now that others can see what was written down: whoever takes a right from here on finds it, and
    # what was taken before is not used.
    claims = await _written_down(server_id, wanted)
    moving = [f"{one.name}/{one.version}" for one in claims.kept if one.moving]
    if moving:
        raise ModuleMoving(f"The file of the module {moving[0]} is just being changed.")
    return claims


async def foresee(server_id: UUID, generation: int, wanted: list[tuple[str, str]]) -> Claims | None:
    """As `claim`, within a transaction of the caller's that is undone; what is just being changed is there by then."""
    if not await _write_down(server_id, generation, wanted):
        return None
    return await _written_down(server_id, wanted)


async def _write_down(server_id: UUID, generation: int, wanted: list[tuple[str, str]]) -> bool:
    """Whether it was, for a generation that is still wished to run."""
    # A late call must leave nothing behind that no process of its generation will ever release.
    wished = await row(
        "SELECT 1 FROM server WHERE id = :server AND generation = :generation AND wish = 'running' FOR UPDATE",
        server=server_id,
        generation=generation,
    )
    if wished is None:
        return False
    await rows(
        f"""
        WITH {_USABLE}
        INSERT INTO server_mount (id, server, object, kind, writes, generation, given_by)
        SELECT gen_random_uuid(), :server, object, kind, writes, :generation::bigint, given_by
          FROM usable WHERE held
        ON CONFLICT (server, object) DO UPDATE
           SET writes = server_mount.writes OR excluded.writes, generation = excluded.generation, lost_at = NULL,
               given_by = excluded.given_by
        """,
        ids=[UUID(one) for _, one in wanted],
        server=server_id,
        generation=generation,
    )
    return True


async def _written_down(server_id: UUID, wanted: list[tuple[str, str]]) -> Claims:
    found = await rows(
        f"""
        WITH {_USABLE}
        SELECT usable.object, usable.kind, usable.name, usable.owner, usable.own,
               usable.held, usable.asks, coalesce(usable.writes AND m.writes, false) AS writes,
               module.owner AS owner_id, coalesce(module.module_version, '') AS version,
               coalesce(module.generation <> module.observed_generation, false) AS moving,
               CASE WHEN secret.id IS NOT NULL THEN jsonb_build_object(
                 'id', secret.id, 'name', secret.name, 'type', secret.type, 'mount_path', secret.mount_path,
                 'value_version', secret.value_version) END AS secret
          FROM usable LEFT JOIN server_mount m ON m.server = :server AND m.object = usable.object
          LEFT JOIN module ON usable.kind = 'module' AND module.id = usable.object
          LEFT JOIN secret ON usable.kind = 'secret' AND secret.id = usable.object
         WHERE m.id IS NOT NULL OR NOT usable.held
         ORDER BY usable.place, usable.object
        """,
        ids=[UUID(one) for _, one in wanted],
        server=server_id,
    )
    return _sorted_out(records([decoded(one, "secret") for one in found], Claim), wanted)


def _sorted_out(claims: list[Claim], wanted: list[tuple[str, str]]) -> Claims:
    """What of the wanted can be in one server, in the template's order, and why the rest cannot."""
    known = {(claim.kind, str(claim.object)): claim for claim in claims}
    groups = [claim for claim in claims if claim.kind == "group"]
    kept = [one for one in groups if one.held]
    left_out = [
        LeftOut(kind="group", id=str(one.object), reason=TAKEN_TOO_OFTEN if one.asks else TOO_MANY_GROUPS)
        for one in groups
        if not one.held
    ]
    for kind, identity in dict.fromkeys(wanted):
        claim = known.get((kind, identity))
        reason = NOT_USABLE if claim is None else _in_the_way(claim, kept, known)
        if claim is None or reason:
            left_out.append(LeftOut(kind=kind, id=identity, reason=reason))
        else:
            kept.append(claim)
    return Claims(kept=kept, left_out=left_out)


def _in_the_way(claim: Claim, kept: list[Claim], known: dict[tuple[str, str], Claim]) -> str:
    """Why an object that may be used cannot be in a server with the others; nothing is the empty text."""
    if claim.kind == "module":
        same = [
            other
            for other in known.values()
            if (other.kind, other.name, other.version) == ("module", claim.name, claim.version) and other != claim
        ]
        # Which of them `module load` would find is no question to be left open. One's own comes first.
        taken = any(other.own for other in same) and not claim.own
        if taken or any(other in kept for other in same):
            return f"Another module {claim.name}/{claim.version} is in the server."
    if claim.secret is not None:
        if not claim.secret.value_version:
            return "It has no value yet."
        if any(other.secret is not None and other.secret.collides(claim.secret) for other in kept):
            return "Another secret has the same variable or the same place in the server."
    return ""


async def note_left_out(operation_id: UUID, left_out: list[LeftOut]) -> None:
    """Say on the operation of a start what had to be left out."""
    await row(
        f"""
        WITH noted AS (
          UPDATE operation o SET left_out = :left_out::jsonb, version = version + 1 WHERE id = :id
          RETURNING {operations.CHANGED})
        {operations.told("noted")}
        """,
        left_out=to_json(left_out),
        id=operation_id,
    )


_ENTITLED = f"""
    CASE mount.kind
      WHEN 'group' THEN EXISTS (
        SELECT 1 FROM group_member m JOIN user_group u ON u.id = m.user_group AND u.wish = 'present'
         WHERE m.user_group = mount.object AND m.person = s.owner)
      ELSE EXISTS (
        SELECT 1 FROM shareable o CROSS JOIN {_OWNER}
         WHERE o.id = mount.object AND o.live
           AND coalesce({level_of("o")}, 0) >= CASE WHEN mount.writes THEN {Level.WRITE:d} ELSE {Level.READ:d} END)
    END
"""

# Which mounts a change can have touched. Everything: what expired, or whose owner left an organisation.
SCOPES = {
    "server": "mount.server = :id",
    "object": "mount.object = :id",
    "group": """mount.object = ANY(ARRAY(
                  SELECT :id::uuid UNION ALL SELECT g.object FROM access_grant g WHERE g.user_group = :id))""",
    "all": ":id::uuid IS NULL",
}


class Marked(Struct, frozen=True, kw_only=True):
    """How many mounts of a scope were changed, and whether any was seen that is lost.

    What another marks at the same moment is neither: it is that one's to go on with, or to be asked for with `lost`.
    """

    changed: int
    lost: bool


async def mark_lost(scope: str, identity: UUID | None = None) -> Marked:
    """Mark the mounts of a scope that their servers' owners may no longer have, and clear those given back.

    Writes only what differs.
    """
    found = await row(
        f"""
        WITH changed AS (
          UPDATE server_mount held SET lost_at = CASE WHEN seen.entitled THEN NULL ELSE now() END
            FROM (SELECT mount.id, {_ENTITLED} AS entitled
                    FROM server_mount mount JOIN server s ON s.id = mount.server WHERE {SCOPES[scope]}) seen
           WHERE held.id = seen.id AND seen.entitled = (held.lost_at IS NOT NULL)
          RETURNING held.lost_at)
        SELECT count(*) AS changed,
               count(lost_at) > 0 OR EXISTS (SELECT FROM server_mount mount
                                              WHERE mount.lost_at IS NOT NULL AND {SCOPES[scope]}) AS lost
          FROM changed
        """,
        id=identity,
    )
    return msgspec.convert(found, Marked)


_LOST = {
    scope: page(
        f"""SELECT held.* FROM (
              SELECT DISTINCT ON (mount.server) mount.server, mount.kind, mount.object, mount.lost_at
                FROM server_mount mount WHERE mount.lost_at IS NOT NULL AND {condition}
               ORDER BY mount.server, mount.lost_at, mount.id) held
              JOIN server s ON s.id = held.server
             ORDER BY s.wish <> 'running', held.lost_at, held.server"""
    )
    for scope, condition in SCOPES.items()
}


async def lost(scope: str, identity: UUID | None, limit: int) -> list[LostMount]:
    """Servers that hold what they may no longer have, each once: those that are still wished to run first, and of them
    those that have held it longest. So none that does not end stands before one that was not told to."""
    found = await rows(
        f"""SELECT mount.server, mount.kind, coalesce(o.name, u.name, '') AS name, mount.lost_at
              FROM {_LOST[scope]} mount
              LEFT JOIN shareable o ON mount.kind <> 'group' AND o.id = mount.object
              LEFT JOIN user_group u ON mount.kind = 'group' AND u.id = mount.object""",
        id=identity,
        limit=limit,
    )
    return records(found, LostMount)


async def seen_by(server_ids: list[UUID], caller: Caller) -> list[UUID]:
    """Those of some servers that the caller may see."""
    found = await rows(
        "SELECT id FROM server WHERE id = ANY(:servers::uuid[]) AND (:admin::boolean OR owner = :caller) ORDER BY id",
        servers=server_ids,
        admin=caller.admin,
        caller=caller.id,
    )
    return [one["id"] for one in found]


async def _count_stop(server_id: UUID) -> list[str]:
    """Count a stop to those who had put the owner into a group that the server lost; their e-mails.

    What takes a group from several servers at the same moment is counted once.
    """
    counted = await rows(
        """INSERT INTO group_stop AS before (id, person, giver, lost_at)
           SELECT gen_random_uuid(), s.owner, m.given_by, min(m.lost_at)
             FROM server_mount m JOIN server s ON s.id = m.server
            WHERE m.server = :server AND m.lost_at IS NOT NULL AND m.given_by <> s.owner
            GROUP BY s.owner, m.given_by
           ON CONFLICT (person, giver) DO UPDATE
              SET stops = before.stops + (excluded.lost_at > before.lost_at)::int,
                  lost_at = greatest(before.lost_at, excluded.lost_at)
           RETURNING (SELECT email FROM person WHERE id = giver) AS email""",
        server=server_id,
    )
    return sorted(one["email"] for one in counted)


async def stop(mount: LostMount) -> bool:
    """Wish a server stopped because of what it holds, and say why; False: it is to stop anyway."""
    async with Transaction():
        # The grant may have been given back since we looked.
        still = await row(
            """SELECT s.wish FROM server_mount m JOIN server s ON s.id = m.server
                WHERE m.server = :server AND m.lost_at IS NOT NULL LIMIT 1 FOR UPDATE OF s""",
            server=mount.server,
        )
        if still is None or still["wish"] != Wish.RUNNING:
            return False
        message = f"Access to the {mount.kind} {mount.name} was withdrawn, so the server was stopped."
        because = stopped_because(Stop.REVOKE, message)
        await servers.intend(mount.server, Wish.STOPPED, None, because=because)
        givers = await _count_stop(mount.server)
        error = ServerError(
            code="ACCESS_WITHDRAWN",
            message=message,
            hint="Start it again: it runs without it."
            + (f" Into a group that it lost its owner had been put by {', '.join(givers)}." if givers else ""),
            at=datetime.now().astimezone(),
        )
        await row(
            "UPDATE server SET last_error = :error::jsonb WHERE id = :server", error=to_json(error), server=mount.server
        )
    return True
