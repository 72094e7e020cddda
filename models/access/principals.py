"""To whom something can be granted: persons by e-mail, groups by id or name, organisations by name.

A person who never signed in is a row without an issuer: what is granted to it waits for the first sign-in with the
e-mail. Everything here is a fixed number of statements, however many principals are named.
"""

from collections.abc import Container, Iterator
from itertools import islice
from uuid import UUID

from msgspec import Struct

from models.database.sql import rows
from models.domain.errors import MOST_PROBLEMS, Malformed, ProblemDetail, RequestInvalid, quoted
from models.domain.ids import new_id, parse_id


class GroupRef(Struct, frozen=True, kw_only=True):
    """A group as a principal."""

    id: UUID
    name: str


class PersonRef(Struct, frozen=True, kw_only=True):
    """A person as a principal, signed in or not yet."""

    id: UUID
    email: str


class Principals(Struct, frozen=True, kw_only=True):
    """Whom a share or a revoke names, each once."""

    persons: list[PersonRef]
    groups: list[GroupRef]
    orgs: list[str]


async def find(
    users: list[str],
    groups: list[str],
    orgs: list[str],
    configured_orgs: tuple[str, ...],
    *,
    granted: UUID | None = None,
    by: UUID | None = None,
) -> Principals:
    """The named principals, within the transaction of whom they are named `by`.

    Raises `RequestInvalid` naming each that is unknown, and each that is `Malformed`.
    Organisations that an object was `granted` to are known, also when nobody is in them any more.
    """
    found_groups = await _groups(groups)
    known_orgs = await _known_orgs(orgs, granted) | set(configured_orgs) if orgs else set()
    problems = [
        *_problems("user", users, users, ""),
        *_problems("group", groups, found_groups, "is not the id or the name of a group"),
        *_problems("org", orgs, known_orgs, "is not a known organisation"),
    ]
    if problems:
        raise RequestInvalid(problems)
    # By id, because a group may be named by its id and by its name.
    distinct = {found_groups[name].id: found_groups[name] for name in groups}
    return Principals(persons=await invite(users, by), groups=list(distinct.values()), orgs=list(dict.fromkeys(orgs)))


def _problems(kind: str, named: list[str], known: Container[str], reason: str) -> Iterator[ProblemDetail]:
    """One problem for each of the named that is malformed or not known, up to as many as are told."""
    found = (
        one.problem
        if isinstance(one, Malformed)
        else ProblemDetail(path=f"/{kind}Array/{index}", code="unknown", message=f"{quoted(one)} {reason}")
        for index, one in enumerate(named)
        if isinstance(one, Malformed) or one not in known
    )
    return islice(found, MOST_PROBLEMS)


async def _known_orgs(orgs: list[str], granted: UUID | None) -> set[str]:
    found = await rows(
        """SELECT named.org FROM unnest(:orgs::text[]) AS named(org)
            WHERE EXISTS (SELECT FROM person_org p WHERE p.org = named.org)
               OR EXISTS (SELECT FROM access_grant g WHERE g.object = :object AND g.org = named.org)""",
        orgs=_well_formed(orgs),
        object=granted,
    )
    return {one["org"] for one in found}


def _well_formed(named: list[str]) -> list[str]:
    return [one for one in named if not isinstance(one, Malformed)]


async def invite(emails: list[str], by: UUID | None = None) -> list[PersonRef]:
    """The persons of some e-mails, made (invited `by` somebody) where nobody has signed in with one yet."""
    if not emails:
        return []
    wanted = list(dict.fromkeys(emails))
    found = await _persons(wanted)
    missing = [email for email in wanted if email not in found]
    if missing:
        identities = [new_id() for _ in missing]
        await rows(
            """INSERT INTO person (id, issuer, subject, email, invited_by)
               SELECT given.id, '', given.id::text, given.email, :by::uuid
                 FROM unnest(:ids::uuid[], :emails::text[]) AS given(id, email)
               ON CONFLICT DO NOTHING""",
            ids=identities,
            emails=missing,
            by=by,
        )
        found |= await _persons(missing)
    return [found[email] for email in wanted]


async def _persons(emails: list[str]) -> dict[str, PersonRef]:
    found = await rows(
        """SELECT id, email FROM person
            WHERE email = ANY(:emails::text[]) AND released_at IS NULL""",
        emails=emails,
    )
    return {one["email"]: PersonRef(**one) for one in found}


async def _groups(named: list[str]) -> dict[str, GroupRef]:
    """The groups among the named, by id or by name in any case; an id wins.

    They are held for the caller's transaction: who deletes one waits, and then finds what was granted to it.
    """
    lowered = {name: name.lower() for name in _well_formed(named)}
    if not lowered:
        return {}
    found = await rows(
        """SELECT id, name FROM user_group
            WHERE wish = 'present' AND (id = ANY(:ids::uuid[]) OR lower(name) = ANY(:names::text[]))
            ORDER BY id FOR SHARE""",
        ids=[one for one in map(parse_id, lowered.values()) if one is not None],
        names=list(lowered.values()),
    )
    by_key = {one["name"].lower(): GroupRef(**one) for one in found} | {
        str(one["id"]): GroupRef(**one) for one in found
    }
    return {name: by_key[key] for name, key in lowered.items() if key in by_key}
