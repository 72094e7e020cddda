"""Secrets: records here, values in Vault.

A value is claimed, written to Vault, and then recorded: what was cut off in between is not used by anybody, and is gone
on with, overwritten or removed later.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import UNSET

from api.http.answer import Answer
from api.http.dependencies import OwnerQuery, Read, new_owner, own_email
from api.http.etag import TAGGED, VERSIONED
from api.http.pagination import LISTED, Page, SearchQuery, SortQuery
from api.http.policy import Policy, needs
from api.http.services import Services
from api.http.write import Write
from api.secret_body import SecretCreate, SecretUpdate, SecretView, changed_secret, new_secret, view_of
from api.sharing_routes import sharing_routes
from api.trash_routes import delete_route
from models.access.permissions import Level
from models.database.lists import Sort
from models.domain.errors import RequestThrottled
from models.domain.ids import new_id
from models.records import secrets
from models.records.secrets import KIND

# What a request waits for others of the same person.
_LONGEST_WAIT = 30.0


class SecretsController(Controller):
    """Secrets: given to servers, and never answered."""

    tags = ("Secrets",)

    @get(
        "/secrets", opt=needs(Policy.SIGNED_IN), operation_id="listSecrets", summary="List secrets", dependencies=LISTED
    )
    async def index(
        self,
        page: NamedDependency[Page],
        owner: OwnerQuery = None,
        type: Annotated[str | None, QueryParameter(description="Only those of this type.")] = None,
        name: SearchQuery = None,
        q: SearchQuery = None,
        sort: SortQuery = Sort.NEWEST,
    ) -> Response[list[SecretView]]:
        """Secrets that the caller may use; with `owner` those that one owns, or anybody for an admin."""
        wanted = None if owner is None else own_email(page.caller, owner)
        order = page.order(sort)
        found = await secrets.list_visible(
            page.caller, owner=wanted, type=type, name=name, q=q, order=order, limit=page.limit + 1, count=page.count
        )
        return page.answer(found, key=order.key_of, view=lambda one: view_of(one, page.caller, page.settings))

    @post(
        "/secrets",
        opt=needs(Policy.SIGNED_IN) | TAGGED,
        status_code=200,
        operation_id="createSecret",
        summary="Make a secret",
    )
    async def create(
        self, data: JSONBody[SecretCreate], write: NamedDependency[Write], services: NamedDependency[Services]
    ) -> Response[SecretView]:
        """Make a secret. Its `value` goes to Vault; without one, servers do not get it until it has one."""
        await write.replay()
        values = new_secret(data, services.settings)
        owner = await new_owner(data.owner, write.caller)
        identity = new_id()
        async with _turn(services, write.caller.id, data.value):
            if data.value is not UNSET:
                async with write.claimed(KIND, identity) as claim:
                    identity = claim.subject
                    values["value_version"] = await services.vault.put(identity, data.value, after=0)
            async with _recorded(services, data.value), write:
                await secrets.create(identity, owner, values, write.caller)
                made = await secrets.read(identity, write.caller)
                write.done(view_of(made, write.caller, services.settings), version=made.version)
        return write.answer

    @get("/secret/{id:str}", opt=needs(Policy.RECORD) | VERSIONED, operation_id="getSecret", summary="Read a secret")
    async def read(self, id: FromPath[UUID], read: NamedDependency[Read]) -> Response[SecretView]:
        """Read what is known of a secret that the caller may use; its value is never answered."""
        found = await secrets.read(id, read.caller)
        return Answer(view_of(found, read.caller, read.settings), version=found.version)

    @patch(
        "/secret/{id:str}", opt=needs(Policy.RECORD) | VERSIONED, operation_id="updateSecret", summary="Change a secret"
    )
    async def update(
        self,
        id: FromPath[UUID],
        data: JSONBody[SecretUpdate],
        write: NamedDependency[Write],
        services: NamedDependency[Services],
    ) -> Response[SecretView]:
        """Change a secret that the caller may write. Servers get a new value at their next start."""
        async with _turn(services, write.caller.id, data.value):
            version = None
            if data.value is not UNSET:
                await write.replay()
                before = await secrets.read(id, write.caller, Level.WRITE)
                write.require_match(before.version)
                changed_secret(data, before, services.settings)
                async with write.claimed(KIND, id):
                    version = await services.vault.put(id, data.value, after=before.value_version)
            async with _recorded(services, data.value), write:
                found = await secrets.read(id, write.caller, Level.WRITE, lock=True)
                write.require_match(found.version)
                values = changed_secret(data, found, services.settings)
                if values or version is not None:
                    await secrets.update(found, values, version, write.caller)
                changed = await secrets.read(id, write.caller)
                write.done(view_of(changed, write.caller, services.settings), version=changed.version)
        return write.answer


@asynccontextmanager
async def _turn(services: Services, person: UUID, value: object) -> AsyncIterator[None]:
    """A person's turn to write a value; without one nobody waits. Raises `RequestThrottled`."""
    if value is UNSET:
        yield
        return
    turns = services.secret_turns.of(person)
    try:
        async with asyncio.timeout(_LONGEST_WAIT):
            await turns.take()
    except TimeoutError:
        raise RequestThrottled(
            "Values of other secrets of yours are being written.", hint="Wait for them.", retry_after=5
        ) from None
    try:
        yield
    finally:
        turns.give_back()


def _recorded(services: Services, value: object) -> AbstractAsyncContextManager[None]:
    """A turn to record a value that Vault has; who brings none waits for nobody who does."""
    return nullcontext() if value is UNSET else services.value_turns


ROUTES = [
    delete_route(
        KIND,
        "/secret/{id:str}",
        "Stop the servers that hold a secret, and remove it with all versions of its value, for good.",
        secrets.read_owned,
        secrets.delete,
    ),
    *sharing_routes(KIND, "/secret/{id:str}", share_at="/secret/share/{id:str}"),
]
