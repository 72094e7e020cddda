"""A crowd at scale: many datasets, persons, groups and a million grants, made by a few statements."""

import hashlib
from uuid import UUID

from models.domain.values import Caller
from tests.fast_fill import fill

GRANTS_PER_DATASET = 10


def identity(kind: str, number: int) -> UUID:
    """The id of the nth person, group or dataset: the same as PostgreSQL makes of the text's MD5."""
    return UUID(hashlib.md5(f"{kind}{number}".encode()).hexdigest())  # noqa: S324 - an id, no secret


async def make(address: str, datasets: int, persons: int, groups: int, *, groups_of_first: int) -> Caller:
    """`datasets` times ten grants: seven to persons, two to groups, one to an organisation each; nothing else is there.

    The first person is a member of `groups_of_first` groups, owner of nothing, and has the grants of everybody else.
    """
    statements = {
        "person": f"""
            INSERT INTO person (id, issuer, subject, email, hub_user)
            SELECT md5('person' || n)::uuid, 'crowd', n::text, 'p' || n || '@example.org', 'p' || n
              FROM generate_series(0, {persons - 1}) n""",
        "user_group": f"""
            INSERT INTO user_group (id, name, observed) SELECT md5('group' || n)::uuid, 'g' || n, 'present'
              FROM generate_series(0, {groups - 1}) n""",
        "group_member": f"""
            INSERT INTO group_member (id, user_group, person)
            SELECT gen_random_uuid(), md5('group' || n)::uuid, md5('person0')::uuid
              FROM generate_series(0, {groups_of_first - 1}) n
            UNION ALL
            SELECT gen_random_uuid(), md5('group' || ((n + k) % {groups}))::uuid, md5('person' || n)::uuid
              FROM generate_series(1, {persons - 1}) n, generate_series(0, 2) k""",
        "dataset": f"""
            INSERT INTO dataset (id, owner, name, observed)
            SELECT md5('dataset' || n)::uuid, md5('person' || (1 + n % {persons - 1}))::uuid, 'd' || n, 'present'
              FROM generate_series(0, {datasets - 1}) n""",
        "access_grant": f"""
            INSERT INTO access_grant (id, object, object_kind, person, user_group, org, level)
            SELECT gen_random_uuid(), md5('dataset' || n)::uuid, 'dataset',
                   CASE WHEN k < 7 THEN md5('person' || ((n * 7 + k) % {persons}))::uuid END,
                   CASE WHEN k IN (7, 8) THEN md5('group' || ((n * 2 + k) % {groups}))::uuid END,
                   CASE WHEN k = 9 THEN 'org' || (n % 100) END, 1 + (n + k) % 2
              FROM generate_series(0, {datasets - 1}) n, generate_series(0, {GRANTS_PER_DATASET - 1}) k""",
    }
    await fill(address, {table: f"TRUNCATE {table} CASCADE; {statement}" for table, statement in statements.items()})
    return caller()


def caller() -> Caller:
    """The first person."""
    return Caller(id=identity("person", 0), email="p0@example.org", orgs=("org1", "org2"))
