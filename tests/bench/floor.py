"""The floor under every read: an ASGI application of nothing but the statement and its JSON. No sign-in, no log.

`python -m uvicorn tests.bench.floor:app`, with NBHUB_BENCH_DATABASE and NBHUB_BENCH_PERSON in the environment.
"""

import os
from typing import Any
from urllib.parse import parse_qs

import asyncpg
import msgspec

_SELECT = """
    SELECT s.id::text AS _id, s.name, p.email AS owner, s.observed AS status, s.template::text AS "templateId",
           s.template_data ->> 'applicationType' AS "applicationType",
           '/user/' || p.hub_user || '/' || s.name || '/' AS url
      FROM server s JOIN person p ON p.id = s.owner WHERE s.owner = $1
"""
_encode = msgspec.json.Encoder().encode
_idle: list[Any] = []


async def app(scope: Any, receive: Any, send: Any) -> None:
    """`GET /servers/{id}` and `GET /servers?limit=N`."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    person, path = os.environ["NBHUB_BENCH_PERSON"], scope["path"]
    connection = _idle.pop()
    if path == "/servers":
        limit = int(parse_qs(scope["query_string"])[b"limit"][0])
        found = await connection.fetch(_SELECT + " ORDER BY s.id DESC LIMIT $2", person, limit)
        body = _encode([dict(one) for one in found])
    else:
        body = _encode(dict(await connection.fetchrow(_SELECT + " AND s.id = $2", person, path[9:])))
    _idle.append(connection)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _live(receive: Any, send: Any) -> None:
    await receive()
    _idle.append(await asyncpg.connect(os.environ["NBHUB_BENCH_DATABASE"]))
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
