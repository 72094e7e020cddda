"""A deployment of years: a million of everything that lists show, made by a few statements.

Ids grow with `n`, as in life with time; what is rare is old, so that it is far from where a list begins.
"""

from uuid import UUID

from models.domain.values import Caller
from tests.fast_fill import fill

MILLION = 1_000_000
PERSONS = 200_000
GROUPS = 100_000
_FIRST_OF = {
    kind: number << 64
    for number, kind in enumerate(
        ("person", "group", "server", "template", "dataset", "module", "secret", "operation"), start=1
    )
}

ADMIN, OWNER, MEMBER, STRANGER = range(1, 5)
"""The numbers of the callers. The owner has a five-hundredth of everything, the member is in a thousand groups."""


def identity(kind: str, number: int) -> UUID:
    """The id of the nth record of a kind."""
    return UUID(int=_FIRST_OF[kind] + number)


def caller(number: int) -> Caller:
    """The nth person."""
    return Caller(
        id=identity("person", number),
        email=f"p{number}@example.org",
        admin=number == ADMIN,
        orgs=("org1", "org2") if number == MEMBER else (),
    )


def _id(kind: str, number: str = "n") -> str:
    """SQL: the id of the nth record of a kind."""
    return f"('{identity(kind, 0).hex[:16]}' || lpad(to_hex({number}), 16, '0'))::uuid"


_OWNER = _id("person", f"CASE WHEN n % 500 = 0 THEN {OWNER} ELSE 5 + n % {PERSONS - 5} END")
_SNAPSHOT = """jsonb_build_object('_id', 't', 'name', 'Template ' || n % 1000, 'description', '', 'type', type,
                 'applicationType', 'jupyterlab', 'hardware', 'small', 'public', false, 'creator', 'p@example.org',
                 'serverName', 'template', 'timestamp', '2026-01-01T00:00:00Z')"""
# Of the records some are rare and old, some are many.
_TYPE = """CASE WHEN n < 100 THEN 'rare' WHEN n % 10 < 7 THEN 'user' ELSE 'featured' END AS type"""

# One each second of a fortnight. Ids are of that time.
_AUDIT_ID = "(lpad(to_hex((1767225600 + {}) * 1000::bigint), 12, '0') || repeat('0', 20))::uuid"

# In no order that another has.
_UPDATED = "timestamptz '2026-01-01' + make_interval(secs => (n * 7919::bigint) % 1000003)"


def _shared(kind: str, number: int, columns: str = "", values: str = "") -> str:
    return f"""
        INSERT INTO {kind} (id, owner, name, observed, observed_generation, updated_at {columns})
        SELECT {_id(kind)}, {_OWNER}, CASE WHEN n < 100 THEN 'Rare-' ELSE 'thing-' END || n, 'present', 1,
               {_UPDATED} {values}
          FROM (SELECT n, {_TYPE} FROM generate_series(0, {number - 1}) n) given
    """


def _grants(kind: str, number: int) -> str:
    return f"""
        INSERT INTO access_grant (id, object, object_kind, person, user_group, org, level)
        SELECT gen_random_uuid(), {_id(kind)}, '{kind}',
               CASE WHEN n % 10 < 7 THEN {_id("person", f"(n * 7919::bigint) % {PERSONS}")} END,
               CASE WHEN n % 10 IN (7, 8) THEN {_id("group", f"n % {GROUPS}")} END,
               CASE WHEN n % 10 = 9 THEN 'org' || (n / 10 % 100) END, 1 + n % 2
          FROM generate_series(0, {number - 1}) n
    """


# The first dataset was shared with ten thousand people.
_GRANTS_OF_ONE = f"""
    INSERT INTO access_grant (id, object, object_kind, person, level)
    SELECT gen_random_uuid(), {_id("dataset", "0")}, 'dataset', {_id("person")}, 1 FROM generate_series(5, 10004) n
"""

