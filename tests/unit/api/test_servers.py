"""Servers over the API: making them, wishing of them, and who may."""

from uuid import UUID

import pytest

from models.database.sql import row
from tests.unit.api.bench import TEMPLATE, Api, unique


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
    server = await api.alice.server(name=unique("Lab "))
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


async def test_what_a_foreign_template_names_is_left_out_of_the_server(api: Api) -> None:
    dataset = await api.alice.dataset()
    module = await api.alice.module()
    secret = await api.alice.secret()
    named = {"dataset": dataset["_id"], "module": module["_id"], "secret": secret["_id"]}
    body = TEMPLATE | {f"{kind}s": [identity] for kind, identity in named.items()}
    template = (await api.alice.post("/template", json=body)).json()

    async def left_out(who: str) -> dict[str, str]:
        server = await api.person(who).launched(template)
        (operation,) = await api.person(who).got("/operations", subject=server["_id"], kind="server.create")
        assert all(one["reason"] for one in operation.get("left_out", []))
        # Absent and not empty where nothing is.
        assert operation.get("left_out") != []
        return {one["kind"]: one["_id"] for one in operation.get("left_out", [])}

    assert await left_out("alice") == {}
    assert await left_out("bob") == named
    share = {"relation": "read", "userArray": api.bob.email}
    await api.alice.made(f"/modules/{module['_id']}/share", **share)
    assert await left_out("bob") == {"dataset": dataset["_id"], "secret": secret["_id"]}
    await api.alice.made(f"/secret/share/{secret['_id']}", **share)
    assert await left_out("bob") == {"dataset": dataset["_id"]}
