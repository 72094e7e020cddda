"""Servers of tests, in the database."""

from typing import Any
from uuid import UUID

from models.database.transactions import Transaction
from models.domain.values import Caller
from models.records import servers, templates


async def make_template(caller: Caller, **values: Any) -> UUID:
    """A template of somebody."""
    name = values.get("name", "Difference engine")
    given = {
        "name": name,
        "description": "",
        "type": "user",
        "application_type": "jupyterlab",
        "hardware": "cpuSmall",
        "public": False,
        "server_name": templates.slug(name),
        "datasets": [],
        "modules": [],
        "secrets": [],
        "tags": [],
    }
    return await templates.create(caller.id, given | values)


async def make_server(caller: Caller, *, together: bool = True, **template: Any) -> UUID:
    """A stopped server of somebody; whether its template was made with it, and what that says."""
    made = await make_template(caller, **template)
    found = await templates.read_visible(made, caller)
    async with Transaction():
        return await servers.create(found.snapshot(), caller, made_with_template=together)
