"""A crowd at scale: many datasets, persons, groups and a million grants, made by a few statements."""

import hashlib
from uuid import UUID

from models.database.sql import row, rows
from models.database.transactions import Transaction
from models.domain.values import Caller

GRANTS_PER_DATASET = 10
_PART = 5_000


def identity(kind: str, number: int) -> UUID:
    """The id of the nth person, group or dataset: the same as PostgreSQL makes of the text's MD5."""
    return UUID(hashlib.md5(f"{kind}{number}".encode()).hexdigest())  # noqa: S324 - an id, no secret


async def make(datasets: int, persons: int, groups: int, *, groups_of_first: int) -> Caller:
    """`datasets` times ten grants: seven to persons, two to groups, one to an organisation each.

    The first person is a member of `groups_of_first` groups, owner of nothing, and has the grants of everybody else.
    """
    async with Transaction():
        await row("SELECT set_config('statement_timeout', '0', true)")
        for table in ("access_grant", "group_member", "user_group", "dataset", "person_org", "person"):
            await rows(f"TRUNCATE {table} CASCADE")
        await rows(
            """INSERT INTO person (id, issuer, subject, email)
               SELECT md5('person' || n)::uuid, 'crowd', n::text, 'p' || n || '@example.org'
                 FROM generate_series(0, :persons::int - 1) n""",
            persons=persons,
        )
        await rows(
            """INSERT INTO user_group (id, name, observed) SELECT md5('group' || n)::uuid, 'g' || n, 'present'
                 FROM generate_series(0, :groups::int - 1) n""",
            groups=groups,
        )
        await rows(
            """INSERT INTO group_member (id, user_group, person)
               SELECT gen_random_uuid(), md5('group' || n)::uuid, md5('person0')::uuid
                 FROM generate_series(0, :groups::int - 1) n""",
            groups=groups_of_first,
        )
        await rows(
            """INSERT INTO group_member (id, user_group, person)
               SELECT gen_random_uuid(), md5('group' || ((n + k) % :groups::int))::uuid, md5('person' || n)::uuid
                 FROM generate_series(1, :persons::int - 1) n, generate_series(0, 2) k""",
            groups=groups,
            persons=persons,
        )
        await rows(
            """INSERT INTO dataset (id, owner, name, observed)
               SELECT md5('dataset' || n)::uuid, md5('person' || (1 + n % (:persons::int - 1)))::uuid,
                      'd' || n, 'present'
                 FROM generate_series(0, :datasets::int - 1) n""",
            persons=persons,
            datasets=datasets,
        )
        # In parts, each of which takes a slow machine no longer than the driver waits.
        for first in range(0, datasets, _PART):
            await rows(
                """
                INSERT INTO access_grant (id, object, object_kind, person, user_group, org, level)
                SELECT gen_random_uuid(), md5('dataset' || n)::uuid, 'dataset',
                       CASE WHEN k < 7 THEN md5('person' || ((n * 7 + k) % :persons::int))::uuid END,
                       CASE WHEN k IN (7, 8) THEN md5('group' || ((n * 2 + k) % :groups::int))::uuid END,
                       CASE WHEN k = 9 THEN 'org' || (n % 100) END, 1 + (n + k) % 2
                  FROM generate_series(:first::int, :last::int - 1) n, generate_series(0, 9) k
                """,
                persons=persons,
                groups=groups,
                first=first,
                last=min(first + _PART, datasets),
            )
    for table in ("access_grant", "group_member", "user_group", "dataset", "person"):
        await rows(f"ANALYZE {table}")
    return Caller(id=identity("person", 0), email="p0@example.org", orgs=("org1", "org2"))
