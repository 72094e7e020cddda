"""How a server is shared, over the API: what is said while there is no link."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from models.sql import row
from tests.unit.api.bench import Api, Bench, Json, unique, whole_api

SERVER: Json = {
    "name": "Lab",
    "description": "",
    "type": "user",
    "applicationType": "jupyterlab",
    "hardware": "cpuSmall",
    "public": False,
}


@pytest.fixture
async def api(bench: Bench) -> AsyncIterator[Api]:
    async with whole_api(bench) as api:
        yield api


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ("started_once = false", "The server was never started; JupyterHub makes the link at its first start."),
        (
            "observed = 'running', wish = 'running', started_once = true",
            "The link is being made: ask again in a moment.",
        ),
        (
            "observed = 'running', wish = 'running', started_once = true, share_url = 'http://x/', "
            "share_expires_at = now() - interval '1 s'",
            "The link is being made: ask again in a moment.",
        ),
        ("started_once = true", "The link has expired; start the server to get a new one."),
    ],
    ids=["never started", "just started", "expired while it runs", "stopped"],
)
async def test_who_asks_for_a_link_is_told_what_makes_it(api: Api, columns: str, reason: str) -> None:
    server = (await api.ask("alice", "POST", "/servers", json=SERVER | {"name": unique("Lab ")})).json()
    await row(f"UPDATE server SET {columns} WHERE id = {{}}", UUID(server["_id"]))
    share = await api.got("alice", f"/servers/{server['_id']}/share")
    assert (share["url"], share["reason"]) == (None, reason)
