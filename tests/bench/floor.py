"""The floor under every read: an ASGI application of nothing but the statement and its JSON. No sign-in, no log.

`python -m uvicorn tests.bench.floor:app`, with NBHUB_BENCH_DATABASE and NBHUB_BENCH_PERSON in the environment.
"""

import os
from typing import Any

import asyncpg
import msgspec

_SHARED = """
    SELECT o.id::text AS _id, o.name {name}, p.email AS owner, true AS write_access, o.description {columns}
      FROM {table} o JOIN person p ON p.id = o.owner WHERE o.wish = 'present' AND o.owner = $1
"""
_SELECTS = {
    "server": """
        SELECT o.id::text AS _id, o.name, p.email AS owner, o.observed AS status, o.template::text AS "templateId",
               o.template_data ->> 'applicationType' AS "applicationType",
               '/user/' || p.hub_user || '/' || o.name || '/' AS url
          FROM server o JOIN person p ON p.id = o.owner WHERE o.owner = $1""",
    "dataset": _SHARED.format(table="dataset", name="", columns=""),
    "module": _SHARED.format(
        table="module", name="", columns=', o.module_version AS version, o.featured, o.calls AS "luaModuleFile"'
    ),
    "secret": _SHARED.format(
        table="secret",
        name='AS "secretName"',
        columns=""", o.type, 'secrets' AS engine, 'secrets/' || o.id AS secret_path, o.value_version AS version,
                     coalesce(o.mount_path, '/opt/secret/' || o.id) AS mount_path""",
    ),
    "template": """
        SELECT o.id::text AS _id, o.name, o.description, o.type, o.application_type AS "applicationType", o.hardware,
               o.public, p.email AS creator, o.server_name AS "serverName", o.created_at AS timestamp, o.datasets,
               o.modules, o.secrets, o.tags
          FROM template o JOIN person p ON p.id = o.creator WHERE o.creator = $1""",
    "group": """
        SELECT o.id::text AS _id, o.name, m.id IS NOT NULL AS member, coalesce(m.manager, false) AS manager, m.shown
          FROM user_group o LEFT JOIN group_member m ON m.user_group = o.id AND m.person = $1
         WHERE o.wish = 'present'""",
    "operation": """
        SELECT o.id::text AS _id, o.kind, o.subject::text, o.subject_kind, p.email AS actor, o.status, o.created_at,
               o.started_at, o.ended_at, (SELECT jsonb_agg(jsonb_build_object('name', s.name, 'status', s.status,
                 'started_at', s.started_at, 'ended_at', s.ended_at) ORDER BY s.position)
                  FROM operation_step s WHERE s.operation = o.id) AS steps
          FROM operation o JOIN person p ON p.id = o.actor WHERE o.actor = $1""",
}
_JSON = {"steps", "luaModuleFile"}
_encode = msgspec.json.Encoder().encode
_idle: list[Any] = []


async def app(scope: Any, receive: Any, send: Any) -> None:
    """`GET /things?limit=N`, `GET /things/{id}`, `GET /thing/{id}` and `GET /thing?thingId={id}`."""
    if scope["type"] == "lifespan":
        await receive()
        _idle.append(await asyncpg.connect(os.environ["NBHUB_BENCH_DATABASE"]))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    _, kind, *rest = scope["path"].split("/")
    value, connection = scope["query_string"].decode().partition("=")[2], _idle.pop()
    select, listed = _SELECTS[kind.removesuffix("s")], kind.endswith("s") and not rest
    bound = " ORDER BY o.id DESC LIMIT $2" if listed else " AND o.id = $2"
    one = int(value) if listed else rest[0] if rest else value
    found = await connection.fetch(select + bound, os.environ["NBHUB_BENCH_PERSON"], one)
    _idle.append(connection)
    shown = [{key: msgspec.Raw(of) if key in _JSON else of for key, of in row.items()} for row in found]
    body = _encode(shown if listed else shown[0])
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
