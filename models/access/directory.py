"""Whom one may find to share with: people by how their address or name begins, and organisations.

How many are told of is a setting, `none`, `organisation` or `all`; an admin is told of all. With whom one has dealings,
members of one's groups and people with whom one shares something, one finds in any case: by the address, which one
knows already, and by nothing else. Anybody can be put into a group or shared with without having ever signed in, so an
id or a name of theirs would tell who has.
"""

import unicodedata

from msgspec import Struct

from models.access.permissions import CALLER, UNEXPIRED, values_of
from models.database.sql import records, rows, with_total
from models.domain.values import Caller

MOST_PEOPLE = 20
"""So many people are told at once: whoever looks for another types on."""
_MOST_GROUPS, _MOST_MEMBERS, _MOST_KNOWN = 200, 1000, 10_000
"""Looked through at most: one's groups, of each the members, and all of these. What others put one into comes last."""


class PersonFound(Struct, frozen=True, kw_only=True):
    """A person, who may have signed in or not; who has, and may be told of, has the name, where there is one."""

    email: str
    name: str


class OrgFound(Struct, frozen=True, kw_only=True):
    """An organisation, and whether the caller belongs to it."""

    name: str
    member: bool


def scope_of(caller: Caller, directory: str) -> str:
    """Of whom a caller is told, by the setting."""
    return "all" if caller.admin else directory


# Those with whom the caller has dealings.
_KNOWN = f"""
    known AS (
      (SELECT others.person FROM (
         SELECT m.user_group FROM caller JOIN group_member m ON m.person = caller.person
           JOIN user_group u ON u.id = m.user_group AND u.wish = 'present'
          ORDER BY m.created_at, m.user_group LIMIT {_MOST_GROUPS}) mine
        CROSS JOIN LATERAL (
          SELECT m.person FROM group_member m WHERE m.user_group = mine.user_group
           ORDER BY m.person LIMIT {_MOST_MEMBERS}) others LIMIT {_MOST_KNOWN})
      UNION
      (SELECT g.person FROM caller JOIN shareable o ON o.owner = caller.person AND o.live
         JOIN access_grant g ON g.object = o.id WHERE g.person IS NOT NULL AND {UNEXPIRED} LIMIT {_MOST_KNOWN}))
"""


def _beginning(text: str) -> str:
    """SQL: a condition that a text begins as `:beginning` does, for an index of that text in byte order."""
    first = "lower(:beginning::text)"
    return f"""{text} COLLATE "C" BETWEEN {first} AND {first} || chr(1114111)"""


def _first(columns: str, source: str, text: str) -> str:
    return f"""
        (SELECT {columns} FROM {source} AND p.released_at IS NULL AND p.id <> caller.person AND {_beginning(text)}
          ORDER BY {text} COLLATE "C" LIMIT {MOST_PEOPLE})"""


def _people(listed: str) -> str:
    """SQL: the people that are found; `listed` is a condition on those that are told of, `p`."""
    found = [_first("p.email, '' AS name", "caller, known JOIN person p ON p.id = known.person WHERE true", "p.email")]
    if listed:
        signed_in = f"caller, person p WHERE p.issuer <> '' AND {listed}"
        found += [_first("p.email, p.name", signed_in, text) for text in ("p.email", "lower(p.name)")]
    return f"""
        WITH {CALLER}, {_KNOWN}
        SELECT email, max(name) AS name FROM ({" UNION ALL ".join(found)}) found
         GROUP BY email ORDER BY email COLLATE "C" LIMIT {MOST_PEOPLE}
    """


PEOPLE = {
    "none": _people(""),
    "organisation": _people("EXISTS (SELECT FROM person_org o WHERE o.person = p.id AND o.org = ANY(caller.orgs))"),
    "all": _people("true"),
}
"""The statement of each scope."""


async def find_people(caller: Caller, beginning: str, scope: str) -> list[PersonFound]:
    """People whose address begins so, or whose name, where that may be told: the first by address."""
    found = await rows(PEOPLE[scope], **values_of(caller), beginning=unicodedata.normalize("NFC", beginning))
    return records(found, PersonFound)


# Of many people few organisations are read, each by a step along an index.
_SEEN = """
    seen AS (
      (SELECT org FROM person_org WHERE org > {after} ORDER BY org LIMIT 1)
      UNION ALL
      SELECT (SELECT o.org FROM person_org o WHERE o.org > seen.org ORDER BY o.org LIMIT 1) FROM seen
       WHERE seen.org IS NOT NULL)
"""


def _orgs(everybody: bool, *, columns: str = "count(*)", after: str = "''", some: str = "") -> str:
    """SQL: organisations that the caller belongs to or shares something with, or all that are seen or configured.

    They are counted, or `some` of them after one have these columns.
    """
    named = f"""
        SELECT unnest(caller.orgs) AS name FROM caller
        UNION
        (SELECT g.org FROM caller JOIN shareable o ON o.owner = caller.person AND o.live
           JOIN access_grant g ON g.object = o.id WHERE g.org IS NOT NULL AND {UNEXPIRED} LIMIT {_MOST_KNOWN})
    """
    if everybody:
        named += f"""
            UNION (SELECT org FROM seen WHERE org IS NOT NULL {"LIMIT :limit" if some else ""})
            UNION SELECT unnest(:configured::text[])
        """
    return f"""
        WITH RECURSIVE {CALLER}{f", {_SEEN.format(after=after)}" if everybody else ""}
        SELECT {columns} FROM ({named}) named CROSS JOIN caller WHERE named.name > {after} {some}
    """


def _page_of_orgs(everybody: bool) -> str:
    return _orgs(
        everybody,
        columns="named.name, named.name = ANY(caller.orgs) AS member",
        after=":after",
        some="ORDER BY named.name LIMIT :limit",
    )


ALL_ORGS, OWN_ORGS = _page_of_orgs(everybody=True), _page_of_orgs(everybody=False)


async def list_orgs(
    caller: Caller, scope: str, configured: tuple[str, ...], *, after: str, limit: int, count: bool = False
) -> list[OrgFound]:
    """Organisations by name, at most `limit` after one: those that may be told of. `Counted` if they are to be."""
    if scope == "all":
        found = await rows(
            with_total(ALL_ORGS, _orgs(everybody=True) if count else None),
            **values_of(caller),
            configured=list(configured),
            after=after,
            limit=limit,
        )
    else:
        found = await rows(
            with_total(OWN_ORGS, _orgs(everybody=False) if count else None),
            **values_of(caller),
            after=after,
            limit=limit,
        )
    return records(found, OrgFound)
