"""Who may use what. Every check and every list is one statement made of the fragments here; nothing is filtered
in Python and nothing is cached, so a grant or a revoke is true at the next statement.

A statement names its caller once, `WITH {CALLER} …`, with `**values_of(caller)` as parameters; the fragments
refer to the alias `caller(person, orgs, admin)` and to the object's alias. Work in the background has no token:
there `caller` is made of the person's row (see `models.records.mounts`).

Levels: 1 read, 2 write (which implies read), 3 owner. A person has the highest of what is granted to the person, to
a group of theirs, and to an organisation of theirs.
"""

from enum import IntEnum

from models.database.lists import Order, Sort
from models.database.sql import page
from models.domain.values import Caller


class Level(IntEnum):
    """How far a right to an object goes; the words are the API's."""

    READ = 1
    WRITE = 2
    OWNER = 3

    @property
    def word(self) -> str:
        """As clients see it."""
        return self.name.lower()


RELATIONS = {
    "read": Level.READ,
    "reader": Level.READ,
    "viewer": Level.READ,
    "write": Level.WRITE,
    "writer": Level.WRITE,
    "editor": Level.WRITE,
}
"""What can be granted, with its synonyms. An owner is not made by a grant."""

CALLER = "caller AS (SELECT :person::uuid AS person, :orgs::text[] AS orgs, :admin::boolean AS admin)"


def values_of(caller: Caller) -> dict[str, object]:
    """The parameters of `CALLER`."""
    return {"person": caller.id, "orgs": list(caller.orgs), "admin": caller.admin}


UNEXPIRED = "(g.expires_at IS NULL OR g.expires_at > now())"

# Three ways to a grant. Each follows an index of its own, whatever number of grants there are.
_WAYS = f"""
    SELECT g.object, g.level FROM access_grant g
     WHERE g.person = caller.person AND {{condition}} AND {UNEXPIRED}
    UNION ALL
    SELECT g.object, g.level
      FROM group_member m JOIN user_group u ON u.id = m.user_group AND u.wish = 'present'
      JOIN access_grant g ON g.user_group = m.user_group
     WHERE m.person = caller.person AND {{groups}} AND {{condition}} AND {UNEXPIRED}
    UNION ALL
    SELECT g.object, g.level FROM access_grant g
     WHERE g.org = ANY(caller.orgs) AND {{condition}} AND {UNEXPIRED}
"""


def level_of(alias: str, *, groups: str = "true") -> str:
    """SQL: the level at which `caller` may use the object of an alias with `id` and `owner`; NULL: not at all.

    `groups` is a condition on the memberships `m` that count.
    """
    granted = _WAYS.format(condition=f"g.object = {alias}.id", groups=groups)
    return (
        f"CASE WHEN {alias}.owner = caller.person THEN {Level.OWNER:d} "
        f"ELSE (SELECT max(ways.level) FROM ({granted}) ways) END"
    )


def told_to(alias: str) -> str:
    """SQL: whether `caller` may be told an event of an alias now. What a right was lost to is told no more."""
    return f"""
        (caller.admin AND {alias}.kind IN ('server', 'operation')
         OR ({alias}.everyone OR caller.person = ANY({alias}.persons) OR {alias}.orgs && caller.orgs
             OR EXISTS (SELECT FROM group_member m JOIN user_group u ON u.id = m.user_group AND u.wish = 'present'
                         WHERE m.person = caller.person AND m.user_group = ANY({alias}.groups)))
            AND (NOT {alias}.needs_right
                 OR EXISTS (SELECT FROM shareable o WHERE o.id = {alias}.subject AND o.live
                               AND {level_of("o")} IS NOT NULL)))"""


# Each principal of the caller gives at most a page, from its own index, newest first; together they hold the page.
_PRINCIPALS = {
    "g.person = caller.person": "caller",
    "g.user_group = m.user_group": """caller JOIN group_member m ON m.person = caller.person
                                      JOIN user_group u ON u.id = m.user_group AND u.wish = 'present'""",
    "g.org = o.name": "caller CROSS JOIN LATERAL unnest(caller.orgs) AS o(name)",
}


def listed(kind: str, table: str, narrowed: str, order: Order) -> str:
    """SQL: the ids of at most `:limit` live objects of a kind that `caller` may use, in order.

    `narrowed` is a condition on the object, `d`. The newest are as many of each way to them; for any other order all
    that the caller may use are sorted.
    """
    if order.sort is Sort.NEWEST:
        return page(f"SELECT id FROM ({_newest_of(kind, table, narrowed)}) found ORDER BY id DESC")
    columns = f"d.id, {order.key('d')} AS key"
    wanted = f"d.wish = 'present' AND {order.beyond('d')} AND {narrowed}"
    own = f"SELECT {columns} FROM {table} d, caller WHERE d.owner = caller.person AND {wanted}"
    # One by one (`OFFSET 0`): no plan for all values knows how few they are of all there are.
    granted = (
        f"""SELECT d.id, d.key FROM {principals} JOIN access_grant g ON {match}
             CROSS JOIN LATERAL (SELECT {columns} FROM {table} d WHERE d.id = g.object AND {wanted} OFFSET 0) d
             WHERE g.object_kind = '{kind}' AND {UNEXPIRED}"""
        for match, principals in _PRINCIPALS.items()
    )
    return page(f"SELECT id FROM ({' UNION '.join((own, *granted))}) d ORDER BY {order.by('d', 'd.key')}")


def counted(kind: str, table: str, narrowed: str) -> str:
    """SQL: how many live objects of a kind `caller` may use; `narrowed` as for `listed`."""
    wanted = f"d.wish = 'present' AND {narrowed}"
    own = f"SELECT d.id FROM {table} d, caller WHERE d.owner = caller.person AND {wanted}"
    granted = (
        f"""SELECT d.id FROM {principals} JOIN access_grant g ON {match}
             CROSS JOIN LATERAL (SELECT d.id FROM {table} d WHERE d.id = g.object AND {wanted} OFFSET 0) d
             WHERE g.object_kind = '{kind}' AND {UNEXPIRED}"""
        for match, principals in _PRINCIPALS.items()
    )
    return f"SELECT count(*) FROM ({' UNION '.join((own, *granted))}) usable"


def _newest_of(kind: str, table: str, narrowed: str) -> str:
    """SQL: the ids of the newest `:limit` of each way."""
    # By owner first, so that no plan walks what others own: see `one_value` of `models.database.sql`.
    own = f"""SELECT own.id FROM caller CROSS JOIN LATERAL (
                SELECT d.id FROM {table} d
                 WHERE d.owner BETWEEN caller.person AND caller.person
                   AND d.wish = 'present' AND d.id < :before AND {narrowed}
                 ORDER BY d.owner, d.id DESC LIMIT :limit) own"""
    # Distinct, because one principal may have been granted both levels, and a page is of objects.
    granted = (
        f"""SELECT found.id FROM {principals} CROSS JOIN LATERAL (
              SELECT DISTINCT g.object AS id
                FROM access_grant g JOIN {table} d ON d.id = g.object AND d.wish = 'present'
               WHERE {match} AND g.object_kind = '{kind}' AND {UNEXPIRED} AND g.object < :before AND {narrowed}
               ORDER BY g.object DESC LIMIT :limit) found"""
        for match, principals in _PRINCIPALS.items()
    )
    return " UNION ".join((own, *granted))
