"""The tables that reads are asked of: records of somebody among those of others, with what hangs on them in life."""

from dataclasses import dataclass
from uuid import UUID

from models.database.sql import row, rows
from models.domain.ids import new_id
from models.domain.kinds import TABLES
from models.records.sessions import digest
from tests.bench.judge import TOKEN
from tests.people import make_person

# More of one person than the framework remembers routes.
OWN, OTHERS = 1_500, 8_000
_GROUPS_OF_ONE = 20


@dataclass(frozen=True)
class Filled:
    """Who asks, and what that person may read of each kind."""

    person: UUID
    ids: dict[str, list[UUID]]


async def fill(own: int = OWN, others: int = OTHERS) -> Filled:
    """Records of each kind: so many of who asks, so many of others, some of them shared with who asks."""
    asks, other = (await make_person("asks")).id, (await make_person("other")).id
    await row(
        """INSERT INTO session (token_hash, person, orgs, expires_at, id_token_hash)
           VALUES (:token, :person, ARRAY['org1', 'org2'], now() + interval '1 day', :token)""",
        token=digest(TOKEN),
        person=asks,
    )
    await _make_groups(asks, own + others)
    for owner, number in ((other, others), (asks, own)):
        for statement in (*_SHARED, _TEMPLATES):
            await row(statement, owner=owner, number=number)
        await row(_SERVERS, owner=owner, number=number, template=new_id())
    for kind in ("dataset", "module", "secret"):
        await row(_GRANTS.format(kind=kind, table=TABLES[kind]), owner=other, person=asks)
    await _make_operations(asks)
    await row(
        """INSERT INTO server_mount (id, server, object, kind, generation)
           SELECT gen_random_uuid(), s.id, :object, 'dataset', 1 FROM server s WHERE s.name LIKE '%7'""",
        object=new_id(),
    )
    await row("ANALYZE")
    return Filled(
        asks, {kind: await _ids(owned.format(table=TABLES.get(kind)), asks) for kind, owned in _OWNED.items()}
    )


_OWNED = {
    **dict.fromkeys(("server", "dataset", "module", "secret"), "SELECT id FROM {table} WHERE owner = :person"),
    "template": "SELECT id FROM template WHERE creator = :person",
    "group": "SELECT id FROM user_group WHERE :person::uuid IS NOT NULL",
    "operation": "SELECT id FROM operation WHERE actor = :person",
}


async def _ids(owned: str, person: UUID) -> list[UUID]:
    return [one["id"] for one in await rows(owned, person=person)]


def _shared(kind: str, columns: str = "", values: str = "") -> str:
    return f"""
        INSERT INTO {TABLES[kind]} (id, owner, name, description, observed, observed_generation {columns})
        SELECT gen_random_uuid(), :owner, 'thing-' || n, 'What it is for.', 'present', 1 {values}
          FROM generate_series(1, :number::int) n"""


_SHARED = (
    _shared("dataset"),
    _shared(
        "module",
        ", module_version, calls",
        """, '1.' || n, '[{"id": "prepend_path", "arguments": ["PATH", "bin"]}]'""",
    ),
    _shared("secret", ", type, value_version", ", 'raw', 1"),
)
# One in twenty is shared with a person, a group of theirs and an organisation of theirs; each with somebody else.
_GRANTS = """
    INSERT INTO access_grant (id, object, object_kind, person, user_group, org, level)
    SELECT gen_random_uuid(), o.id, '{kind}', given.person, given.user_group, given.org, 1 + o.n % 2
      FROM (SELECT id, row_number() OVER () AS n FROM {table} WHERE owner = :owner) o
     CROSS JOIN LATERAL (
       SELECT gen_random_uuid() AS person, NULL::uuid AS user_group, NULL AS org
       UNION ALL SELECT :person, NULL, NULL WHERE o.n % 20 = 0
       UNION ALL (SELECT NULL, user_group, NULL FROM group_member WHERE o.n % 20 = 1 AND person = :person LIMIT 1)
       UNION ALL SELECT NULL, NULL, 'org1' WHERE o.n % 20 = 2) given"""

_TEMPLATES = """
    INSERT INTO template (id, creator, name, description, type, application_type, hardware, public, datasets, tags,
                          server_name)
    SELECT gen_random_uuid(), :owner, 'Template ' || n, 'What it is for.', 'user', 'jupyterlab', 'small', n % 100 = 0,
           ARRAY[gen_random_uuid()::text], ARRAY['a', 'b'], 'template'
      FROM generate_series(1, :number::int) n"""

_SERVERS = """
    INSERT INTO server (id, owner, name, template, template_data)
    SELECT gen_random_uuid(), :owner, 'server-' || n, :template::uuid,
           jsonb_build_object(
             '_id', :template::uuid::text, 'name', 'Template ' || n % 1000, 'description', 'What it is for.',
             'type', 'user',
             'applicationType', 'jupyterlab', 'hardware', 'small', 'public', false, 'creator', 'p@x.org',
             'serverName', 'template', 'timestamp', '2026-01-01T00:00:00Z', 'featuredImage', null,
             'filePath', null, 'datasets', jsonb_build_array(:template::uuid::text), 'modules', '[]'::jsonb,
             'secrets', '[]'::jsonb, 'tags', '["a", "b"]'::jsonb)
      FROM generate_series(1, :number::int) n"""


async def _make_groups(asks: UUID, number: int) -> None:
    await row(
        """INSERT INTO user_group (id, name, observed, observed_generation)
           SELECT gen_random_uuid(), 'group-' || n, 'present', 1 FROM generate_series(1, :number::int) n""",
        number=number,
    )
    await row(
        """INSERT INTO group_member (id, user_group, person)
           SELECT gen_random_uuid(), id, :person FROM user_group LIMIT :most""",
        person=asks,
        most=_GROUPS_OF_ONE,
    )


async def _make_operations(asks: UUID) -> None:
    """Three of each server, those of who asks with three steps each."""
    await row(
        """INSERT INTO operation (id, kind, subject, subject_kind, subject_owner, actor, status, started_at, ended_at)
           SELECT gen_random_uuid(), 'server.start', s.id, 'server', s.owner, s.owner, 'succeeded', now(), now()
             FROM server s, generate_series(1, 3)"""
    )
    await row(
        """INSERT INTO operation_step (id, operation, position, name, status, ended_at)
           SELECT gen_random_uuid(), o.id, n, 'Step ' || n, 'succeeded', now()
             FROM operation o, generate_series(1, 3) n WHERE o.actor = :person""",
        person=asks,
    )
