"""How a server is shared, over the API: what is said while there is no link."""

from uuid import UUID

import pytest

from models.database.sql import row
from tests.unit.api.bench import Api, Json, unique

SERVER: Json = {
    "name": "Lab",
    "description": "",
    "type": "user",
    "applicationType": "jupyterlab",
    "hardware": "cpuSmall",
    "public": False,
}


@pytest.mark.parametrize(
    ("status", "started_once", "url", "reason"),
    [
        ("stopped", False, None, "The server was never started; JupyterHub makes the link at its first start."),
        ("running", True, None, "The link is being made: ask again in a moment."),
        ("running", True, "http://x/", "The link is being made: ask again in a moment."),
        ("stopped", True, None, "The link has expired; start the server to get a new one."),
    ],
    ids=["never started", "just started", "expired while it runs", "stopped"],
)
async def test_who_asks_for_a_link_is_told_what_makes_it(
    api: Api, status: str, started_once: bool, url: str | None, reason: str
) -> None:
    server = (await api.alice.post("/servers", json=SERVER | {"name": unique("Lab ")})).json()
    await row(
        """UPDATE server SET observed = {}, wish = {}, started_once = {}, share_url = {},
                  share_expires_at = now() - interval '1 s' WHERE id = {}""",
        status,
        status,
        started_once,
        url,
        UUID(server["_id"]),
    )
    share = await api.alice.got(f"/servers/{server['_id']}/share")
    assert (share["url"], share["reason"]) == (None, reason)