_STATEMENTS = {
    "person": f"""
        INSERT INTO person (id, issuer, subject, email, name, hub_user, initialized_at)
        SELECT {_id("person")}, 'crowd', n::text, 'p' || n || '@example.org', 'P' || n, 'p' || n, now()
          FROM generate_series(0, {PERSONS - 1}) n
    """,
    "person_org": f"""
        INSERT INTO person_org (id, person, org)
        SELECT gen_random_uuid(), {_id("person")}, 'org' || n % 100 FROM generate_series(0, {PERSONS - 1}) n
    """,
    "user_group": f"""
        INSERT INTO user_group (id, name, observed, observed_generation, updated_at)
        SELECT {_id("group")}, CASE WHEN n < 5 THEN 'rare' ELSE 'g' END || n, 'present', 1, {_UPDATED}
          FROM generate_series(0, {GROUPS - 1}) n
    """,
    # The last group, where lists begin, has a thousand members.
    "group_member": f"""
        INSERT INTO group_member (id, user_group, person)
        SELECT gen_random_uuid(),
               {_id("group", f"CASE n % 1000 WHEN 7 THEN n/10 + 7 WHEN 8 THEN {GROUPS - 1} ELSE n % {GROUPS - 1} END")},
               {_id("person", f"CASE n % 1000 WHEN 7 THEN {MEMBER} ELSE 5 + n / 5 END")}
          FROM generate_series(0, {PERSONS * 5 - 30}) n
    """,
    "server": f"""
        INSERT INTO server (id, owner, name, template, template_data, observed, wish, updated_at)
        SELECT {_id("server")}, {_OWNER}, CASE WHEN n < 100 THEN 'Rare-' ELSE 'server-' END || n, {_id("template")},
               {_SNAPSHOT}, CASE WHEN n % 1000 = 0 THEN 'running' ELSE 'stopped' END,
               CASE WHEN n % 1000 = 0 THEN 'running' ELSE 'stopped' END, {_UPDATED}
          FROM (SELECT n, {_TYPE} FROM generate_series(0, {MILLION - 1}) n) given
    """,
    "server_search": """
        INSERT INTO server_search (server, text)
        SELECT id, lower(name) || E'\\n' || lower(template_data ->> 'name') FROM server
    """,
    "template": f"""
        INSERT INTO template
               (id, creator, name, type, application_type, hardware, public, tags, server_name, updated_at)
        SELECT {_id("template")}, {_OWNER}, 'Template ' || n, type, 'jupyterlab', 'small', n % 100 = 0,
               ARRAY['tag' || n % 50, CASE WHEN n < 200 THEN 'rare' ELSE 'other' END], 'template', {_UPDATED}
          FROM (SELECT n, {_TYPE} FROM generate_series(0, {MILLION - 1}) n) given
    """,
    "dataset": _shared("dataset", MILLION),
    "module": _shared("module", 100_000, ", module_version, calls", ", '1', '[]'"),
    "secret": _shared(
        "secret", 300_000, ", type", ", CASE type WHEN 'user' THEN 'raw' WHEN 'rare' THEN 'file' ELSE 'env_var' END"
    ),
    "access_grant": ";".join(
        (_grants("dataset", 700_000), _grants("secret", 200_000), _grants("module", 100_000), _GRANTS_OF_ONE)
    ),
    # Of what servers hold a thousandth is lost.
    "server_mount": f"""
        INSERT INTO server_mount (id, server, object, kind, generation, lost_at)
        SELECT gen_random_uuid(), {_id("server")}, {_id("dataset", "n % 5000")}, 'dataset', 1,
               CASE WHEN n % 1000 = 0 THEN now() END
          FROM generate_series(0, 19999) n
    """,
    # A few are under way, some of those for long.
    "operation": f"""
        INSERT INTO operation (id, kind, subject, subject_kind, subject_owner, actor, status, ended_at, progressed_at)
        SELECT {_id("operation")},
               CASE WHEN n < 100 THEN 'module.create' WHEN n % 2 = 0 THEN 'server.start' ELSE 'server.stop' END,
               {_id("server", "n / 2")}, 'server', {_OWNER}, {_OWNER},
               CASE WHEN n % 2000 = 1 THEN 'queued' WHEN n % 100 = 2 THEN 'failed' ELSE 'succeeded' END,
               CASE WHEN n % 2000 <> 1 THEN now() END, now() - make_interval(mins => {MILLION} - n)
          FROM generate_series(0, {MILLION - 1}) n
    """,
    # Most was done by one of a few, what is rare long ago, and the last of it waits for a seal.
    "audit": f"""
        INSERT INTO audit (id, at, actor_name, action, subject_kind, subject, detail)
        SELECT {_AUDIT_ID.format("n")}, to_timestamp(1767225600 + n),
               CASE WHEN n % 500 = 0 THEN 'p{OWNER}@example.org' WHEN n % 3 = 0 THEN 'system'
                    ELSE 'p' || 5 + n % {PERSONS - 5} || '@example.org' END,
               CASE WHEN n < 100 THEN 'module.create' WHEN n % 2 = 0 THEN 'server.start' ELSE 'server.stop' END,
               'server', {_id("server", "n / 2")}, CASE WHEN n % 10 = 0 THEN '{{"fields": ["name"]}}'::jsonb END
          FROM generate_series(0, {MILLION - 1}) n
    """,
    "audit_unsealed": f"""
        INSERT INTO audit_unsealed (id)
        SELECT {_AUDIT_ID.format("n")} FROM generate_series({MILLION - 1000}, {MILLION - 1}) n
    """,
    "audit_seal": f"""
        INSERT INTO audit_seal (number, at, previous, ids, digests, hash)
        SELECT n, now(), '', ARRAY(SELECT {_AUDIT_ID.format("i")} FROM generate_series(n * 20, n * 20 + 19) i),
               decode(repeat('5e', 20 * 32), 'hex'), ''
          FROM generate_series(1, 49949) n
    """,
    "operation_step": f"""
        INSERT INTO operation_step (id, operation, position, name, status, ended_at)
        SELECT gen_random_uuid(), {_id("operation")}, 1, 'Start', 'succeeded', now()
          FROM generate_series({MILLION} - 300000, {MILLION} - 1) n
    """,
    "operation_result": f"""
        INSERT INTO operation_result (id, operation, entity, type, outcome)
        SELECT gen_random_uuid(), {_id("operation", "CASE WHEN n % 10 = 0 THEN 0 ELSE n END")},
               'p' || n || '@example.org', 'user', 'granted'
          FROM generate_series(0, 299999) n
    """,
}


LARGE = {*_STATEMENTS} - {"server_mount", "audit_unsealed"}
"""The tables that nothing reads as a whole. Only servers that run hold something, and what was done just now waits."""


async def make(address: str) -> None:
    """Fill the migrated database at `address`."""
    await fill(address, _STATEMENTS)
