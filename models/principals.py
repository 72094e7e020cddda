"""To whom something can be granted: persons by e-mail, groups by id or name, organisations by name.

A person who never signed in is a row without an issuer: what is granted to it waits for the first sign-in with the
e-mail. Everything here is a fixed number of statements, however many principals are named.
"""

from uuid import UUID

from msgspec import Struct

from models.errors import ProblemDetail, RequestInvalid
from models.ids import new_id
from models.sql import rows


class GroupRef(Struct, frozen=True, kw_only=True):
    """A group as a principal."""

    id: UUID
    name: str


class PersonRef(Struct, frozen=True, kw_only=True):
    """A person as a principal; `waiting` for a first sign-in."""

    id: UUID
    email: str
    waiting: bool


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
) -> Principals:
    """The named principals, within the caller's transaction; raises `RequestInvalid` naming each that is unknown.

    Organisations that an object was `granted` to are known, also when nobody is in them any more.
    """
    found_groups, problems = await _groups(groups)
    known_orgs = set(configured_orgs)
    if orgs:
        seen = await rows(
            """SELECT org FROM person_org WHERE org = ANY({}::text[])
               UNION SELECT org FROM access_grant WHERE object = {} AND org = ANY({}::text[])""",
            orgs,
            granted,
            orgs,
        )
        known_orgs |= {one["org"] for one in seen}
    problems += [
        ProblemDetail(path=f"/orgArray/{index}", code="unknown", message="is not a known organisation")
        for index, org in enumerate(orgs)
        if org not in known_orgs
    ]
    if problems:
        raise RequestInvalid(problems)
    return Principals(persons=await invite(users), groups=found_groups, orgs=list(dict.fromkeys(orgs)))


async def invite(emails: list[str]) -> list[PersonRef]:
    """The persons of some e-mails, made where nobody has signed in with one yet."""
    if not emails:
        return []
    wanted = list(dict.fromkeys(emails))
    found = await _persons(wanted)
    missing = [email for email in wanted if email not in found]
    if missing:
        identities = [new_id() for _ in missing]
        await rows(
            """INSERT INTO person (id, issuer, subject, email)
               SELECT given.id, '', given.id::text, given.email FROM unnest({}::uuid[], {}::text[]) AS given(id, email)
               ON CONFLICT DO NOTHING""",
            identities,
            missing,
        )
        found |= await _persons(missing)
    return [found[email] for email in wanted]


async def _persons(emails: list[str]) -> dict[str, PersonRef]:
    found = await rows(
        """SELECT id, email, issuer = '' AS waiting FROM person
            WHERE email = ANY({}::text[]) AND released_at IS NULL""",
        emails,
    )
    return {one["email"]: PersonRef(**one) for one in found}


async def _groups(named: list[str]) -> tuple[list[GroupRef], list[ProblemDetail]]:
    """Groups by id or by name, an id wins; and one problem for each that is unknown.

    They are held for the caller's transaction: who deletes one waits, and then finds what was granted to it.
    """
    if not named:
        return [], []
    lowered = [name.lower() for name in named]
    found = await rows(
        """SELECT id, name FROM user_group
            WHERE wish = 'present' AND (id::text = ANY({}::text[]) OR lower(name) = ANY({}::text[]))
            ORDER BY id FOR SHARE""",
        lowered,
        lowered,
    )
    by_key = {one["name"].lower(): GroupRef(**one) for one in found} | {
        str(one["id"]): GroupRef(**one) for one in found
    }
    problems = [
        ProblemDetail(path=f"/groupArray/{index}", code="unknown", message="is not the id or the name of a group")
        for index, name in enumerate(lowered)
        if name not in by_key
    ]
    known = {by_key[name].id: by_key[name] for name in lowered if name in by_key}
    return list(known.values()), problems
